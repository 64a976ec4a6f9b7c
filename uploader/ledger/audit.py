"""The books checked against themselves: statements that find what does not add up; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.words import NUMBERS, PRUNED, number_of

SHOWN = 10
"""So many ledger ids are named of each kind of finding."""
_STATES = ", ".join(f"'{state}'" for state in State)
_ID_MISSING = "r.state IN ('submitted', 'analyzed') AND "


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: how many rows are off, and the first of their ledger ids (none where rows have none)."""

    check: str
    count: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of step in the histories: from no state (None) or a state, by an event, to a state."""

    before: str | None
    event: str
    after: str


_OF_RECORDINGS = {
    "state": f"SELECT r.id FROM recording r WHERE r.state NOT IN ({_STATES})",
    "history": (
        "SELECT r.id FROM recording r WHERE r.state IS NOT "
        "(SELECT w.word FROM step h JOIN word w ON w.n = h.state WHERE h.recording_n = r.n ORDER BY h.n DESC LIMIT 1)"
    ),
    "interaction": (
        f"SELECT r.id FROM recording r WHERE {_ID_MISSING} (r.interaction_id IS NULL OR NOT EXISTS "
        "(SELECT 1 FROM attempt a WHERE a.recording_n = r.n AND a.interaction_id = r.interaction_id))"
    ),
    "once": (
        "SELECT r.id FROM recording r WHERE r.interaction_id IN (SELECT interaction_id FROM recording "
        "WHERE interaction_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1)"
    ),
    "source": "SELECT r.id FROM recording r WHERE NOT EXISTS (SELECT 1 FROM source s WHERE s.n = r.source_n)",
}
_OF_NOTHING = {
    "attempts": "SELECT count(*) FROM attempt a WHERE NOT EXISTS (SELECT 1 FROM recording r WHERE r.n = a.recording_n)",
    "histories": ("SELECT count(*) FROM step h WHERE NOT EXISTS (SELECT 1 FROM recording r WHERE r.n = h.recording_n)"),
    "counts": (
        "SELECT count(*) FROM (SELECT source_n, import_n, state, sum(c) FROM ("
        "SELECT source_n, import_n, state, count AS c FROM tally UNION ALL "
        "SELECT source_n, import_n, state, -1 FROM recording) GROUP BY 1, 2, 3 HAVING sum(c) <> 0)"
    ),
}
_STEP = (
    # What pruning left of a history has lost the step before it, which was legal when it was pruned.
    "SELECT recording_n, before, event, state FROM (SELECT recording_n, event, state, lag(state) OVER way AS before, "
    "lead(event) OVER way AS next FROM step WINDOW way AS (PARTITION BY recording_n ORDER BY n)) "
    f"WHERE before IS NOT NULL OR next IS NOT {NUMBERS[PRUNED]}"
)
_SPELT = "coalesce((SELECT word FROM word w WHERE w.n = {0}), CAST({0} AS TEXT))"


class Audit:
    """Reads all tables. Each method is one consistent view of them."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers

    def integrity(self) -> None:
        """Let SQLite check the whole file. Raises LedgerError when it is damaged."""
        with self._readers.lend() as db:
            verdict = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise LedgerError("the ledger is damaged", hint="stop, keep the file, and restore a backup")

    def recordings(self) -> int:
        """Return how many recordings there are, counted one by one."""
        with self._readers.lend() as db:
            return _count(db, "SELECT count(*) FROM recording")

    def findings(self, *, open_before: int) -> list[Finding]:
        """Run every check; `open_before`: attempts begun before it (ms) should not be open any more."""
        with self._readers.lend() as db:
            found = [_of_recordings(db, check, query, ()) for check, query in _OF_RECORDINGS.items()]
            found += [Finding(check=check, count=_count(db, query)) for check, query in _OF_NOTHING.items()]
            found.append(
                _of_recordings(
                    db, "open", "SELECT DISTINCT r.id FROM attempt a JOIN recording r ON r.n = a.recording_n "
                    "WHERE a.open = 1 AND a.started_at < ?", (open_before,),
                )
            )  # fmt: skip
        return found

    def steps(self) -> list[Step]:
        """Return every kind of step that is in the histories."""
        with self._readers.lend() as db:
            spelt = ", ".join(_SPELT.format(column) for column in ("before", "event", "state"))
            found = db.execute(f"SELECT {spelt} FROM (SELECT DISTINCT before, event, state FROM ({_STEP}))").fetchall()
        return [Step(before=before, event=event, after=after) for before, event, after in found]

    def recordings_with(self, steps: Sequence[Step]) -> Finding:
        """Return the recordings that went any of these steps."""
        if not steps:
            return Finding(check="steps")
        conditions = " OR ".join("(before IS ? AND event = ? AND state = ?)" for _ in steps)
        values = [number_of(part) for step in steps for part in (step.before, step.event, step.after)]
        query = f"SELECT id FROM recording WHERE n IN (SELECT recording_n FROM ({_STEP}) WHERE {conditions})"
        with self._readers.lend() as db:
            return _of_recordings(db, "steps", query, values)


def _of_recordings(db: Database, check: str, query: str, values: Sequence[Any]) -> Finding:
    ids = [id_ for (id_,) in db.execute(f"{query} LIMIT {SHOWN}", values).fetchall()]
    count = len(ids) if len(ids) < SHOWN else _count(db, f"SELECT count(*) FROM ({query})", values)
    return Finding(check=check, count=count, ids=tuple(ids))


def _count(db: Database, query: str, values: Sequence[Any] = ()) -> int:
    return int(db.execute(query, values).fetchone()[0])
