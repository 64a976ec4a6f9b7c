"""Opening the ledger's file: pragmas, checks, a pool of readers, the role of sender.

Knows no table. One connection writes; readers see committed rows only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uploader.errors import LedgerBusy, LedgerDamaged, LedgerError, LedgerFull
from uploader.platform.filesystem import is_network, open_private

RESTORE_HINT = "stop, keep the file, and restore a backup"
BUSY_TIMEOUT_MS = 15_000
_WRITER_KIB, _READER_KIB = 8192, 2048
"""What SQLite keeps of the file for a connection; there are many that read, and the system keeps the file too."""
_LOCK_TRIES = 50
_LOCK_PAUSE_SECONDS = 0.02


class Database:
    """One connection to the ledger: `execute` is for its parts, `conn` for who begins and ends transactions."""

    __slots__ = ("_path", "conn")

    def __init__(self, conn: sqlite3.Connection, *, path: Path | None = None) -> None:
        self.conn = conn
        self._path = path

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement. Raises sqlite3.Error."""
        return self.conn.execute(sql, parameters)

    def close(self) -> None:
        """Close the connection."""
        self.conn.close()
        with _opening:
            if self._path is not None:
                _open_here[self._path] -= 1
            self._path = None


_opening = threading.Lock()
_open_here: Counter[Path] = Counter()
"""How many connections this process has to which ledger."""


def connect(path: Path, *, query_only: bool = False) -> Database:
    """Open one connection to the ledger at `path`. Raises LedgerError."""
    with _opening:
        if not _open_here[path]:
            _set_foreign_wal_aside(path)
        _open_here[path] += 1
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        with _opening:
            _open_here[path] -= 1
        raise unusable(error) from error
    db = Database(connection, path=path)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_READER_KIB if query_only else _WRITER_KIB}")
        if query_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        db.close()
        raise unusable(error) from error
    return db


def _set_foreign_wal_aside(path: Path) -> None:
    """Rename the write-ahead log that a ledger left which was replaced by a backup.

    A backup is one file, and its header says so; SQLite would all the same take what is in the log of that
    name for the backup's own. A ledger's header says otherwise before it has a log.

    Only for a process that has no connection to it: closing any descriptor of the file ends all locks that the
    process has on it, and another one that closes it would remove the log under its feet.
    Sources: sqlite.org/fileformat.html, offsets 18 and 19; sqlite.org/howtocorrupt.html, section 2.2.
    """
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            return
        with path.open("rb") as file:
            header = file.read(20)
        if header.startswith(b"SQLite format 3\0") and header[18:] == b"\1\1":
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            log.rename(path.with_name(f"{path.name}.replaced-{stamp}-wal"))


@contextmanager
def opening_alone(path: Path) -> Iterator[None]:
    """Let one process at a time make, switch to WAL or upgrade the ledger: SQLite waits for neither.

    The lock is on the ledger's folder, so that it leaves no file behind.
    """
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # A folder that may be entered but not listed: then chance must do.
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def disk_full() -> LedgerFull:
    """Return the error of a ledger that finds no room."""
    return LedgerFull("the ledger's disk is full", hint="free space on it; nothing was lost")


def unusable(error: sqlite3.Error) -> LedgerError:
    """Translate what SQLite says into a sentence and a hint."""
    text = str(error).lower()
    if "full" in text or getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_SHMSIZE":
        return disk_full()
    if "readonly" in text or "read-only" in text:
        return LedgerError("the ledger cannot be written", hint="check its owner and that its disk is writable")
    if "malformed" in text:
        return LedgerDamaged("the ledger is damaged", hint=RESTORE_HINT)
    if "not a database" in text:
        return LedgerError(
            "the ledger is damaged, or is no ledger at all", hint="see [ledger] path; or restore a backup"
        )
    if "unable to open" in text:
        return LedgerError(
            "the ledger cannot be opened",
            hint="check that [ledger] path names a file in a folder that this user may write",
        )
    if "locked" in text or "busy" in text:
        return LedgerError("the ledger is locked by another program", hint="end what holds it open")
    return LedgerError(f"the ledger cannot be used ({type(error).__name__})", hint="see `qm-uploader verify`")


def check_place(path: Path) -> None:
    """Refuse a ledger on a network file system or in a folder that is not there. Raises LedgerError."""
    if not path.parent.is_dir():
        raise LedgerError("the folder of the ledger does not exist", hint=f"make it: mkdir -p {path.parent}")
    if is_network(path):
        raise LedgerError(
            "the ledger lies on a network file system, where its locks cannot be relied on",
            hint="set [ledger] path to a local disk",
        )


class ReaderPool:
    """Connections that read, lent to any thread, one at a time each."""

    def __init__(self, path: Path, *, limit: int = 16) -> None:
        self._path = path
        self._idle: queue.LifoQueue[Database] = queue.LifoQueue(maxsize=limit)

    @contextmanager
    def lend(self) -> Iterator[Database]:
        """Lend a connection in one consistent read transaction."""
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = connect(self._path, query_only=True)
        try:
            db.conn.execute("BEGIN")
            try:
                yield db
            finally:
                db.conn.rollback()
        except sqlite3.Error as error:
            db.close()
            raise unusable(error) from error
        except BaseException:
            self._give_back(db)
            raise
        self._give_back(db)

    def _give_back(self, db: Database) -> None:
        try:
            self._idle.put_nowait(db)
        except queue.Full:
            db.close()

    def close(self) -> None:
        """Close what is idle."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


class SenderRole:
    """The right to send for one ledger, held by one process on this machine at a time."""

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(ledger.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the role. Raises LedgerBusy when another process has it."""
        try:
            descriptor = open_private(self._path)
        except OSError as error:
            raise LedgerError(
                "the ledger's lock file cannot be written", hint="check the owner of the ledger's folder"
            ) from error
        if not _lock(descriptor):
            os.close(descriptor)
            raise LedgerBusy("another qm-uploader is sending with this ledger", hint="`qm-uploader status` shows it")
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the role back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Say whether any process has the role just now."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            # Not ours to open: held or not cannot be told; the heartbeat in the ledger decides.
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock for this process alone; False when another one has it so.

    A command that only asks (`is_held`) shares it for an instant: that is waited for.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False
