from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.rate import FLOOR, Gcra, Pace, reserve, slow_down, speed_up


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        Gcra(rate_per_second=rate)


def test_burst_of_none_is_refused():
    with pytest.raises(ValueError, match="burst"):
        Gcra(rate_per_second=1, burst=0)


def taken(limit: Gcra, pace: Pace, nows: list[float]) -> tuple[list[float], Pace]:
    times = []
    for now in nows:
        allowed, pace = reserve(limit, pace, now)
        times.append(allowed)
    return times, pace


def test_places_without_a_burst_are_an_interval_apart():
    assert taken(Gcra(rate_per_second=4), Pace(), [10, 10, 10])[0] == [10, 10.25, 10.5]


def test_burst_lets_so_many_go_at_once_and_no_idle_time_more():
    assert taken(Gcra(rate_per_second=4, burst=2), Pace(), [10, 10, 10])[0] == [10, 10, 10.25]
    assert taken(Gcra(rate_per_second=4, burst=2), Pace(), [10, 99, 99, 99])[0] == [10, 99, 99, 99.25]


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 3),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_second_ever_has_more_than_the_rate_and_the_burst(rate, burst, gaps):
    nows = [sum(gaps[:n]) for n in range(len(gaps))]
    times, _ = taken(Gcra(rate_per_second=rate, burst=burst), Pace(), nows)
    assert all(allowed >= now for allowed, now in zip(times, nows, strict=True))
    assert times == sorted(times)
    for begin in times:
        assert sum(begin <= t < begin + 1 - 1e-6 for t in times) <= burst + rate


def test_refusal_halves_the_rate_and_pauses():
    limit = Gcra(rate_per_second=4)
    times, _ = taken(limit, slow_down(Pace(), 10, pause_seconds=2), [10, 10, 10])
    assert times == [12, 12.5, 13]


def test_refusals_of_requests_under_way_count_as_one_but_the_longest_pause_holds():
    pace = slow_down(slow_down(Pace(), 10), 10.5, pause_seconds=5)
    assert pace.factor == 0.5
    assert pace.held_until_seconds == 15.5
    assert slow_down(pace, 12).held_until_seconds == 15.5
    assert slow_down(pace, 12).factor == 0.25


def test_rate_has_a_floor_and_comes_back_slowly():
    pace = Pace()
    for second in range(0, 40, 2):
        pace = slow_down(pace, second)
    assert pace.factor == FLOOR
    once = speed_up(pace)
    assert once.factor == pytest.approx(FLOOR * 1.02)
    for _ in range(200):
        once = speed_up(once)
    assert once.factor == 1
