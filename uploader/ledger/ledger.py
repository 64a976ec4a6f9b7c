"""The ledger: everything that is known about every recording, in one SQLite file.

This module opens and closes it; what is in it is in its parts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from uploader.errors import LedgerDamaged, LedgerError, WrongAccount
from uploader.ledger.attempts import Attempts
from uploader.ledger.audit import Audit
from uploader.ledger.backup import COPY_OF, MADE_AT, Backup, copy
from uploader.ledger.books import Books
from uploader.ledger.connection import (
    RESTORE_HINT,
    ReaderPool,
    SenderRole,
    check_place,
    connect,
    disk_full,
    opening_alone,
    unusable,
)
from uploader.ledger.discovery import Discovery
from uploader.ledger.glance import Glance, glance
from uploader.ledger.imports import Imports
from uploader.ledger.pruning import Pruning
from uploader.ledger.recordings import Recordings
from uploader.ledger.scan_cache import ScanCache
from uploader.ledger.schema import upgrade
from uploader.ledger.writer import DirectWriter, GroupWriter, Writer, reserve_of
from uploader.platform.filesystem import has_room, open_private

_LEAST_BYTES = 256 * 1024
"""With less than this free no file of the ledger can be made or grow."""


class Ledger:
    """An open ledger. `recordings`, `attempts`, `discovery`, `books` and `audit` are its parts."""

    def __init__(self, path: Path, *, writer: Writer, role: SenderRole | None) -> None:
        self.path = path
        self._writer = writer
        self._role = role
        self._readers = ReaderPool(path)
        self.recordings = Recordings(self._readers, writer)
        self.attempts = Attempts(self._readers, writer)
        self.discovery = Discovery(self._readers, writer)
        self.imports = Imports(self._readers, writer)
        self.scan_cache = ScanCache(self._readers, writer)
        self.books = Books(self._readers, writer)
        self.audit = Audit(self._readers)
        self.pruning = Pruning(path, self._readers, writer)
        self.commits = writer.meters if isinstance(writer, GroupWriter) else None
        """What the sender's commits come to; None beside it."""
        self._is_owned = False
        since, found = self.books.note("doubt_since"), self.books.note("doubt_found")
        self._doubt = (int(since) if since else None, int(found) if found else None)

    @classmethod
    def open_for_sending(cls, path: Path) -> Ledger:
        """Open the ledger as its one sender; make it if need be.

        Raises LedgerBusy when another process sends, LedgerFull when there is no room, LedgerError when it
        cannot be used.
        """
        check_place(path)
        role = SenderRole(path)
        role.acquire()
        try:
            _prepare_in_room(path)
            writer = GroupWriter(path)
            try:
                return cls(path, writer=writer, role=role)
            except BaseException:
                writer.close()
                raise
        except BaseException:
            role.release()
            raise

    @classmethod
    def open_beside(cls, path: Path) -> Ledger:
        """Open the ledger beside a daemon, for short reads and writes; make it if need be."""
        check_place(path)
        _prepare(path, quick_check=False)
        return cls(path, writer=DirectWriter(path), role=None)

    def when_lost(self, tell: Callable[[Exception], object]) -> None:
        """Let `tell` hear of an acceptance that could not be written after its sender had gone on."""
        if isinstance(self._writer, GroupWriter):
            self._writer.when_lost = tell

    def is_sender_running(self) -> bool:
        """Say whether a process holds the role of sender."""
        return SenderRole(self.path).is_held()

    def belongs_to(self, *, account_id: str, api_url: str) -> None:
        """Refuse to go on with another account or API host than that of the first submission.

        Raises WrongAccount, with both named.
        """
        known = (self.books.note("account_id"), self.books.note("api_url"))
        if known not in {(None, None), (account_id, api_url)}:
            raise WrongAccount(
                f"this ledger belongs to account {known[0]} at {known[1]}, "
                f"but the configuration says account {account_id} at {api_url}",
                hint="use another [ledger] path for the other account, or put the first one back",
            )

    def remember_account(self, *, account_id: str, api_url: str) -> None:
        """Write whose ledger this is, at the first submission."""
        if not self._is_owned and self.books.note("account_id") is None:
            self.books.set_notes({"account_id": account_id, "api_url": api_url})
        self._is_owned = True

    @property
    def doubt(self) -> tuple[int | None, int | None]:
        """Since when attempts may be missing from this ledger and when that was found out, else None twice.

        So it is after a restore, a rollback or a recovery: the file beside the ledger knows of a later one.
        """
        return self._doubt

    def advance_generation(self) -> None:
        """Raise the generation here, then beside: a copy of the ledger made before is in doubt from now on.

        Raises LedgerError.
        """
        # One after the other: a command's lower number must not come over the daemon's.
        with opening_alone(self.path):
            generation = int(self.books.note("generation") or 0) + 1
            self.books.set_notes({"generation": str(generation)})
            try:
                _write_generation(self.path.with_name(self.path.name + ".generation"), generation)
            except OSError as error:
                raise _beside(error) from error

    def backup(self, target: Path, *, at: datetime, stopped: Callable[[], bool] = lambda: False) -> Backup:
        """Copy the ledger to a new file beside whoever writes; see `backup.copy`. Raises UploaderError.

        From then on it is a later generation: the copy, put back, is in doubt even if nothing was sent since.
        """
        return copy(self.path, target, at=at, seal=self.advance_generation, stopped=stopped)

    @property
    def waiting_writes(self) -> int:
        """How many writes of the sender wait for a commit."""
        return self._writer.waiting if isinstance(self._writer, GroupWriter) else 0

    def glance(self, *, now: int, overdue_before: int, day: str, notes: Sequence[str]) -> Glance:
        """Return how the ledger stands; see `glance.glance`. Raises LedgerError."""
        return glance(self._readers, now=now, overdue_before=overdue_before, day=day, notes=notes)

    def keep_reserve(self) -> None:
        """Set bytes of the disk aside again that were given up when it was full; for the sender."""
        if isinstance(self._writer, GroupWriter):
            self._writer.keep_reserve()

    def close(self) -> None:
        """Write what is queued, close all connections, give the role back."""
        self._writer.close()
        self._readers.close()
        if self._role is not None:
            self._role.release()


