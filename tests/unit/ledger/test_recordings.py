"""Claiming, counting and finding, and the indexes that carry them at a million rows."""

from __future__ import annotations

import re
import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ledger.kit import DAY_MS, ROOT, Kit, stamp
from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger.connection import Database
from uploader.ledger.filters import Filter
from uploader.ledger.ledger import Ledger
from uploader.ledger.recordings import PARKED
from uploader.ledger.sighting import Arrival, Sight

WAITING = [State.READY, State.DISCOVERED]


def claim(kit, states=WAITING, *, limit=10, now=None, **options):
    return kit.ledger.recordings.claim(states, limit=limit, now=kit.now if now is None else now, **options)


def names(rows):
    return [row.location.rpartition(b"/")[2] for row in rows]


def test_what_is_claimed_is_not_claimed_again_until_it_is_released(kit):
    kit.discover()
    (row,) = claim(kit)
    assert row.claimed is not None
    assert claim(kit, now=kit.now + DAY_MS) == []
    kit.ledger.recordings.release(row, due_at=kit.now + 5)
    assert claim(kit) == []
    assert len(claim(kit, now=kit.now + 5)) == 1


def test_what_is_not_due_is_not_claimed(kit):
    kit.discover(due_at=kit.now + 1)
    assert claim(kit) == []
    assert len(claim(kit, now=kit.now + 1)) == 1


def test_the_longest_due_is_claimed_first(kit):
    for n, name in enumerate([b"c", b"a", b"b"]):
        kit.record(name, due_at=kit.now - n)
    assert [names(claim(kit, limit=1)) for _ in range(3)] == [[b"b"], [b"a"], [b"c"]]


def test_live_recordings_are_claimed_before_back_fill_however_long_that_is_due(kit):
    kit.record(b"old", lane=1, due_at=0)
    kit.record(b"live", due_at=kit.now)
    kit.record(b"older", lane=1, due_at=0)
    assert names(claim(kit, limit=1)) == [b"live"]
    assert names(claim(kit)) == [b"old", b"older"]


def test_within_a_lane_the_states_are_taken_in_the_order_asked_for(kit):
    ready = kit.ready(b"ready")
    kit.record(b"new", due_at=0)
    kit.force("UPDATE recording SET due_at = ?, claimed = NULL WHERE n = ?", kit.now, ready.n)
    assert names(claim(kit, limit=1)) == [b"ready"]


def test_only_the_states_asked_for_are_claimed(kit):
    kit.discover()
    assert claim(kit, [State.READY, State.STAGED]) == []


def test_no_more_than_the_limit_is_claimed_over_all_lanes(kit):
    for n in range(5):
        kit.record(b"live%d" % n)
        kit.record(b"fill%d" % n, lane=1)
    rows = claim(kit, limit=7)
    assert sorted(names(rows)) == [b"fill0", b"fill1"] + [b"live%d" % n for n in range(5)]


@pytest.mark.parametrize("lane", [PARKED, PARKED + 1])
def test_what_is_parked_is_never_claimed_and_never_due(kit, lane):
    kit.record(b"a.wav", lane=lane)
    assert claim(kit, now=kit.now + DAY_MS) == []
    assert kit.ledger.recordings.next_due(WAITING) is None


def test_what_is_submitted_is_followed_though_it_is_parked(kit):
    row = kit.submitted()
    kit.ledger.discovery.set_parked(at=kit.now, parked=True, source_n=kit.source_n)
    assert kit.again(row).lane == PARKED
    assert [one.n for one in claim(kit, [State.SUBMITTED], now=kit.now + DAY_MS)] == [row.n]


