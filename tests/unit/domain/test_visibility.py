from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.echo import Echo, FieldStats
from uploader.domain.listing import Listed, Page
from uploader.domain.visibility import (
    LAGS_KEPT,
    Axis,
    Known,
    Learned,
    Walked,
    axis_shown,
    belongs,
    lag_seconds,
    missing,
    proves_absence,
    wait_seconds,
    with_lag,
    with_shown,
)
from uploader.domain.walk import Survey, Window, cover, windows_for

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = Window(start=NOON - DAY, end=NOON + DAY)
LONG_AGO = NOON - 400 * DAY
THEN = Window(start=LONG_AGO - DAY, end=LONG_AGO + DAY)
NOTHING = Learned()


def learned(*axes: Axis) -> Learned:
    return Learned(shown=dict.fromkeys(axes, 1))


def known(interaction_id: str = "ours", **changes: object) -> Known:
    base = Known(interaction_id=interaction_id, start=NOON, created=NOON, listed_before=False, age_seconds=1000)
    return replace(base, **changes)


def walked(window: Window = TODAY, *ids: str, complete: bool = True) -> Walked:
    return Walked(window=window, ids=frozenset(ids), complete=complete)


@pytest.mark.parametrize(
    ("window", "start", "created", "axis"),
    [
        (THEN, LONG_AGO, NOON, Axis.START),
        (TODAY, LONG_AGO, NOON, Axis.CREATED),
        (TODAY, NOON, NOON + HOUR, Axis.JOINT),
        (TODAY, None, NOON, Axis.UNDATED),
        (THEN, None, NOON, None),
        (TODAY, LONG_AGO, LONG_AGO, None),
        (TODAY, NOON, NOON + 25 * HOUR, None),
        (TODAY, NOON + 25 * HOUR, NOON, None),
        (TODAY, NOON + 20 * HOUR, NOON, None),
    ],
    ids=["start", "created", "joint", "undated", "undated-outside", "neither", "start-near", "near", "edge"],
)
def test_our_own_shown_interaction_proves_the_axis_that_alone_explains_it(window, start, created, axis):
    assert axis_shown(window=window, start=start, created=created) is axis
    after = with_shown(NOTHING, window=window, start=start, created=created)
    assert {a for a in Axis if after.proven(a)} == ({axis} if axis else set())


def test_every_showing_is_counted():
    after = NOTHING
    for _ in range(3):
        after = with_shown(after, window=TODAY, start=NOON, created=NOON)
    assert after.shown == {Axis.JOINT: 3}


@pytest.mark.parametrize(
    ("axis", "window", "start", "created", "expected"),
    [
        (Axis.START, THEN, LONG_AGO, NOON, True),
        (Axis.START, TODAY, LONG_AGO, NOON, False),
        (Axis.START, TODAY, None, NOON, False),
        (Axis.CREATED, TODAY, LONG_AGO, NOON, True),
        (Axis.CREATED, TODAY, None, NOON, True),
        (Axis.CREATED, THEN, LONG_AGO, NOON, False),
        (Axis.JOINT, TODAY, NOON, NOON, True),
        (Axis.JOINT, TODAY, LONG_AGO, NOON, False),
        (Axis.JOINT, THEN, LONG_AGO, NOON, False),
        (Axis.JOINT, TODAY, None, NOON, False),
        (Axis.UNDATED, TODAY, None, NOON, True),
        (Axis.UNDATED, THEN, None, NOON, False),
        (Axis.UNDATED, TODAY, NOON, NOON, False),
        (Axis.START, TODAY, NOON + 20 * HOUR, NOON, False),
        (Axis.CREATED, TODAY, NOON, NOON + 20 * HOUR, False),
    ],
)
def test_interaction_belongs_to_a_window_only_by_what_was_proved(axis, window, start, created, expected):
    assert belongs(learned(axis), window=window, start=start, created=created) is expected
    assert not belongs(NOTHING, window=window, start=start, created=created)


def test_lag_is_what_a_lacking_walk_showed_and_nothing_when_the_first_walk_shows_it():
    assert lag_seconds(accepted_at_seconds=100, last_lacking_at_seconds=None) == 0
    assert lag_seconds(accepted_at_seconds=100, last_lacking_at_seconds=130.5) == 30.5
    assert lag_seconds(accepted_at_seconds=100, last_lacking_at_seconds=90) == 0


def test_wait_is_three_times_the_longest_lag_and_never_less_than_configured():
    assert wait_seconds(60, []) == 60
    assert wait_seconds(60, [1, 19, 2]) == 60
    assert wait_seconds(60, [1, 40, 2]) == 120


def test_only_the_latest_lags_count():
    after = with_lag(NOTHING, 1000)
    for _ in range(LAGS_KEPT):
        after = with_lag(after, 1)
    assert wait_seconds(0, after.lags_seconds) == 3


