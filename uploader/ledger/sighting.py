"""How one file that a scan saw becomes, changes or wakes a recording. Functions on an open transaction."""

from __future__ import annotations

from dataclasses import dataclass

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.connection import Database
from uploader.ledger.finding import keep_place
from uploader.ledger.ids import SPAN, new_id
from uploader.ledger.recordings import PARKED

_REPLACED_IS_NEW = frozenset({State.SUBMITTED, State.ANALYZED, State.DISCARDED})
_IN_FLIGHT = frozenset({State.SUBMITTING, State.UNCONFIRMED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One file that a scan saw. `etag` is of S3 objects."""

    name: bytes
    stamp: Stamp
    is_recording: bool
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How what is new is to be treated."""

    lane: int = 0
    due_at: int
    held: Reason | None = None
    import_n: int = 0


def see(
    db: Database, source_n: int, location: bytes, sight: Sight, known: int | None, arrival: Arrival, at: int
) -> tuple[str, int | None]:
    """Insert or update the recording of one file; return what happened and its number."""
    if known is not None:
        row = changes.fetch(db, known)
        if row.state in _IN_FLIGHT:
            return "busy", known
        if row.state not in _REPLACED_IS_NEW:
            columns = {
                "size_bytes": sight.stamp.size_bytes, "mtime_ns": sight.stamp.mtime_ns,
                "inode": sight.stamp.inode, "etag": sight.etag, "stamped_at": at, "copy": 0,
                "due_at": None if row.held == Reason.BACKLOG else arrival.due_at,
            }  # fmt: skip
            if row.state is State.DISCOVERED:
                changes.change(db, row, claim=changes.ANY_CLAIM, claimed=None, **columns)
            else:
                changes.apply(
                    db, row, Event.CHANGED, at=at, claim=changes.ANY_CLAIM, detail="the file changed", **columns
                )
            return "changed", known
        keep_place(db, known)
    return "new", insert(db, source_n=source_n, location=location, sight=sight, arrival=arrival, at=at)


def insert(db: Database, *, source_n: int, location: bytes, sight: Sight, arrival: Arrival, at: int) -> int:
    """Add a recording that was just discovered; return its number."""
    table = "import" if arrival.import_n else "source"
    paused = db.execute(f"SELECT paused FROM {table} WHERE n = ?", (arrival.import_n or source_n,)).fetchone()[0]
    held = None if arrival.held is None else arrival.held.value
    why = changes.reason_of(arrival.held) if arrival.held else {"reason_code": None, "reason": None}
    n = db.execute("SELECT coalesce(max(n), 0) + 1 FROM recording").fetchone()[0]
    db.execute(
        "INSERT INTO recording (n, id, source_n, import_n, location, state, reason_code, reason, held, lane, due_at, "
        "size_bytes, mtime_ns, inode, etag, stamped_at, discovered_at) "
        "VALUES (?, ?, ?, ?, ?, 'discovered', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            n, _fresh_id(db, n), source_n, arrival.import_n, location, why["reason_code"], why["reason"], held,
            arrival.lane + (PARKED if paused else 0), None if held else arrival.due_at, sight.stamp.size_bytes,
            sight.stamp.mtime_ns, sight.stamp.inode, sight.etag, at, at,
        ),
    )  # fmt: skip
    changes.append(db, n, event=Event.DISCOVERED, state=State.DISCOVERED, at=at, detail=held)
    return int(n)


def _fresh_id(db: Database, n: int) -> str:
    """Return an id that no other recording has: only those far before it could."""
    while True:
        id_ = new_id(n)
        before = range(n - SPAN, 0, -SPAN)
        if all(db.execute("SELECT id FROM recording WHERE n = ?", (m,)).fetchone() != (id_,) for m in before):
            return id_


def wake_one(db: Database, recording_n: int, at: int) -> int:
    """Judge a recording again whose sidecar came, changed or went; return how many were woken."""
    try:
        row = changes.fetch(db, recording_n)
    except RowMoved:
        return 0
    if row.state is State.DISCOVERED:
        due = None if row.held == Reason.BACKLOG else at
        changes.change(db, row, claim=changes.ANY_CLAIM, claimed=None, due_at=due)
        return 1
    if (row.state, Event.CHANGED) in TRANSITIONS:
        changes.apply(db, row, Event.CHANGED, at=at, claim=changes.ANY_CLAIM, due_at=at, detail="the sidecar changed")
        return 1
    if row.state in _IN_FLIGHT:
        # What is under way cannot be changed any more; what may follow it is judged anew.
        changes.change(db, row, claim=changes.ANY_CLAIM, stale=1)
    return 0
