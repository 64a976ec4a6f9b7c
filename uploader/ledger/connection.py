"""Opening the ledger's file: pragmas, checks, a pool of readers, the role of sender.

Knows no table. One connection writes; readers see committed rows only.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from uploader.errors import LedgerBusy, LedgerDamaged, LedgerError
from uploader.platform.filesystem import is_network, open_private

RESTORE_HINT = "stop, keep the file, and restore a backup"
BUSY_TIMEOUT_MS = 15_000
_LOCK_TRIES = 50
_LOCK_PAUSE_SECONDS = 0.02


def connect(path: Path, *, query_only: bool = False) -> Database:
    """Open one connection to the ledger at `path`. Raises LedgerError."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise unusable(error) from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -8192")
        if query_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise unusable(error) from error
    return Database(connection, execute_plugins=False)


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


def unusable(error: sqlite3.Error) -> LedgerError:
    """Translate what SQLite says into a sentence and a hint."""
    text = str(error).lower()
    if "full" in text:
        return LedgerError("the ledger's disk is full", hint="free space on it; nothing was lost")
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
