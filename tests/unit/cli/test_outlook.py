"""How a forecast and the limits in force are put into words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from uploader.cli.outlook import budget_words, forecast_words, limit_words, spent_words
from uploader.domain.budget import backfill_at, kept_for_live, remaining
from uploader.domain.forecast import Forecast
from uploader.service.operations.outlook import Limits
from uploader.service.operations.status import BudgetStatus

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "rate", "per", "words"),
    [
        (276_480, 4000, "day", "12,000 waiting: 3 d 4 h at 4,000 a day, done by "),
        (3000, 4, "second", "12,000 waiting: 50 min at 4 a second, done by "),
        (90_000, 30, "minute", "12,000 waiting: 1 d 1 h at 30 a minute, done by "),
        (7, 36, "hour", "12,000 waiting: 7.0 s at 36 an hour, done by "),
    ],
)
def test_a_forecast_says_how_long_at_what_pace_and_until_when(seconds, rate, per, words):
    done = NOON + timedelta(seconds=seconds)
    said = forecast_words(Forecast(waiting=12_000, done_at=done, seconds=seconds, rate=rate, per=per))
    assert said == words + done.astimezone().isoformat(sep=" ", timespec="minutes").replace("+", " +")


def budget_of(used, limit):
    left, kept = remaining(used, limit), kept_for_live(limit, NOON)
    return BudgetStatus(
        used=used,
        limit=limit,
        resets_at=NOON + timedelta(hours=12),
        kept_for_live=kept,
        left=left,
        backfill_at=backfill_at(limit, left, NOON) if left is not None and left <= kept else None,
    )


@pytest.mark.parametrize(
    ("used", "limit", "words"),
    [
        (3, 0, "3, no limit submitted today; the day (UTC) ends in 12 h"),
        (300, 12_000, "300 of 12,000 submitted today; the day (UTC) ends in 12 h"),
        (
            11_800,
            12_000,
            "11,800 of 12,000 submitted today; the day (UTC) ends in 12 h; "
            "imports wait until 00:00 UTC: the 200 left today are kept for live recordings, "
            "and set free one by one from 16:00 UTC on",
        ),
        (12_000, 12_000, "12,000 of 12,000 submitted today; the day (UTC) ends in 12 h"),
    ],
)
def test_the_budget_says_what_is_used_and_what_of_the_rest_is_kept(used, limit, words):
    assert budget_words(budget_of(used, limit), NOON) == words


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (301, ""),
        (0, "wait until 00:00 UTC: nothing is left of today's submissions"),
        (
            1,
            "wait until 00:00 UTC: the 1 left today is kept for live recordings, "
            "and set free one by one from 23:57 UTC on",
        ),
    ],
)
def test_an_import_that_may_use_nothing_of_today_is_said_to_wait_until_when(left, words):
    assert spent_words(budget_of(12_000 - left, 12_000)) == words


def test_only_what_was_learned_is_said_of_the_limits():
    nothing = Limits(per_second=4, learned_per_second=None, learned_left_today=None, slowed_to=None)
    assert list(limit_words(nothing)) == []
    learned = Limits(per_second=50, learned_per_second=20, learned_left_today=1200, slowed_to=0.45)
    assert list(limit_words(learned)) == [
        "the service permits 20 a second; [budget] says 50",
        "the account has 1,200 left today, as the service counts them",
        "after refusals at 45% of the pace; it rises again by itself",
    ]
