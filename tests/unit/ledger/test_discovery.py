"""What a scan saw becomes recordings: new, changed, gone, woken, busy; in every state."""

from __future__ import annotations

import pytest

from tests.unit.ledger.kit import ROOT, refused, stamp
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.ledger.discovery import Seen
from uploader.ledger.entries import GONE
from uploader.ledger.recordings import PARKED

S = State
WAITING = {S.DISCOVERED, S.READY, S.STAGED, S.QUARANTINED, S.REFUSED, S.DUPLICATE, S.SKIPPED}
IN_FLIGHT = {S.SUBMITTING, S.UNCONFIRMED}
SENT_OR_GIVEN_UP = {S.SUBMITTED, S.ANALYZED, S.DISCARDED}


def entries(kit):
    return kit.entries()


def test_a_new_file_is_a_recording_that_rests(kit):
    kit.record(b"a.wav", due_at=kit.now + 2000)
    (row,) = [kit.row(n) for n in kit.states()]
    assert (row.state, row.location, row.due_at) == (S.DISCOVERED, ROOT + b"/a.wav", kit.now + 2000)
    assert (row.stamp, row.stamped_at, row.discovered_at) == (stamp(), kit.now, kit.now)
    assert kit.history(row) == ["discovered"]
    assert len(row.id) == 10


def test_a_sidecar_alone_is_no_recording(kit):
    assert kit.record(sidecars=(b"a.json",)) == Seen()
    assert kit.states() == {}
    assert entries(kit)[b"a.json"].recording_n is None


@pytest.mark.parametrize("name", [b"with space.wav", b"\xff\xfe.wav", b"new\nline.wav", "Grüße '\".wav".encode()])
def test_any_name_that_a_file_system_takes_is_carried(kit, name):
    row = kit.discover(name)
    assert row.location == ROOT + b"/" + name
    assert set(entries(kit)) == {name}


def test_ids_are_unique_over_many(kit):
    kit.record(*[b"%04d.wav" % n for n in range(500)])
    assert kit.ask("SELECT count(DISTINCT id) FROM recording") == [(500,)]


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_file_that_changes_while_it_waits_is_judged_again(kit, state):
    row = kit.at(state)
    kit.clock.advance(10)
    assert kit.record(b"a.wav", version=2, due_at=kit.now + 2000) == Seen(changed=1)
    after = kit.again(row)
    assert (after.state, after.stamp, after.stamped_at) == (S.DISCOVERED, stamp(2), kit.now)
    assert (after.due_at, after.claimed) == (kit.now + 2000, None)
    assert len(kit.states()) == 1
    assert entries(kit)[b"a.wav"].stamp == stamp(2)


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_a_file_that_changes_in_flight_is_left_alone_and_seen_again_next_time(kit, state):
    row = kit.at(state)
    assert kit.record(b"a.wav", version=2) == Seen(busy=1)
    assert kit.again(row) == row
    assert entries(kit)[b"a.wav"].stamp == stamp(1)


def test_what_was_replaced_in_flight_is_a_new_recording_once_the_other_is_sent(kit):
    first = kit.unconfirmed()
    kit.record(b"a.wav", version=2)
    kit.ledger.attempts.adopt(first, "i-1", at=kit.now)
    assert kit.record(b"a.wav", version=2) == Seen(new=1)
    assert sorted(kit.states().values()) == ["discovered", "submitted"]
    assert kit.record(b"a.wav", version=3) == Seen(changed=1)


@pytest.mark.parametrize("state", sorted(SENT_OR_GIVEN_UP))
def test_a_file_that_is_replaced_after_it_was_sent_is_a_new_recording(kit, state):
    row = kit.at(state)
    assert kit.record(b"a.wav", version=2) == Seen(new=1)
    assert kit.again(row) == row
    assert len(kit.states()) == 2
    newer = entries(kit)[b"a.wav"].recording_n
    assert newer != row.n


@pytest.mark.parametrize("state", sorted(State))
def test_a_file_that_is_gone_changes_no_recording(kit, state):
    row = kit.at(state)
    assert kit.record(gone=(b"a.wav",)) == Seen()
    assert kit.again(row) == row
    if state in SENT_OR_GIVEN_UP:
        assert entries(kit) == {}
    else:
        assert entries(kit)[b"a.wav"].stamp == GONE


@pytest.mark.parametrize("state", sorted(State))
def test_the_same_file_that_comes_again_is_the_same_recording_while_that_waits(kit, state):
    row = kit.at(state)
    kit.record(gone=(b"a.wav",))
    seen = kit.record(b"a.wav")
    if state in SENT_OR_GIVEN_UP:
        assert seen == Seen(new=1)
        assert kit.again(row) == row
    elif state in IN_FLIGHT:
        assert seen == Seen(busy=1)
    else:
        assert seen == Seen(changed=1)
        assert kit.again(row).state is S.DISCOVERED
        assert len(kit.states()) == 1