def test_the_claim_of_one_import_takes_nothing_else(kit):
    made = kit.ledger.discovery.begin_import(name="archive", source_n=kit.source_n, settings="{}", at=kit.now)
    kit.record(b"live")
    kit.record(b"old", lane=1, import_n=made.n)
    assert kit.ledger.recordings.next_due(WAITING, import_n=made.n) == kit.now
    assert names(claim(kit, import_n=made.n)) == [b"old"]
    assert kit.ledger.recordings.next_due(WAITING, import_n=made.n) is None
    assert kit.ledger.recordings.next_due(WAITING) == kit.now


def test_next_due_is_the_earliest_of_all_lanes_and_states(kit):
    assert kit.ledger.recordings.next_due(WAITING) is None
    kit.record(b"a", due_at=kit.now + 9)
    kit.record(b"b", lane=1, due_at=kit.now + 5)
    assert kit.ledger.recordings.next_due(WAITING) == kit.now + 5


def test_a_row_that_was_released_by_another_cannot_be_released_twice(kit):
    row = kit.claim(kit.discover())
    kit.ledger.recordings.release(row, due_at=kit.now)
    with pytest.raises(RowMoved):
        kit.ledger.recordings.release(row, due_at=kit.now)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, PARKED, PARKED + 1]), st.integers(0, 20)), max_size=30), st.data())
def test_claims_come_in_order_whatever_is_due(tmp_path_factory, rows, data):
    kit = Kit(tmp_path_factory.mktemp("claims") / "ledger.db")
    try:
        for n, (lane, due) in enumerate(rows):
            kit.record(b"%03d" % n, lane=lane, due_at=due)
        now = data.draw(st.integers(0, 20))
        expected = sorted((lane, due) for lane, due in rows if lane < PARKED and due <= now)
        dues = dict(kit.ask("SELECT n, due_at FROM recording"))
        found = []
        while part := claim(kit, limit=data.draw(st.integers(1, 4)), now=now):
            found += sorted((row.lane, dues[row.n]) for row in part)
        assert found == expected
    finally:
        kit.close()


def test_the_counts_are_those_of_the_rows_for_every_source_and_import(kit):
    other = kit.source("other")
    made = kit.ledger.discovery.begin_import(name="i", source_n=other, settings="{}", at=kit.now)
    kit.at(State.SUBMITTED, b"1")
    kit.at(State.QUARANTINED, b"2")
    kit.record(b"3", source_n=other)
    kit.record(b"4", source_n=other, import_n=made.n)
    recordings = kit.ledger.recordings
    assert {s: n for s, n in recordings.counts().items() if n} == {"submitted": 1, "quarantined": 1, "discovered": 2}
    assert set(recordings.counts()) == set(State)
    assert sum(recordings.counts(source_n=other).values()) == 2
    assert sum(recordings.counts(import_n=made.n).values()) == 1
    assert sum(one.count for one in recordings.tally()) == 4


def test_held_and_oldest_waiting_leave_out_what_does_not_go_on_by_itself(kit):
    recordings = kit.ledger.recordings
    assert recordings.oldest_waiting() is None
    kit.record(b"held", held=Reason.BACKLOG)
    assert recordings.oldest_waiting() is None
    assert recordings.held() == {"backlog": 1}
    kit.clock.advance(60)
    kit.discover(b"waits")
    assert recordings.oldest_waiting() == kit.now


@pytest.mark.parametrize("name", [b"plain.wav", "Gespräch 1.wav".encode(), b"\xff\xfe\n.wav", b'it\'s "a".wav'])
def test_a_recording_is_found_by_its_path_whatever_the_name(kit, name):
    row = kit.discover(name)
    text = (ROOT + b"/" + name).decode("utf-8", "surrogateescape")
    assert [one.n for one in kit.ledger.recordings.find(text)] == [row.n]


def test_a_recording_is_found_by_id_beginning_of_id_and_interaction(kit):
    row = kit.submitted(interaction_id="i-77")
    for text in (row.id, row.id[:4], "i-77"):
        assert [one.n for one in kit.ledger.recordings.find(text)] == [row.n]
    for text in ("", "i-7", "zz%", "_", "\udcff"):
        assert kit.ledger.recordings.find(text) == []


