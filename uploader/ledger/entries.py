"""The scan cache as it is written: directories, and their files as last seen. Functions on an open transaction.

A directory's row keeps the total of its entries, so that a scan can tell without reading them whether
anything differs. Entries of files that are gone are in no total.
"""

from __future__ import annotations

from dataclasses import dataclass

from uploader.domain.recording import Stamp
from uploader.domain.scanning import Total
from uploader.ledger.connection import Database
from uploader.ledger.finding import keep_place

GONE = Stamp(size_bytes=-1, mtime_ns=0, inode=0)
"""The stamp of an entry whose file is gone while its recording still waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file as the last scan saw it."""

    stamp: Stamp
    recording_n: int | None


class OpenDirectory:
    """One directory within one transaction: what is written of its entries, and what that makes its total."""

    def __init__(self, db: Database, source_n: int, path: bytes) -> None:
        """Make the directory known if need be."""
        self._db = db
        found = db.execute(
            "SELECT n, count, checksum FROM directory WHERE source_n = ? AND path = ?", (source_n, path)
        ).fetchone() or db.execute(
            "INSERT INTO directory (source_n, path) VALUES (?, ?) RETURNING n, count, checksum", (source_n, path)
        ).fetchone()  # fmt: skip
        self.n = int(found[0])
        self._before = self._total = Total(found[1], found[2])

    def entry(self, name: bytes) -> Entry | None:
        """Return one file as the last scan saw it."""
        found = self._db.execute(
            "SELECT size_bytes, mtime_ns, inode, recording_n FROM entry WHERE directory_n = ? AND name = ?",
            (self.n, name),
        ).fetchone()
        if found is None:
            return None
        size, mtime, inode, recording_n = found
        return Entry(stamp=Stamp(size_bytes=size, mtime_ns=mtime, inode=inode), recording_n=recording_n)

    def put(self, name: bytes, stamp: Stamp, recording_n: int | None, *, before: Entry | None) -> None:
        """Write what a scan saw of one file; `before` is its entry until now."""
        self._db.execute(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)",
            (self.n, name, stamp.size_bytes, stamp.mtime_ns, stamp.inode, recording_n),
        )
        self._leave_out(name, before)
        self._total = self._total.plus(name, stamp)

    def forget(self, name: bytes) -> None:
        """Take a file that is gone out of the cache; keep the tie to a recording that still waits."""
        before = self.entry(name)
        if before is None:
            return
        waits = (
            before.recording_n is not None
            and self._db.execute(
                "SELECT 1 FROM recording WHERE n = ? AND state NOT IN ('submitted', 'analyzed', 'discarded')",
                (before.recording_n,),
            ).fetchone()
        )
        if waits:
            self._db.execute(
                "UPDATE entry SET size_bytes = ?, mtime_ns = ?, inode = ? WHERE directory_n = ? AND name = ?",
                (GONE.size_bytes, GONE.mtime_ns, GONE.inode, self.n, name),
            )
            self._leave_out(name, before)
        else:
            self.drop(name, before)

    def drop(self, name: bytes, before: Entry | None) -> None:
        """Take an entry out of the cache."""
        self._db.execute("DELETE FROM entry WHERE directory_n = ? AND name = ?", (self.n, name))
        if before is not None and before.recording_n is not None:
            keep_place(self._db, before.recording_n)
        self._leave_out(name, before)

    def close(self) -> None:
        """Write the total, if it is another now."""
        if self._total != self._before:
            self._db.execute(
                "UPDATE directory SET count = ?, checksum = ? WHERE n = ?",
                (self._total.count, self._total.checksum, self.n),
            )

    def _leave_out(self, name: bytes, before: Entry | None) -> None:
        if before is not None and before.stamp != GONE:
            self._total = self._total.minus(name, before.stamp)


def untie(db: Database, source_n: int, location: bytes, *, of: int) -> None:
    """Take the entry of a recording's file out of the cache: a file that comes under its name is another one."""
    folder, _, name = location.rpartition(b"/")
    directory = OpenDirectory(db, source_n, folder)
    entry = directory.entry(name)
    if entry is not None and entry.recording_n == of:
        directory.drop(name, entry)
        directory.close()


def tie(db: Database, source_n: int, location: bytes, *, of: int, to: int) -> None:
    """Let the entry of one recording's file be that of another recording."""
    folder, _, name = location.rpartition(b"/")
    db.execute(
        "UPDATE entry SET recording_n = ? WHERE recording_n = ? AND name = ? AND directory_n = "
        "(SELECT n FROM directory WHERE source_n = ? AND path = ?)",
        (to, of, name, source_n, folder),
    )
