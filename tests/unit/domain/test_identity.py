from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.identity import SameCall, Verdict, call_key, certain, judge, other_call
from uploader.domain.interaction import Particulars

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, B = "+493012345678", "+14155550100"


def at(from_: str | None = A, to: str | None = B, *, seconds: int = 0) -> str | None:
    return call_key(None, Particulars(start_time=NOON + timedelta(seconds=seconds), from_=from_, to=to))


WITH_ID = call_key("call-1", Particulars())


def test_call_is_known_by_its_id_before_all_else():
    assert call_key("call-1", Particulars(start_time=NOON)) == WITH_ID != call_key("call-2", Particulars())


def test_call_without_id_and_start_is_unknown():
    assert call_key(None, Particulars(from_=A, to=B)) is None
    assert call_key("", Particulars()) is None


def test_key_shows_neither_number_nor_id():
    assert "call-1" not in WITH_ID
    assert A[1:] not in at()


@pytest.mark.parametrize("call_id", ["Ünï", "caf\udce9"])
def test_odd_ids_have_keys(call_id):
    assert certain(call_key(call_id, Particulars()))


@pytest.mark.parametrize(
    ("key", "expected"),
    [(None, False), (WITH_ID, True), (at(), True), (at(to=None), True), (at(None), True), (at(None, None), False)],
)
def test_call_is_certain_by_id_or_by_start_and_a_number(key, expected):
    assert certain(key) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (at(), at(), False),
        (at(), at(seconds=1), True),
        (at(), at(from_=B), True),
        (at(), at(to=A), True),
        (at(), at(to=None), False),
        (at(to=None), at(from_=None), False),
        (at(to=None), at(None, None, seconds=1), True),
        (at(), None, False),
        (at(), WITH_ID, False),
        (WITH_ID, call_key("call-2", Particulars()), True),
        (WITH_ID, WITH_ID, False),
    ],
)
def test_calls_are_other_calls_only_when_that_is_sure(one, other, expected):
    assert other_call(one, other) is expected
    assert other_call(other, one) is expected


def verdict(key: str | None, *same: str | None, exists: bool = False, policy: SameCall = SameCall.HOLD) -> Verdict:
    return judge(key=key, same_content=same, same_call_exists=exists, same_call=policy)


def test_new_content_of_a_new_call_is_new():
    assert verdict(at()) is verdict(None) is Verdict.NEW


def test_same_bytes_in_another_call_are_new():
    assert verdict(at(), at(seconds=1), at(from_=B)) is Verdict.NEW


@pytest.mark.parametrize(("key", "same"), [(at(), at()), (at(), None), (None, at()), (None, None), (at(), WITH_ID)])
def test_same_bytes_in_the_same_or_an_unknown_call_are_a_duplicate(key, same):
    for exists, policy in product([True, False], SameCall):
        assert verdict(key, at(seconds=9), same, exists=exists, policy=policy) is Verdict.DUPLICATE


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (SameCall.HOLD, Verdict.HOLD),
        (SameCall.SEND, Verdict.NEW),
        (SameCall.DUPLICATE, Verdict.DUPLICATE),
    ],
)
def test_other_bytes_of_the_same_call_are_for_the_policy(policy, expected):
    assert verdict(at(), exists=True, policy=policy) is expected
    assert verdict(WITH_ID, exists=True, policy=policy) is expected


@pytest.mark.parametrize("key", [None, at(None, None)])
def test_other_bytes_of_a_call_that_is_not_certain_are_new(key):
    assert verdict(key, exists=True) is Verdict.NEW


keys = st.none() | st.builds(
    at, st.sampled_from([A, B, None]), st.sampled_from([A, B, None]), seconds=st.integers(0, 1)
)


@given(key=keys, same=st.lists(keys, max_size=4))
def test_a_recording_that_comes_again_is_never_new(key, same):
    assert verdict(key, *same, key) is Verdict.DUPLICATE
