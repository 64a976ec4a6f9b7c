"""What refusals do to the pace: by simulated services that refuse for a reason, or by chance."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from uploader.domain import throttle
from uploader.domain.throttle import FIRST_STEP, FLOOR, LARGEST_STEP, LEAST_STEP, PATIENCE_SECONDS, Throttle


def run(rate, *, limit=None, chance=0.0, seconds=300.0, pause=1.0):
    """Send at the throttled rate to a service with a limit a calendar second; return it, accepted and refused."""
    draw, state, now = random.Random(7), Throttle(), 0.0
    accepted, refused = Counter(), 0
    while now < seconds:
        state = throttle.risen(state, now)
        now += 1 / (rate * state.factor)
        if (limit is not None and accepted[int(now)] >= limit) or draw.random() < chance:
            state, refused, now = throttle.refused(state, now), refused + 1, now + pause
        else:
            state = throttle.passed(state, now)
            accepted[int(now)] += 1
    return state, sum(accepted.values()) / seconds, refused / seconds


@pytest.mark.parametrize("rate", [4, 50])
def test_refusals_by_chance_do_not_push_the_rate_down_to_the_floor(rate):
    state, accepted, _ = run(rate, chance=0.05, pause=0.0)
    assert state.factor > 0.5
    assert accepted > 0.5 * rate


@pytest.mark.parametrize(("rate", "limit"), [(50, 25), (50, 45), (4, 2), (50, 5)])
def test_a_lower_limit_is_found_used_and_seldom_exceeded(rate, limit):
    _, accepted, refused = run(rate, limit=limit)
    assert accepted >= 0.7 * limit
    assert refused <= 0.7


def test_refusals_of_requests_under_way_are_one_reason_to_slow_down():
    once = throttle.refused(Throttle(), 10)
    assert once.factor == 1 - FIRST_STEP
    assert throttle.refused(once, 10.5).factor == once.factor
    assert throttle.refused(once, 11).factor <= once.factor * (1 - LEAST_STEP)


def test_the_more_are_refused_the_larger_the_step_down_to_a_floor():
    state, factors = Throttle(), [1.0]
    for second in range(60):
        for _ in range(5):
            state = throttle.refused(state, float(second))
        factors.append(state.factor)
    steps = [1 - after / before for before, after in pairwise(factors) if after > FLOOR]
    assert steps[-1] > steps[0]
    assert max(steps) <= LARGEST_STEP + 1e-9
    assert factors[-1] == FLOOR


def test_time_alone_gives_it_back_after_some_patience():
    slowed = throttle.refused(Throttle(), 10)
    assert throttle.risen(slowed, 10 + PATIENCE_SECONDS).factor == slowed.factor
    assert throttle.risen(slowed, 10 + PATIENCE_SECONDS + 2).factor == pytest.approx(slowed.factor + 0.02)
    assert throttle.risen(slowed, 1000).factor == 1


def test_others_who_use_the_limit_up_slow_us_down_once_a_second():
    once = throttle.crowded(Throttle(), 10)
    assert once.factor == 1 - LEAST_STEP
    assert throttle.crowded(once, 10.5) == once
    assert throttle.crowded(once, 11).factor < once.factor