def test_a_recording_that_was_gone_when_it_was_settled_does_not_hide_the_next_of_its_name(kit):
    row = kit.unconfirmed()
    kit.record(gone=(b"a.wav",))
    kit.ledger.attempts.adopt(row, "i-1", at=kit.now)
    assert kit.record(b"a.wav") == Seen(new=1)


@pytest.mark.parametrize("state", sorted(State))
def test_a_sidecar_that_changed_wakes_what_still_waits_for_it(kit, state):
    row = kit.at(state)
    kit.clock.advance(5)
    seen = kit.record(wake=(b"a.wav",))
    after = kit.again(row)
    if state in WAITING:
        assert seen == Seen(woken=1)
        assert (after.state, after.due_at, after.claimed) == (S.DISCOVERED, kit.now, None)
    else:
        assert seen == Seen()
        assert after == row


def test_a_name_that_is_not_known_wakes_nobody(kit):
    kit.record(sidecars=(b"b.json",))
    assert kit.record(wake=(b"none.wav", b"b.json")) == Seen()


@pytest.mark.parametrize("how", ["change", "wake"])
def test_a_worker_whose_recording_changed_under_its_hands_has_lost_it(kit, how):
    from uploader.errors import RowMoved

    row = kit.claim(kit.discover())
    kit.record(b"a.wav", version=2) if how == "change" else kit.record(wake=(b"a.wav",))
    with pytest.raises(RowMoved):
        kit.ledger.recordings.apply(row, Event.FAULTED, at=kit.now)
    assert kit.again(row).state is S.DISCOVERED


def test_what_is_held_waits_until_it_is_released_whatever_happens_to_its_files(kit):
    kit.record(b"a.wav", b"b.wav", held=Reason.BACKLOG)
    (one, other) = [kit.row(n) for n in kit.states()]
    assert (one.held, one.due_at, one.reason_code) == ("backlog", None, "backlog")
    kit.record(b"a.wav", version=2)
    kit.record(wake=(b"b.wav",))
    assert kit.again(one).due_at is None
    assert kit.again(other).due_at is None
    assert kit.ledger.discovery.release_backlog(kit.source_n, at=kit.now) == 2
    after = kit.again(one)
    assert (after.held, after.due_at, after.reason_code) == (None, kit.now, None)
    assert kit.ledger.discovery.release_backlog(kit.source_n, at=kit.now) == 0


def test_the_release_of_one_source_leaves_the_others_held(kit):
    other = kit.source("other")
    kit.record(b"a.wav", held=Reason.BACKLOG, source_n=other)
    assert kit.ledger.discovery.release_backlog(kit.source_n, at=kit.now) == 0
    assert kit.ledger.recordings.held_by_source("backlog") == {other: 1}


def test_what_arrives_in_a_paused_source_is_parked_and_comes_back(kit):
    before = kit.discover(b"before.wav")
    assert kit.ledger.discovery.set_parked(at=kit.now, parked=True, source_n=kit.source_n) == 1
    during = kit.discover(b"during.wav")
    assert (kit.again(before).lane, during.lane) == (PARKED, PARKED)
    assert kit.ledger.recordings.claim([S.DISCOVERED], limit=9, now=kit.now) == []
    assert kit.ledger.discovery.set_parked(at=kit.now, parked=True, source_n=kit.source_n) == 0
    assert kit.ledger.discovery.set_parked(at=kit.now, parked=False, source_n=kit.source_n) == 2
    assert len(kit.ledger.recordings.claim([S.DISCOVERED], limit=9, now=kit.now)) == 2


def test_an_import_and_its_source_are_paused_apart(kit):
    made = kit.ledger.discovery.begin_import(name="i", source_n=kit.source_n, settings="{}", at=kit.now)
    kit.record(b"live.wav")
    kit.record(b"old.wav", import_n=made.n, lane=1, directory=b"/archive")
    kit.ledger.discovery.set_parked(at=kit.now, parked=True, source_n=kit.source_n)
    assert [r.location for r in kit.ledger.recordings.claim([S.DISCOVERED], limit=9, now=kit.now)] == [
        b"/archive/old.wav"
    ]
    kit.ledger.discovery.set_parked(at=kit.now, parked=False, source_n=kit.source_n)
    kit.ledger.discovery.set_parked(at=kit.now, parked=True, import_n=made.n)
    assert kit.row(2).lane == PARKED + 1
    assert kit.row(1).lane == 0


