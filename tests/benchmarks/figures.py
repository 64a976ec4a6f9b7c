"""What a measurement returns: figures beside their bars, and series to draw. Values only."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

_RELATIONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that was measured; `bar` is what it is held to, `beside` the reference of the same run."""

    what: str
    value: float
    unit: str
    bar: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A curve to draw with `--plot`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    x_label: str
    y_label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that one measurement found."""

    figures: Sequence[Figure]
    series: Sequence[Series] = ()


def bar_of(figure: Figure) -> tuple[str, float] | None:
    """Read a bar such as `<= 25` as relation and limit; None when the figure is only shown.

    Raises ValueError for a bar that is neither: a figure that nobody can judge is a mistake of its measurement.
    """
    if not figure.bar:
        return None
    relation, _, limit = figure.bar.partition(" ")
    if relation not in _RELATIONS:
        raise ValueError(f"bar {figure.bar!r} of {figure.what!r}: expected one of {' '.join(_RELATIONS)} and a number")
    return relation, float(limit)


def met(figure: Figure) -> bool | None:
    """Say whether the figure keeps its bar; None when it has none."""
    bar = bar_of(figure)
    if bar is None:
        return None
    relation, limit = bar
    return bool(_RELATIONS[relation](figure.value, limit))
