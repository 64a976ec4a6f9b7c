"""Copies of the ledger: made beside whoever writes, checked, and put under a name of their own.

A copy is one read transaction, taken page by page, so that nobody waits for it. It carries a stamp;
a sender that finds one knows that its ledger was restored. Knows no settings and no schedule.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from uploader.errors import LedgerDamaged, UploaderError, UsageError
from uploader.ledger.connection import connect, unusable
from uploader.platform.filesystem import free_bytes, open_private

MADE_AT, COPY_OF = "backup_made_at", "backup_of"
"""The notes of a copy. The ledger itself has neither, unless it was restored."""
SPARE_BYTES = 128 * 1024 * 1024
"""What stays free on the disk: twice of what a ledger needs to go on."""
_STAMP = "%Y%m%dT%H%M%SZ"
_PAGES = 1024
"""So many pages a step: what is written reaches the disk before the next, and no one else's sync waits long."""
_OPCODES = 100_000
_SUFFIX, _PART = ".db", ".part"


class Interrupted(UploaderError):
    """The copying was to stop; nothing is left of it."""


class PlaceUnusable(UsageError):
    """The directory is missing, is none, or takes no file."""


class NoRoom(UploaderError):
    """The disk has no room for a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished copy. `generation` is that of the ledger when it was taken."""

    path: Path
    made_at: datetime
    size_bytes: int
    generation: int


def name_of(ledger: Path, at: datetime) -> str:
    """Return a backup's name: `ledger-20261120T040000Z.db`."""
    return f"{ledger.stem}-{at.astimezone(UTC).strftime(_STAMP)}{_SUFFIX}"


def existing(ledger: Path, directory: Path) -> list[tuple[datetime, Path]]:
    """Return what is named as a backup of `ledger` in a directory, oldest first. Raises OSError."""
    pattern = re.compile(re.escape(ledger.stem) + r"-([0-9]{8}T[0-9]{6}Z)" + re.escape(_SUFFIX))
    found = []
    for path in directory.iterdir():
        match = pattern.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            with contextlib.suppress(ValueError):  # digits that are no time
                found.append((datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC), path))
    return sorted(found)


def copy(
    ledger: Path,
    target: Path,
    *,
    at: datetime,
    seal: Callable[[], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Backup:
    """Copy the ledger to the file `target`, which must not exist, and check the copy.

    `seal` is called when the copy is whole, before it gets its name: from then on the ledger must be
    known as a later one. Raises UsageError for the place, Interrupted, and other UploaderErrors.
    """
    check_target(ledger, target)
    try:
        _remove_leftovers(ledger, target.parent)
        with _part(target) as (part, descriptor):
            # Only now: where nothing can be written, none is free either, and that is not what is wrong.
            _check_room(ledger, target.parent)
            _fill(ledger, part, descriptor, stopped)
            generation = _stamp(ledger, part, at)
            _check(part, stopped)
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
            seal()
            _publish(part, target)
            size = os.fstat(descriptor).st_size
    except sqlite3.Error as error:
        raise _of_sqlite(error) from error
    except OSError as error:
        raise _cannot_write(error) from error
    return Backup(path=target, made_at=at, size_bytes=size, generation=generation)


def remove_oldest(ledger: Path, directory: Path, *, keep: int, made: Path) -> int:
    """Remove the oldest backups of this very ledger until `keep` are left; return how many. Raises OSError.

    `made` was just made and stays. What another ledger's stamp or none is in is left alone, and not counted.
    """
    ours = [path for _, path in existing(ledger, directory) if path != made and _is_copy_of(ledger, path)]
    surplus = ours[: max(0, len(ours) + 1 - max(1, keep))]
    for path in surplus:
        path.unlink()
    return len(surplus)


def check_target(ledger: Path, target: Path) -> None:
    """Refuse a place that a copy cannot or must not be put. Raises UsageError."""
    directory = target.parent
    try:
        is_directory = stat.S_ISDIR(directory.stat().st_mode)
        is_beside = is_directory and directory.samefile(ledger.parent)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise PlaceUnusable(
                "the backup's directory is not there", hint="make it, or name a file in one that is there"
            ) from error
        raise _cannot_write(error) from error
    if not is_directory:
        raise PlaceUnusable("the backup's directory is a file", hint="name a directory, or a file in one")
    if is_beside and target.name.startswith(ledger.name):
        raise UsageError(
            "a backup cannot take the place of the ledger, or of what belongs to it", hint="give it another name"
        )
    if os.path.lexists(target):
        raise _taken()


def _check_room(ledger: Path, directory: Path) -> None:
    size = sum(_size(ledger.with_name(ledger.name + suffix)) for suffix in ("", "-wal"))
    free = free_bytes(directory)
    if free < size + SPARE_BYTES:
        raise _no_room(f"{free >> 20} MiB are free, and {(size + SPARE_BYTES >> 20) + 1} MiB are needed")


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextlib.contextmanager
def _part(target: Path) -> Iterator[tuple[Path, int]]:
    """Lend a file that nobody else sees as a backup, held by a lock; nothing is left of it afterwards."""
    # Nobody can guess the name: in a directory that others write to, no link can wait there.
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_PART}")
    descriptor = open_private(part, truncate=True)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then leftovers may be seen as such too soon
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield part, descriptor
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)
        os.close(descriptor)


