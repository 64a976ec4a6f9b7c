"""Start times: an ISO 8601 text to the service's form, UTC in whole seconds.

Never guesses a zone (promise 3): a time without one is read in the zone the source states, or not at all.
Knows no clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from uploader.domain.interaction import format_time
from uploader.sidecars.verdict import Verdict

EARLIEST_YEAR = 1990
EXPECTED = "must be a date and time with zone in ISO 8601, such as 2026-11-20T04:00:00Z"

_ISO = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]{1,18}))?"
    r" ?(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?"
)
_DATE_ONLY = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")
_MINUTES_ONLY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?: ?[Zz]| ?[+-][0-9:]{2,5})?")
_DIGITS_ONLY = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")
_WIDEST_OFFSET = timedelta(hours=14)


def judge_time(text: str, *, zone_name: str) -> Verdict:
    """Read a start time; `zone_name` is the IANA zone of times without one, or empty.

    The written form is the service's (`yyyy-MM-dd'T'HH:mm:ss'Z'`); fractions of a second are cut off.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return Verdict(problem=_why_not(text))
    try:
        local = datetime.fromisoformat(f"{match['date']}T{match['clock']}")
    except ValueError:
        return Verdict(problem="is a date or time of day that does not exist")
    if local.year < EARLIEST_YEAR:
        return Verdict(problem=f"is before {EARLIEST_YEAR}: the recorder's clock was not set")
    if match["zone"]:
        found = _with_offset(local, match)
    elif zone_name:
        found = _in_zone(local, zone_name)
    else:
        found = Verdict(problem="has no zone: add Z or an offset such as +01:00, or set the source's timezone")
    if found.value is not None and (match["fraction"] or "").strip("0"):
        note = "the fraction of a second was left out"
        return Verdict(value=found.value, note=note, remark=found.remark)
    return found


def _why_not(text: str) -> str:
    if _DATE_ONLY.fullmatch(text):
        return f"is a date without a time of day: it {EXPECTED}"
    if _MINUTES_ONLY.fullmatch(text):
        return f"has no seconds: it {EXPECTED}"
    if _DIGITS_ONLY.fullmatch(text):
        return f"is digits only, whose unit and zone nobody can tell: it {EXPECTED}"
    return EXPECTED


def _with_offset(local: datetime, match: re.Match[str]) -> Verdict:
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    if int(match["minutes"] or 0) > 59 or offset > _WIDEST_OFFSET:
        return Verdict(problem="has a zone offset that no place has")
    zone = timezone(-offset if match["sign"] == "-" else offset)
    return _written(local.replace(tzinfo=zone))


def _in_zone(local: datetime, zone_name: str) -> Verdict:
    """Place a local time in a zone, unless clocks were put forward over it or back into it."""
    try:
        zone = ZoneInfo(zone_name)
    except (ValueError, OSError, LookupError):
        return Verdict(problem="cannot be read: the source's timezone is not known on this machine")
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    try:
        back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0)
        if back != local:
            return Verdict(problem="does not exist in the source's timezone: clocks were put forward over it")
        if first.utcoffset() != second.utcoffset():
            problem = "happened twice in the source's timezone, as clocks were put back: write its offset"
            return Verdict(problem=problem)
    except OverflowError:
        return Verdict(problem="is a date or time of day that does not exist")
    found = _written(first)
    return Verdict(value=found.value, problem=found.problem, remark="read in the source's timezone")


def _written(moment: datetime) -> Verdict:
    try:
        return Verdict(value=format_time(moment))
    except OverflowError:
        return Verdict(problem="is a date or time of day that does not exist")
