"""Who writes: a daemon's threads, in common commits, or one short transaction of a command."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from uploader.errors import LedgerError
from uploader.ledger.connection import Database, connect, unusable
from uploader.platform.filesystem import open_private
from uploader.platform.meters import SECONDS, Count, Histogram

T = TypeVar("T")
Work = Callable[[Database], T]

BATCH = 128
"""How many pieces of work one commit may carry, unless the piece of the thread that commits is further behind."""
RESERVE_BYTES = 16 * 1024 * 1024
_BROKEN_OFF = "a write to the ledger was broken off"
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, *SECONDS)
_COMMIT_PIECES = (1, 2, 4, 8, 16, 32, 64, BATCH)


class Writer(Protocol):
    """Runs work in a transaction that is on disk when `write` returns."""

    def write(self, work: Work[T], *, redoable: bool = False) -> T:
        """Run `work`, commit, and return its result. What it raises undoes it and is raised here.

        What is `redoable` is safe from a crash of the program, but may be lost with the machine's power:
        the program would find out and do it again.
        """

    def write_behind(self, work: Work[T], then: Callable[[T], object]) -> None:
        """Run `work` in the next commit, without waiting when one is under way; `then` is told its result.

        For what would be found out anew after a crash. When others commit it, nobody waits for its failure.
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

    def write_behind(self, work: Work[T], then: Callable[[T], object]) -> None:
        """Run `work` in a transaction of its own. Raises LedgerError."""
        then(self.write(work))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class _Piece:
    """One piece of work, and the thread that waits for it, or what is to be told when nobody does."""

    __slots__ = ("_bell", "failure", "is_done", "redoable", "result", "then", "work")

    def __init__(self, work: Work[Any], *, redoable: bool, then: Callable[[Any], object] | None = None) -> None:
        self.work = work
        self.redoable = redoable
        self.then = then
        self.is_done = False
        self.result: Any = None
        self.failure: BaseException | None = None
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self) -> None:
        """Return when it is done, or when it is its thread's turn to commit."""
        self._bell.acquire()

    def wake(self) -> None:
        """Let its thread go on."""
        self._bell.release()

    def outcome(self) -> Any:
        """Return what the work returned, or raise what it raised."""
        if self.failure is not None:
            raise self.failure
        return self.result

    def tell(self) -> None:
        """Tell its outcome to whom it may concern, or raise what it raised."""
        result = self.outcome()
        if self.then is not None:
            self.then(result)


class CommitMeters:
    """What the commits of one writer come to."""

    def __init__(self) -> None:
        self.seconds = Histogram(_COMMIT_SECONDS)
        self.pieces = Histogram(_COMMIT_PIECES)
        self.failures = Count()


def reserve_of(path: Path) -> Path:
    """Return the file that keeps room beside the ledger at `path`."""
    return path.with_name(path.name + ".reserve")


