"""A family of figures: a name, what it means, and a value for each set of labels. Names after Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from uploader.platform.meters import Distribution

PREFIX = "qm_uploader_"

Labels = tuple[str, ...]
Value = float | Distribution


class Kind(StrEnum):
    """How a family is to be read. A counter's name gets `_total` in the format."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family; `values` may be empty, it is named all the same. Units are seconds and bytes, in the name."""

    name: str
    kind: Kind
    text: str
    labels: Labels
    values: Mapping[Labels, Value]

    @property
    def shown_name(self) -> str:
        """The name that a query uses; of a histogram the stem of its three."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def gauge(name: str, text: str, value: float | None, *labels: str) -> Family:
    """Return a gauge with one value; None gives none."""
    return gauges(name, text, {} if value is None else {(): value}, *labels)


def gauges(name: str, text: str, values: Mapping[Labels, float], *labels: str) -> Family:
    """Return a gauge with a value for each set of labels."""
    return Family(name=PREFIX + name, kind=Kind.GAUGE, text=text, labels=labels, values=values)


def counter(name: str, text: str, value: float) -> Family:
    """Return a counter with one value."""
    return counters(name, text, {(): value})


def counters(name: str, text: str, values: Mapping[Labels, float], *labels: str) -> Family:
    """Return a counter with a value for each set of labels."""
    return Family(name=PREFIX + name, kind=Kind.COUNTER, text=text, labels=labels, values=values)


def histogram(name: str, text: str, values: Mapping[Labels, Distribution], *labels: str) -> Family:
    """Return a histogram for each set of labels."""
    return Family(name=PREFIX + name, kind=Kind.HISTOGRAM, text=text, labels=labels, values=values)
