"""The books verified: what is right stays quiet, and each kind of fault is found and named."""

from __future__ import annotations

import sqlite3

import pytest

from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.ledger.filters import Filter
from uploader.service.operations import changes
from uploader.service.operations.changes import Manner
from uploader.service.operations.opening import existing
from uploader.service.operations.verification import verify


def spoil(maker, *statements):
    with sqlite3.connect(maker.path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def off(maker):
    return {check.name: check for check in verify(maker.ledger, now=maker.now).checks if not check.ok}


@pytest.fixture
def full(maker):
    for state in State:
        maker.in_state(state)
    return maker


def test_a_ledger_with_every_state_is_right(full):
    found = verify(full.ledger, now=full.now)
    assert found.ok
    assert found.recordings == len(State) + 1
    assert len(found.checks) == 10


def test_what_a_person_did_is_right_too(full):
    rows = list(full.ledger.recordings.search(Filter()))
    changes.retry(full.ledger, rows, manner=Manner.SEND_AGAIN, now=full.now, overdue_before=full.at + 1)
    assert off(full) == {}


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE recording SET state = 'lost' WHERE state = 'ready'", "state"),
        ("UPDATE recording SET state = 'ready' WHERE state = 'refused'", "history"),
        ("UPDATE recording SET interaction_id = NULL WHERE state = 'submitted'", "interaction"),
        ("UPDATE recording SET interaction_id = 'made up' WHERE state = 'analyzed'", "interaction"),
        ("DELETE FROM attempt WHERE interaction_id IS NOT NULL", "interaction"),
        (
            "UPDATE recording SET interaction_id = (SELECT interaction_id FROM recording WHERE state = 'analyzed') "
            "WHERE state = 'submitted'",
            "once",
        ),
        ("UPDATE recording SET source_n = 99 WHERE state = 'refused'", "counts"),
        ("INSERT INTO attempt (recording_n, number, started_at, open) VALUES (9999, 1, 1, 0)", "attempts"),
        ("INSERT INTO step VALUES (9999, 1, 1, 3, 3, NULL)", "histories"),
        ("UPDATE tally SET count = count + 1 WHERE state = 'ready'", "counts"),
        ("DELETE FROM tally WHERE state = 'ready'", "counts"),
        ("UPDATE step SET event = 20 WHERE event = (SELECT n FROM word WHERE word = 'faulted')", "steps"),
        ("UPDATE step SET event = 99 WHERE event = (SELECT n FROM word WHERE word = 'staged')", "steps"),
        ("DELETE FROM step WHERE event = (SELECT n FROM word WHERE word = 'discovered')", "steps"),
    ],
)  # fmt: skip
def test_a_fault_is_found(full, statement, check):
    spoil(full, statement)
    assert check in off(full)


def test_a_fault_names_the_first_ids_and_counts_all(maker):
    rows = [maker.submitted() for _ in range(12)]
    spoil(maker, "UPDATE recording SET interaction_id = NULL")
    found = off(maker)["interaction"]
    assert found.count == 12
    assert len(found.ids) == 10
    assert set(found.ids) <= {row.id for row in rows}


def test_an_attempt_that_is_open_for_more_than_seven_days_is_reported(maker):
    row = maker.unconfirmed()
    maker.pass_time(days=7)
    assert off(maker) == {}
    maker.pass_time(hours=2)
    assert off(maker)["open"].ids == (row.id,)


def test_a_double_in_the_history_moves_nothing_and_is_legal(maker):
    row = maker.unconfirmed()
    changes.adopt(maker.ledger, row.id, "one", now=maker.now)
    [attempt] = maker.ledger.attempts.of(row.n)
    maker.ledger.attempts.report_double(attempt.n, "two", at=maker.at)
    assert "steps" not in off(maker)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no ledger, whatever its name says" * 100)
    with pytest.raises(LedgerError, match="damaged"), existing(path):
        pass


def test_a_ledger_that_does_not_exist_is_not_made_by_looking_at_it(tmp_path):
    path = tmp_path / "none" / "ledger.db"
    with existing(path) as (ledger, exists):
        assert not exists
        assert ledger.recordings.counts()[State.READY] == 0
    assert not path.parent.exists()
