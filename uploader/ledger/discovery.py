"""Sources and imports, and how what a scan saw becomes recordings.

A recording's location has at most one row that still waits; a file that is replaced after it was
sent becomes a new recording. While a row is in flight its entry keeps the old stamp, so that the
next scan sees the difference again: nothing is overlooked and nothing in flight is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger import changes
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.entries import OpenDirectory
from uploader.ledger.recordings import PARKED
from uploader.ledger.rows import SELECT_RECORDING, recording
from uploader.ledger.sighting import Arrival, Sight, see, wake_one
from uploader.ledger.writer import Writer

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A source as the ledger knows it. `backlog`: `open`, or `held` until `resume`."""

    n: int
    name: str
    type: str
    root: bytes
    available: bool
    detail: str
    paused: bool
    scanned_at: int | None
    backlog: str
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """An import; `settings` is the JSON of those it was begun with."""

    n: int
    name: str
    source_n: int
    settings: str
    created_at: int
    planned_at: int | None
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a directory's changes came to."""

    new: int = 0
    changed: int = 0
    woken: int = 0
    busy: int = 0

    def plus(self, other: Seen) -> Seen:
        """Return what both came to."""
        return Seen(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            woken=self.woken + other.woken,
            busy=self.busy + other.busy,
        )