class GroupWriter:
    """For the daemon: whichever thread finds nobody writing commits for all that wait by then.

    So a write that meets no other costs no change of threads, and many at once cost one commit. What is
    written behind goes with them; when only such is left, the thread that committed last does that too.
    A piece of work that raises takes only itself back: then all are run once more, each as a savepoint
    of its own, so a piece must do nothing but change the ledger. A commit that fails fails all its
    pieces, and none of them happened. A reserve file beside the ledger is given up when the disk is
    full, so that answers in flight can still be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = reserve_of(path)
        self._lock = threading.Lock()
        self._waiting: deque[_Piece] = deque()
        self._is_busy = False
        self._is_closed = False
        self.when_lost: Callable[[Exception], object] = _raise
        """Told of a failure of what was written behind, or of who is told its result, in whichever thread."""
        self._idle = threading.Condition(self._lock)
        self._lasting = True
        self.meters = CommitMeters()
        self._db = connect(path)
        self._keep_reserve()

    def write(self, work: Work[T], *, redoable: bool = False) -> T:
        """Run `work` with others in one commit; return when it is on disk. Raises LedgerError."""
        piece = _Piece(work, redoable=redoable)
        if not self._line_up(piece):
            piece.wait()
        if not piece.is_done:
            self._lead(piece)
        result: T = piece.outcome()
        return result

    def write_behind(self, work: Work[T], then: Callable[[T], object]) -> None:
        """Run `work` with others in the next commit; wait for it only when nobody else commits just now."""
        piece = _Piece(work, redoable=False, then=then)
        if self._line_up(piece):
            self._lead(piece)
            piece.tell()

    def _line_up(self, piece: _Piece) -> bool:
        """Let it be committed; say whether that is for the calling thread to do."""
        with self._lock:
            if self._is_closed:
                raise LedgerError("the ledger is closed")
            self._waiting.append(piece)
            leads, self._is_busy = not self._is_busy, True
        return leads

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for a commit."""
        return len(self._waiting)

    def close(self) -> None:
        """Wait for what is queued, then close the connection. Safe to call twice."""
        with self._lock:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._is_busy)
        self._db.close()

    def _lead(self, own: _Piece) -> None:
        """Commit a batch with the caller's piece in it, let the next thread in line go on, and tell of the rest."""
        behind, goes_on = list[_Piece](), True
        while goes_on:
            batch, goes_on = self._lead_once(own)
            behind += [piece for piece in batch if piece is not own and piece.then is not None]
        for piece in behind:
            try:
                piece.tell()
            except Exception as error:  # noqa: BLE001 (not this thread's: it has its own result to go on with)
                self.when_lost(error)

    def _lead_once(self, own: _Piece) -> tuple[list[_Piece], bool]:
        """Commit one batch; return it, and whether what is left is for the same thread: nobody waits for it."""
        batch, has_own, is_whole = list[_Piece](), own.is_done, False
        with self._lock:
            while self._waiting and (len(batch) < BATCH or not has_own):
                batch.append(self._waiting.popleft())
                has_own = has_own or batch[-1] is own
        try:
            self._commit(batch)
            is_whole = True
        finally:
            with self._lock:
                following = next((piece for piece in self._waiting if piece.then is None), None)
                if following is None and not is_whole:
                    batch += self._waiting
                    self._waiting.clear()
                _settle([piece for piece in batch if not piece.is_done], LedgerError(_BROKEN_OFF))
                self._is_busy = bool(self._waiting)
                goes_on = self._is_busy and following is None
                if not self._is_busy:
                    self._idle.notify_all()
            for piece in batch:
                if piece is not own:
                    piece.wake()
            if following is not None:
                following.wake()
        return batch, goes_on

    def _commit(self, batch: list[_Piece]) -> None:
        try:
            self._transaction(batch)
        except sqlite3.OperationalError as error:
            if "full" in str(error).lower() and self._give_up_reserve():
                self._commit(batch)
                return
            _settle(batch, unusable(error))
        except sqlite3.Error as error:
            _settle(batch, unusable(error))
        except BaseException:
            # Only an interrupt of the thread comes here; the others must not wait for ever.
            _settle(batch, LedgerError(_BROKEN_OFF))
            raise
        else:
            _settle(batch, None)

    def _transaction(self, batch: list[_Piece]) -> None:
        connection, began = self._db.conn, time.monotonic()
        self._sync_if(any(not piece.redoable for piece in batch))
        try:
            connection.execute("BEGIN IMMEDIATE")
            if not self._run_together(batch):
                connection.rollback()
                connection.execute("BEGIN IMMEDIATE")
                for piece in batch:
                    self._run_apart(piece)
            connection.commit()
        except BaseException:
            self.meters.failures.add()
            connection.rollback()
            raise
        self.meters.seconds.observe(time.monotonic() - began)
        self.meters.pieces.observe(len(batch))

    def _sync_if(self, lasting: bool) -> None:  # noqa: FBT001 (private)
        """Wait for the disk at the next commit, or leave that to a later one: a sync covers all before it."""
        if lasting != self._lasting:
            self._db.conn.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._lasting = lasting

    def _run_together(self, batch: list[_Piece]) -> bool:
        """Run all pieces as if they were one; return False when one raised, so that none may be kept like this."""
        try:
            for piece in batch:
                piece.failure = None
                piece.result = piece.work(self._db)
        except sqlite3.OperationalError:
            raise  # the disk, not the work: the whole batch is taken back
        except Exception:  # noqa: BLE001 (it is run again by itself, and then handed to the thread that asked)
            return False
        return True

    def _run_apart(self, piece: _Piece) -> None:
        """Run one piece so that, if it raises, it takes only itself back."""
        connection = self._db.conn
        piece.failure = None
        connection.execute("SAVEPOINT piece")
        try:
            piece.result = piece.work(self._db)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 (handed to the thread that asked; the others go on)
            connection.execute("ROLLBACK TO piece")
            piece.failure = unusable(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("RELEASE piece")

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


def _raise(error: Exception) -> None:
    """Let the thread hear of it that came to know, for want of somebody else."""
    raise error


def _settle(batch: list[_Piece], failure: LedgerError | None) -> None:
    """Say what came of a batch: done, or none of it happened."""
    for piece in batch:
        piece.failure = failure or piece.failure
        piece.is_done = True
