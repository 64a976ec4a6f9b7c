"""Plain counters and histograms, cheap enough for every request; knows not who reads them, nor in what format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of what should take milliseconds and may take seconds."""


class Count:
    """A number that only grows. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self, by: int = 1) -> None:
        """Add to it."""
        with self._lock:
            self._value += by

    @property
    def value(self) -> int:
        """What it has come to."""
        return self._value


class Counts:
    """Numbers that only grow, by labels. Safe from any thread.

    Labels come from closed sets and from the configuration: nothing here bounds how many there are.
    """

    def __init__(self, *known: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], int] = dict.fromkeys(known, 0)

    def add(self, *labels: str, by: int = 1) -> None:
        """Add to the number of these labels."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def read(self) -> dict[tuple[str, ...], int]:
        """Return what they have come to, with those that were known from the start."""
        with self._lock:
            return dict(self._values)


class Moments:
    """When something last happened, by name, in seconds since the epoch. Safe from any thread."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def put(self, name: str, at_seconds: float) -> None:
        """Say that it happened."""
        self._values[name] = at_seconds

    def read(self) -> dict[str, float]:
        """Return what has happened so far; what never did is missing."""
        return dict(self._values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A histogram as read: for each upper bound how many were at most that, then all of them and their sum."""

    bounds: tuple[float, ...]
    at_most: tuple[int, ...]
    count: int
    sum: float


class Histogram:
    """How values are distributed over fixed buckets. Safe from any thread; memory is that of its bounds."""

    def __init__(self, bounds: Iterable[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        index = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[index] += 1
            self._sum += value

    def read(self) -> Distribution:
        """Return how the values so far are distributed."""
        with self._lock:
            counts, total = tuple(self._counts), self._sum
        *at_most, count = accumulate(counts)
        return Distribution(bounds=self._bounds, at_most=tuple(at_most), count=count, sum=total)
