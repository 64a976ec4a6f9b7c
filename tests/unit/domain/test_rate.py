from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uploader.domain.rate import DOUBT_SECONDS, MARGIN_SECONDS, MOST_KEPT, Pacer, Quickest


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        Pacer(rate)
    with pytest.raises(ValueError, match="rate"):
        Pacer(1).rate_per_second = rate


def send(pacer: Pacer, now: float, *, setting_out: float = 0.0, trip: float = 0.0) -> float:
    """Take a turn, start so long after it, and be answered so long after that; return when it started."""
    started = pacer.take(now)
    at = max(now, started.at_seconds) + setting_out
    pacer.started(started, at)
    pacer.ended(started, at + trip)
    return at


def test_turns_are_an_interval_apart_and_the_first_is_at_once():
    pacer = Pacer(4)
    assert [pacer.take(10).at_seconds for _ in range(4)] == [10, 10.25, 10.5, 10.75]


def test_looking_at_the_next_turn_does_not_take_it():
    pacer = Pacer(4)
    assert pacer.next_seconds(10) == pacer.next_seconds(10) == 10


def test_who_comes_late_by_less_than_an_interval_loses_nothing():
    pacer, now = Pacer(4), 100.0
    for turn in range(100):
        now = send(pacer, pacer.next_seconds(now) + (0.24 if turn == 50 else 0))
    assert now <= 100 + 99 / 4 * (1 + MARGIN_SECONDS) + 1e-6


def test_idle_time_is_not_saved_up():
    pacer = Pacer(50)
    send(pacer, 10)
    starts = [send(pacer, 99) for _ in range(50)]
    assert starts[-1] - starts[0] == pytest.approx(49 / 50)


def test_a_turn_that_is_given_back_is_the_next_ones():
    pacer = Pacer(4)
    send(pacer, 10)
    pacer.give_back(pacer.take(10))
    assert pacer.take(10).at_seconds == 10.25


def test_a_turn_given_back_after_later_ones_were_told_counts_in_no_second():
    pacer = Pacer(2)
    first = pacer.take(10)
    send(pacer, 10.5)
    pacer.give_back(first)
    assert pacer.next_seconds(10.6) == 11


def test_a_hold_lets_nothing_begin_before_its_end():
    pacer = Pacer(4)
    pacer.hold(12)
    pacer.hold(11)
    assert pacer.take(10).at_seconds == 12


def test_a_rate_that_is_lowered_looks_further_back_at_once():
    pacer = Pacer(10)
    for n in range(10):
        send(pacer, 10 + n / 10)
    pacer.rate_per_second = 2
    assert pacer.take(11).at_seconds == pytest.approx(11.8 + MARGIN_SECONDS)


def test_a_slow_answer_keeps_the_turn_after_a_second_back_and_not_by_more_than_the_doubt():
    quick, slow, busy = Pacer(1), Pacer(1), Pacer(1)
    for pacer, trip in ((quick, 0.0), (slow, 0.03), (busy, 0.9)):
        send(pacer, 10, trip=trip)
    assert quick.next_seconds(10.95) == pytest.approx(11 + MARGIN_SECONDS)
    assert slow.next_seconds(10.95) == pytest.approx(11.03 + MARGIN_SECONDS)
    assert busy.next_seconds(10.95) == pytest.approx(11 + DOUBT_SECONDS + MARGIN_SECONDS)


def test_a_request_that_starts_long_after_its_turn_counts_from_its_start():
    pacer = Pacer(2)
    late = pacer.take(10)
    send(pacer, 10.5)
    send(pacer, 11.1)  # the late one is not among those kept any more
    pacer.started(late, 11.4)
    pacer.ended(late, 11.4)
    assert pacer.next_seconds(11.5) >= 12.4


def test_what_it_always_takes_to_set_out_is_reckoned_with():
    """Turns are told so much earlier, or each second would be longer by it."""
    pacer, now = Pacer(50), 100.0
    starts = []
    for _ in range(1000):
        now = pacer.next_seconds(now)
        starts.append(send(pacer, now, setting_out=0.01, trip=0.002))
    assert 50 * (starts[-1] - starts[100]) / 899 <= 1.003


@pytest.mark.parametrize(("rate", "kept"), [(0.5, 1), (2.5, 3), (4, 4), (2000, 2000), (1e6, MOST_KEPT)])
def test_what_is_kept_is_bounded(rate, kept):
    pacer = Pacer(rate)
    for n in range(3 * MOST_KEPT if rate > 100 else 50):
        send(pacer, 10 + n / rate)
    assert pacer.started_since(-math.inf) == kept


def test_a_rate_beyond_what_is_kept_is_reached():
    pacer, now = Pacer(10_000), 10.0
    for _ in range(5000):
        now = pacer.take(now).at_seconds
    assert now == pytest.approx(10.5, rel=0.05)


def most_in_a_second(arrivals: list[float]) -> int:
    window: deque[float] = deque()
    most = 0
    for at in sorted(arrivals):
        window.append(at)
        while window[0] <= at - 1:
            window.popleft()
        most = max(most, len(window))
    return most


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([0.5, 1, 2, 2.5, 4, 10, 50]),
    seed=st.randoms(use_true_random=False),
    longest=st.floats(0, 0.05),
    idle=st.booleans(),
)
def test_no_sliding_second_ever_has_more_than_the_rate(rate, seed, longest, idle):
    """Between turn and start up to 50 ms, several at once and out of order; arrival anywhere before the answer."""
    pacer, now = Pacer(rate, trust=0.0), 100.0
    arrivals, under_way = [], []
    for _ in range(max(20, round(6 * rate))):
        now = max(now, pacer.next_seconds(now)) + seed.random() * 0.03 + (seed.random() * 3 if idle else 0)
        # Whatever happened by now was told by now.
        while under_way and under_way[0][0] <= now:
            at, tell, told = under_way.pop(0)
            tell(told, at)
        turn = pacer.take(now)
        starts = max(now, turn.at_seconds) + seed.random() * longest
        ends = starts + seed.random() * DOUBT_SECONDS
        arrivals.append(starts + seed.random() * (ends - starts))
        under_way += [(starts, pacer.started, turn), (ends, pacer.ended, turn)]
        under_way.sort(key=lambda one: one[0])
    assert most_in_a_second(arrivals) <= math.ceil(rate)


def test_the_quickest_falls_at_once_rises_slowly_and_is_nothing_while_little_is_known():
    quickest = Quickest()
    for _ in range(15):
        quickest.see(0.01)
    assert quickest.seconds == 0
    quickest.see(0.01)
    assert quickest.seconds == pytest.approx(0.01)
    quickest.see(0.002)
    assert quickest.seconds == 0.002
    quickest.see(0.1)
    assert 0.002 < quickest.seconds < 0.003
