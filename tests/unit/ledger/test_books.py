"""The small tables: notes, counters, gates, the day's budget, keys, what was seen; and the audit."""

from __future__ import annotations

import sqlite3

import pytest

from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.ledger.audit import Step
from uploader.ledger.books import GateRow, bump
from uploader.ledger.ids import ALPHABET, LENGTH, new_id
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import from_ms, to_ms
from uploader.ledger.words import NUMBERS, WORDS


def findings(kit, open_before=0):
    return {one.check: one for one in kit.ledger.audit.findings(open_before=open_before)}


def off(kit, **options):
    return {check for check, one in findings(kit, **options).items() if one.count}


def test_notes_and_counters(kit):
    books = kit.ledger.books
    assert (books.note("x"), books.counter("x")) == (None, 0)
    kit.ledger.recordings.write(lambda db: (bump(db, "x"), bump(db, "x", 4)))
    assert (books.counter("x"), books.note("x")) == (5, "5")
    books.set_notes({"x": "7", "y": "z"})
    assert (books.counter("x"), books.note("y")) == (7, "z")


def test_a_ring_is_heard_as_another_number(kit):
    before = kit.ledger.books.counter("wake")
    kit.ledger.books.ring()
    assert kit.ledger.books.counter("wake") != before


def test_gates_are_kept_and_closed_ones_are_probed_on_a_persons_word(kit):
    books = kit.ledger.books
    shut = GateRow(name="submit", reason="scope", message="m", hint="h", closed_at=1, probe_at=99, failures=4)
    opened = GateRow(name="token", reason=None, message="", hint="", closed_at=None, probe_at=None, failures=0)
    books.put_gate(shut)
    books.put_gate(opened)
    assert books.gates() == [shut, opened]
    wake = books.counter("wake")
    books.probe_gates(at=5)
    after = {gate.name: gate for gate in books.gates()}
    assert (after["submit"].probe_at, after["submit"].failures, after["token"].probe_at) == (5, 0, None)
    assert books.counter("wake") > wake


def test_the_budget_counts_by_day(kit):
    kit.submitting(b"a.wav")
    assert kit.ledger.books.submissions("2026-11-20") == 1
    assert kit.ledger.books.submissions("2026-11-21") == 0


def test_keys_are_random_newest_first_and_old_ones_are_forgotten(kit):
    books = kit.ledger.books
    for at in (1, 2, 3):
        books.rotate_keys(at=at, keep_since=0)
    assert [key.created_at for key in books.signing_keys()] == [3, 2, 1]
    assert len({key.secret for key in books.signing_keys()}) == 3
    assert {len(key.secret) for key in books.signing_keys()} == {32}
    books.rotate_keys(at=9, keep_since=3)
    assert [key.created_at for key in books.signing_keys()] == [9, 3]


def test_what_was_seen_first_stays(kit):
    books = kit.ledger.books
    books.note_seen(["a", "b"], at=5)
    books.note_seen(["b", "c"], at=9)
    books.note_seen([], at=10)
    assert books.first_seen(["a", "b", "c", "d"]) == {"a": 5, "b": 5, "c": 9}
    many = [f"x{n}" for n in range(1200)]
    books.note_seen(many, at=1)
    assert len(books.first_seen(many)) == 1200


def test_what_is_first_seen_after_a_clock_stepped_back_was_not_there_before_the_attempt(kit):
    row = kit.unconfirmed()
    kit.clock.step(-600)
    kit.ledger.books.note_seen(["ours"], at=kit.now)
    (attempt,) = kit.ledger.attempts.of(row.n)
    assert kit.ledger.books.first_seen(["ours"])["ours"] >= attempt.started_at


def test_times_go_to_the_ledger_and_back(kit):
    assert from_ms(to_ms(kit.clock.now())) == kit.clock.now()


def test_ids_have_no_look_alikes():
    found = {new_id(n) for n in range(300)}
    assert len(found) == 300
    assert {len(one) for one in found} == {LENGTH}
    assert set("".join(found)) <= set(ALPHABET)
    assert not set("ilou") & set(ALPHABET)


