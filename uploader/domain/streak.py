"""How fast things come while they come without a break. Knows no clock: times are monotonic seconds."""

from __future__ import annotations

GAP_SECONDS = 5.0
"""After so long without one a new streak begins: what trickles in says nothing of how fast it could go."""
FIRST_SECONDS = 10.0
WINDOW_SECONDS = 60.0


class Streak:
    """Counts by windows of a minute; the first of a streak tells after ten seconds already."""

    def __init__(self) -> None:
        self._since_seconds = 0.0
        self._last_seconds = -GAP_SECONDS
        self._count = 0
        self._is_first = True

    def add(self, now_seconds: float) -> float | None:
        """Count one more; return how many a second came, whenever a window is full."""
        if now_seconds - self._last_seconds >= GAP_SECONDS:
            self._begin(now_seconds, is_first=True)
        self._last_seconds = now_seconds
        took = now_seconds - self._since_seconds
        if took < (FIRST_SECONDS if self._is_first else WINDOW_SECONDS):
            self._count += 1
            return None
        pace = self._count / took
        self._begin(now_seconds, is_first=False)
        self._count = 1
        return pace

    def _begin(self, now_seconds: float, *, is_first: bool) -> None:
        self._since_seconds, self._count, self._is_first = now_seconds, 0, is_first