class Discovery:
    """The tables of sources and imports, and what scans write."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def register(self, *, name: str, type_: str, root: bytes, settings: str, at: int) -> SourceRow:
        """Make or find a source. When its settings are others than before, what waits is judged again."""

        def work(db: Database) -> None:
            known = db.execute("SELECT n, settings FROM source WHERE name = ?", (name,)).fetchone()
            if known is None:
                db.execute(
                    "INSERT INTO source (name, type, root, settings) VALUES (?, ?, ?, ?)",
                    (name, type_, root, settings),
                )
                return
            if known[1] != settings:
                db.execute(
                    "UPDATE source SET type = ?, root = ?, settings = ? WHERE n = ?",
                    (type_, root, settings, known[0]),
                )
                _rejudge(db, known[0], at)
            db.execute(
                "UPDATE recording SET due_at = ?, reason_code = NULL, reason = NULL WHERE source_n = ? AND "
                "reason_code = ? AND state IN ('discovered', 'ready', 'staged') AND claimed IS NULL",
                (at, known[0], Reason.SOURCE_GONE.value),
            )

        self._writer.write(work)
        return self.source(name)

    def rename(self, *, configured: Mapping[str, tuple[str, bytes]]) -> dict[str, str]:
        """Give sources that are configured under another name, with the same type and root, that name.

        `configured` has type and root by name. What waits in them goes on. Return new names by old ones.
        """
        known = {row.name: row for row in self.sources()}
        renamed: dict[str, str] = {}
        for name, place in configured.items():
            old = next((r for r in known.values() if r.name not in configured and (r.type, r.root) == place), None)
            if name in known or old is None:
                continue
            renamed[old.name] = name
            del known[old.name]
        for old_name, name in renamed.items():
            self.update_source(self.source(old_name).n, name=name)
        return renamed

    def source(self, name: str) -> SourceRow:
        """Return a source by its name. Raises KeyError."""
        for row in self.sources():
            if row.name == name:
                return row
        raise KeyError(name)

    def sources(self) -> list[SourceRow]:
        """Return all sources that the ledger knows."""
        with self._readers.lend() as db:
            rows = db.execute(
                "SELECT n, name, type, root, available, detail, paused, scanned_at, backlog, cursor FROM source "
                "ORDER BY n"
            ).fetchall()
        return [
            SourceRow(
                n=n, name=name, type=type_, root=bytes(root), available=bool(available), detail=detail,
                paused=bool(paused), scanned_at=scanned_at, backlog=backlog, cursor=cursor,
            )
            for n, name, type_, root, available, detail, paused, scanned_at, backlog, cursor in rows
        ]  # fmt: skip

    def update_source(self, n: int, **values: object) -> None:
        """Set columns of a source."""
        columns = ", ".join(f"{name} = :{name}" for name in values)
        self._writer.write(lambda db: db.execute(f"UPDATE source SET {columns} WHERE n = :n", dict(values) | {"n": n}))

    def imports(self) -> list[ImportRow]:
        """Return all imports, oldest first."""
        with self._readers.lend() as db:
            rows = db.execute(
                "SELECT n, name, source_n, settings, created_at, planned_at, paused FROM import ORDER BY n"
            ).fetchall()
        return [
            ImportRow(
                n=n, name=name, source_n=source_n, settings=settings, created_at=created_at,
                planned_at=planned_at, paused=bool(paused),
            )
            for n, name, source_n, settings, created_at, planned_at, paused in rows
        ]  # fmt: skip

    def begin_import(self, *, name: str, source_n: int, settings: str, at: int) -> ImportRow:
        """Make an import, or return the one of that name."""
        self._writer.write(
            lambda db: db.execute(
                "INSERT OR IGNORE INTO import (name, source_n, settings, created_at) VALUES (?, ?, ?, ?)",
                (name, source_n, settings, at),
            )
        )
        return next(row for row in self.imports() if row.name == name)

    def import_planned(self, n: int, *, at: int) -> None:
        """Write that all of an import is in the ledger."""
        self._writer.write(lambda db: db.execute("UPDATE import SET planned_at = ? WHERE n = ?", (at, n)))

    def record(
        self,
        *,
        source_n: int,
        directory: bytes,
        sights: Sequence[Sight],
        gone: Iterable[bytes],
        wake: Iterable[bytes],
        arrival: Arrival,
        at: int,
    ) -> Seen:
        """Write the differences that a scan found in one directory, as one transaction.

        `sights` are new or changed files, `gone` names that are no longer there, `wake` recordings
        whose sidecar came, changed or went. A recording's location is directory, slash, name.
        """

        def work(db: Database) -> Seen:
            opened = OpenDirectory(db, source_n, directory)
            counted = {"new": 0, "changed": 0, "woken": 0, "busy": 0}
            for sight in sights:
                before = opened.entry(sight.name)
                what, recording_n = "", None
                if sight.is_recording:
                    location = directory + b"/" + sight.name if directory else sight.name
                    known = None if before is None else before.recording_n
                    what, recording_n = see(db, source_n, location, sight, known, arrival, at)
                    counted[what] += 1
                if what != "busy":
                    opened.put(sight.name, sight.stamp, recording_n, before=before)
            for name in gone:
                opened.forget(name)
            for name in wake:
                entry = opened.entry(name)
                if entry is not None and entry.recording_n is not None:
                    counted["woken"] += wake_one(db, entry.recording_n, at)
            opened.close()
            return Seen(**counted)

        return self._writer.write(work, redoable=True)

    def set_parked(self, *, at: int, parked: bool, source_n: int | None = None, import_n: int | None = None) -> int:
        """Pause or resume a source or an import: what waits leaves or joins the lanes. Return how many."""
        column, value = ("source_n", source_n) if import_n is None else ("import_n", import_n)
        table = "source" if import_n is None else "import"

        def work(db: Database) -> int:
            db.execute(f"UPDATE {table} SET paused = ? WHERE n = ?", (int(parked), value))
            # The years of what is done stay as they are: nothing of it is ever claimed again.
            of = "import_n = 0" if table == "source" else "import_n > 0"
            scope = f"{column} = ? AND {of} AND {_UNDONE} AND "
            return db.execute(
                f"UPDATE recording SET lane = lane {'+' if parked else '-'} {PARKED} WHERE {scope} lane "
                f"{'<' if parked else '>='} {PARKED}",
                (value,),
            ).rowcount

        return self._writer.write(work)

    def release_backlog(self, source_n: int, *, at: int) -> int:
        """Let what a large first scan found go its way. Return how many."""

        def work(db: Database) -> int:
            db.execute("UPDATE source SET backlog = 'open' WHERE n = ?", (source_n,))
            return db.execute(
                "UPDATE recording SET held = NULL, reason_code = NULL, reason = NULL, due_at = ? "
                "WHERE source_n = ? AND held = ?",
                (at, source_n, Reason.BACKLOG.value),
            ).rowcount

        return self._writer.write(work)


_UNDONE = "state IN ({})".format(", ".join(f"'{state}'" for state in State if state is not State.ANALYZED))


def _rejudge(db: Database, source_n: int, at: int) -> None:
    """Judge anew what waits in a source; some at a time in memory, since a closed gate may have piled up any number."""
    more = True
    while more:
        # What was moved is `discovered` then, so that the next look finds others.
        rows = db.execute(
            f"{SELECT_RECORDING} WHERE r.source_n = ? AND r.import_n = 0 AND r.state IN ('ready', 'staged') LIMIT ?",
            (source_n, _AT_A_TIME),
        ).fetchall()
        for values in rows:
            changes.apply(
                db, recording(values), Event.CHANGED, at=at, claim=changes.ANY_CLAIM, due_at=at,
                detail="the settings of its source changed",
            )  # fmt: skip
        more = len(rows) == _AT_A_TIME
