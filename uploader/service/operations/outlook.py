"""How long what waits will take: by the pace, the days' budgets, and what was learned of them. Reads a few rows.

Tells nothing where nothing is known, while submission is closed but for a day that will begin anew, and
where nothing runs that could submit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from uploader.domain import budget
from uploader.domain.allowance import Learned
from uploader.domain.forecast import Forecast, Terms, forecast
from uploader.domain.throttle import PATIENCE_SECONDS, Throttle, risen
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import from_ms
from uploader.service.lessons import read_lessons

_RECENT = timedelta(minutes=10)
"""A pace that was seen longer ago says nothing of now."""
_LEAST_WAITING = 50
"""With fewer waiting the pace that was seen may be that of what came in, not of what can go out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is in force: `learned_*` is what the service said, lower than what is configured; None: nothing."""

    per_second: float
    learned_per_second: int | None
    learned_left_today: int | None
    slowed_to: float | None
    """The part of the pace that refusals have left; None when all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Limits, what is left of today, and forecasts of so many that wait."""

    limits: Limits
    terms: Terms
    """The pace and the day's budget, configured or learned, whichever is less."""
    backfill_at: datetime | None
    """When an import may submit again, what is left being kept for live recordings; None: it may now."""
    is_nearly_spent: bool
    """Whether an import waits, or has but one before it does: so it stays while they are set free one by one."""
    foretell: Callable[[int], Forecast | None]
    foretell_backfill: Callable[[int], Forecast | None]
    """The same of what may not use what is kept for live recordings."""


def outlook(ledger: Ledger, *, now: datetime, per_second: float, per_day: int) -> Outlook:
    """Return the limits in force, and what foretells by them."""
    day = budget.day_of(now).isoformat()
    known = read_lessons(ledger.books).on(day=day, now=round(now.timestamp() * 1000))
    used = ledger.books.submissions(day)
    limits = _limits(known, now=now, per_second=per_second, used=used)
    pace = min(per_second, limits.learned_per_second or per_second) * (limits.slowed_to or 1.0)
    left = [one for one in (budget.remaining(used, per_day), limits.learned_left_today) if one is not None]
    daily = [one for one in (per_day or None, known.per_day) if one is not None]
    seen = known.pace if known.pace is not None and now - from_ms(known.pace_at) < _RECENT else None

    terms = Terms(per_second=pace, left_today=min(left, default=None), per_day=min(daily, default=None))

    def foretell(waiting: int) -> Forecast | None:
        fastest = pace if seen is None or waiting < _LEAST_WAITING else min(pace, seen)
        return forecast(waiting, now=now, terms=replace(terms, per_second=fastest))

    def foretell_backfill(waiting: int) -> Forecast | None:
        found = foretell(waiting)
        if found is None or terms.left_today is None or waiting > terms.left_today:
            return found
        last_at = budget.backfill_at(per_day, terms.left_today - waiting + 1, now)
        done_at = max(found.done_at, last_at)
        return replace(found, done_at=done_at, seconds=(done_at - now).total_seconds())

    kept = budget.kept_for_live(per_day, now)
    keeps = terms.left_today is not None and terms.left_today <= kept
    one_before = terms.left_today is not None and 0 < kept == terms.left_today - 1
    return Outlook(
        limits=limits,
        terms=terms,
        backfill_at=budget.backfill_at(per_day, terms.left_today or 0, now) if keeps else None,
        is_nearly_spent=keeps or one_before,
        foretell=foretell,
        foretell_backfill=foretell_backfill,
    )


def _limits(known: Learned, *, now: datetime, per_second: float, used: int) -> Limits:
    age = max(0.0, (now - from_ms(known.factor_at)).total_seconds())
    factor = risen(Throttle(factor=known.factor, slowed_at_seconds=0.0), max(age, PATIENCE_SECONDS)).factor
    lower = known.per_second if known.per_second is not None and known.per_second < per_second else None
    return Limits(
        per_second=per_second,
        learned_per_second=lower,
        learned_left_today=None if known.ends_at is None else max(0, known.ends_at - used),
        slowed_to=None if factor > 0.99 else round(factor, 3),
    )
