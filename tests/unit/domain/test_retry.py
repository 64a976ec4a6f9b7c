from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.retry import RetryPolicy, next_delay

POLICY = RetryPolicy(initial=timedelta(seconds=5), maximum=timedelta(hours=1))


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2.5), (2, 5), (3, 10), (11, 1800), (10**9, 1800)])
def test_delay_doubles_up_to_the_maximum(failures, seconds):
    assert next_delay(POLICY, failures, 0.0) == timedelta(seconds=seconds)


@given(failures=st.integers(1, 10**6), jitter=st.floats(0, 1, exclude_max=True))
def test_delay_lies_in_the_upper_half_and_never_shrinks_with_failures(failures, jitter):
    delay = next_delay(POLICY, failures, jitter)
    assert POLICY.initial / 2 <= delay <= POLICY.maximum
    assert delay <= next_delay(POLICY, failures + 1, jitter)


def test_policy_of_nothing_waits_for_nothing():
    assert next_delay(RetryPolicy(initial=timedelta(0), maximum=timedelta(0)), 99, 0.5) == timedelta(0)


@pytest.mark.parametrize(("failures", "jitter"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_arguments_out_of_range_are_refused(failures, jitter):
    with pytest.raises(ValueError, match="count from 1"):
        next_delay(POLICY, failures, jitter)
