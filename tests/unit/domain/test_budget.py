from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.budget import backfill_at, day_of, kept_for_live, remaining, resets_at


@pytest.mark.parametrize(("used", "limit", "left"), [(0, 5, 5), (4, 5, 1), (5, 5, 0), (9, 5, 0), (9, 0, None)])
def test_what_is_left_of_a_day(used, limit, left):
    assert remaining(used, limit) == left


def test_the_day_is_that_of_utc():
    evening = datetime(2026, 11, 20, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert day_of(evening) == date(2026, 11, 21)
    assert resets_at(evening) == datetime(2026, 11, 22, tzinfo=UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_reset_is_the_first_moment_of_the_next_day(now):
    reset = resets_at(now)
    assert timedelta(0) < reset - now <= timedelta(days=1)
    assert day_of(reset) != day_of(now)
    assert day_of(reset - timedelta(microseconds=1)) == day_of(now)


@pytest.mark.parametrize(("hour", "kept"), [(0, 600), (12, 300), (23, 25)])
def test_a_twentieth_of_the_day_is_kept_for_live_ones_and_less_the_less_of_it_is_left(hour, kept):
    assert kept_for_live(12_000, datetime(2026, 11, 20, hour, tzinfo=UTC)) == kept


def test_without_a_limit_nothing_is_kept():
    assert kept_for_live(0, datetime(2026, 11, 20, tzinfo=UTC)) == 0


@given(
    st.integers(0, 50_000),
    st.integers(-1, 3000),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)
def test_the_back_fill_goes_on_as_soon_as_fewer_are_kept_than_are_left(limit, left, now):
    at = backfill_at(limit, left, now)
    assert now <= at <= resets_at(now)
    if at > now + timedelta(seconds=1):
        assert kept_for_live(limit, at - timedelta(seconds=1)) >= left
    if at + timedelta(seconds=1) < resets_at(now):
        assert kept_for_live(limit, at + timedelta(seconds=1)) < left
