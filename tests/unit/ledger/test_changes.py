"""How a row changes: compare, set, and append to its history; or nothing at all."""

from __future__ import annotations

import pytest

from tests.unit.ledger.kit import DAY_MS, refused
from uploader.domain.lifecycle import TRANSITIONS, Event, IllegalTransition
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes


def everything(kit):
    return kit.ask("SELECT * FROM recording"), kit.ask("SELECT * FROM history"), kit.ask("SELECT * FROM attempt")


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_an_event_moves_the_row_as_the_table_says_or_changes_nothing(kit, state, event):
    row = kit.at(state)
    before = everything(kit)
    if (state, event) in TRANSITIONS:
        after = kit.apply(row, event)
        assert after.state is TRANSITIONS[state, event]
        assert kit.history(row)[-1] == event
        assert kit.ledger.recordings.history(row.n)[-1].state == after.state
    else:
        with pytest.raises(IllegalTransition):
            kit.apply(row, event)
        assert everything(kit) == before


def test_a_row_in_another_state_than_expected_is_left_alone(kit):
    row = kit.claim(kit.staged())
    kit.apply(row, Event.DISCARDED)
    before = everything(kit)
    with pytest.raises(RowMoved):
        kit.ledger.recordings.apply(row, Event.SUBMIT_STARTED, at=kit.now)
    assert everything(kit) == before


def test_a_row_that_came_back_to_the_same_state_in_other_hands_is_left_alone(kit):
    mine = kit.claim(kit.discover())
    kit.record(b"a.wav", version=2)
    theirs = kit.claim(kit.again(mine))
    assert (theirs.n, theirs.state) == (mine.n, mine.state)
    assert theirs.claimed != mine.claimed
    for attempt in (
        lambda: kit.ledger.recordings.apply(mine, Event.FAULTED, at=kit.now),
        lambda: kit.ledger.recordings.release(mine, due_at=0),
    ):
        with pytest.raises(RowMoved):
            attempt()
    kit.ledger.recordings.apply(theirs, Event.FAULTED, at=kit.now)


def test_a_claim_ends_with_the_move_unless_it_is_kept(kit):
    row = kit.claim(kit.ready())
    kept = kit.ledger.recordings.apply(row, Event.STAGED, at=kit.now, claimed=row.claimed)
    assert kept.claimed == row.claimed
    assert kit.ledger.recordings.apply(kept, Event.UNSTAGED, at=kit.now).claimed is None


def test_a_reason_and_a_hold_last_until_the_next_move(kit):
    row = kit.apply(kit.discover(), Event.FAULTED, held="x", **changes.reason_of(Reason.MEDIA_UNKNOWN, "why"))
    assert (row.reason_code, row.reason, row.held) == ("media_unknown", "why", "x")
    moved = kit.apply(row, Event.RETRIED)
    assert (moved.reason_code, moved.reason, moved.held) == (None, None, None)


def test_a_row_that_is_not_there_has_moved(kit):
    with pytest.raises(RowMoved):
        kit.ledger.recordings.write(lambda db: changes.fetch(db, 99))


@pytest.mark.parametrize("event", [Event.FAULTED, Event.CHANGED, Event.FOUND_SAME])
def test_what_no_longer_claims_its_identity_lets_its_duplicates_be_judged_again(kit, event):
    first = kit.ready(b"a.wav", content_id="c", call_key="at:x")
    second = kit.understand(kit.discover(b"b.wav"), content_id="c", call_key="at:x")
    third = kit.understand(kit.discover(b"c.wav"), content_id="c", call_key="at:x")
    assert {second.state, third.state} == {State.DUPLICATE}
    kit.apply(first, event)
    for row in (second, third):
        after = kit.again(row)
        assert (after.state, after.duplicate_of, after.due_at) == (State.DISCOVERED, None, kit.now)


@pytest.mark.parametrize("event", [Event.DISCARDED, Event.ADOPTED])
def test_what_a_person_settled_goes_on_keeping_its_duplicates_out(kit, event):
    first = kit.ready(b"a.wav", content_id="c", call_key="at:x")
    second = kit.understand(kit.discover(b"b.wav"), content_id="c", call_key="at:x")
    kit.apply(first, event)
    assert kit.again(second).state is State.DUPLICATE


def test_a_recording_whose_file_was_renamed_goes_on_with_the_file_of_its_duplicate(kit):
    first = kit.ready(b"a.wav", content_id="c", call_key="at:x")
    second = kit.understand(kit.discover(b"b.wav"), content_id="c", call_key="at:x")
    kit.ledger.recordings.relocate(first, by=second, at=kit.now)
    after = kit.again(first)
    assert (after.state, after.location, after.stamp) == (State.READY, second.location, second.stamp)
    assert kit.again(second).state is State.DUPLICATE


@pytest.mark.parametrize("event", [Event.CHANGED, Event.DISCARDED, Event.UNSTAGED])
def test_urls_given_out_before_are_revoked_with_the_event_that_outdates_them(kit, event):
    attempt, row = kit.begin(kit.staged())
    kit.finish(attempt, refused())
    assert kit.ledger.attempts.of(row.n)[0].revoked_at is None
    kit.apply(row, event)
    assert kit.ledger.attempts.of(row.n)[0].revoked_at == kit.now


def test_a_url_that_is_revoked_keeps_the_time_of_the_first_time(kit):
    row = kit.unconfirmed()
    kit.clear(row)
    first = kit.now
    kit.clock.advance(60)
    kit.ledger.attempts.revoke(row.n, at=kit.now)
    assert kit.ledger.attempts.of(row.n)[0].revoked_at == first


def test_an_accepted_recordings_url_is_not_revoked(kit):
    row = kit.submitted()
    kit.apply(row, Event.ANALYZED)
    assert kit.ledger.attempts.of(row.n)[0].revoked_at is None


def test_a_twin_that_waits_is_woken_when_the_other_one_is_settled(kit):
    first = kit.unconfirmed(b"a.wav", match_key="m")
    second = kit.staged(b"b.wav", match_key="m")
    claimed = kit.claim(second)
    kit.ledger.recordings.release(claimed, due_at=kit.now + DAY_MS, **changes.reason_of(Reason.TWIN))
    kit.ledger.attempts.tie(
        kit.ledger.attempts.of(first.n)[0].n, "i-1", at=kit.now, event=Event.MATCHED, track_at=kit.now
    )
    assert kit.again(second).due_at == kit.now


def test_a_twin_in_a_workers_hands_is_not_made_due_beside_it(kit):
    first = kit.unconfirmed(b"a.wav", match_key="m")
    second = kit.claim(kit.staged(b"b.wav", match_key="m"))
    kit.force("UPDATE recording SET reason_code = 'twin' WHERE n = ?", second.n)
    kit.clear(first)
    assert kit.again(second).due_at is None
