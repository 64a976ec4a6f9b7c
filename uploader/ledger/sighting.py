"""How one file that a scan saw becomes, changes or wakes a recording. Functions on an open transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlite_utils import Database

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.recordings import PARKED
from uploader.ledger.rows import new_id

GONE = Stamp(size_bytes=-1, mtime_ns=0, inode=0)
"""The stamp of an entry whose file is gone while its recording still waits."""

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


def directory_number(db: Database, source_n: int, path: bytes) -> int:
    """Return the number of a directory; make it known if need be."""
    found = db.execute("SELECT n FROM directory WHERE source_n = ? AND path = ?", (source_n, path)).fetchone()
    if found is None:
        found = db.execute(
            "INSERT INTO directory (source_n, path) VALUES (?, ?) RETURNING n", (source_n, path)
        ).fetchone()
    return int(found[0])


def known_entries(db: Database, directory_n: int, names: list[bytes]) -> dict[bytes, int | None]:
    """Return the recording of each of these names that the last scan saw."""
    known: dict[bytes, int | None] = {}
    for name in names:
        found = db.execute(
            "SELECT recording_n FROM entry WHERE directory_n = ? AND name = ?", (directory_n, name)
        ).fetchone()
        if found is not None:
            known[name] = found[0]
    return known


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
    return "new", insert(db, source_n=source_n, location=location, sight=sight, arrival=arrival, at=at)


def insert(db: Database, *, source_n: int, location: bytes, sight: Sight, arrival: Arrival, at: int) -> int:
    """Add a recording that was just discovered; return its number."""
    table = "import" if arrival.import_n else "source"
    paused = db.execute(f"SELECT paused FROM {table} WHERE n = ?", (arrival.import_n or source_n,)).fetchone()[0]
    held = None if arrival.held is None else arrival.held.value
    why = changes.reason_of(arrival.held) if arrival.held else {"reason_code": None, "reason": None}
    while True:
        # Ten random characters: a clash is all but impossible, and then simply drawn again.
        id_ = new_id()
        if db.execute("SELECT 1 FROM recording WHERE id = ?", (id_,)).fetchone() is None:
            break
    n = db.execute(
        "INSERT INTO recording (id, source_n, import_n, location, state, reason_code, reason, held, lane, due_at, "
        "size_bytes, mtime_ns, inode, etag, stamped_at, discovered_at) "
        "VALUES (?, ?, ?, ?, 'discovered', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING n",
        (
            id_, source_n, arrival.import_n, location, why["reason_code"], why["reason"], held,
            arrival.lane + (PARKED if paused else 0), None if held else arrival.due_at, sight.stamp.size_bytes,
            sight.stamp.mtime_ns, sight.stamp.inode, sight.etag, at, at,
        ),
    ).fetchone()[0]  # fmt: skip
    changes.append(db, n, event=Event.DISCOVERED, state=State.DISCOVERED, at=at, detail=held)
    return int(n)


def put_entry(db: Database, directory_n: int, sight: Sight, recording_n: int | None, at: int) -> None:
    """Write what the scan saw of one file."""
    stamp = sight.stamp
    db.execute(
        "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
        (directory_n, sight.name, stamp.size_bytes, stamp.mtime_ns, stamp.inode, recording_n, at),
    )


def forget(db: Database, directory_n: int, name: bytes) -> None:
    """Take a file that is gone out of the cache; keep the tie to a recording that still waits."""
    waiting = db.execute(
        "SELECT 1 FROM entry e JOIN recording r ON r.n = e.recording_n WHERE directory_n = ? AND name = ? "
        "AND r.state NOT IN ('submitted', 'analyzed', 'discarded')",
        (directory_n, name),
    ).fetchone()
    if waiting:
        db.execute(
            "UPDATE entry SET size_bytes = ?, mtime_ns = ?, inode = ? WHERE directory_n = ? AND name = ?",
            (GONE.size_bytes, GONE.mtime_ns, GONE.inode, directory_n, name),
        )
    else:
        db.execute("DELETE FROM entry WHERE directory_n = ? AND name = ?", (directory_n, name))


def wake_by_name(db: Database, directory_n: int, name: bytes, at: int) -> int:
    """Judge a recording again whose sidecar came, changed or went."""
    found = db.execute(
        "SELECT recording_n FROM entry WHERE directory_n = ? AND name = ?", (directory_n, name)
    ).fetchone()
    if found is None or found[0] is None:
        return 0
    try:
        row = changes.fetch(db, found[0])
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
