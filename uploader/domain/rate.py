"""How fast may be asked: a GCRA limiter as a value, slowed quickly and freed slowly. Waits for nothing.

Burst stays at 1 or 2: a full bucket trips a per-second limit. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FLOOR = 1 / 16
"""The least part of the configured rate that refusals slow down to."""
SLOWER = 0.5
FASTER = 1.02
CALM_SECONDS = 1.0
"""Refusals within a second of one another are one: several requests were under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gcra:
    """A limit: requests per second, how many may come at once. Raises ValueError unless both are positive."""

    rate_per_second: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_per_second) and self.rate_per_second > 0):
            raise ValueError("a rate per second is more than 0")
        if self.burst < 1:
            raise ValueError("a burst is at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where a limiter stands. The default is a fresh one."""

    due_seconds: float = -math.inf
    """When the next request would be on time."""
    factor: float = 1.0
    """The part of the configured rate in force."""
    slowed_at_seconds: float = -math.inf
    held_until_seconds: float = -math.inf


def reserve(limit: Gcra, pace: Pace, now_seconds: float) -> tuple[float, Pace]:
    """Return when the next request may go, never before now, and the limiter with that place taken."""
    interval = 1 / (limit.rate_per_second * pace.factor)
    due = max(pace.due_seconds, now_seconds, pace.held_until_seconds)
    allowed = max(now_seconds, pace.held_until_seconds, due - (limit.burst - 1) * interval)
    return allowed, replace(pace, due_seconds=due + interval)


def slow_down(pace: Pace, now_seconds: float, *, pause_seconds: float = CALM_SECONDS) -> Pace:
    """Return the limiter after a per-second 429: half the rate, and nothing for `pause_seconds`."""
    held = max(pace.held_until_seconds, now_seconds + pause_seconds)
    if now_seconds < pace.slowed_at_seconds + CALM_SECONDS:
        return replace(pace, held_until_seconds=held)
    factor = max(FLOOR, pace.factor * SLOWER)
    return replace(pace, factor=factor, slowed_at_seconds=now_seconds, held_until_seconds=held)


def speed_up(pace: Pace) -> Pace:
    """Return the limiter after a success: two per cent faster, up to the configured rate."""
    return replace(pace, factor=min(1.0, pace.factor * FASTER))