def test_a_recording_is_found_by_its_path_though_its_file_is_gone_or_replaced(kit):
    sent, gone = kit.submitted(b"a.wav"), kit.submitted(b"b.wav", interaction_id="i-2")
    kit.record(b"a.wav", version=2)
    kit.record(gone=(b"a.wav", b"b.wav"))
    found = {
        name: {row.n for row in kit.ledger.recordings.find((ROOT + name).decode())} for name in (b"/a.wav", b"/b.wav")
    }
    assert gone.n in found[b"/b.wav"]
    assert found[b"/a.wav"]
    assert sent.n not in found[b"/b.wav"]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_filter_finds_in_order_what_it_means_whatever_its_index(tmp_path_factory, data):
    kit = Kit(tmp_path_factory.mktemp("filters") / "ledger.db")
    try:
        other = kit.source("other")
        made = kit.ledger.discovery.begin_import(name="i", source_n=other, settings="{}", at=kit.now)
        for n in range(data.draw(st.integers(0, 25))):
            kit.clock.step(data.draw(st.integers(-20, 50)))
            source_n, import_n = data.draw(st.sampled_from([(kit.source_n, 0), (other, 0), (other, made.n)]))
            kit.record(b"%03d" % n, source_n=source_n, import_n=import_n)
            state = data.draw(st.sampled_from(list(State)))
            reason = data.draw(st.sampled_from([None, "twin", "backlog"]))
            kit.force(
                "UPDATE recording SET state = ?, reason_code = ?, submitted_at = ? WHERE n = ?", state, reason, n, n + 1
            )
        wanted = Filter(
            states=tuple(data.draw(st.sets(st.sampled_from(list(State)), max_size=3))),
            source=data.draw(st.sampled_from([None, "hq", "other", "none"])),
            import_name=data.draw(st.sampled_from([None, "i", "none"])),
            reason=data.draw(st.sampled_from([None, "twin"])),
            since=data.draw(st.sampled_from([None, kit.now - 50_000])),
            until=data.draw(st.sampled_from([None, kit.now - 10_000])),
            overdue_before=data.draw(st.sampled_from([None, 10])),
        )
        rows = [kit.row(n) for n in kit.states()]
        by = (
            (lambda row: (row.submitted_at, row.n))
            if wanted.overdue_before
            else (lambda row: (row.discovered_at, row.n))
        )
        expected = [row.n for row in sorted(rows, key=by) if means(wanted, row)]
        assert [row.n for row in kit.ledger.recordings.search(wanted)] == expected
        assert kit.ledger.recordings.count(wanted) == len(expected)
    finally:
        kit.close()


def means(wanted: Filter, row) -> bool:
    return (
        (not wanted.states or row.state in wanted.states)
        and wanted.source in {None, row.source}
        and (wanted.import_name is None or wanted.import_name == row.import_name)
        and wanted.reason in {None, row.reason_code}
        and (wanted.since is None or row.discovered_at >= wanted.since)
        and (wanted.until is None or row.discovered_at < wanted.until)
        and (wanted.overdue_before is None or (row.state == "submitted" and row.submitted_at < wanted.overdue_before))
    )


def test_a_search_gives_every_row_once_in_the_order_of_discovery(kit):
    for n in range(1203):
        kit.record(b"%d" % n)
    found = [row.n for row in kit.ledger.recordings.search(Filter())]
    assert found == sorted(kit.states())
    assert [row.n for row in kit.ledger.recordings.search(Filter(), limit=7)] == found[:7]
    assert list(kit.ledger.recordings.search(Filter(), limit=0)) == []
    assert kit.ledger.recordings.count(Filter(source="hq")) == 1203
    assert kit.ledger.recordings.count(Filter(source="none")) == 0


# Every statement that the program runs over recordings again and again, as the ledger itself writes it.