def _prepare_in_room(path: Path) -> None:
    """Prepare; where there is no room, in that of the reserve. Raises LedgerFull when there is none either."""
    try:
        _prepare_to_send(path)
    except LedgerError as error:
        if isinstance(error, LedgerDamaged) or has_room(path.parent, least_bytes=_LEAST_BYTES):
            raise
        try:
            reserve_of(path).unlink()
        except OSError:
            raise disk_full() from error
        _prepare_in_room(path)


def _prepare_to_send(path: Path) -> None:
    """Make, upgrade and check the file; one of ours that is corrupt is set aside. Raises LedgerDamaged."""
    try:
        _prepare(path, quick_check=path.exists())
        _own_generation(path)
    except LedgerDamaged as error:
        if not path.with_name(path.name + ".generation").exists():
            raise  # no sender ever had it: who knows whose file it is
        raise LedgerDamaged(
            f"the ledger is damaged; its file was set aside as {_set_aside(path)}",
            hint="restore a backup in its place; without one, a new ledger looks everything up before it is sent",
        ) from error


def _set_aside(path: Path) -> str:
    """Rename a corrupt file and what SQLite keeps beside it; return the new name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.damaged-{stamp}{suffix}"))
    return f"{path.name}.damaged-{stamp}"


def _prepare(path: Path, *, quick_check: bool) -> None:
    """Make or upgrade the file; check it when asked to."""
    try:
        if not path.exists():
            # Personal data: nobody but the owner, from the first byte on.
            os.close(open_private(path))
        with opening_alone(path):
            db = connect(path)
            try:
                upgrade(db)
            finally:
                db.close()
        if quick_check:
            _quick_check(path)
    except sqlite3.Error as error:
        raise unusable(error) from error
    except OSError as error:
        raise LedgerError(
            f"the ledger's file cannot be made ({os.strerror(error.errno or 0)})",
            hint="check that [ledger] path names a file in a folder that this user may write",
        ) from error


def _quick_check(path: Path) -> None:
    """Check the file unless it was closed in order."""
    db = connect(path)
    try:
        clean = db.execute("SELECT value FROM note WHERE key = 'clean'").fetchone()
        if clean is None or clean[0] != "1":
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise LedgerDamaged("the ledger is damaged", hint=RESTORE_HINT)
    finally:
        db.close()


def _own_generation(path: Path) -> None:
    """Raise the generation in the ledger and beside it; a ledger that is behind, or a backup, is in doubt.

    A ledger that was restored or rolled back carries an older number than the file beside it, or the
    stamp of a backup where that file was lost with the machine: what was sent since is unknown, so
    nothing older than now is sent before it was looked for.
    """
    beside = path.with_name(path.name + ".generation")
    db = connect(path)
    try:
        stored = int((db.execute("SELECT value FROM note WHERE key = 'generation'").fetchone() or ["0"])[0])
        try:
            expected = int(beside.read_text() or 0)
        except (FileNotFoundError, ValueError):
            expected = stored
        generation = max(stored, expected) + 1
        db.conn.execute("BEGIN IMMEDIATE")
        stamped = db.execute("DELETE FROM note WHERE key IN (?, ?)", (MADE_AT, COPY_OF)).rowcount > 0
        if stored < expected or stamped:
            # A doubt that was found before may not be settled for all: it begins where the first one did.
            last = db.execute(
                "SELECT min(at) FROM (SELECT coalesce(max(at), 0) AS at FROM history UNION ALL "
                "SELECT CAST(value AS INTEGER) FROM note WHERE key = 'doubt_since')"
            ).fetchone()[0]
            db.execute("INSERT OR REPLACE INTO note VALUES ('doubt_since', ?)", (str(last),))
            db.execute("INSERT OR REPLACE INTO note VALUES ('doubt_found', strftime('%s', 'now') || '000')")
        db.execute("INSERT OR REPLACE INTO note VALUES ('generation', ?)", (str(generation),))
        db.conn.commit()
        _write_generation(beside, generation)
    except sqlite3.Error as error:
        raise unusable(error) from error
    except OSError as error:
        raise _beside(error) from error
    finally:
        db.close()


def _write_generation(beside: Path, generation: int) -> None:
    new = beside.with_name(beside.name + ".new")
    with os.fdopen(open_private(new, truncate=True), "w") as file:
        file.write(f"{generation}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(beside)


def _beside(error: OSError) -> LedgerError:
    if error.errno == errno.ENOSPC:
        return disk_full()
    return LedgerError(
        f"the file beside the ledger cannot be written ({os.strerror(error.errno or 0)})",
        hint="check the owner and the disk of the ledger's folder",
    )
