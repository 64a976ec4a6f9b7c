"""One look at the ledger: what it tells, and that it never reads a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.ledger_maker import LedgerMaker
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger import glance as module
from uploader.ledger.connection import ReaderPool
from uploader.ledger.glance import Glance, glance
from uploader.ledger.rows import to_ms

DAY = "2026-11-20"
NOTES = ("paused", "doubles", "resent_after_unknown")


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[LedgerMaker]:
    made = LedgerMaker(tmp_path / "ledger.db")
    yield made
    made.close()


def look(maker: LedgerMaker, *, deadline: timedelta = timedelta(hours=72)) -> Glance:
    return maker.ledger.glance(now=maker.at, overdue_before=to_ms(maker.now - deadline), day=DAY, notes=NOTES)


def test_an_empty_ledger_has_nothing_and_no_moments(maker: LedgerMaker) -> None:
    found = look(maker)
    assert not found.recordings
    assert found.oldest_waiting_at is found.oldest_submitted_at is found.accepted_at is None
    assert found.overdue == found.claimed == found.open_attempts == found.submissions_today == 0
    assert set(found.held) == set(Reason)


def test_recordings_are_counted_by_source_and_state(maker: LedgerMaker) -> None:
    maker.discovered()
    maker.discovered(source="branch")
    maker.submitted()
    found = look(maker)
    assert found.recordings["hq", State.DISCOVERED] == 1
    assert found.recordings["branch", State.DISCOVERED] == 1
    assert found.recordings["hq", State.SUBMITTED] == 1


def test_entries_count_what_came_and_went(maker: LedgerMaker) -> None:
    maker.submitted()
    found = look(maker)
    assert found.recordings["hq", State.READY] == 0
    assert {state for (_, state), count in found.entered.items() if count == 1} >= {
        State.DISCOVERED, State.READY, State.STAGED, State.SUBMITTING, State.SUBMITTED,
    }  # fmt: skip


def test_a_held_recording_is_no_oldest_waiting_and_not_due(maker: LedgerMaker) -> None:
    maker.discovered(held=Reason.BACKLOG)
    maker.pass_time(minutes=5)
    second = maker.at
    maker.discovered()
    maker.pass_time(minutes=5)
    found = look(maker)
    assert found.oldest_waiting_at == second
    assert found.held[Reason.BACKLOG] == 1
    assert found.due[State.DISCOVERED] == 1


def test_overdue_is_what_was_submitted_before_the_deadline(maker: LedgerMaker) -> None:
    first = maker.at
    maker.submitted()
    maker.pass_time(hours=73)
    maker.submitted()
    found = look(maker)
    assert found.overdue == 1
    assert found.oldest_submitted_at == first
    assert found.accepted_at == maker.at


def test_what_a_counter_among_the_notes_has_come_to_is_told(maker: LedgerMaker) -> None:
    maker.ledger.books.set_notes({"doubles": "2", "paused": "1", "account_id": "someone"})
    found = look(maker)
    assert found.number("doubles") == 2
    assert found.number("resent_after_unknown") == 0
    assert found.notes == {"doubles": "2", "paused": "1"}


def test_rows_are_counted_up_to_a_limit(maker: LedgerMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    for _ in range(4):
        maker.discovered()
    found = look(maker)
    assert found.due[State.DISCOVERED] == 2
    assert found.recordings["hq", State.DISCOVERED] == 4


class Watching:
    """Lends a connection that writes down how each statement would be run."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers
        self.plans: dict[str, str] = {}

    @contextmanager
    def lend(self) -> Iterator[Any]:
        with self._readers.lend() as db:
            self._db = db
            yield self

    def execute(self, query: str, values: Any = ()) -> Any:
        rows = self._db.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        self.plans[query] = "; ".join(row[3] for row in rows)
        return self._db.execute(query, values)


def test_every_statement_is_an_index_look_up_or_reads_a_small_table(maker: LedgerMaker) -> None:
    readers = ReaderPool(maker.path)
    watching = Watching(readers)
    glance(watching, now=maker.at, overdue_before=0, day=DAY, notes=NOTES)  # type: ignore[arg-type]
    readers.close()
    assert len(watching.plans) >= 8
    for query, plan in watching.plans.items():
        touched = re.findall(r"(SCAN|SEARCH) (\w+)( USING (?:COVERING )?INDEX \w+)?", plan)
        for how, table, index in touched:
            is_small = table in {"source", "tally", "note", "budget"} or table == "subquery"
            is_narrow = index.endswith(("recording_claimed", "attempt_open"))
            assert is_small or is_narrow or (how == "SEARCH" and index), f"{query}\n{plan}"
        assert "TEMP B-TREE" not in plan or "tally" in query, f"{query}\n{plan}"