def test_every_state_and_event_has_its_word_and_the_ledger_has_them_all(kit):
    assert {*State, *Event} <= set(WORDS)
    assert len(set(WORDS)) == len(WORDS)
    assert kit.ask("SELECT n, word FROM word ORDER BY n") == list(enumerate(WORDS, start=1))


def test_a_word_that_nobody_knows_is_shown_as_its_number(kit):
    row = kit.discover()
    kit.force("UPDATE step SET event = 999")
    assert kit.history(row) == ["999"]
    assert Step(before=None, event="999", after="discovered") in kit.ledger.audit.steps()


def test_books_that_add_up_have_nothing_to_find(kit):
    kit.submitted(b"a.wav")
    kit.unconfirmed(b"b.wav")
    assert off(kit) == set()
    kit.ledger.audit.integrity()


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        ("state", "UPDATE recording SET state = 'lost' WHERE n = 1"),
        ("history", "UPDATE recording SET state = 'ready' WHERE n = 1"),
        ("history", "DELETE FROM step WHERE recording_n = 1"),
        ("interaction", "UPDATE recording SET interaction_id = NULL WHERE n = 1"),
        ("interaction", "UPDATE recording SET interaction_id = 'other' WHERE n = 1"),
        ("interaction", "DELETE FROM attempt WHERE recording_n = 1"),
        ("once", "UPDATE recording SET interaction_id = 'i-1'"),
        ("source", "UPDATE recording SET source_n = 9 WHERE n = 1"),
        ("attempts", "DELETE FROM recording WHERE n = 1"),
        ("histories", "DELETE FROM recording WHERE n = 1"),
        ("counts", "DELETE FROM recording WHERE n = 1"),
        ("counts", "UPDATE tally SET count = count + 1"),
        ("counts", "INSERT INTO tally VALUES (1, 7, 'ready', 2, 2)"),
    ],
)
def test_what_does_not_add_up_is_found(kit, check, statement):
    row = kit.submitted(b"a.wav")
    kit.unconfirmed(b"b.wav")
    kit.force(statement)
    assert check in off(kit)
    assert row.id in findings(kit)[check].ids or check in {"attempts", "histories", "counts"}


def test_an_attempt_that_is_open_for_too_long_is_found(kit):
    row = kit.unconfirmed()
    assert off(kit, open_before=kit.now) == set()
    assert findings(kit, open_before=kit.now + 1)["open"].ids == (row.id,)


def test_an_illegal_step_in_a_history_is_found(kit):
    row = kit.ready()
    kit.force("INSERT INTO step VALUES (?, 99, 1, ?, ?, NULL)", row.n, NUMBERS["accepted"], NUMBERS["submitted"])
    step = Step(before="ready", event="accepted", after="submitted")
    assert step in kit.ledger.audit.steps()
    assert kit.ledger.audit.recordings_with([step]).ids == (row.id,)
    assert kit.ledger.audit.recordings_with([]).count == 0


def test_of_many_findings_all_are_counted_and_some_are_named(kit):
    kit.record(*[b"%d.wav" % n for n in range(30)])
    kit.force("UPDATE recording SET state = 'lost'")
    found = findings(kit)["state"]
    assert (found.count, len(found.ids)) == (30, 10)


def test_a_damaged_file_fails_the_integrity_check(kit):
    kit.record(*[b"%04d.wav" % n for n in range(400)])
    kit.close()
    with sqlite3.connect(kit.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(kit.path.read_bytes())
    # rows only: the tables' own description is at the beginning
    place = content.rindex(b"0399.wav")
    content[place - 200 : place + 8] = b"\xaa" * 208
    content[place // 4096 * 4096 : place // 4096 * 4096 + 8] = b"\xaa" * 8
    kit.path.write_bytes(content)
    again = Ledger.open_beside(kit.path)
    with pytest.raises(LedgerError, match="damaged"):
        again.audit.integrity()
    again.close()
