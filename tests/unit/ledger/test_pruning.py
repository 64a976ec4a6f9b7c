"""Pruning: the particulars of what is done go, what it is known by stays, and nothing is ever sent again for it."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.ledger.kit import DAY_MS, FINAL, HOUR_MS, ROOT, Kit, accepted, refused, stamp, unknown
from uploader.domain.identity import SameCall
from uploader.domain.lifecycle import FINAL as FINAL_STATES
from uploader.domain.lifecycle import Event
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.ledger.imports import ImportSight
from uploader.ledger.rows import RecordingRow
from uploader.service.operations.verification import verify

CALL = {"start_time": "2026-11-20T03:00:00Z", "interaction_info": {"from": "+4930123456", "to": "+4930654321"}}


def prune(kit: Kit, *, age_ms: int = 0) -> int:
    return kit.ledger.pruning.prune(low=0, high=10**6, before=kit.now - age_ms, at=kit.now).total()


def is_sound(kit: Kit) -> bool:
    return verify(kit.ledger, now=kit.clock.now()).ok


def full(kit: Kit, state: State, name: bytes = b"a.wav") -> RecordingRow:
    """Return a recording in `state` that had everything on its way there."""
    if state in FINAL_STATES - {State.ANALYZED, State.REFUSED, State.DUPLICATE}:
        row = kit.at(state, name)
        kit.force("UPDATE recording SET body = x'00', media = x'00', sidecar = 'call.json' WHERE n = ?", row.n)
        return row
    return kit.at(state, name)


@pytest.mark.parametrize("state", State)
def test_what_is_done_is_pruned_and_what_waits_or_is_looked_for_is_not(kit, state):
    row = full(kit, state)
    kit.clock.advance(60)
    before = kit.ask("SELECT * FROM recording"), kit.ask("SELECT * FROM history")
    assert prune(kit) == int(state in FINAL_STATES)
    if state in FINAL_STATES:
        assert kit.ask("SELECT body, media, sidecar, staged, match_key FROM recording") == [(None,) * 5]
        assert kit.again(row).state is state
        assert len(kit.history(row)) == 2
    else:
        assert (kit.ask("SELECT * FROM recording"), kit.ask("SELECT * FROM history")) == before
    assert prune(kit) == 0, "once is enough"
    assert is_sound(kit)


def test_what_a_recording_is_known_by_and_what_became_of_it_stays(kit):
    row = kit.submitted(interaction_id="i-9", body=CALL, call_key="at:" + "a" * 32 + ".." + "b" * 32)
    kit.apply(row, Event.ANALYZED, analyzed_at=kit.now, evidence="transcript", detail="transcript")
    kit.force("UPDATE attempt SET message = 'Dr. Smith', fetched = '[[0,5]]', sent = x'00'")
    before = kit.again(row)
    kit.clock.advance(DAY_MS / 1000)
    assert prune(kit, age_ms=HOUR_MS) == 1
    after = kit.again(row)
    kept = ("id", "location", "state", "content_id", "sha256", "call_key", "copy", "interaction_id", "stamp", "etag",
            "discovered_at", "submitted_at", "analyzed_at", "evidence", "attempts", "size_bytes")  # fmt: skip
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert (after.body, after.media, after.sidecar, after.match_key) == (None, None, None, None)
    assert kit.ask("SELECT interaction_id, outcome, message, fetched, sent FROM attempt") == [
        ("i-9", "accepted", None, None, None)
    ]
    first, last = kit.ledger.recordings.history(row.n)
    assert (first.event, first.state, first.at, first.detail) == ("analyzed", "analyzed", before.analyzed_at, None)
    assert (last.event, last.state, last.at, last.detail) == ("pruned", "analyzed", kit.now, None)
    assert kit.ledger.recordings.find("i-9") == [after]
    assert kit.ledger.recordings.find("/srv/recordings/a.wav") == [after]


def test_a_persons_words_and_the_services_give_way_to_the_reasons_own_sentence(kit):
    given_up = kit.discover(b"a.wav")
    kit.apply(given_up, Event.DISCARDED, reason_code="discarded", reason="Mrs. Jones asked", detail="Mrs. Jones asked")
    refused_one = kit.finish(kit.begin(kit.staged(b"b.wav"))[0], refused(message="to: 555"), FINAL)
    prune(kit)
    assert kit.again(given_up).reason == REASONS[Reason.DISCARDED][0]
    assert kit.again(refused_one).reason == REASONS[Reason.REFUSED_BY_SERVICE][0]
    assert "Jones" not in str(kit.ask("SELECT * FROM step"))


def test_only_what_nothing_has_happened_to_for_so_long_is_pruned(kit):
    old = kit.at(State.ANALYZED)
    kit.clock.advance(2 * DAY_MS / 1000)
    kit.apply(kit.discover(b"b.wav"), Event.DISCARDED)
    assert kit.ledger.pruning.count(low=0, high=10, before=kit.now - DAY_MS) == {State.ANALYZED: 1}
    assert prune(kit, age_ms=DAY_MS) == 1
    assert kit.history(old)[-1] == "pruned"


def test_one_that_is_done_but_has_a_request_that_is_still_looked_for_stays_whole(kit):
    row = kit.unconfirmed(body=CALL)
    kit.apply(row, Event.DISCARDED, detail="enough")
    before = kit.again(row)
    assert prune(kit) == 0
    assert kit.again(row) == before


def test_one_that_goes_round_again_after_it_was_pruned_is_sent_and_pruned_again(kit):
    row = kit.finish(kit.begin(kit.staged(body=CALL))[0], refused(), FINAL)
    prune(kit)
    kit.apply(kit.again(row), Event.RETRIED, due_at=kit.now)
    ready = kit.understand(kit.again(row), body=CALL)
    assert json.loads(ready.body or "") == CALL
    staged = kit.ledger.recordings.apply(ready, Event.STAGED, at=kit.now, staged="{}", due_at=kit.now)
    attempt, _ = kit.begin(staged)
    sent = kit.finish(attempt, unknown())
    assert (sent.state, attempt.number) == (State.UNCONFIRMED, 2)
    assert is_sound(kit)
    kit.apply(kit.clear(sent), Event.DISCARDED)
    kit.force("UPDATE attempt SET open = 0, recheck_at = NULL")
    assert prune(kit) == 1
    assert len(kit.history(row)) == 2
    assert is_sound(kit)


def test_the_tie_of_a_file_that_is_gone_goes_and_that_of_one_that_is_there_stays(kit):
    for name in (b"gone.wav", b"there.wav"):
        kit.apply(kit.discover(name), Event.FOUND_SAME)
    kit.record(gone=(b"gone.wav",))
    assert kit.ask("SELECT count(*) FROM entry") == [(2,)]
    prune(kit)
    assert kit.ask("SELECT name FROM entry") == [(b"there.wav",)]


def through_seen(kit: Kit, before: int) -> int:
    after, dropped = "", 0
    while after is not None:
        counted = kit.ledger.pruning.count_seen(after=after, limit=2, before=before)
        found = kit.ledger.pruning.forget_seen(after=after, limit=2, before=before)
        assert counted == found
        after, count = found
        dropped += count
    return dropped


def test_what_listings_showed_of_old_goes_and_our_own_is_not_written_at_all(kit):
    kit.ledger.books.note_seen(["mine", "old-1", "old-2"], at=kit.now - 10)
    kit.submitted(interaction_id="mine")
    kit.submitted(b"b.wav", interaction_id="later")
    kit.ledger.books.note_seen(["later", "new-1", "new-2"], at=kit.now)
    assert kit.ask("SELECT interaction_id FROM seen ORDER BY 1") == [
        ("mine",), ("new-1",), ("new-2",), ("old-1",), ("old-2",)
    ]  # fmt: skip
    assert through_seen(kit, kit.now - 5) == 3
    assert kit.ask("SELECT interaction_id FROM seen ORDER BY 1") == [("new-1",), ("new-2",)]


def test_counts_of_old_days_and_empty_directories_go(kit):
    kit.discover(b"a.wav")
    kit.discover(b"b.wav", directory=ROOT + b"/2025")
    kit.force("UPDATE recording SET state = 'analyzed'")
    kit.record(gone=(b"b.wav",), directory=ROOT + b"/2025")
    for day in ("2025-11-19", "2025-11-20"):
        kit.force("INSERT INTO budget VALUES (?, 5)", day)
    kit.ledger.pruning.forget_rest(day="2025-11-20")
    assert kit.ask("SELECT path FROM directory") == [(ROOT,)]
    assert kit.ask("SELECT day FROM budget") == [("2025-11-20",)]


def test_the_file_becomes_smaller_once_it_is_rewritten(kit):
    for number in range(60):
        kit.apply(kit.discover(b"%d.wav" % number), Event.DISCARDED)
    kit.force("UPDATE recording SET body = randomblob(20000)")
    assert not kit.ledger.pruning.is_compactable()
    prune(kit)
    assert kit.ledger.pruning.is_compactable()
    size = kit.ledger.pruning.size_bytes()
    kit.ledger.pruning.compact()
    assert kit.path.stat().st_size == kit.ledger.pruning.size_bytes() < size / 2
    assert not kit.ledger.pruning.is_compactable()
    assert is_sound(kit)


def test_a_ledger_put_back_is_in_doubt_since_its_last_word_though_it_was_pruned(kit):
    kit.at(State.ANALYZED)
    kit.clock.advance(3600)
    prune(kit)
    assert kit.ask("SELECT max(at) FROM history") == [(kit.now,)]


ENDS = st.sampled_from(sorted({*FINAL_STATES, State.SUBMITTED}))
CALLS = st.sampled_from([None, "id:" + "a" * 32, "id:" + "b" * 32])


@given(ends=st.lists(ENDS, min_size=1, max_size=5), call=CALLS, gone=st.booleans(), same_call=st.sampled_from(SameCall))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_after_pruning_nothing_is_sent_that_would_not_have_been_sent_without(
    tmp_path_factory, ends, call, gone, same_call
):
    """The same files come again: by a rescan (where they were gone), by an import, and exported in other bytes."""
    sent = []
    for pruned in (True, False):
        kit = Kit(tmp_path_factory.mktemp("ledger") / "ledger.db")
        try:
            for number, end in enumerate(ends):
                settle(kit, number, end, call)
            if gone:
                kit.record(gone=tuple(b"%d.wav" % number for number in range(len(ends))))
            if pruned:
                assert prune(kit) == sum(end in FINAL_STATES for end in ends)
            sent.append(to_be_sent(kit, len(ends), call, same_call))
            assert is_sound(kit)
        finally:
            kit.close()
    assert sent[0] <= sent[1]


def known_by(number: int, call: str | None, *, copy: int = 0) -> dict:
    digest = bytes([number, copy]) * 16
    return {
        "content_id": f"sha256:{digest.hex()}", "sha256": digest,
        "call_key": None if call is None else call[:-1] + str(number),
    }  # fmt: skip


def settle(kit: Kit, number: int, end: State, call: str | None) -> None:
    """Take a file of its own content to its end."""
    row = kit.discover(b"%d.wav" % number)
    if end is State.SKIPPED:
        kit.apply(row, Event.LEFT_OUT)
        return
    ready = kit.understand(row, **known_by(number, call))
    if end in {State.DUPLICATE, State.DISCARDED}:
        kit.apply(ready, Event.FOUND_SAME if end is State.DUPLICATE else Event.DISCARDED)
        return
    staged = kit.ledger.recordings.apply(ready, Event.STAGED, at=kit.now, staged="{}", due_at=kit.now)
    attempt, _ = kit.begin(staged)
    if end is State.REFUSED:
        kit.finish(attempt, refused(), FINAL)
        return
    row = kit.finish(attempt, accepted(f"i-{number}"))
    if end is State.ANALYZED:
        kit.apply(row, Event.ANALYZED, analyzed_at=kit.now)


def to_be_sent(kit: Kit, count: int, call: str | None, same_call: SameCall) -> set[tuple[int, str]]:
    """Have every file come again in each way; return which of them would be sent."""
    found = set()
    names = [b"%d.wav" % number for number in range(count)]
    kit.record(*names_that_a_scan_sees(kit, names))
    import_n = kit.ledger.discovery.begin_import(name="again", source_n=kit.source_n, settings="{}", at=kit.now).n
    sights = [ImportSight(location=ROOT + b"/" + name, stamp=stamp(), due_at=kit.now) for name in names]
    kit.ledger.imports.add(import_n=import_n, source_n=kit.source_n, sights=sights, at=kit.now)
    kit.record(*names, directory=ROOT + b"/exported")
    for (n,) in kit.ask("SELECT n FROM recording WHERE state = 'discovered' ORDER BY n"):
        row = kit.row(n)
        number = int(row.location.rpartition(b"/")[2].partition(b".")[0])
        is_export = b"/exported/" in row.location
        way = "export" if is_export else "import" if row.import_n else "rescan"
        known = known_by(number, call, copy=int(is_export)) | {"same_call": same_call}
        if kit.understand(row, **known).state is State.READY:
            found.add((number, way))
    return found


def names_that_a_scan_sees(kit: Kit, names: list[bytes]) -> list[bytes]:
    """Return those that the scan cache does not have as they are: the others are not looked at."""
    cached = {bytes(name) for (name,) in kit.ask("SELECT name FROM entry WHERE size_bytes >= 0")}
    return [name for name in names if name not in cached]


def test_a_pruned_recording_whose_file_is_gone_is_still_found_by_its_path(kit):
    row = full(kit, State.REFUSED)
    kit.record(gone=(b"a.wav",))
    kit.clock.advance(60)
    assert [found.n for found in kit.ledger.recordings.find("/srv/recordings/a.wav")] == [row.n]
    assert prune(kit) == 1
    assert [found.n for found in kit.ledger.recordings.find("/srv/recordings/a.wav")] == [row.n]


def test_what_was_listed_before_a_request_that_is_still_open_is_not_forgotten(kit):
    """Listed once more it would look new, and an interaction of others could be taken for that request's."""
    kit.ledger.books.note_seen(["others"], at=kit.now - 40 * DAY_MS)
    row = kit.at(State.UNCONFIRMED)
    kit.force("UPDATE attempt SET started_at = ?, call_start = ?", kit.now - 35 * DAY_MS, kit.now - 41 * DAY_MS)
    assert through_seen(kit, kit.now - 30 * DAY_MS) == 0
    kit.force("UPDATE attempt SET started_at = ?, call_start = ?", kit.now, kit.now)
    assert kit.again(row).state is State.UNCONFIRMED
    assert through_seen(kit, kit.now - 30 * DAY_MS) == 1
