"""When what waits will be submitted, at a pace and within the days' budgets. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain.budget import resets_at

DAY_SECONDS = 24 * 60 * 60
LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How fast and how much: so many a second, and so many today and on each day after; None is no limit."""

    per_second: float
    left_today: int | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is waiting, until when it is done, and at how many `per` second, minute, hour or day."""

    waiting: int
    done_at: datetime
    seconds: float
    rate: int
    per: str


def forecast(waiting: int, *, now: datetime, terms: Terms) -> Forecast | None:
    """Return when so many that wait are submitted; None when nothing waits or it would take for ever."""
    if waiting <= 0 or terms.per_second <= 0:
        return None
    to_midnight = (resets_at(now) - now).total_seconds()
    by_pace = terms.per_second * to_midnight
    today = by_pace if terms.left_today is None else min(terms.left_today, by_pace)
    in_a_day = terms.per_second * DAY_SECONDS
    daily = in_a_day if terms.per_day is None else min(terms.per_day, in_a_day)
    if waiting <= today:
        seconds = waiting / terms.per_second
    elif daily < 1:
        return None
    else:
        rest = waiting - today
        whole_days = math.ceil(rest / daily) - 1
        seconds = to_midnight + whole_days * DAY_SECONDS + (rest - whole_days * daily) / terms.per_second
    if seconds > LONGEST.total_seconds():
        return None
    by_budget = waiting > today and daily < in_a_day
    rate, per = (math.floor(daily), "day") if by_budget else _spoken(terms.per_second)
    return Forecast(waiting=waiting, done_at=now + timedelta(seconds=seconds), seconds=seconds, rate=rate, per=per)


def _spoken(per_second: float) -> tuple[int, str]:
    """Return a pace as a whole number a second, else a minute or an hour: as nobody says 0.3 of a recording."""
    for factor, per in ((1, "second"), (60, "minute")):
        if per_second * factor >= 2:
            return round(per_second * factor), per
    return max(1, round(per_second * 3600)), "hour"
