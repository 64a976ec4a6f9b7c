"""Retry, adopt, discard: what each does in each state, and what it leaves alone."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import UsageError
from uploader.ledger.filters import Filter
from uploader.platform.filesystem import stamp_of
from uploader.service.operations import changes
from uploader.service.operations.changes import Manner
from uploader.service.operations.search import overdue_before
from uploader.service.operations.verification import verify

RETRIABLE = {State.QUARANTINED, State.REFUSED, State.UNCONFIRMED}


def retry(maker, rows, manner=Manner.AGAIN):
    late = overdue_before(maker.now, timedelta(hours=72))
    return changes.retry(maker.ledger, rows, manner=manner, now=maker.now, overdue_before=late)


def history(maker, row):
    return [(h.event, h.state, h.detail) for h in maker.ledger.recordings.history(row.n)]


@pytest.mark.parametrize("state", [State.QUARANTINED, State.REFUSED])
def test_retry_sends_quarantined_and_refused_round_again_at_once_without_old_faults(maker, state):
    row = maker.in_state(state)
    maker.pass_time(hours=1)
    assert retry(maker, [row]).count == 1
    after = maker.get(row)
    assert (after.state, after.due_at, after.faults, after.reason_code) == (State.DISCOVERED, maker.at, 0, None)


def test_retry_of_another_file_of_a_call_sends_it_as_well(maker):
    first = maker.understood(call="one")
    other = maker.understood(maker.discovered(), call="one")
    assert other.reason_code == Reason.SAME_CALL
    retry(maker, [other])
    again = maker.understood(maker.get(other), call="one", content=str(other.content_id).removeprefix("sha256:"))
    assert (maker.get(first).state, again.state) == (State.READY, State.READY)


def test_retry_of_an_unconfirmed_one_only_looks_again_now(maker):
    row = maker.unconfirmed()
    maker.pass_time(hours=1)
    retry(maker, [row])
    after = maker.get(row)
    assert (after.state, after.due_at, after.cleared) == (State.UNCONFIRMED, maker.at, 0)
    assert history(maker, row)[-1][:2] == ("look_again", "unconfirmed")


def test_send_again_clears_an_unconfirmed_one_and_the_repeat_is_counted(maker):
    row = maker.unconfirmed()
    assert retry(maker, [row], Manner.SEND_AGAIN).counts == {State.UNCONFIRMED: 1}
    after = maker.get(row)
    assert (after.state, after.cleared, after.due_at) == (State.STAGED, 1, maker.at)
    maker.submitted("second", after)
    assert maker.ledger.books.counter("resent_after_unknown") == 1


@pytest.mark.parametrize("state", sorted(set(State) - RETRIABLE))
@pytest.mark.parametrize("manner", [Manner.AGAIN, Manner.SEND_AGAIN])
def test_retry_leaves_every_other_state_and_says_why(maker, state, manner):
    row = maker.in_state(state)
    changed = retry(maker, [row], manner)
    assert (changed.count, [left.id for left in changed.left]) == (0, [row.id])
    assert changed.left[0].why
    assert maker.get(row) == row


@pytest.mark.parametrize("state", list(State))
def test_new_interaction_is_for_overdue_duplicate_and_discarded_only(maker, state):
    row = maker.in_state(state)
    maker.pass_time(hours=73)
    changed = retry(maker, [row], Manner.NEW_INTERACTION)
    wanted = state in {State.SUBMITTED, State.DUPLICATE, State.DISCARDED}
    assert changed.count == (1 if wanted else 0)
    assert (maker.get(row).state is State.DISCOVERED) == (wanted or state is State.DISCOVERED)


def test_new_interaction_is_refused_while_the_analysis_is_not_overdue(maker):
    row = maker.submitted()
    changed = retry(maker, [row], Manner.NEW_INTERACTION)
    assert "overdue" in changed.left[0].why
    assert maker.get(row) == row


def test_new_interaction_is_sent_whatever_there_is_and_brings_no_third(maker):
    first = maker.duplicate()
    original = maker.ledger.recordings.get(first.duplicate_of)
    content, call = str(original.content_id).removeprefix("sha256:"), str(original.call_key).removeprefix("id:")
    sent = maker.submitted("one", maker.staged(original))
    maker.pass_time(hours=73)
    retry(maker, [sent], Manner.NEW_INTERACTION)
    # Its duplicate is judged while it goes round again: it must not be sent in its place.
    waiting = [r for r in maker.ledger.recordings.search(Filter(states=(State.DISCOVERED,))) if r.n != sent.n]
    assert all(maker.understood(row, content=content, call=call).state is State.DUPLICATE for row in waiting)
    again = maker.understood(maker.get(sent), content=content, call=call)
    assert (again.state, again.interaction_id, again.submitted_at) == (State.READY, None, None)
    after = maker.submitted("two", maker.staged(again))
    assert (after.state, after.interaction_id, after.attempts) == (State.SUBMITTED, "two", 2)
    assert verify(maker.ledger, now=maker.now).ok


def test_a_row_that_moved_meanwhile_is_left_and_named(maker):
    row = maker.quarantined()
    retry(maker, [row])
    changed = retry(maker, [row])
    assert changed.count == 0
    assert "meanwhile" in changed.left[0].why


def test_retry_rings_the_daemon(maker):
    row = maker.quarantined()
    before = maker.ledger.books.counter("wake")
    retry(maker, [row])
    assert maker.ledger.books.counter("wake") > before


def test_a_selection_without_states_holds_only_what_can_be_retried(maker):
    for state in State:
        maker.in_state(state)
    count, rows = changes.selection(maker.ledger, Filter(source="hq"))
    assert {row.state for row in rows} == RETRIABLE
    assert count == 3


@pytest.mark.parametrize("state", list(State))
def test_discard_takes_what_the_lifecycle_allows_and_else_changes_nothing(maker, state):
    row, other = maker.in_state(state), maker.quarantined()
    if (state, Event.DISCARDED) in TRANSITIONS:
        changes.discard(maker.ledger, [other, row], reason="wrong\nfile", now=maker.now)
        after = maker.get(row)
        assert (after.state, after.reason_code, after.reason) == (State.DISCARDED, "discarded", "wrong file")
        assert history(maker, row)[-1] == ("discarded", "discarded", "wrong file")
    else:
        with pytest.raises(UsageError, match=row.id):
            changes.discard(maker.ledger, [other, row], reason="", now=maker.now)
        assert (maker.get(row), maker.get(other)) == (row, other)


def test_an_open_attempt_of_a_discarded_one_is_watched_until_its_end(maker):
    row = maker.unconfirmed()
    changes.discard(maker.ledger, [row], reason="", now=maker.now)
    assert maker.ledger.attempts.of(row.n)[0].recheck_at is not None


@pytest.mark.parametrize("state", list(State))
def test_adopt_takes_what_the_lifecycle_allows(maker, state):
    row = maker.in_state(state)
    if (state, Event.ADOPTED) not in TRANSITIONS:
        with pytest.raises(UsageError, match="cannot adopt"):
            changes.adopt(maker.ledger, row.id, "seen-in-zoom", now=maker.now)
        assert maker.get(row) == row
        return
    view = changes.adopt(maker.ledger, row.id, "seen-in-zoom", now=maker.now)
    assert (view.state, view.interaction_id) == ("submitted", "seen-in-zoom")
    assert verify(maker.ledger, now=maker.now).ok


def test_adopt_ties_the_open_attempt(maker):
    row = maker.unconfirmed()
    changes.adopt(maker.ledger, row.id, "seen", now=maker.now)
    [attempt] = maker.ledger.attempts.of(row.n)
    assert (attempt.interaction_id, attempt.open) == ("seen", 0)


@pytest.mark.parametrize("own", [True, False])
def test_adopt_refuses_an_interaction_that_has_its_recording(maker, own):
    row = maker.unconfirmed()
    if own:
        changes.adopt(maker.ledger, row.id, "taken", now=maker.now)
        maker.pass_time(days=4)
        retry(maker, [maker.get(row)], Manner.NEW_INTERACTION)
    else:
        maker.submitted("taken")
    with pytest.raises(UsageError, match="taken"):
        changes.adopt(maker.ledger, row.id, "taken", now=maker.now)


@pytest.mark.parametrize("text", ["", "a b", "x" * 201, "a\n"])
def test_adopt_refuses_what_is_no_id(maker, text):
    row = maker.unconfirmed()
    with pytest.raises(UsageError, match="INTERACTION_ID"):
        changes.adopt(maker.ledger, row.id, text, now=maker.now)


def test_what_was_adopted_without_an_attempt_can_be_sent_anew(maker):
    row = maker.quarantined()
    changes.adopt(maker.ledger, row.id, "seen", now=maker.now)
    maker.pass_time(days=4)
    retry(maker, [maker.get(row)], Manner.NEW_INTERACTION)
    after = maker.submitted("another", maker.staged(maker.understood(maker.get(row))))
    assert after.interaction_id == "another"
    assert verify(maker.ledger, now=maker.now).ok


def test_an_adopted_duplicate_does_not_take_the_place_of_the_first(maker):
    row = maker.duplicate()
    changes.adopt(maker.ledger, row.id, "seen", now=maker.now)
    assert maker.ledger.recordings.get(row.duplicate_of).state is State.READY


def test_a_recording_that_was_adopted_before_it_was_read_is_known_when_its_file_comes_again(maker, tmp_path):
    path = tmp_path / "call.wav"
    path.write_bytes(b"audio")
    row = maker.in_state(State.QUARANTINED)
    stamp = stamp_of(path.stat())
    maker.ledger.recordings.write(
        lambda db: db.execute(
            "UPDATE recording SET location = ?, size_bytes = ?, mtime_ns = ?, inode = ?, content = NULL, "
            "content_id = NULL WHERE n = ?",
            (bytes(path), stamp.size_bytes, stamp.mtime_ns, stamp.inode, row.n),
        )
    )
    changes.adopt(maker.ledger, row.id, "seen-in-zoom", now=maker.now)
    after = maker.get(row)
    assert after.content_id == f"sha256:{hashlib.sha256(b'audio').hexdigest()}"
    assert maker.ledger.recordings.write(
        lambda db: db.execute("SELECT claims FROM recording WHERE n = ?", (row.n,)).fetchone()
    ) == (1,)
