"""Rate limits of POST /qm/interactions, by second and by UTC day, and their headers.

A second is that of the calendar, or the one before each arrival; neither lets a burst through. The header
names and the ISO-8601 `Retry-After` of the daily limit are an older official example; whole seconds on a
per-second limit are what clients report. The category is not documented: Medium.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from uploader.sandbox import answers, times
from uploader.sandbox.answers import Answer, Refused
from uploader.sandbox.config import RateWindow

_CATEGORY = {"X-RateLimit-Category": "Medium"}
MEDIUM_PER_SECOND = 20
"""The documented limit of the category that the sandbox counts requests under, on a paid plan."""

_SECOND = timedelta(seconds=1)
_PER_SECOND = "You have reached the maximum per-second rate limit for this API. Try again later."
_PER_DAY = (
    "You have reached the maximum daily rate limit for this API. "
    "Refer to the response header for details on when you can make another request."
)


class RateLimits:
    """Counts what was let through, and what was not. A limit of 0 means none."""

    def __init__(
        self,
        *,
        per_second: int,
        per_day: int,
        now: Callable[[], datetime],
        window: RateWindow = RateWindow.CALENDAR,
    ) -> None:
        self._per_second = per_second
        self._per_day = per_day
        self._now = now
        self._is_sliding = window is RateWindow.SLIDING
        self._passed: deque[datetime] = deque()
        """When those were let through that count in the second just now."""
        self._day: tuple[datetime, int] = (datetime.min.replace(tzinfo=UTC), 0)
        self.refused = {"second": 0, "day": 0}
        """How many were refused, by the limit that they met."""

    def resume(self, day: datetime, used: int) -> None:
        """Take over how many were let through on the day of `day` before a restart."""
        self._day = (_midnight(day), used)

    def take(self) -> Mapping[str, str]:
        """Let one request through and return the headers for its answer. Raises Refused with HTTP 429."""
        now = self._now()
        day = _midnight(now)
        in_day = self._day[1] if self._day[0] == day else 0
        if self._per_day and in_day >= self._per_day:
            self.refused["day"] += 1
            until = times.show(day + timedelta(days=1))
            headers = _headers("Daily-limit", self._per_day, 0) | {"Retry-After": until}
            raise Refused(answers.rate_limited(_PER_DAY, headers))
        in_second = self._in_second(now)
        if self._per_second and in_second >= self._per_second:
            self.refused["second"] += 1
            since = self._passed[0] if self._is_sliding else times.whole(now)
            raise Refused(too_fast(self._per_second, (since + _SECOND - now).total_seconds()))
        self._day = (day, in_day + 1)
        if self._per_second:
            self._passed.append(now)
            return _headers("QPS", self._per_second, self._per_second - in_second - 1)
        if self._per_day:
            return _headers("Daily-limit", self._per_day, self._per_day - in_day - 1)
        return dict(_CATEGORY)

    def _in_second(self, now: datetime) -> int:
        begin = now - _SECOND if self._is_sliding else times.whole(now)
        while self._passed and (self._passed[0] < begin or (self._is_sliding and self._passed[0] == begin)):
            self._passed.popleft()
        return len(self._passed)


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
