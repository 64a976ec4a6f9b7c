from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.echo import (
    ECHO_FIELDS,
    TRUST_AGAIN,
    TRUST_SHIFT,
    Echo,
    FieldStats,
    agrees,
    echo_from_json,
    echo_to_json,
    learn,
)
from uploader.domain.interaction import Particulars
from uploader.domain.listing import Listed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SENT = Particulars(
    start_time=NOON,
    from_="+493012345678",
    to="+14155550100",
    direction="inbound",
    disposition="sold",
    queue_id="q1",
    channel_type="voice",
    consumer_name="Erika Muster",
    primary_language="en-US",
)
SHOWN = Listed(
    interaction_id="i1",
    start_time=NOON,
    from_="+493012345678",
    to="+14155550100",
    direction="INBOUND",
    disposition="sold",
    queue_id="q1",
    channel_type="audio",
    consumer_name="Erika Muster",
    primary_language="en",
)


def after(count: int, echo: Echo | None = None, *, sent: Particulars = SENT, **changes: object) -> Echo:
    echo = echo or Echo()
    for _ in range(count):
        echo = learn(sent, replace(SHOWN, **changes), echo)
    return echo


def proven(echo: Echo) -> set[str]:
    return {name for name in ECHO_FIELDS if echo.proven(name)}


def test_nothing_learned_proves_nothing():
    assert proven(Echo()) == set()


def test_one_interaction_shown_as_sent_proves_every_field_in_its_documented_form():
    assert proven(after(1)) == set(ECHO_FIELDS)


def test_field_that_was_not_sent_learns_nothing():
    echo = learn(Particulars(direction="inbound"), SHOWN, Echo())
    assert proven(echo) == {"direction"}
    assert set(echo.fields) == {"direction"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_", "+4930999"),
        ("to", None),
        ("direction", "outbound"),
        ("disposition", "Sold"),
        ("queue_id", "Q1"),
        ("channel_type", "video"),
        ("consumer_name", "E. M."),
        ("primary_language", "de"),
        ("start_time", None),
        ("start_time", NOON + timedelta(seconds=1)),
    ],
)
def test_one_contradiction_takes_a_field_away_until_twenty_agreements_in_a_row(field, value):
    echo = after(1, after(50), **{field: value})
    assert proven(echo) == set(ECHO_FIELDS) - {field}
    echo = after(TRUST_AGAIN - 1, echo)
    assert field not in proven(echo)
    assert proven(after(2, echo)) == set(ECHO_FIELDS)


@pytest.mark.parametrize("hours", [1, -5, 5.75, 14])
def test_start_shifted_by_a_zone_takes_three_agreements(hours):
    shifted = NOON + timedelta(hours=hours)
    assert not after(TRUST_SHIFT - 1, start_time=shifted).proven("start_time")
    echo = after(TRUST_SHIFT, start_time=shifted)
    assert echo.proven("start_time")
    assert agrees("start_time", SENT, replace(SHOWN, start_time=shifted), echo) is True
    assert agrees("start_time", SENT, SHOWN, echo) is False


@pytest.mark.parametrize("seconds", [37, -312, 14 * 3600 + 900])
def test_start_shifted_by_anything_else_takes_twenty(seconds):
    shifted = NOON + timedelta(seconds=seconds)
    assert not after(TRUST_AGAIN - 1, start_time=shifted).proven("start_time")
    assert after(TRUST_AGAIN, start_time=shifted).proven("start_time")


def test_start_that_is_really_the_time_of_import_is_never_proven():
    echo = Echo()
    for seconds in range(200):
        echo = after(1, echo, start_time=NOON + timedelta(seconds=300 + seconds))
        assert not echo.proven("start_time")


def test_what_either_side_lacks_neither_agrees_nor_differs():
    empty, bare = Particulars(), Listed(interaction_id="i")
    for name in ECHO_FIELDS:
        assert agrees(name, empty, SHOWN, Echo()) is None
        assert agrees(name, SENT, bare, Echo()) is None


def test_start_at_the_ends_of_time_is_compared_without_overflow():
    late = datetime(9999, 12, 31, tzinfo=UTC)
    echo = after(TRUST_AGAIN, start_time=late)
    newer = replace(SENT, start_time=NOON + timedelta(days=365))
    assert agrees("start_time", newer, replace(SHOWN, start_time=late), echo) is False


counts = st.integers(0, 10**6)
stats = st.builds(FieldStats, equal=counts, differed=counts, streak=counts)
echoes = st.builds(
    Echo, fields=st.dictionaries(st.sampled_from(ECHO_FIELDS), stats), offset_seconds=st.integers(-(10**6), 10**6)
)


@given(echoes)
def test_what_was_learned_survives_the_ledger(echo):
    assert echo_from_json(json.loads(json.dumps(echo_to_json(echo)))) == echo


def test_field_that_a_newer_version_learned_is_left_out():
    document = echo_to_json(after(1))
    document["fields"]["tomorrow"] = {"equal": 1, "differed": 0, "streak": 1}
    assert echo_from_json(document) == after(1)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"fields": [], "offset_seconds": 0},
        {"fields": {}, "offset_seconds": "0"},
        {"fields": {}, "offset_seconds": True},
        {"fields": {}, "offset_seconds": 10**15},
        {"fields": {"to": None}, "offset_seconds": 0},
        {"fields": {"to": {"equal": 1}}, "offset_seconds": 0},
        {"fields": {"to": {"equal": -1, "differed": 0, "streak": 0}}, "offset_seconds": 0},
    ],
)
def test_nonsense_from_the_ledger_is_refused(document):
    with pytest.raises(ValueError):
        echo_from_json(document)
