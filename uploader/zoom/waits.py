"""What the service says of its limits, and when to ask again, in whichever of its forms. Pure: now is an argument.

Source of the forms: the vendor's examples have an ISO 8601 time in Retry-After; seconds and HTTP
dates are the standard's; X-RateLimit-Reset in epoch seconds was reported by users.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from uploader.domain.allowance import Allowance, Span

LONGEST_WAIT = timedelta(hours=25)
"""A daily limit and an hour; what is said beyond that is not believed."""
SKEW_NOTED = timedelta(minutes=1)
"""A clock that is further off than this is corrected for."""
HEADER_LENGTH = 64
LARGEST_PER_SECOND = 100
LEAST_PER_DAY = 1000
"""What a limit without a type counts by: the documented ones are at most 80 a second, or at least 1,000 a day."""


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return the header whose lower-case name is `name`, whatever case the mapping keeps."""
    for key, value in headers.items():
        if key.lower() == name:
            return value
    return None


def service_date(headers: Mapping[str, str]) -> datetime | None:
    """Return the answer's `Date`, aware UTC, or None."""
    text = header(headers, "date")
    return None if text is None else _http_date(text)


def parse_retry_after(headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    """Return when to ask again by our own clock, at most 25 h from `now`.

    None if nothing was said, or nothing that makes sense: a time gone by is no advice either.
    """
    text = header(headers, "retry-after")
    moment = None if text is None else _said(text.strip(), headers, now)
    if moment is None:
        reset = header(headers, "x-ratelimit-reset")
        moment = None if reset is None else _epoch(reset.strip(), headers, now)
    if moment is None or moment < now:
        return None
    return min(moment, now + LONGEST_WAIT)


def allowance_of(headers: Mapping[str, str]) -> Allowance | None:
    """Return what an answer says of the limit that it counts under, or None.

    Source: X-RateLimit-Type, -Limit and -Remaining of an older official page; clients report them on
    successes too, in lower case, and without the type on some 429.
    """
    limit, remaining = _count(headers, "x-ratelimit-limit"), _count(headers, "x-ratelimit-remaining")
    if not limit:
        return None
    span = _span((header(headers, "x-ratelimit-type") or "").strip().lower(), limit)
    return None if span is None else Allowance(span=span, limit=limit, remaining=remaining)


def _span(kind: str, limit: int) -> Span | None:
    if "daily" in kind:
        return Span.DAY
    if kind == "qps" or "second" in kind:
        return Span.SECOND
    if kind:
        return None
    return Span.SECOND if limit <= LARGEST_PER_SECOND else Span.DAY if limit >= LEAST_PER_DAY else None


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = (header(headers, name) or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else None


def _said(text: str, headers: Mapping[str, str], now: datetime) -> datetime | None:
    seconds = _seconds(text)
    if seconds is not None:
        return now + timedelta(seconds=seconds)
    moment = _iso(text) or _http_date(text)
    return None if moment is None else _by_our_clock(moment, headers, now)


def _epoch(text: str, headers: Mapping[str, str], now: datetime) -> datetime | None:
    if not re.fullmatch(r"[0-9]{9,11}", text):
        return None
    return _by_our_clock(datetime.fromtimestamp(int(text), UTC), headers, now)


def _by_our_clock(moment: datetime, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """Correct a time of the service's for the difference between the clocks, if it is large."""
    theirs = service_date(headers)
    if theirs is None or abs(now - theirs) < SKEW_NOTED:
        return moment
    try:
        return moment + (now - theirs)
    except OverflowError:
        return None


def _seconds(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return None
    return min(float(text), LONGEST_WAIT.total_seconds())


def _iso(text: str) -> datetime | None:
    if len(text) > HEADER_LENGTH:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> datetime | None:
    if len(text) > HEADER_LENGTH:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
