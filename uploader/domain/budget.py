"""The daily budget of submissions, by UTC day. Knows not where it is counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta


def day_of(now: datetime) -> date:
    """Return the UTC day that a submission made now counts for."""
    return now.astimezone(UTC).date()


def remaining(used: int, limit: int) -> int | None:
    """Return how many are left today, at least 0; None when `limit` is 0, which is no limit."""
    return None if limit == 0 else max(0, limit - used)


LIVE_SHARE = 0.05
"""The part of a day's budget that only live recordings may use, at its beginning; it shrinks to nothing by its end."""


def kept_for_live(limit: int, now: datetime) -> int:
    """Return how many of the day's submissions the back-fill must leave: what live ones may yet need today."""
    left = (resets_at(now) - now).total_seconds() / timedelta(days=1).total_seconds()
    return int(limit * LIVE_SHARE * left)


def backfill_at(limit: int, left: int, now: datetime) -> datetime:
    """Return when the back-fill may use one of the `left` of today: as soon as fewer are kept for live ones."""
    if left > kept_for_live(limit, now):
        return now
    kept_at_first = limit * LIVE_SHARE
    return resets_at(now) - timedelta(days=max(0, left) / kept_at_first if kept_at_first else 0)


def resets_at(now: datetime) -> datetime:
    """Return the next midnight, UTC: the service's documented examples reset then."""
    return datetime.combine(day_of(now) + timedelta(days=1), time(), UTC)
