"""How the ledger stands at one glance, for who asks often: index look-ups, however many recordings there are.

What can only be found by counting rows is counted up to `MOST`: that it is so many says enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.rows import WAITING

MOST = 10_000
"""Rows are counted up to so many."""
_PREPARING = (State.DISCOVERED, State.READY, State.STAGED)
_LANES = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGlance:
    """One source; times in milliseconds, None for never."""

    available: bool
    paused: bool
    scanned_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """Everything of one instant; times in milliseconds, None where there is no such thing."""

    recordings: Mapping[tuple[str, State], int]
    """How many are in each state, by source."""
    entered: Mapping[tuple[str, State], int]
    """How often a recording of a source came into a state, since the ledger was made."""
    sources: Mapping[str, SourceGlance]
    due: Mapping[State, int]
    """What waits for nothing but a free worker, a place or a gate; each at most `MOST`."""
    held: Mapping[Reason, int]
    """What waits for a person or for proof, by reason; each at most `MOST`."""
    overdue: int
    """At most `MOST`."""
    claimed: int
    """At most `MOST`."""
    open_attempts: int
    """Requests of unknown outcome that are still watched; at most `MOST`."""
    oldest_waiting_at: int | None
    oldest_submitted_at: int | None
    """When the one was submitted whose analysis has been awaited longest."""
    accepted_at: int | None
    """When a request last proved to have been accepted."""
    submissions_today: int
    notes: Mapping[str, str]

    def number(self, note: str) -> int:
        """Return a note that is a number; one never written is 0."""
        return int(self.notes.get(note) or 0)


def glance(readers: ReaderPool, *, now: int, overdue_before: int, day: str, notes: Sequence[str]) -> Glance:
    """Look once; `day` is the UTC day whose submissions count, `notes` are those to read. Raises LedgerError."""
    with readers.lend() as db:
        sources = {
            n: (name, SourceGlance(available=bool(available), paused=bool(paused), scanned_at=scanned_at))
            for n, name, available, paused, scanned_at in db.execute(
                "SELECT n, name, available, paused, scanned_at FROM source"
            )
        }
        recordings, entered = _tally(db, {n: name for n, (name, _) in sources.items()})
        return Glance(
            recordings=recordings,
            entered=entered,
            sources=dict(sources.values()),
            due={state: sum(_due(db, state, lane, now) for lane in _LANES) for state in _PREPARING},
            held={reason: _count(db, "recording WHERE held = ?", reason.value) for reason in Reason},
            overdue=_count(db, "recording WHERE state = 'submitted' AND submitted_at < ?", overdue_before),
            claimed=_count(db, "recording WHERE claimed IS NOT NULL"),
            open_attempts=_count(db, "attempt WHERE open = 1 AND outcome IS NOT NULL"),
            oldest_waiting_at=_one(
                db,
                f"SELECT min(discovered_at) FROM recording WHERE {WAITING} AND held IS NULL",
            ),
            oldest_submitted_at=_one(db, "SELECT min(submitted_at) FROM recording WHERE state = 'submitted'"),
            accepted_at=_one(db, "SELECT max(ended_at) FROM attempt WHERE interaction_id IS NOT NULL"),
            submissions_today=_one(db, "SELECT sum(submissions) FROM budget WHERE day = ?", day) or 0,
            notes=_notes(db, notes),
        )


def _tally(db: Database, names: Mapping[int, str]) -> tuple[dict[tuple[str, State], int], dict[tuple[str, State], int]]:
    recordings: dict[tuple[str, State], int] = defaultdict(int)
    entered: dict[tuple[str, State], int] = defaultdict(int)
    for source_n, word, count, came in db.execute(
        "SELECT source_n, state, sum(count), sum(entered) FROM tally GROUP BY 1, 2"
    ):
        key = names[source_n], State(word)
        recordings[key] += count
        entered[key] += came
    return recordings, entered


def _due(db: Database, state: State, lane: int, now: int) -> int:
    return _count(db, "recording WHERE state = ? AND lane = ? AND due_at <= ?", state.value, lane, now)


def _notes(db: Database, keys: Sequence[str]) -> dict[str, str]:
    marks = ", ".join("?" * len(keys))
    return dict(db.execute(f"SELECT key, value FROM note WHERE key IN ({marks})", list(keys)).fetchall())


def _count(db: Database, what: str, *values: Any) -> int:
    return _one(db, f"SELECT count(*) FROM (SELECT 1 FROM {what} LIMIT {MOST})", *values) or 0


def _one(db: Database, query: str, *values: Any) -> int | None:
    found = db.execute(query, values).fetchone()[0]
    return None if found is None else int(found)
