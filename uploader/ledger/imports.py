"""The recordings of imports: added in batches, known by their locations; what of them still moves.

An import has each location once. Adding the same again changes nothing, so that an import can be
interrupted and resumed; the scan cache of sources is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.ledger import changes
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.rows import IN_FLIGHT
from uploader.ledger.sighting import Arrival, Sight, insert
from uploader.ledger.writer import Writer

LANE = 1
"""Back-fill goes behind live recordings."""

_PART = 500
_SENT = frozenset({State.SUBMITTED, State.ANALYZED, State.DISCARDED})
_IN_FLIGHT = frozenset({State.SUBMITTING, State.UNCONFIRMED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSight:
    """One recording that an import found; `due_at` gives the order among them."""

    location: bytes
    stamp: Stamp
    due_at: int
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A recording that an import has already."""

    n: int
    state: State
    stamp: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What a batch came to. `late`: changed after it was sent, so left as it is."""

    new: int = 0
    known: int = 0
    changed: int = 0
    late: int = 0

    def __add__(self, other: Added) -> Added:
        """Sum them up."""
        return Added(
            new=self.new + other.new,
            known=self.known + other.known,
            changed=self.changed + other.changed,
            late=self.late + other.late,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """What of an import waits for something that may not come by itself."""

    held: int
    """Unconfirmed, and a person may have to look."""
    behind_twin: int
    """Staged, behind a recording of the same particulars that is unconfirmed."""
    twins_move: bool
    """Whether any unconfirmed recording of the ledger is still being looked for."""


class Imports:
    """The rows of imports."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def add(self, *, import_n: int, source_n: int, sights: Sequence[ImportSight], at: int) -> Added:
        """Add what is not there yet, as one transaction; one that waits and has changed is judged again."""

        def work(db: Database) -> Added:
            known = _known(db, import_n, [sight.location for sight in sights])
            counted = {"new": 0, "known": 0, "changed": 0, "late": 0}
            for sight in sights:
                at_hand = known.get(sight.location)
                if at_hand is None:
                    _insert(db, import_n, source_n, sight, at)
                    counted["new"] += 1
                elif at_hand.stamp == sight.stamp:
                    counted["known"] += 1
                else:
                    counted[_change(db, at_hand.n, sight, at)] += 1
            return Added(**counted)

        return self._writer.write(work)

    def known(self, import_n: int, locations: Sequence[bytes]) -> dict[bytes, Known]:
        """Return which of these locations an import has."""
        with self._readers.lend() as db:
            return _known(db, import_n, locations)

    def is_paused(self, import_n: int) -> bool:
        """Say whether an import is paused."""
        with self._readers.lend() as db:
            found = db.execute("SELECT paused FROM import WHERE n = ?", (import_n,)).fetchone()
        return bool(found and found[0])

    def update_settings(self, import_n: int, settings: str) -> None:
        """Write the settings that an import is resumed with."""
        self._writer.write(lambda db: db.execute("UPDATE import SET settings = ? WHERE n = ?", (settings, import_n)))

    def stuck(self, import_n: int) -> Stuck:
        """Return what waits for a person, or behind what does."""
        with self._readers.lend() as db:
            held = db.execute(
                "SELECT count(*) FROM recording WHERE state = 'unconfirmed' AND held IS NOT NULL AND import_n = ?",
                (import_n,),
            ).fetchone()[0]
            behind = db.execute(
                "SELECT count(*) FROM recording WHERE state = 'staged' AND reason_code = ? AND import_n = ?",
                (Reason.TWIN.value, import_n),
            ).fetchone()[0]
            moving = db.execute(f"SELECT 1 FROM recording WHERE {IN_FLIGHT} AND held IS NULL LIMIT 1").fetchone()
        return Stuck(held=held, behind_twin=behind, twins_move=moving is not None)

    def unfetched(self, import_n: int, *, since: int) -> int:
        """Return how many accepted recordings, sent since `since`, the service has not fetched to the end."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT count(*) FROM recording r JOIN attempt a ON a.interaction_id = r.interaction_id "
                "WHERE r.state = 'submitted' AND r.import_n = ? AND a.fetched_at IS NULL AND a.revoked_at IS NULL "
                "AND a.outcome = 'accepted' AND a.started_at > ?",
                (import_n, since),
            ).fetchone()
        return int(found[0])


def _known(db: Database, import_n: int, locations: Sequence[bytes]) -> dict[bytes, Known]:
    known: dict[bytes, Known] = {}
    for start in range(0, len(locations), _PART):
        part = locations[start : start + _PART]
        # `import_n > 0` says that the partial index may be used.
        rows = db.execute(
            "SELECT location, n, state, size_bytes, mtime_ns, inode FROM recording WHERE import_n = ? AND import_n > 0 "
            f"AND location IN ({', '.join('?' * len(part))})",
            (import_n, *part),
        ).fetchall()
        for location, n, state, size, mtime, inode in rows:
            stamp = Stamp(size_bytes=size, mtime_ns=mtime, inode=inode)
            known[bytes(location)] = Known(n=n, state=State(state), stamp=stamp)
    return known


def _insert(db: Database, import_n: int, source_n: int, sight: ImportSight, at: int) -> None:
    insert(
        db,
        source_n=source_n,
        location=sight.location,
        sight=Sight(name=sight.location.rpartition(b"/")[2], stamp=sight.stamp, is_recording=True, etag=sight.etag),
        arrival=Arrival(lane=LANE, due_at=sight.due_at, import_n=import_n),
        at=at,
    )


def _change(db: Database, n: int, sight: ImportSight, at: int) -> str:
    """Judge a recording again whose file is another now; return what was done."""
    row = changes.fetch(db, n)
    if row.state in _IN_FLIGHT:
        return "known"
    if row.state in _SENT:
        return "late"
    columns = {
        "size_bytes": sight.stamp.size_bytes, "mtime_ns": sight.stamp.mtime_ns, "inode": sight.stamp.inode,
        "etag": sight.etag, "stamped_at": at, "due_at": sight.due_at,
    }  # fmt: skip
    if row.state is State.DISCOVERED:
        changes.change(db, row, claim=changes.ANY_CLAIM, claimed=None, **columns)
    else:
        changes.apply(db, row, Event.CHANGED, at=at, claim=changes.ANY_CLAIM, detail="the file changed", **columns)
    return "changed"
