"""Metrics of agreement by name, for metrics that compare maps in a way the caller chooses."""

from __future__ import annotations

from xiqa.errors import MetricError
from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import get_metric, metrics

__all__ = ["agreement"]


def agreement(name: str, a: Map, b: Map) -> float:
    """The agreement of two maps by a registered metric of that kind.

    Raises:
        MetricError: The name is not that of a metric of agreement.

    >>> import numpy as np
    >>> agreement("similarity", np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]))
    0.5
    """
    info = get_metric(name)
    if info.kind != "agreement":
        known = [i.name for i in metrics() if i.kind == "agreement"]
        raise MetricError(f"{name} does not compare two maps", expected=" or ".join(known))
    return float(info.function(a, b))