def test_an_import_of_the_same_name_goes_on(kit):
    first = kit.ledger.discovery.begin_import(name="i", source_n=kit.source_n, settings="{}", at=1)
    assert kit.ledger.discovery.begin_import(name="i", source_n=kit.source_n, settings="other", at=2) == first


def test_settings_that_change_let_what_waits_be_judged_again(kit):
    rows = {state: kit.at(state, b"%s.wav" % state.encode()) for state in (S.READY, S.STAGED, S.UNCONFIRMED)}
    kit.clock.advance(9)
    kit.source(settings="1")
    assert kit.again(rows[S.READY]).state is S.READY
    kit.source(settings="2")
    assert {state: kit.again(row).state for state, row in rows.items()} == {
        S.READY: S.DISCOVERED, S.STAGED: S.DISCOVERED, S.UNCONFIRMED: S.UNCONFIRMED,
    }  # fmt: skip


def test_only_names_of_the_stem_are_looked_up(kit):
    kit.record(b"a.wav", b"ab.wav", b"a.b.wav", sidecars=(b"a.json", b"a.wav.json", b"a"))
    (directory,) = kit.ledger.scan_cache.directories(kit.source_n)
    assert set(kit.ledger.scan_cache.siblings(kit.source_n, ROOT, b"a.")) == set(entries(kit)) - {b"ab.wav"}
    found = kit.ledger.scan_cache.with_prefixes(directory.n, [b"a.", b"none."])
    assert set(found) == {b"a", b"a.wav", b"a.b.wav", b"a.json", b"a.wav.json"}


def test_a_name_that_goes_on_with_bytes_that_are_no_text_is_of_the_stem_too(kit):
    kit.record(b"a.\xff\xff", sidecars=(b"a.\xff\xff.json",))
    assert len(kit.ledger.scan_cache.siblings(kit.source_n, ROOT, b"a.")) == 2


def test_one_source_does_not_see_the_entries_of_another(kit):
    kit.record(b"a.wav")
    other = kit.source("other")
    assert kit.entries(source_n=other) == {}
    assert kit.record(b"a.wav", source_n=other) == Seen(new=1)


def test_a_transaction_that_fails_writes_nothing_of_a_directory(kit):
    kit.record(b"a.wav")
    kit.force(
        "CREATE TRIGGER refuse BEFORE INSERT ON entry WHEN NEW.name = CAST('b.json' AS BLOB) "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    with pytest.raises(LedgerError):
        kit.record(b"b.wav", sidecars=(b"b.json",))
    assert set(entries(kit)) == {b"a.wav"}
    assert kit.ask("SELECT count(*) FROM recording") == [(1,)]


def test_a_source_that_got_another_name_keeps_what_waits_in_it(kit):
    row = kit.staged()
    renamed = kit.ledger.discovery.rename(configured={"head-office": ("folder", ROOT)})
    assert renamed == {"hq": "head-office"}
    assert kit.source("head-office") == kit.source_n
    assert kit.again(row).source == "head-office"


@pytest.mark.parametrize(
    "configured",
    [
        {"hq": ("folder", ROOT), "other": ("folder", ROOT)},
        {"other": ("folder", b"/srv/other")},
        {"other": ("s3", ROOT)},
    ],
)
def test_a_source_is_another_one_when_the_first_is_there_still_or_lies_elsewhere(kit, configured):
    assert kit.ledger.discovery.rename(configured=configured) == {}


def test_a_source_that_is_configured_again_goes_on_with_what_waited_for_it(kit):
    row = kit.discover()
    kit.force("UPDATE recording SET reason_code = 'source_gone', due_at = due_at + 600000 WHERE n = ?", row.n)
    kit.clock.advance(5)
    kit.source()
    assert (kit.again(row).reason_code, kit.again(row).due_at) == (None, kit.now)


def test_a_sidecar_that_changes_while_its_recording_is_sent_counts_for_whatever_is_sent_next(kit):
    attempt, row = kit.begin(kit.staged())
    kit.record(wake=(b"a.wav",))
    assert kit.again(row).state is State.SUBMITTING
    after = kit.finish(attempt, refused(Cause.RATE_SECOND))
    assert (after.state, after.due_at, after.claimed) == (State.DISCOVERED, kit.now, None)
    assert kit.history(row)[-2:] == ["not_created", "changed"]


def test_a_sidecar_that_changed_while_its_recording_is_unconfirmed_counts_after_it_is_proved_absent(kit):
    row = kit.unconfirmed()
    kit.record(wake=(b"a.wav",))
    assert kit.again(row).state is State.UNCONFIRMED
    kit.clear(kit.again(row))
    assert kit.again(row).state is State.DISCOVERED
    assert kit.again(row).cleared == 0
