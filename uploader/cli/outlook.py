"""Words for how long what waits will take, and for the limits in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uploader.cli.output import human_duration

if TYPE_CHECKING:
    from datetime import datetime

    from uploader.domain.forecast import Forecast
    from uploader.service.operations.outlook import Limits
    from uploader.service.operations.status import BudgetStatus

_DAY_SECONDS = 24 * 60 * 60


def forecast_words(forecast: Forecast) -> str:
    """Return `12,000 waiting: 3.2 days at 4,000 a day, done by 2026-11-23 14:05`."""
    return f"{forecast.waiting:,} waiting: {_span(forecast.seconds)} at {_rate(forecast)}, {done_words(forecast)}"


def done_words(forecast: Forecast) -> str:
    """Return by when it is done, in the machine's own zone."""
    return f"done by {_minute(forecast.done_at)}"


def budget_words(budget: BudgetStatus, now: datetime) -> str:
    """Return how much of the day's budget is used, when the day ends, and what is kept of the rest."""
    of = f" of {budget.limit:,}" if budget.limit else ", no limit"
    reset = human_duration(round((budget.resets_at - now).total_seconds()))
    left = budget.limit - budget.used
    kept = "; what is left is kept for live recordings" if 0 < left <= budget.kept_for_live else ""
    return f"{budget.used:,}{of} submitted today; the day (UTC) ends in {reset}{kept}"


def limit_words(limits: Limits) -> Iterator[str]:
    """Return what was learned of the account's limits that is less than what is configured."""
    if limits.learned_per_second is not None:
        yield f"the service permits {limits.learned_per_second:,} a second; [budget] says {limits.per_second:,g}"
    if limits.learned_left_today is not None:
        yield f"the account has {limits.learned_left_today:,} left today, as the service counts them"
    if limits.slowed_to is not None:
        yield f"after refusals at {limits.slowed_to:.0%} of the pace; it rises again by itself"


def _span(seconds: float) -> str:
    return f"{seconds / _DAY_SECONDS:,.1f} days" if seconds >= 1.5 * _DAY_SECONDS else human_duration(round(seconds))


def _rate(forecast: Forecast) -> str:
    return f"{forecast.rate:,} {'an' if forecast.per == 'hour' else 'a'} {forecast.per}"


def _minute(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