class Spy:
    """Collects the statements of one connection."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, statement: str) -> None:
        self.statements.append(statement)


class SpyingWriter:
    def __init__(self, path, spy):
        self.db = Database(sqlite3.connect(path, isolation_level=None))
        self.db.conn.set_trace_callback(spy)

    def write(self, work, *, redoable=False):
        self.db.conn.execute("BEGIN IMMEDIATE")
        try:
            return work(self.db)
        finally:
            self.db.conn.rollback()

    def close(self):
        self.db.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A ledger whose tables are large enough for the planner to prefer indexes, with its statistics."""
    kit = Kit(tmp_path_factory.mktemp("large") / "ledger.db")
    made = kit.ledger.discovery.begin_import(name="i", source_n=kit.source_n, settings="{}", at=kit.now)
    kit.ledger.discovery.record(
        source_n=kit.source_n, directory=ROOT, gone=(), wake=(), at=kit.now,
        sights=[Sight(name=b"%05d.wav" % n, stamp=stamp(), is_recording=True) for n in range(2000)],
        arrival=Arrival(due_at=kit.now),
    )  # fmt: skip
    kit.submitted(b"sent.wav", call_key="at:a", match_key="m", content_id="c")
    kit.unconfirmed(b"lost.wav", match_key="m2")
    kit.record(b"back.wav", lane=1, import_n=made.n)
    yield kit
    kit.close()


def plans(kit, use) -> dict[str, str]:
    """Run `use` on a ledger, and explain every statement that it ran."""
    spy = Spy()
    writer = SpyingWriter(kit.path, spy)
    ledger = Ledger(kit.path, writer=writer, role=None)
    pool = ledger._readers
    with pool.lend() as db:
        db.conn.set_trace_callback(spy)
    spy.statements.clear()
    try:
        use(ledger)
    finally:
        ledger.close()
    explained = {}
    db = sqlite3.connect(kit.path)
    for statement in dict.fromkeys(spy.statements):
        if re.match(r"(?i)\s*(SELECT|UPDATE|DELETE|INSERT|WITH)", statement):
            rows = db.execute("EXPLAIN QUERY PLAN " + statement).fetchall()
            explained[statement] = "\n".join(detail for *_, detail in rows)
    db.close()
    return explained


def identity(kit, **values):
    return kit.identity(**{"content_id": "c", "call_key": "at:a", "match_key": "m"} | values)


HOT = {
    "claim": lambda kit, led: led.recordings.claim(WAITING, limit=8, now=kit.now),
    "claim submitted": lambda kit, led: led.recordings.claim([State.SUBMITTED], limit=8, now=kit.now),
    "claim an import": lambda kit, led: led.recordings.claim(WAITING, limit=8, now=kit.now, import_n=1),
    "next due": lambda kit, led: led.recordings.next_due(WAITING),
    "next due of an import": lambda kit, led: led.recordings.next_due(WAITING, import_n=1),
    "oldest waiting": lambda kit, led: led.recordings.oldest_waiting(),
    "held": lambda kit, led: led.recordings.held(),
    "counts": lambda kit, led: led.recordings.counts(),
    "counts of an import": lambda kit, led: led.recordings.counts(import_n=1),
    "attention": lambda kit, led: led.recordings.attention_reasons(),
    "find": lambda kit, led: led.recordings.find("i-1"),
    "history": lambda kit, led: led.recordings.history(1),
    "open attempts": lambda kit, led: led.attempts.open_attempts(),
    "owners": lambda kit, led: led.attempts.owners(["i-1", "i-2"]),
    "in window": lambda kit, led: list(led.attempts.in_window(start=0, end=kit.now)),
    "own ids": lambda kit, led: led.attempts.own_ids(["i-1", "i-2"]),
    "unlisted": lambda kit, led: led.attempts.unlisted(since=0, limit=3),
    "sweep": lambda kit, led: led.attempts.sweep(at=kit.now),
    "forgive": lambda kit, led: led.recordings.forgive_refusals(at=kit.now),
    "a directory": lambda kit, led: led.scan_cache.directory(kit.source_n, ROOT),
    "unknown directories": lambda kit, led: led.scan_cache.unknown(kit.source_n, [ROOT, b"/none"]),
    "directories": lambda kit, led: list(led.scan_cache.directories(kit.source_n)),
    "stamps": lambda kit, led: led.scan_cache.stamps(1, [b"00001.wav", b"00002.wav"]),
    "stamps of stems": lambda kit, led: led.scan_cache.with_prefixes(1, [b"00001.", b"00002."]),
    "siblings": lambda kit, led: led.scan_cache.siblings(kit.source_n, ROOT, b"00001."),
    "pages": lambda kit, led: next(led.scan_cache.pages(1)),
    "seen": lambda kit, led: led.books.first_seen(["a", "b"]),
    "shares staged": lambda kit, led: led.recordings.shares_staged(kit.row(2001)),
    "record": lambda kit, led: led.discovery.record(
        source_n=kit.source_n, directory=ROOT, gone=[b"00002.wav"], wake=[b"00003.wav"], at=kit.now,
        sights=[Sight(name=b"00001.wav", stamp=stamp(2), is_recording=True)], arrival=Arrival(due_at=kit.now),
    ),
}  # fmt: skip