def _remove_leftovers(ledger: Path, directory: Path) -> None:
    """Remove what a process left that was killed while it copied."""
    with contextlib.suppress(OSError):
        for path in directory.glob(f".*{_SUFFIX}.*{_PART}"):
            if not path.name.startswith(f".{ledger.stem}-"):
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except OSError:
                continue
            finally:
                os.close(descriptor)


def _fill(ledger: Path, part: Path, descriptor: int, stopped: Callable[[], bool]) -> None:
    db = connect(ledger, query_only=True)
    source = db.conn
    try:
        copied = _open_part(part)
        try:

            def went_on(_status: int, _left: int, _total: int) -> None:
                if stopped():
                    raise Interrupted("the backup was broken off: the program ends")
                os.fdatasync(descriptor)

            # The transaction stays open for all steps: without it, a writer would make each begin anew.
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM note").fetchone()
            source.backup(copied, pages=_PAGES, progress=went_on)
        finally:
            copied.close()
    finally:
        db.close()


def _open_part(part: Path) -> sqlite3.Connection:
    """Open the copy, which nobody else has: without locks, which a network file system may not have."""
    uri = f"file:{quote(os.fsencode(part.absolute()))}?mode=rw&vfs=unix-none"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _stamp(ledger: Path, part: Path, at: datetime) -> int:
    """Make the copy one file, and write into it when it was made and of what; return its generation."""
    connection = _open_part(part)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        notes = {MADE_AT: at.astimezone(UTC).isoformat(timespec="seconds"), COPY_OF: _whole_name(ledger)}
        connection.execute("BEGIN")
        connection.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", notes.items())
        connection.execute("COMMIT")
        found = connection.execute("SELECT value FROM note WHERE key = 'generation'").fetchone()
        return int(found[0]) if found else 0
    finally:
        connection.close()


def _check(part: Path, stopped: Callable[[], bool]) -> None:
    connection = _open_part(part)
    try:
        connection.set_progress_handler(lambda: int(stopped()), _OPCODES)
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if stopped():
            raise Interrupted("the backup was broken off: the program ends") from error
        raise
    finally:
        connection.close()
    if verdict != "ok":
        raise LedgerDamaged(
            "the copy of the ledger is not sound, and was thrown away",
            hint="`qm-uploader verify` says whether the ledger is; keep the older backups",
        )


def _publish(part: Path, target: Path) -> None:
    """Give the copy its name, unless something has that name meanwhile; then make the name last."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _taken() from None
    except OSError:
        # A file system without hard links: two that look and rename in the same instant are not told apart.
        if os.path.lexists(target):
            raise
        part.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_copy_of(ledger: Path, path: Path) -> bool:
    """Say whether the stamp in a backup names this ledger. Nothing beside it is made or read."""
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute("SELECT value FROM note WHERE key = ?", (COPY_OF,)).fetchone()
    except sqlite3.Error:
        return False
    return found is not None and found[0] == _whole_name(ledger)


def _whole_name(ledger: Path) -> str:
    return os.fsencode(ledger.resolve()).decode("utf-8", "backslashreplace")


def _of_sqlite(error: sqlite3.Error) -> UploaderError:
    return _no_room("it became full meanwhile") if "full" in str(error).lower() else unusable(error)


def _taken() -> UsageError:
    return UsageError(
        "the file of the backup is there already, and no file is ever overwritten",
        hint="name one that is not there yet, or a directory: in it, the backup is named after date and time",
    )


def _no_room(why: str) -> NoRoom:
    return NoRoom(
        f"the disk has no room for a backup: {why}", hint="free space there, or put the backup on another disk"
    )


def _cannot_write(error: OSError) -> UploaderError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _no_room("it became full meanwhile")
    # What is there and yet "not found" is a file system of the kernel's own.
    why = "it takes no files" if error.errno == errno.ENOENT else os.strerror(error.errno or 0).lower()
    return PlaceUnusable(
        f"the backup's directory cannot be written ({why})",
        hint="see who owns it and whether its disk is read-only, or name another place",
    )
