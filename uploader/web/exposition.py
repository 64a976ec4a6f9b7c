"""Families of figures in the formats of Prometheus; the one place that knows its library."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from uploader.platform.clock import Clock
from uploader.platform.meters import Distribution
from uploader.service.metrics.family import Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

FRESH_SECONDS = 1.0
"""So long an answer is given again: however many ask, the ledger is looked at once a second."""
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text"


class Exposition:
    """Gives families out as text. Safe from any thread; those that ask at once share one answer."""

    def __init__(self, families: Callable[[], Iterable[Family]], clock: Clock) -> None:
        self._families = families
        self._clock = clock
        self._lock = threading.Lock()
        self._registry: CollectorRegistry | None = None
        self._given: dict[bool, tuple[float, tuple[str, bytes]]] = {}

    def text(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text, in the format that an `Accept` header asks for.

        Raises what gathering the families raises.
        """
        is_open = _OPEN_METRICS in accept
        with self._lock:
            now = self._clock.monotonic()
            given = self._given.get(is_open)
            if given is None or now - given[0] >= FRESH_SECONDS:
                given = self._given[is_open] = now, self._written(is_open=is_open)
            return given[1]

    def _written(self, *, is_open: bool) -> tuple[str, bytes]:
        from prometheus_client import generate_latest
        from prometheus_client.openmetrics import exposition as open_metrics

        registry = self._made_registry()
        if is_open:
            return f"{_OPEN_METRICS}; version=1.0.0; charset=utf-8", open_metrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return _PLAIN, generate_latest(registry)

    def _made_registry(self) -> CollectorRegistry:
        if self._registry is None:
            from prometheus_client import CollectorRegistry, ProcessCollector

            registry = CollectorRegistry()
            registry.register(_Collector(self._families))
            ProcessCollector(registry=registry)
            self._registry = registry
        return self._registry


class _Collector:
    """Turns families into the library's metrics at each scrape."""

    def __init__(self, families: Callable[[], Iterable[Family]]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering must not read the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        return map(_metric, self._families())


def _metric(family: Family) -> Metric:
    from prometheus_client import Metric

    metric = Metric(family.name, family.text, family.kind.value)
    for labels, value in family.values.items():
        named = dict(zip(family.labels, labels, strict=True))
        if isinstance(value, Distribution):
            _add_distribution(metric, named, value)
        else:
            metric.add_sample(family.shown_name, named, float(value))
    return metric


def _add_distribution(metric: Metric, labels: dict[str, str], value: Distribution) -> None:
    for bound, count in zip(value.bounds, value.at_most, strict=True):
        metric.add_sample(f"{metric.name}_bucket", labels | {"le": str(bound)}, float(count))
    metric.add_sample(f"{metric.name}_bucket", labels | {"le": "+Inf"}, float(value.count))
    metric.add_sample(f"{metric.name}_count", labels, float(value.count))
    metric.add_sample(f"{metric.name}_sum", labels, value.sum)