def test_what_belongs_and_is_old_or_was_listed_before_is_missed():
    both = learned(Axis.JOINT)
    books = [
        known("shown"),
        known("old"),
        known("young", age_seconds=60),
        known("once", age_seconds=0, listed_before=True),
        known("elsewhere", start=LONG_AGO),
    ]
    assert missing(books, walked(TODAY, "shown"), both, wait=60) == ("old", "once")
    assert missing(books, walked(TODAY), NOTHING, wait=60) == ()


def absent(learned: Learned, **changes: object) -> bool:
    arguments = {"start": NOON, "attempted_at": [NOON], "walked": [walked()], "known": [], "wait": 60.0}
    return proves_absence(learned, **(arguments | changes))


def test_absence_is_proved_by_a_complete_walk_of_a_window_proved_for_it():
    assert absent(learned(Axis.JOINT))
    assert absent(learned(Axis.JOINT), known=[known("a")], walked=[walked(TODAY, "a")])


def test_absence_needs_only_one_of_the_walked_axes():
    walks = [walked(THEN), walked(TODAY)]
    for axis in (Axis.START, Axis.CREATED):
        assert absent(learned(axis), start=LONG_AGO, walked=walks)
    assert not absent(learned(Axis.JOINT), start=LONG_AGO, walked=walks)


@pytest.mark.parametrize(
    "changes",
    [
        {"walked": []},
        {"attempted_at": []},
        {"walked": [walked(complete=False)]},
        {"walked": [walked(), walked(THEN, complete=False)]},
        {"known": [known()]},
        {"known": [known()], "walked": [walked(TODAY, "ours"), walked(TODAY)]},
        {"attempted_at": [NOON, NOON - 3 * DAY]},
        {"start": None},
    ],
    ids=["unwalked", "unattempted", "partial", "other-partial", "missed", "missed-once", "other-attempt", "undated"],
)
def test_absence_is_not_proved(changes):
    assert not absent(learned(Axis.JOINT), **changes)


def test_nothing_learned_proves_no_absence():
    assert not absent(NOTHING)


def test_a_survey_is_summed_up_by_its_ids_and_completeness():
    one = Page(interactions=(Listed(interaction_id="a"),), total_records=1, next_page_token=None, service_date=None)
    survey = Survey.of(TODAY).fed(one)
    assert Walked.of(survey) == walked(TODAY, "a")


counts = st.integers(0, 10**6)
echoes = st.builds(
    Echo, fields=st.dictionaries(st.just("to"), st.builds(FieldStats, equal=counts)), offset_seconds=counts
)


@given(
    st.builds(
        Learned,
        shown=st.dictionaries(st.sampled_from(Axis), counts),
        lags_seconds=st.lists(st.floats(0, 1e9), max_size=9).map(tuple),
        echo=echoes,
    )
)
def test_what_was_learned_survives_the_ledger(state):
    assert Learned.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    "change",
    [
        {"shown": None},
        {"shown": {"sideways": 1}},
        {"shown": {"start": 1.5}},
        {"lags_seconds": [-1]},
        {"lags_seconds": [float("nan")]},
        {"lags_seconds": ["1"]},
        {"echo": {}},
    ],
)
def test_nonsense_from_the_ledger_is_refused(change):
    with pytest.raises(ValueError):
        Learned.from_json(NOTHING.to_json() | change)
    with pytest.raises(ValueError, match="cannot be read"):
        Learned.from_json({})


hours = st.integers(-24 * 40, 24 * 40).map(lambda h: NOON + h * HOUR)


@given(
    by=st.sampled_from(["start", "created", "either", "both", "none"]),
    zone=st.integers(-14, 14),
    controls=st.lists(st.tuples(hours, hours), max_size=6),
    lost=st.tuples(st.none() | hours, hours),
)
def test_absence_is_never_proved_of_what_an_unknown_filter_hides(by, zone, controls, lost):
    """The service filters by an axis and in a zone that we do not know; what it lists, it lists at once."""

    def shows(window: Window, start: datetime | None, created: datetime) -> bool:
        moments = {"start": start or created, "created": created}
        inside = {k: window.holds(m + zone * HOUR) for k, m in moments.items()}
        return {"either": any(inside.values()), "both": all(inside.values()), "none": False}.get(by, inside.get(by))

    state = NOTHING
    for start, created in controls:
        for window in cover([w for pair in controls for w in windows_for(*pair)]):
            if shows(window, start, created):
                state = with_shown(state, window=window, start=start, created=created)
    start, created = lost
    windows = windows_for(start, created)
    if not any(shows(window, start, created) for window in windows):
        walks = [walked(window) for window in windows]
        assert not absent(state, start=start, attempted_at=[created], walked=walks)


@pytest.mark.parametrize("delay", [HOUR, 20 * HOUR, 47 * HOUR])
def test_calls_sent_within_two_days_are_proved_by_one_another_on_any_axis(delay):
    windows = windows_for(NOON, NOON + delay)
    state = NOTHING
    for window in windows:
        state = with_shown(state, window=window, start=NOON, created=NOON + delay)
    walks = [walked(window) for window in windows]
    assert absent(state, attempted_at=[NOON + delay], walked=walks)
