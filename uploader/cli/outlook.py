"""Words for how long what waits will take, and for the limits in force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING

from uploader.cli.output import human_duration, human_time

if TYPE_CHECKING:
    from datetime import datetime

    from uploader.domain.forecast import Forecast
    from uploader.service.operations.doubt import Doubt
    from uploader.service.operations.outlook import Limits
    from uploader.service.operations.status import BudgetStatus


def forecast_words(forecast: Forecast) -> str:
    """Return `12,000 waiting: 3 d 4 h at 4,000 a day, done by 2026-11-23 14:05 +01:00`."""
    takes = human_duration(round(forecast.seconds))
    return f"{forecast.waiting:,} waiting: {takes} at {_rate(forecast)}, {done_words(forecast)}"


def done_words(forecast: Forecast) -> str:
    """Return by when it is done, in the machine's own zone."""
    return f"done by {_minute(forecast.done_at)}"


def budget_words(budget: BudgetStatus, now: datetime) -> str:
    """Return how much of the day's budget is used, when the day ends, and what is kept of the rest."""
    of = f" of {budget.limit:,}" if budget.limit else ", no limit"
    reset = human_duration(round((budget.resets_at - now).total_seconds()))
    kept = f"; imports {spent_words(budget)}" if budget.left and budget.backfill_at else ""
    return f"{budget.used:,}{of} submitted today; the day (UTC) ends in {reset}{kept}"


def spent_words(budget: BudgetStatus) -> str:
    """Return until when imports wait and why, as `wait until 00:00 UTC: …`; empty if they need not."""
    if budget.backfill_at is None:
        return ""
    return f"wait until {backfill_words(budget.left or 0, budget.backfill_at, budget.resets_at)}"


def backfill_words(left: int, first_at: datetime, resets_at: datetime) -> str:
    """Return `00:00 UTC: the 5 left today are kept for live recordings`, and when the first of them is free."""
    end, first = _clock(resets_at), _clock(first_at)
    if not left:
        return f"{end}: nothing is left of today's submissions"
    kept = "the 1 left today is" if left == 1 else f"the {left:,} left today are"
    few = "" if first == end else f", and set free one by one from {first} on"
    return f"{end}: {kept} kept for live recordings{few}"


def doubt_words(doubt: Doubt) -> str:
    """Return that the ledger was restored, or is new where there was one, and what follows."""
    found = f" (found {human_time(doubt.found)})" if doubt.found else ""
    if doubt.is_new:
        what = f"new, though there was one before{found}"
        then = "every recording is looked for before it is sent; what cannot be told apart waits for a person"
    else:
        as_of = f", as of {human_time(doubt.since)}" if doubt.since else ""
        what = f"restored{as_of}{found}"
        then = "what may have been sent since is looked for before it is sent"
    return f"{what}: {then}"


def limit_words(limits: Limits) -> Iterator[str]:
    """Return what was learned of the account's limits that is less than what is configured."""
    if limits.learned_per_second is not None:
        yield f"the service permits {limits.learned_per_second:,} a second; [budget] says {limits.per_second:,g}"
    if limits.learned_left_today is not None:
        yield f"the account has {limits.learned_left_today:,} left today, as the service counts them"
    if limits.slowed_to is not None:
        yield f"after refusals at {limits.slowed_to:.0%} of the pace; it rises again by itself"


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M UTC")


def _rate(forecast: Forecast) -> str:
    return f"{forecast.rate:,} {'an' if forecast.per == 'hour' else 'a'} {forecast.per}"


def _minute(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="minutes").replace("+", " +")
