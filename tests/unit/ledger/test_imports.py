"""The rows of imports: added once, judged again when they change, and what of them is stuck."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.ledger.kit import Kit, accepted, stamp
from uploader.domain.recording import State
from uploader.ledger.imports import Added, ImportSight
from uploader.service.imports.entering import Entering
from uploader.service.imports.finding import Found


@pytest.fixture
def import_n(kit: Kit) -> int:
    return kit.ledger.discovery.begin_import(name="old", source_n=kit.source_n, settings="{}", at=kit.now).n


def sight(name: str, *, version: int = 1, due_at: int = 5) -> ImportSight:
    return ImportSight(location=f"/archive/{name}".encode(), stamp=stamp(version), due_at=due_at)


def add(kit: Kit, import_n: int, *sights: ImportSight) -> Added:
    return kit.ledger.imports.add(import_n=import_n, source_n=kit.source_n, sights=sights, at=kit.now)


def row(kit: Kit, name: str):
    return kit.row(kit.ask("SELECT n FROM recording WHERE location = ?", f"/archive/{name}".encode())[0][0])


def test_new_rows_wait_behind_live_ones_in_their_order(kit: Kit, import_n: int):
    assert add(kit, import_n, sight("b.wav", due_at=2), sight("a.wav", due_at=1)) == Added(new=2)
    kit.discover(b"live.wav")
    claimed = [kit.ledger.recordings.claim([State.DISCOVERED], limit=1, now=kit.now)[0] for _ in range(3)]
    assert [one.location.rpartition(b"/")[2] for one in claimed] == [b"live.wav", b"a.wav", b"b.wav"]
    assert [one.lane for one in claimed] == [0, 1, 1]


def test_adding_again_changes_nothing_and_takes_what_is_new(kit: Kit, import_n: int):
    add(kit, import_n, sight("a.wav"))
    before = row(kit, "a.wav")
    assert add(kit, import_n, sight("a.wav", due_at=99), sight("b.wav")) == Added(new=1, known=1)
    assert row(kit, "a.wav") == before


def test_each_import_has_a_location_of_its_own(kit: Kit, import_n: int):
    other = kit.ledger.discovery.begin_import(name="other", source_n=kit.source_n, settings="{}", at=kit.now).n
    add(kit, import_n, sight("a.wav"))
    assert add(kit, other, sight("a.wav")) == Added(new=1)


def test_scan_cache_of_the_source_is_not_touched(kit: Kit, import_n: int):
    add(kit, import_n, sight("a.wav"))
    assert kit.ask("SELECT count(*) FROM entry")[0][0] == kit.ask("SELECT count(*) FROM directory")[0][0] == 0


@pytest.mark.parametrize("state", ["discovered", "ready", "staged", "quarantined", "skipped", "duplicate", "refused"])
def test_file_that_changed_before_it_was_sent_is_judged_again(kit: Kit, import_n: int, state: str):
    add(kit, import_n, sight("a.wav"))
    kit.force("UPDATE recording SET state = ?, due_at = NULL WHERE n = ?", state, row(kit, "a.wav").n)
    assert add(kit, import_n, sight("a.wav", version=2, due_at=77)) == Added(changed=1)
    after = row(kit, "a.wav")
    assert (after.state, after.stamp, after.due_at) == (State.DISCOVERED, stamp(2), 77)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("submitted", Added(late=1)), ("analyzed", Added(late=1)), ("discarded", Added(late=1)),
        ("submitting", Added(known=1)), ("unconfirmed", Added(known=1)),
    ],
)  # fmt: skip
def test_file_that_changed_after_it_was_sent_is_left_alone(kit: Kit, import_n: int, state: str, expected: Added):
    add(kit, import_n, sight("a.wav"))
    kit.force("UPDATE recording SET state = ? WHERE n = ?", state, row(kit, "a.wav").n)
    before = row(kit, "a.wav")
    assert add(kit, import_n, sight("a.wav", version=2)) == expected
    assert row(kit, "a.wav") == before


def test_rows_of_a_paused_import_are_not_claimed(kit: Kit, import_n: int):
    kit.ledger.discovery.set_parked(at=kit.now, parked=True, import_n=import_n)
    add(kit, import_n, sight("a.wav"))
    assert kit.ledger.imports.is_paused(import_n)
    assert kit.ledger.recordings.claim([State.DISCOVERED], limit=3, now=kit.now) == []
    kit.ledger.discovery.set_parked(at=kit.now, parked=False, import_n=import_n)
    assert not kit.ledger.imports.is_paused(import_n)
    assert len(kit.ledger.recordings.claim([State.DISCOVERED], limit=3, now=kit.now)) == 1


def test_known_are_told_with_their_state(kit: Kit, import_n: int):
    add(kit, import_n, sight("a.wav"))
    found = kit.ledger.imports.known(import_n, [b"/archive/a.wav", b"/archive/b.wav"])
    assert [(location, one.state, one.stamp) for location, one in found.items()] == [
        (b"/archive/a.wav", State.DISCOVERED, stamp())
    ]
    assert kit.ledger.imports.known(import_n + 1, [b"/archive/a.wav"]) == {}


def test_look_up_by_location_uses_its_index(kit: Kit):
    plan = kit.ask(
        "EXPLAIN QUERY PLAN SELECT n FROM recording WHERE import_n = ? AND import_n > 0 AND location IN (?, ?)",
        1, b"a", b"b",
    )  # fmt: skip
    assert "recording_imported" in str(plan)


def test_stuck_tells_held_ones_and_those_behind_them(kit: Kit, import_n: int):
    held = kit.unconfirmed(b"held.wav", match_key="k")
    kit.force("UPDATE recording SET import_n = ?, held = 'no_proof' WHERE n = ?", import_n, held.n)
    behind = kit.staged(b"behind.wav", match_key="k")
    kit.force("UPDATE recording SET import_n = ?, reason_code = 'twin' WHERE n = ?", import_n, behind.n)
    stuck = kit.ledger.imports.stuck(import_n)
    assert (stuck.held, stuck.behind_twin, stuck.twins_move) == (1, 1, False)
    kit.unconfirmed(b"another.wav")
    assert kit.ledger.imports.stuck(import_n).twins_move


def test_unfetched_are_accepted_ones_whose_url_still_lives(kit: Kit, import_n: int):
    attempt, sent = kit.begin(kit.staged())
    kit.force("UPDATE recording SET import_n = ? WHERE n = ?", import_n, sent.n)
    kit.finish(attempt, accepted())
    unfetched = kit.ledger.imports.unfetched
    assert unfetched(import_n, since=kit.now - 1) == 1
    assert unfetched(import_n, since=kit.now) == 0
    assert unfetched(import_n + 1, since=0) == 0
    kit.ledger.attempts.fetched(attempt.n, first=0, last=sent.size_bytes - 1, size=sent.size_bytes, at=kit.now)
    assert unfetched(import_n, since=0) == 0


def found(name: str, **values: Any) -> Found:
    return Found(location=f"/archive/{name}".encode(), stamp=replace(stamp(), **values))


def entering(kit: Kit, import_n: int) -> Entering:
    return Entering(kit.ledger, import_n=import_n, source_n=kit.source_n, clock=kit.clock, rest_seconds=2)


def test_entering_keeps_the_order_and_everything_is_due_at_once(kit: Kit, import_n: int):
    whole = [found(f"{n:04}.wav") for n in range(1203)]
    added = entering(kit, import_n).enter(iter(whole), total=len(whole), go_on=lambda _: True)
    assert added == Added(new=1203)
    by_due = kit.ask("SELECT location FROM recording ORDER BY due_at")
    assert [bytes(location) for (location,) in by_due] == [one.location for one in whole]
    assert kit.ask("SELECT max(due_at) FROM recording")[0][0] < kit.now
    assert kit.ledger.discovery.imports()[0].planned_at == kit.now


def test_entering_ends_between_batches_when_told_to(kit: Kit, import_n: int):
    whole = [found(f"{n:04}.wav") for n in range(1203)]
    assert entering(kit, import_n).enter(iter(whole), total=len(whole), go_on=lambda _: False) == Added(new=500)
    assert kit.ledger.discovery.imports()[0].planned_at is None
    assert entering(kit, import_n).enter(iter(whole), total=len(whole), go_on=lambda _: True) == Added(
        new=703, known=500
    )


@pytest.mark.parametrize(
    ("age_ms", "due_in_ms"), [(0, 2000), (1500, 500), (2000, -1), (60_000, -1), (-5000, -1)]
)  # fmt: skip
def test_file_that_has_just_changed_is_due_when_it_has_rested(kit: Kit, import_n: int, age_ms: int, due_in_ms: int):
    fresh = found("a.wav", mtime_ns=(kit.now - age_ms) * 1_000_000)
    entering(kit, import_n).enter(iter([fresh]), total=1, go_on=lambda _: True)
    assert row(kit, "a.wav").due_at == kit.now + due_in_ms
