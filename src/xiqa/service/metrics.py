"""What Prometheus may ask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xiqa.service.records.store import Store

__all__ = ["Metrics"]

_LOG = logging.getLogger(__name__)
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)


class Metrics:
    """Counters of this process and gauges of the database.

    Args:
        store: Whose jobs are counted.
        free: Bytes that objects may still take.
        behind: Whether files may be without rows.
    """

    def __init__(self, store: Store, free: Callable[[], int], behind: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "xiqa_received", "Objects that were acknowledged", ["repeated"], registry=self.registry
        )
        self.bytes = Counter("xiqa_received_bytes", "Bytes of those", registry=self.registry)
        self.refused = Counter(
            "xiqa_refused", "Objects and connections not taken", ["code"], registry=self.registry
        )
        self.assessed = Counter("xiqa_assessed", "Verdicts", ["verdict"], registry=self.registry)
        self.turnaround = Histogram(
            "xiqa_verdict_seconds",
            "From the arrival of an object to its verdict",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Gauges(store, free, behind))

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """What is asked anew each time."""

    def __init__(self, store: Store, free: Callable[[], int], behind: Callable[[], bool]) -> None:
        self._store, self._free, self._behind = store, free, behind

    def describe(self) -> Iterator[Metric]:
        """Nothing to collect while registering."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Jobs, space, and whether the rows are complete."""
        yield GaugeMetricFamily("xiqa_free_bytes", "Space that objects may still take", value=self._free())
        yield GaugeMetricFamily("xiqa_behind", "1: files may be without rows", value=int(self._behind()))
        jobs = GaugeMetricFamily("xiqa_jobs", "Jobs", labels=["kind", "state"])
        try:
            for (kind, state), number in self._store.queue.counts().items():
                jobs.add_metric([kind, state], number)
            up = 1
        except Exception:
            _LOG.warning("the database does not answer")
            up = 0
        yield jobs
        yield GaugeMetricFamily("xiqa_database_up", "1: the database answers", value=up)
