"""Attempts: intent before the first byte, outcomes late and early, doubles, doubt, and what a crash leaves."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ledger.kit import (
    AGAIN,
    DAY_MS,
    FINAL,
    HOUR_MS,
    NOON,
    Kit,
    accepted,
    refused,
    unknown,
)
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger.attempts import RECHECK_AFTER_MS, merge
from uploader.ledger.rows import to_ms
from uploader.ledger.settlement import Obstacle, Refusal


def of(kit, row):
    return kit.ledger.attempts.of(row.n)


def begin(kit, row):
    return kit.ledger.attempts.begin(kit.claim(row), at=kit.now, day="2026-11-20")


def counter(kit, name):
    return kit.ledger.books.counter(name)


def test_the_intent_is_on_disk_before_the_request(sender):
    row = sender.staged(body={"start_time": "2026-11-20T04:00:00Z"})
    attempt, after = sender.begin(row)
    # by another connection, as after a crash at this very moment
    assert sender.ask("SELECT state FROM recording WHERE n = ?", row.n) == [("submitting",)]
    assert sender.ask("SELECT number, outcome, open FROM attempt WHERE recording_n = ?", row.n) == [(1, None, 1)]
    assert (after.state, after.attempts, after.claimed) == (State.SUBMITTING, 1, after.claimed)
    assert attempt.call_start == to_ms(NOON.replace(hour=4))
    assert sender.ledger.books.submissions("2026-11-20") == 1


def test_an_acceptance_gives_the_recording_its_interaction(kit):
    attempt, _ = kit.begin(kit.staged())
    kit.clock.advance(3)
    row = kit.finish(attempt, accepted("i-9", service_date=NOON))
    assert (row.state, row.interaction_id, row.submitted_at) == (State.SUBMITTED, "i-9", kit.now)
    assert row.due_at == kit.now + 300_000
    assert row.claimed is None
    (made,) = of(kit, row)
    assert (made.outcome, made.interaction_id, made.open, made.service_date) == ("accepted", "i-9", 0, to_ms(NOON))


def test_a_proved_refusal_sends_it_again_when_told_to(kit):
    attempt, _ = kit.begin(kit.staged())
    row = kit.finish(attempt, refused(), Refusal(due_at=kit.now + 7, at_fault=True, reason="to: not taken"))
    assert (row.state, row.due_at, row.faults, row.reason) == (State.STAGED, kit.now + 7, 1, "to: not taken")
    assert of(kit, row)[0].open == 0
    again, _ = begin(kit, row)
    assert (again.number, again.repeat) == (2, 0)
    assert counter(kit, "resent_after_unknown") == 0


def test_a_refusal_that_is_not_its_fault_counts_none(kit):
    attempt, _ = kit.begin(kit.staged())
    row = kit.finish(attempt, refused(Cause.RATE_SECOND), Refusal(due_at=kit.now, at_fault=False))
    assert (row.faults, row.attempts) == (0, 1)


def test_a_final_refusal_refuses_and_says_why(kit):
    attempt, _ = kit.begin(kit.staged())
    row = kit.finish(attempt, refused(), Refusal(due_at=None, at_fault=True, final=True, reason="to: not taken"))
    assert (row.state, row.reason_code, row.reason) == (State.REFUSED, "refused_by_service", "to: not taken")
    assert row.due_at is None


def test_an_unknown_outcome_stays_open_and_is_looked_for(kit):
    attempt, _ = kit.begin(kit.staged(body={"to": "+1"}))
    row = kit.finish(attempt, unknown())
    assert (row.state, row.reason_code, row.due_at) == (State.UNCONFIRMED, "looking", kit.now)
    (one,) = kit.ledger.attempts.open_attempts()
    assert (one.attempt.n, json.loads(one.attempt.sent or "")) == (attempt.n, {"to": "+1"})


def test_an_attempt_under_way_is_not_yet_open_to_be_looked_for(kit):
    kit.submitting()
    assert kit.ledger.attempts.open_attempts() == []


def test_nothing_is_sent_while_an_older_attempt_is_open(kit):
    row = kit.unconfirmed()
    staged = kit.apply(row, Event.SEND_AGAIN, due_at=kit.now)
    assert begin(kit, staged) is Obstacle.LOOK_FIRST
    assert kit.again(row).state is State.UNCONFIRMED
    assert len(of(kit, row)) == 1


def test_a_cleared_one_is_sent_again_once_counted_and_watched(kit):
    row = kit.clear(kit.unconfirmed())
    attempt, row = begin(kit, row)
    assert (attempt.number, attempt.repeat, row.cleared) == (2, 1, 0)
    assert counter(kit, "resent_after_unknown") == 1
    row = kit.finish(attempt, accepted())
    first, second = of(kit, row)
    assert (first.open, first.recheck_at, second.open) == (1, kit.now + HOUR_MS, 0)


def test_a_definite_refusal_of_the_repeat_does_not_settle_the_older_attempt(kit):
    row = kit.clear(kit.unconfirmed())
    attempt, _ = begin(kit, row)
    row = kit.finish(attempt, refused())
    assert row.state is State.STAGED
    assert [one.open for one in of(kit, row)] == [1, 0]
    assert begin(kit, row) is Obstacle.LOOK_FIRST


def test_the_older_attempts_of_what_was_refused_for_good_are_watched(kit):
    row = kit.clear(kit.unconfirmed())
    attempt, _ = begin(kit, row)
    row = kit.finish(attempt, refused(), FINAL)
    assert of(kit, row)[0].recheck_at == kit.now + HOUR_MS


@pytest.mark.parametrize("state", ["submitting", "unconfirmed"])
def test_a_twin_waits(kit, state):
    first = kit.submitting(b"a.wav", match_key="m")
    if state == "unconfirmed":
        kit.finish(of(kit, first)[0], unknown())
    second = kit.staged(b"b.wav", match_key="m")
    assert begin(kit, second) is Obstacle.TWIN
    assert kit.again(second).state is State.STAGED
    assert of(kit, second) == []
    assert kit.ledger.books.submissions("2026-11-20") == 1


def test_of_two_twins_that_begin_at_once_one_goes(sender):
    from concurrent.futures import ThreadPoolExecutor

    rows = [sender.claim(sender.staged(b"%d.wav" % n, match_key="m")) for n in range(4)]

    def go(row):
        return sender.ledger.attempts.begin(row, at=sender.now, day="d")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(go, rows))
    assert sum(isinstance(one, tuple) for one in answers) == 1
    assert answers.count(Obstacle.TWIN) == 3


@pytest.mark.parametrize("key", [None, "other"])
def test_those_without_the_same_particulars_do_not_wait(kit, key):
    kit.submitting(b"a.wav", match_key=None if key is None else "m")
    assert isinstance(begin(kit, kit.staged(b"b.wav", match_key=key)), tuple)


def test_a_recording_that_went_round_again_in_other_hands_is_not_begun_twice(kit):
    """Slow hands: claimed, then changed and sent by another before this worker comes to it."""
    mine = kit.claim(kit.staged())
    kit.apply(mine, Event.CHANGED, due_at=kit.now)
    kit.understand(kit.again(mine))
    staged = kit.ledger.recordings.apply(kit.claim(mine), Event.STAGED, at=kit.now, staged="{}", due_at=kit.now)
    attempt, _ = kit.begin(staged)
    for act in (
        lambda: kit.ledger.attempts.begin(mine, at=kit.now, day="d"),
        lambda: kit.ledger.attempts.doubt(mine, since=0, at=kit.now),
    ):
        with pytest.raises(RowMoved):
            act()
    kit.finish(attempt, refused())
    with pytest.raises(RowMoved):
        kit.ledger.attempts.begin(mine, at=kit.now, day="d")
    assert [one.number for one in of(kit, mine)] == [1]
    assert kit.ledger.books.submissions("d") == 0


def test_a_late_acceptance_reaches_a_recording_that_is_being_looked_for(kit):
    attempt, _ = kit.begin(kit.staged())
    kit.finish(attempt, unknown())
    row = kit.finish(attempt, accepted("late"))
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "late")
    assert kit.history(row)[-1] == "late_accepted"
    assert counter(kit, "doubles") == 0


@pytest.mark.parametrize(
    "to", [State.QUARANTINED, State.REFUSED, State.DISCARDED, State.STAGED, State.DISCOVERED, State.DUPLICATE]
)
def test_a_late_acceptance_reaches_a_recording_wherever_it_waits(kit, to):
    attempt, row = kit.begin(kit.staged())
    kit.finish(attempt, unknown())
    row = kit.clear(row)
    events = {
        State.QUARANTINED: [Event.FAULTED], State.DISCARDED: [Event.DISCARDED], State.STAGED: [],
        State.DISCOVERED: [Event.CHANGED], State.DUPLICATE: [Event.FOUND_SAME],
    }  # fmt: skip
    if to is State.REFUSED:
        second, _ = kit.begin(row)
        row = kit.finish(second, refused(), FINAL)
    for event in events.get(to, []):
        row = kit.apply(row, event)
    assert row.state is to
    assert kit.finish(attempt, accepted("late")).state is State.SUBMITTED
    assert of(kit, row)[0].interaction_id == "late"


def test_an_older_acceptance_after_a_newer_one_is_a_double_and_said_so(kit):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    kit.finish(second, accepted("new"))
    row = kit.finish(first, accepted("old"))
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "new")
    assert [one.interaction_id for one in of(kit, row)] == ["old", "new"]
    assert kit.history(row)[-1] == "double"
    assert counter(kit, "doubles") == 1


def test_a_late_answer_with_the_interaction_that_was_adopted_already_is_no_double(kit):
    attempt, row = kit.begin(kit.staged())
    kit.finish(attempt, unknown())
    kit.ledger.attempts.tie(attempt.n, "same", at=kit.now, event=Event.MATCHED, track_at=kit.now)
    row = kit.finish(attempt, accepted("same"))
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "same")
    assert counter(kit, "doubles") == 0
    assert "double" not in kit.history(row)


@pytest.mark.parametrize("outcome", [refused(), unknown()])
@pytest.mark.parametrize("refusal", [AGAIN, FINAL])
def test_an_older_acceptance_during_a_repeat_is_the_one_when_the_repeat_comes_to_nothing(kit, outcome, refusal):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    assert kit.finish(first, accepted("old")).state is State.SUBMITTING
    row = kit.finish(second, outcome, refusal)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "old")
    assert counter(kit, "doubles") == 0


def test_an_older_acceptance_during_a_repeat_that_is_accepted_too_is_a_double(kit):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    kit.finish(first, accepted("old"))
    row = kit.finish(second, accepted("new"))
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "new")
    assert counter(kit, "doubles") == 1


def test_an_older_acceptance_during_a_repeat_survives_a_crash(kit):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    kit.begin(row)
    kit.finish(first, accepted("old"))
    kit.ledger.attempts.sweep(at=kit.now)
    row = kit.again(row)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "old")
    assert [one.open for one in of(kit, row)] == [0, 1]


@pytest.mark.parametrize("outcome", [refused(), unknown()])
def test_a_late_answer_that_is_no_acceptance_changes_its_attempt_only(kit, outcome):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    kit.finish(second, accepted("new"))
    row = kit.finish(first, outcome)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "new")
    assert of(kit, row)[0].outcome == outcome.kind


def test_an_interaction_id_that_another_recording_has_is_not_believed(kit):
    kit.submitted(b"a.wav", "taken")
    attempt, _ = kit.begin(kit.staged(b"b.wav"))
    row = kit.finish(attempt, accepted("taken"))
    assert (row.state, row.interaction_id) == (State.UNCONFIRMED, None)
    (made,) = of(kit, row)
    assert (made.outcome, made.open, made.interaction_id) == ("unknown", 1, None)


def test_a_match_ties_attempt_and_recording(kit):
    row = kit.unconfirmed()
    (attempt,) = of(kit, row)
    after = kit.ledger.attempts.tie(attempt.n, "i-5", at=kit.now, event=Event.MATCHED, track_at=kit.now + 1)
    assert (after.state, after.interaction_id, after.due_at) == (State.SUBMITTED, "i-5", kit.now + 1)
    assert (of(kit, row)[0].open, of(kit, row)[0].interaction_id) == (0, "i-5")


def test_a_match_that_a_person_was_quicker_than_changes_nothing(kit):
    row = kit.unconfirmed()
    (attempt,) = of(kit, row)
    kit.apply(row, Event.DISCARDED)
    with pytest.raises(RowMoved):
        kit.ledger.attempts.tie(attempt.n, "i-5", at=kit.now, event=Event.MATCHED, track_at=kit.now)
    assert of(kit, row)[0].interaction_id is None


def test_a_match_with_an_interaction_that_has_just_become_anothers_changes_nothing(kit):
    row = kit.unconfirmed(b"a.wav")
    kit.submitted(b"b.wav", "i-5")
    with pytest.raises(RowMoved):
        kit.ledger.attempts.tie(of(kit, row)[0].n, "i-5", at=kit.now, event=Event.MATCHED, track_at=kit.now)
    assert kit.again(row).state is State.UNCONFIRMED


@pytest.mark.parametrize("state", [s for s in State if s not in {
    State.SUBMITTING, State.SUBMITTED, State.ANALYZED, State.SKIPPED}])  # fmt: skip
def test_what_a_person_adopts_has_its_interaction_wherever_it_stood(kit, state):
    row = kit.at(state)
    after = kit.ledger.attempts.adopt(row, "i-7", at=kit.now)
    assert (after.state, after.interaction_id, after.due_at) == (State.SUBMITTED, "i-7", kit.now)
    assert kit.ledger.attempts.owners(["i-7"])["i-7"].recording.n == row.n
    assert after.attempts == max(one.number for one in of(kit, row))


def test_an_adoption_of_a_row_that_was_sent_meanwhile_is_refused(kit):
    seen = kit.staged()
    attempt, _ = kit.begin(seen)
    kit.finish(attempt, refused())
    kit.begin(kit.again(seen))
    with pytest.raises(RowMoved):
        kit.ledger.attempts.adopt(seen, "i-7", at=kit.now)
    assert [one.interaction_id for one in of(kit, seen)] == [None, None]


def test_an_adoption_of_anothers_interaction_is_refused(kit):
    kit.submitted(b"a.wav", "i-7")
    row = kit.unconfirmed(b"b.wav")
    with pytest.raises(RowMoved):
        kit.ledger.attempts.adopt(row, "i-7", at=kit.now)
    assert kit.again(row).state is State.UNCONFIRMED


def test_an_adopted_one_takes_its_place_only_if_nobody_has_it(kit):
    first = kit.ready(b"a.wav", content_id="c", call_key="at:x")
    second = kit.understand(kit.discover(b"b.wav"), content_id="c", call_key="at:x")
    assert second.state is State.DUPLICATE
    kit.ledger.attempts.adopt(second, "i-7", at=kit.now)
    assert kit.ask("SELECT n FROM recording WHERE claims = 1") == [(first.n,)]


def test_a_double_is_kept_with_its_attempt_and_counted(kit):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    kit.finish(second, accepted("new"))
    kit.ledger.attempts.report_double(first.n, "second", at=kit.now)
    assert [(one.open, one.recheck_at) for one in of(kit, row)] == [(0, None), (0, None)]
    assert counter(kit, "doubles") == 1
    assert kit.again(row).interaction_id == "new"


def test_a_watched_attempt_is_looked_for_after_an_hour_a_day_and_a_week_then_closed(kit):
    first, _ = kit.begin(kit.staged())
    row = kit.clear(kit.finish(first, unknown()))
    second, _ = kit.begin(row)
    kit.finish(second, accepted("new"))
    seen = []
    while (due := of(kit, row)[0].recheck_at) is not None:
        seen.append(due - first.started_at)
        kit.clock.advance((due - kit.now) / 1000)
        kit.ledger.attempts.rechecked(first.n, at=kit.now)
    assert seen == list(RECHECK_AFTER_MS)
    assert (of(kit, row)[0].open, of(kit, row)[0].rechecks) == (0, 3)


def test_what_was_under_way_when_the_program_ended_has_an_unknown_outcome(kit):
    row = kit.submitting()
    kit.clock.advance(60)
    assert kit.ledger.attempts.sweep(at=kit.now) == 1
    after = kit.again(row)
    assert (after.state, after.due_at, after.claimed) == (State.UNCONFIRMED, kit.now, None)
    (made,) = of(kit, row)
    assert (made.outcome, made.cause, made.open, made.sent) == ("unknown", "crash", 1, row.body)
    assert kit.ledger.attempts.sweep(at=kit.now) == 0


def test_the_sweep_ends_every_lease_and_moves_nothing_else(kit):
    states = [s for s in State if s is not State.SUBMITTING]
    for number, state in enumerate(states):
        row = kit.at(state, b"%d.wav" % number)
        kit.force("UPDATE recording SET interaction_id = NULL WHERE n = ?", row.n)
        kit.force("UPDATE attempt SET interaction_id = NULL")
    claimed = kit.claim(next(kit.row(n) for n, s in kit.states().items() if s == "ready"))
    before = kit.states()
    kit.ledger.attempts.sweep(at=kit.now)
    assert kit.states() == before
    assert (kit.again(claimed).claimed, kit.again(claimed).due_at) == (None, kit.now)


def test_in_doubt_what_is_unconfirmed_may_have_been_sent_again_since_the_copy(kit):
    row = kit.unconfirmed()
    kit.force("UPDATE recording SET held = 'no_proof', due_at = NULL WHERE n = ?", row.n)
    since, kit_found = kit.now, kit.now + DAY_MS
    kit.clock.advance(DAY_MS / 1000 + 1)
    kit.ledger.attempts.sweep(at=kit.now, doubt=(since, kit_found))
    after = kit.again(row)
    assert (after.attempts, after.due_at, after.held) == (2, kit.now, None)
    assert [(one.started_at, one.ended_at) for one in of(kit, row)][1] == (since, kit.now)
    kit.ledger.attempts.sweep(at=kit.now, doubt=(since, kit_found))
    assert len(of(kit, row)) == 2


def test_a_doubted_recording_is_looked_for_before_it_is_sent(kit):
    row = kit.claim(kit.staged())
    kit.ledger.attempts.doubt(row, since=kit.now - DAY_MS, at=kit.now)
    after = kit.again(row)
    assert (after.state, after.reason_code, after.attempts) == (State.UNCONFIRMED, "in_doubt", 1)
    (one,) = kit.ledger.attempts.open_attempts()
    assert (one.attempt.started_at, one.attempt.ended_at) == (kit.now - DAY_MS, kit.now)
    assert kit.ledger.attempts.doubt_settled(row.n, found=kit.now)
    assert not kit.ledger.attempts.doubt_settled(row.n, found=kit.now + 1)


def test_own_interactions_are_known_by_call_and_by_answer(kit):
    attempt, _ = kit.begin(kit.staged(body={"start_time": "2026-11-01T04:00:00Z"}))
    kit.finish(attempt, accepted("i-1"))
    start = to_ms(NOON.replace(day=1, hour=4))
    found = kit.ledger.attempts.in_window
    assert [one.n for one in found(start=start, end=start)] == [attempt.n]
    assert [one.n for one in found(start=kit.now, end=kit.now)] == [attempt.n]
    assert list(found(start=start + 1, end=kit.now - 1)) == []
    assert kit.ledger.attempts.own_ids(["i-1", "i-2"]) == {"i-1"}


def test_what_a_walk_showed_first_stays_and_what_it_lacked_is_the_last(kit):
    attempt, _ = kit.begin(kit.staged())
    kit.finish(attempt, accepted("i-1"))
    note = kit.ledger.attempts.note_walk
    note(listed=[], lacked=[attempt.n], at=5)
    note(listed=[], lacked=[attempt.n], at=7)
    note(listed=[attempt.n], lacked=[], at=9)
    note(listed=[attempt.n], lacked=[], at=11)
    made = kit.ledger.attempts.of(attempt.recording_n)[0]
    assert (made.lacked_at, made.listed_at) == (7, 9)


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=12)


@given(SPANS)
def test_merged_spans_hold_the_same_bytes_sorted_and_apart(spans):
    merged = merge(spans)
    assert {n for a, b in merged for n in range(a, b + 1)} == {n for a, b in spans for n in range(a, b + 1)}
    assert all(one[1] + 1 < other[0] for one, other in pairwise(merged))


def test_only_every_byte_is_the_whole_recording(kit):
    attempt, row = kit.begin(kit.staged())
    fetched = kit.ledger.attempts.fetched
    assert not fetched(attempt.n, first=50, last=100, size=101, at=1)
    assert not fetched(attempt.n, first=0, last=48, size=101, at=2)
    assert of(kit, row)[0].fetched_at is None
    assert fetched(attempt.n, first=40, last=60, size=101, at=3)
    assert fetched(attempt.n, first=0, last=100, size=101, at=4)
    assert of(kit, row)[0].fetched_at == 3


def test_many_small_ranges_do_not_grow_without_bound(kit):
    attempt, row = kit.begin(kit.staged())
    for n in range(200):
        kit.ledger.attempts.fetched(attempt.n, first=n * 10, last=n * 10 + 1, size=9999, at=1)
    assert len(json.loads(of(kit, row)[0].fetched or "")) <= 64


def test_refusals_of_the_accounts_fault_are_taken_back(kit: Kit):
    kit.submitted(b"before.wav")
    rows = []
    for n in range(3):
        attempt, _ = kit.begin(kit.staged(b"%d.wav" % n))
        rows.append(kit.finish(attempt, refused(), FINAL if n == 0 else AGAIN))
    assert kit.ledger.recordings.forgive_refusals(at=kit.now) == 3
    assert [kit.again(row).faults for row in rows] == [0, 0, 0]
    assert [kit.again(row).state for row in rows] == [State.DISCOVERED, State.STAGED, State.STAGED]


def test_refusals_before_the_last_success_stand(kit):
    attempt, _ = kit.begin(kit.staged(b"bad.wav"))
    row = kit.finish(attempt, refused(), FINAL)
    kit.submitted(b"good.wav")
    assert kit.ledger.recordings.forgive_refusals(at=kit.now) == 0
    assert kit.again(row).state is State.REFUSED


def test_a_recording_that_keeps_its_place_for_an_open_attempt_can_still_turn_out_a_duplicate(kit):
    """Its file was replaced by the very recording that another one is of."""
    first = kit.clear(kit.unconfirmed(b"a.wav", content_id="c1", call_key="at:1"))
    kit.ready(b"b.wav", content_id="c2", call_key="at:2")
    kit.record(b"a.wav", version=2)
    after = kit.understand(kit.again(first), content_id="c2", call_key="at:2")
    assert after.state is State.DUPLICATE


def test_while_an_attempt_is_open_its_duplicates_stay_out_then_are_judged_again(kit):
    first = kit.clear(kit.unconfirmed(b"a.wav", content_id="c", call_key="at:1"))
    second = kit.understand(kit.discover(b"b.wav"), content_id="c", call_key="at:1")
    kit.apply(first, Event.FAULTED)
    assert kit.again(second).state is State.DUPLICATE
    (attempt,) = of(kit, first)
    for _ in range(3):
        due = of(kit, first)[0].recheck_at
        kit.clock.advance((due - kit.now) / 1000)
        kit.ledger.attempts.rechecked(attempt.n, at=kit.now)
    assert of(kit, first)[0].open == 0
    assert kit.again(second).state is State.DISCOVERED


@pytest.mark.parametrize("how", ["file", "sidecar"])
def test_what_was_mended_after_a_refusal_has_all_its_attempts_again(kit, how):
    row = kit.staged()
    for number in range(3):
        attempt, _ = kit.begin(row)
        row = kit.finish(attempt, refused(), FINAL if number == 2 else AGAIN)
    assert (row.state, row.faults) == (State.REFUSED, 3)
    kit.record(b"a.wav", version=2) if how == "file" else kit.record(wake=(b"a.wav",))
    after = kit.again(row)
    assert (after.state, after.faults, after.attempts) == (State.DISCOVERED, 0, 3)
