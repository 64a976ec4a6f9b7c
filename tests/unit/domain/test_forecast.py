"""When what waits is done: by pace, by budget, over midnights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.forecast import Forecast, Terms, forecast

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def told(waiting, **terms):
    return forecast(waiting, now=NOON, terms=Terms(**{"per_second": 4.0} | terms))


def test_without_a_budget_the_pace_alone_decides():
    assert told(14_400) == Forecast(
        waiting=14_400, done_at=NOON + timedelta(hours=1), seconds=3600, rate=4, per="second"
    )


def test_over_days_the_budget_decides_and_the_last_part_goes_at_the_pace():
    found = told(12_000, left_today=4000, per_day=4000)
    assert found == Forecast(
        waiting=12_000, done_at=NOON + timedelta(hours=36, seconds=1000), seconds=130_600, rate=4000, per="day"
    )


def test_a_day_that_is_used_up_begins_at_midnight():
    found = told(400, left_today=0, per_day=4000)
    assert found.done_at == datetime(2026, 11, 21, 0, 1, 40, tzinfo=UTC)


def test_what_the_rest_of_the_day_can_hold_needs_no_budget_of_tomorrow():
    found = told(400, left_today=400, per_day=400)
    assert (found.seconds, found.rate, found.per) == (100, 4, "second")


def test_a_pace_that_does_not_use_the_budget_up_is_what_is_told():
    found = told(200_000, per_second=0.5, left_today=100_000, per_day=100_000)
    assert (found.rate, found.per) == (30, "minute")
    assert found.seconds == pytest.approx(400_000)


@pytest.mark.parametrize(("per_second", "rate", "per"), [(50.4, 50, "second"), (0.5, 30, "minute"), (0.01, 36, "hour")])
def test_a_pace_is_spoken_in_whole_numbers(per_second, rate, per):
    found = told(10, per_second=per_second)
    assert (found.rate, found.per) == (rate, per)


@pytest.mark.parametrize("terms", [{"per_second": 0}, {"left_today": 0, "per_day": 0}, {"per_second": 1e-9}])
def test_what_would_take_for_ever_is_not_foretold(terms):
    assert told(100, **terms) is None


def test_nothing_waiting_has_no_forecast():
    assert told(0) is None


@given(
    waiting=st.integers(1, 10**6), more=st.integers(1, 10**5), pace=st.floats(0.1, 1000),
    left=st.integers(0, 20_000), per_day=st.integers(20_000, 10**6),
)  # fmt: skip
def test_more_never_takes_less_and_no_day_gets_more_than_its_budget(waiting, more, pace, left, per_day):
    terms = Terms(per_second=pace, left_today=left, per_day=per_day)
    first, second = (forecast(count, now=NOON, terms=terms) for count in (waiting, waiting + more))
    assert first is not None
    assert first.seconds >= waiting / pace - 1e-3
    assert second is None or second.seconds >= first.seconds - 1e-3
    days = (first.done_at.date() - NOON.date()).days
    assert left + days * per_day >= waiting - 1
