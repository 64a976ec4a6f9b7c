"""What an import will take: requests, and time at the budget. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain.budget import resets_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be sent: a second, a day (0 is no limit), and what of today is left (None is no limit)."""

    per_second: float
    per_day: int
    left_today: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was found, the requests that are left to make of it, and the time that they take at least."""

    recordings: int
    size_bytes: int
    requests: int
    takes: timedelta
    passed_over: int = 0
    """Folders that could not be read."""


def duration(requests: int, budget: Budget, now: datetime) -> timedelta:
    """Return how long so many requests take at least, days whose budget is used up included."""
    first = requests if budget.left_today is None else min(requests, budget.left_today)
    rest = requests - first
    if rest == 0 or budget.per_day == 0:
        return timedelta(seconds=requests / budget.per_second)
    days = math.ceil(rest / budget.per_day)
    last = rest - (days - 1) * budget.per_day
    # No day sends more than its budget, nor more than the pace lets through.
    return resets_at(now) - now + timedelta(days=days - 1, seconds=last / budget.per_second)
