"""Who writes: one thread that commits for all of a daemon, or one short transaction of a command."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlite_utils import Database

from uploader.errors import LedgerError, UploaderError
from uploader.ledger.connection import connect, unusable
from uploader.platform.filesystem import open_private

T = TypeVar("T")
Work = Callable[[Database], T]

_Piece = tuple[Work[Any], Future[Any], bool]

BATCH = 128
"""How many pieces of work one commit may carry."""
RESERVE_BYTES = 16 * 1024 * 1024


class Writer(Protocol):
    """Runs work in a transaction that is on disk when `write` returns."""

    def write(self, work: Work[T], *, redoable: bool = False) -> T:
        """Run `work`, commit, and return its result. What it raises undoes it and is raised here.

        What is `redoable` is safe from a crash of the program, but may be lost with the machine's power:
        the program would find out and do it again.
        """

    def close(self) -> None:
        """Finish what was asked for and close the connection."""


class DirectWriter:
    """For commands beside a daemon: one short `BEGIN IMMEDIATE` a call, in the caller's thread."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._lock = threading.Lock()

    def write(self, work: Work[T], *, redoable: bool = False) -> T:
        """Run `work` in a transaction of its own, always on disk. Raises LedgerError."""
        with self._lock:
            try:
                self._db.conn.execute("BEGIN IMMEDIATE")
                try:
                    result = work(self._db)
                    self._db.conn.commit()
                except BaseException:
                    self._db.conn.rollback()
                    raise
            except sqlite3.Error as error:
                raise unusable(error) from error
            return result

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class GroupWriter:
    """For the daemon: one thread commits together what all its threads wait for.

    Each piece of work is a savepoint of its own, so that one that raises takes only itself back.
    A commit that fails fails all its pieces, and none of them happened. A reserve file beside the
    ledger is given up when the disk is full, so that answers in flight can still be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = path.with_name(path.name + ".reserve")
        self._queue: queue.Queue[_Piece | None] = queue.Queue(maxsize=1024)
        self._closed = threading.Lock()
        self._is_closed = False
        self._lasting = True
        self._db = connect(path)
        self._keep_reserve()
        self._thread = threading.Thread(target=self._run, name="ledger-writer")
        self._thread.start()

    def write(self, work: Work[T], *, redoable: bool = False) -> T:
        """Run `work` with others in one commit; return when it is on disk. Raises LedgerError."""
        future: Future[T] = Future()
        with self._closed:
            if self._is_closed:
                raise LedgerError("the ledger is closed")
            self._queue.put((work, future, redoable))
        return future.result()

    def close(self) -> None:
        """Write what is queued, then end the thread. Safe to call twice."""
        with self._closed:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                self._commit(batch)

    def _next_batch(self) -> tuple[list[_Piece], bool]:
        batch: list[_Piece] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= BATCH:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Piece]) -> None:
        try:
            results = self._transaction(batch)
        except sqlite3.OperationalError as error:
            if "full" in str(error).lower() and self._give_up_reserve():
                self._commit(batch)
                return
            self._fail(batch, unusable(error))
            return
        except sqlite3.Error as error:
            self._fail(batch, unusable(error))
            return
        for (_, future, _), (result, failure) in zip(batch, results, strict=True):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    def _transaction(self, batch: list[_Piece]) -> list[tuple[Any, BaseException | None]]:
        results: list[tuple[Any, BaseException | None]] = []
        self._sync_if(any(not redoable for _, _, redoable in batch))
        self._db.conn.execute("BEGIN IMMEDIATE")
        try:
            for work, _, _ in batch:
                results.append(self._piece(work))
            self._db.conn.commit()
        except BaseException:
            self._db.conn.rollback()
            raise
        return results

    def _sync_if(self, lasting: bool) -> None:  # noqa: FBT001 (private)
        """Wait for the disk at the next commit, or leave that to a later one: a sync covers all before it."""
        if lasting != self._lasting:
            self._db.conn.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._lasting = lasting

    def _piece(self, work: Work[Any]) -> tuple[Any, BaseException | None]:
        try:
            with self._db.atomic():
                return work(self._db), None
        except sqlite3.OperationalError:
            raise  # the disk, not the work: the whole batch is taken back
        except sqlite3.Error as error:
            return None, unusable(error)
        except UploaderError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 (handed to the thread that asked; the writer lives on)
            return None, error

    @staticmethod
    def _fail(batch: list[_Piece], error: LedgerError) -> None:
        for _, future, _ in batch:
            future.set_exception(error)

    def keep_reserve(self) -> None:
        """Set bytes of the disk aside again, once there is room."""
        self._keep_reserve()

    def _keep_reserve(self) -> None:
        try:
            if not self._reserve.exists():
                with os.fdopen(open_private(self._reserve), "wb") as file:
                    file.write(b"\0" * RESERVE_BYTES)
        except OSError:
            # A disk that full is reported by the disk gate; the ledger itself may still have room.
            self._reserve.unlink(missing_ok=True)

    def _give_up_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True