def changing(kit, ledger):
    """The moves of one recording from end to end: identity, twins, intent, outcome."""
    from tests.unit.ledger.kit import accepted
    from uploader.ledger.identity import Contents
    from uploader.ledger.settlement import Refusal

    db = ledger._writer.db
    row = ledger.recordings.get(1)

    def work(db):
        ledger.recordings._writer = ledger.attempts._writer = Inside(db)
        db.execute("UPDATE recording SET claimed = 9, due_at = NULL WHERE n = 1")
        claimed = changes_fetch(db)
        contents = Contents(body="{}", media="{}", sidecar=None)
        ready = ledger.recordings.make_ready(claimed, identity(kit, content_id="new", call_key="at:n"), contents, at=1)
        staged = ledger.recordings.apply(ready, Event.STAGED, at=1, claimed=9)
        attempt, _ = ledger.attempts.begin(staged, at=1, day="d")
        ledger.attempts.finish(
            attempt.n, accepted("fresh"), at=1, refusal=Refusal(due_at=1, at_fault=False), track_at=1
        )

    def changes_fetch(db):
        from uploader.ledger import changes

        return changes.fetch(db, row.n)

    ledger._writer.write(work)
    assert db is not None


class Inside:
    def __init__(self, db):
        self.db = db

    def write(self, work, *, redoable=False):
        return work(self.db)


