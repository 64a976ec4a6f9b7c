"""Rate limits of POST /qm/interactions, by calendar second and by UTC day, and their headers.

The header names and the ISO-8601 `Retry-After` of the daily limit are an older official example;
whole seconds on a per-second limit are what clients report. The category is not documented: Medium.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from uploader.sandbox import answers, times
from uploader.sandbox.answers import Answer, Refused

_CATEGORY = {"X-RateLimit-Category": "Medium"}
_PER_SECOND = "You have reached the maximum per-second rate limit for this API. Try again later."
_PER_DAY = (
    "You have reached the maximum daily rate limit for this API. "
    "Refer to the response header for details on when you can make another request."
)


class RateLimits:
    """Counts what was let through. A limit of 0 means none."""

    def __init__(self, *, per_second: int, per_day: int, now: Callable[[], datetime]) -> None:
        self._per_second = per_second
        self._per_day = per_day
        self._now = now
        self._second: tuple[datetime, int] = (datetime.min.replace(tzinfo=UTC), 0)
        self._day: tuple[datetime, int] = (datetime.min.replace(tzinfo=UTC), 0)

    def resume(self, day: datetime, used: int) -> None:
        """Take over how many were let through on the day of `day` before a restart."""
        self._day = (_midnight(day), used)

    def take(self) -> Mapping[str, str]:
        """Let one request through and return the headers for its answer. Raises Refused with HTTP 429."""
        now = self._now()
        second, day = times.whole(now), _midnight(now)
        in_second = self._second[1] if self._second[0] == second else 0
        in_day = self._day[1] if self._day[0] == day else 0
        if self._per_day and in_day >= self._per_day:
            until = times.show(day + timedelta(days=1))
            headers = _headers("Daily-limit", self._per_day, 0) | {"Retry-After": until}
            raise Refused(answers.rate_limited(_PER_DAY, headers))
        if self._per_second and in_second >= self._per_second:
            raise Refused(too_fast(self._per_second, (second + timedelta(seconds=1) - now).total_seconds()))
        self._second, self._day = (second, in_second + 1), (day, in_day + 1)
        if self._per_second:
            return _headers("QPS", self._per_second, self._per_second - in_second - 1)
        if self._per_day:
            return _headers("Daily-limit", self._per_day, self._per_day - in_day - 1)
        return dict(_CATEGORY)


def too_fast(limit: int, wait_seconds: float) -> Answer:
    """Return the answer above the per-second limit."""
    headers = _headers("QPS", limit, 0) | {"Retry-After": str(max(1, math.ceil(wait_seconds)))}
    return answers.rate_limited(_PER_SECOND, headers)


def _headers(kind: str, limit: int, remaining: int) -> dict[str, str]:
    return _CATEGORY | {
        "X-RateLimit-Type": kind,
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
    }


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
