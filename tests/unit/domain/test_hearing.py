"""Events are given up only after two scans that found what no event told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.hearing import OVERDUE_SECONDS, Hearing, is_overdue


def after(*scans):
    hearing = Hearing()
    for unheard in scans:
        hearing = hearing.after_scan(unheard=unheard)
    return hearing


@pytest.mark.parametrize(
    ("scans", "doubtful", "deaf"),
    [
        ((), False, False),
        ((0, 0), False, False),
        ((1,), True, False),
        ((500,), True, False),
        ((1, 0, 0, 1), True, True),
        ((1, 1), True, True),
        ((1, *[0] * 49, 1), True, True),
        ((1, *[0] * 50), False, False),
        ((1, *[0] * 50, 1), True, False),
        ((1, 1, *[0] * 200), True, True),
    ],
)
def test_one_scan_is_a_doubt_two_are_a_verdict_and_a_long_calm_forgives_a_doubt(scans, doubtful, deaf):
    hearing = after(*scans)
    assert (hearing.is_doubtful, hearing.is_deaf) == (doubtful, deaf)


@given(st.lists(st.integers(0, 3), max_size=300), st.lists(st.integers(0, 3), max_size=300))
def test_a_verdict_is_never_taken_back(before, later):
    if after(*before).is_deaf:
        assert after(*before, *later).is_deaf


@pytest.mark.parametrize(("age", "overdue"), [(OVERDUE_SECONDS, True), (OVERDUE_SECONDS - 0.1, False), (-1000, False)])
def test_an_event_is_overdue_after_a_while_and_never_in_the_future(age, overdue):
    assert is_overdue(age) is overdue