FILTERS = {
    "all": Filter(),
    "states": Filter(states=(State.STAGED, State.QUARANTINED)),
    "source": Filter(source="hq"),
    "import": Filter(import_name="i"),
    "import and state": Filter(import_name="i", states=(State.SUBMITTED,)),
    "reason": Filter(reason="twin"),
    "reason of a state": Filter(reason="twin", states=(State.STAGED,), source="hq"),
    "overdue": Filter(overdue_before=1 << 44, source="hq"),
    "since": Filter(since=5, until=1 << 44),
    "since, of a state": Filter(since=5, states=(State.SUBMITTED,)),
}
HOT |= {
    f"list {name}": lambda kit, led, of=of: list(led.recordings.search(of, limit=9)) for name, of in FILTERS.items()
}
HOT |= {
    "count states": lambda kit, led: led.recordings.count(FILTERS["states"]),
    "count overdue": lambda kit, led: led.recordings.count(FILTERS["overdue"]),
    "count a reason": lambda kit, led: led.recordings.count(FILTERS["reason of a state"]),
    "reasons": lambda kit, led: led.recordings.reasons(Filter()),
    "waiting": lambda kit, led: led.recordings.waiting_reasons(),
    "held of a source": lambda kit, led: led.recordings.held_by_source("backlog"),
    "find a beginning": lambda kit, led: led.recordings.find("k"),
    "find a path": lambda kit, led: led.recordings.find("/gone/a.wav"),
    "by id": lambda kit, led: led.recordings.by_id("0123456789"),
    "live waiting": lambda kit, led: led.recordings.is_live_waiting(now=1),
    "back-fill ahead": lambda kit, led: led.recordings.is_back_fill_ahead(now=1, limit=5),
    "attempts": lambda kit, led: led.attempts.of(1),
    "in flight": lambda kit, led: led.attempts.in_flight(),
    "stuck": lambda kit, led: led.imports.stuck(1),
    "glance": lambda kit, led: led.glance(now=1, overdue_before=1, day="d", notes=("paused",)),
}
HOT["the whole way"] = changing
HOT["duplicates"] = lambda kit, led: led.recordings.apply(led.recordings.get(1), Event.FAULTED, at=kit.now)
HOT["sweep in doubt"] = lambda kit, led: led.attempts.sweep(at=kit.now, doubt=(0, kit.now))
SCANS = re.compile(r"SCAN (?:recording|r|attempt|a|history|h|entry|e|seen)\b(?! USING (?:COVERING )?INDEX)")
NARROW = (
    "recording_held",
    "recording_open",
    "recording_twin",
    "attempt_open",
    "recording_claimed",
    "recording_reason",
    "sqlite_autoindex_source_1",
)
"""Indexes that hold no more than what waits, is held or in doubt: to read one whole is to read its answer."""


@pytest.mark.parametrize("what", HOT)
def test_no_statement_that_runs_again_and_again_reads_a_whole_table(large, what):
    explained = plans(large, lambda ledger: HOT[what](large, ledger))
    assert explained
    for statement, plan in explained.items():
        assert not SCANS.search(plan), f"{statement}\n{plan}"
        whole = re.findall(r"SCAN \w+ USING (?:COVERING )?INDEX (\w+)", plan)
        assert all(index in NARROW for index in whole), f"{statement}\n{plan}"


@pytest.mark.parametrize("what", ["siblings", "stamps", "stamps of stems", "record", "find a path"])
def test_what_concerns_a_few_names_does_not_read_a_whole_directory(large, what):
    """A directory may hold a million: each recording in it that read all its names cost 27 ms among 100,000."""
    plan = "\n".join(plans(large, lambda ledger: HOT[what](large, ledger)).values())
    searches = re.findall(r"SEARCH (?:entry|e) USING PRIMARY KEY \(([^)]*)\)", plan)
    assert searches
    assert all("name" in search for search in searches), plan


@pytest.mark.parametrize(
    ("what", "index"),
    [
        ("claim", "recording_due"),
        ("claim an import", "recording_due"),
        ("next due", "recording_due"),
        ("oldest waiting", "recording_open"),
        ("held", "recording_held"),
        ("open attempts", "attempt_open"),
        ("the whole way", "recording_content"),
        ("the whole way", "recording_call"),
        ("the whole way", "recording_twin"),
        ("the whole way", "recording_waiting_twin"),
        ("duplicates", "recording_same"),
        ("sweep", "recording_twin"),
        ("sweep", "recording_claimed"),
    ],
)
def test_the_index_made_for_it_is_used(large, what, index):
    assert any(index in plan for plan in plans(large, lambda ledger: HOT[what](large, ledger)).values())


def test_a_claim_among_many_that_wait_is_quick(large):
    """Not a benchmark: what would read all rows in each of 300 turns does not end in this time."""
    done = threading.Event()

    def turns():
        for _ in range(300):
            large.ledger.recordings.next_due([State.STAGED])
        done.set()

    thread = threading.Thread(target=turns)
    thread.start()
    thread.join(20)
    assert done.is_set()
