"""How far a saliency map can be trusted: one file a metric, each a pure function of one image."""

from __future__ import annotations

from xiqa.metrics.registry import MetricInfo, get_metric, metric, metrics

__all__ = ["MetricInfo", "get_metric", "metric", "metrics"]
