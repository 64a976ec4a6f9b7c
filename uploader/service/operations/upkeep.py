"""Keeping the ledger: backups into their directory, what is known of the last one, and pruning. Knows no schedule."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from uploader.domain.recording import State
from uploader.errors import LedgerBusy, UploaderError, UsageError
from uploader.ledger import backup
from uploader.ledger.backup import Backup
from uploader.ledger.connection import SenderRole
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.filesystem import free_bytes
from uploader.service.operations.views import moment

MADE, FAILED, WHY = "backup_last_at", "backup_failed_at", "backup_failure"
"""Notes of the ledger: when the last backup in their directory was made, and what the last try failed of since."""
_HINTS: dict[type[UploaderError], str] = {
    backup.PlaceUnusable: "make it and give it to the user of the service ([ledger] backup_dir); under systemd, one "
    "outside of /var/lib/qm-uploader also needs ReadWritePaths= in a drop-in",
    backup.NoRoom: "free space there, keep fewer ([ledger] backup_keep), or set [ledger] backup_dir to another disk",
}
"""What to do about the directory of the backups."""
_WINDOW = 250
"""So many rows a transaction: some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlace:
    """Where backups are put, and how many are kept."""

    directory: Path
    keep: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStanding:
    """When the last backup was made, and why none could be made since; None and empty where it is not so."""

    made_at: datetime | None
    failed_at: datetime | None
    problem: str


def standing(ledger: Ledger) -> BackupStanding:
    """Return how backups stand."""
    made, failed, why = (ledger.books.note(key) for key in (MADE, FAILED, WHY))
    return BackupStanding(
        made_at=moment(int(made)) if made else None,
        failed_at=moment(int(failed)) if failed and why else None,
        problem=why or "",
    )


def back_up(
    ledger: Ledger, place: BackupPlace, *, now: datetime, stopped: Callable[[], bool] = lambda: False
) -> tuple[Backup, int]:
    """Make a backup in its directory and remove the oldest; return it, and how many were removed.

    What it fails of is written into the ledger, for `status`. Raises UploaderError.
    """
    try:
        _make_directory(ledger.path, place.directory)
        made = ledger.backup(place.directory / backup.name_of(ledger.path, now), at=now, stopped=stopped)
    except backup.Interrupted:
        raise
    except (backup.PlaceUnusable, backup.NoRoom) as error:
        _note_failed(ledger, now, error)
        raise type(error)(str(error), hint=_HINTS[type(error)]) from error
    except UploaderError as error:
        _note_failed(ledger, now, error)
        raise
    _note_made(ledger, now)
    try:
        return made, backup.remove_oldest(ledger.path, place.directory, keep=place.keep, made=made.path)
    except OSError as error:
        kept = UploaderError(
            f"a backup was made, but the oldest cannot be removed ({os.strerror(error.errno or 0).lower()})",
            hint="see who owns the files in the directory of the backups",
        )
        _note_failed(ledger, now, kept)
        raise kept from error


def back_up_to(ledger: Ledger, target: Path, *, now: datetime) -> Backup:
    """Make a backup as the file `target`, or in it if it is a directory. Raises UploaderError.

    It is no one else's business: nothing is removed, and `status` and the daemon's duty do not count it.
    """
    return ledger.backup(target / backup.name_of(ledger.path, now) if target.is_dir() else target, at=now)


def refuse_sources(directory: Path, folders: Iterable[Path]) -> None:
    """Refuse a directory in one of the sources, by whatever way it is reached. Raises UsageError."""
    whole = directory.resolve()
    for folder in folders:
        with contextlib.suppress(OSError):  # a source that is not there holds nothing
            if any(above.samefile(folder) for above in (whole, *whole.parents) if above.exists()):
                raise UsageError(
                    "the backup would lie in a source, and nothing is ever written there",
                    hint="name a place outside of the folders of [[sources]]",
                )


def note_newest(ledger: Ledger, newest: datetime | None) -> None:
    """Have the ledger know of the newest backup that is there, for `status`, where it knows of another one."""
    noted = int(ledger.books.note(MADE) or 0) // 1000
    found = 0 if newest is None else to_ms(newest)
    if noted != found // 1000:
        ledger.books.set_notes({MADE: str(found) if found else ""})


def newest(ledger: Path, directory: Path, *, until: datetime) -> datetime | None:
    """Return the stamp of the newest backup, leaving out what a clock that was wrong dated later than `until`."""
    try:
        stamps = [at for at, _ in backup.existing(ledger, directory) if at <= until]
    except OSError:
        return None
    return stamps[-1] if stamps else None


def _note_made(ledger: Ledger, now: datetime) -> None:
    ledger.books.set_notes({MADE: str(to_ms(now)), WHY: ""})


def _note_failed(ledger: Ledger, now: datetime, error: UploaderError) -> None:
    ledger.books.set_notes({FAILED: str(to_ms(now)), WHY: str(error)})


def _make_directory(ledger: Path, directory: Path) -> None:
    """Make the directory beside the ledger. Another one may be a mount that is not there: that is not made."""
    if directory.parent != ledger.parent:
        return
    try:
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            owner = ledger.parent.stat()
            os.chown(directory, owner.st_uid, owner.st_gid)
    except FileExistsError:
        return
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else os.strerror(error.errno or 0).lower()
        raise UsageError(
            f"the directory of the backups cannot be made ({why})",
            hint="make it and give it to the user of the service, or set [ledger] backup_dir",
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was pruned, or would be. `seen`: entries of what listings showed."""

    states: Counter[State]
    seen: int
    bytes_before: int
    bytes_after: int
    compacted: bool = False
    why_not_compacted: str = ""

    @property
    def count(self) -> int:
        """How many recordings."""
        return self.states.total()


def prunable(ledger: Ledger, *, before: datetime) -> Pruned:
    """Count what `prune` would take out."""
    since = to_ms(before)
    states: Counter[State] = Counter()
    for low, high in _windows(ledger):
        states += ledger.pruning.count(low=low, high=high, before=since)
    seen = sum(_through_seen(partial(ledger.pruning.count_seen, limit=_WINDOW, before=since)))
    size = ledger.pruning.size_bytes()
    return Pruned(states=states, seen=seen, bytes_before=size, bytes_after=size)


def prune(ledger: Ledger, *, before: datetime, now: datetime) -> Pruned:
    """Take out of the ledger what nothing has happened to since `before`; make the file smaller if nobody sends.

    Beside a sender it rests after each transaction as long as that took: every other turn is the sender's.
    Raises LedgerError.
    """
    since, size = to_ms(before), ledger.pruning.size_bytes()
    rests = ledger.is_sender_running()
    states: Counter[State] = Counter()
    for low, high in _windows(ledger):
        if ledger.pruning.count(low=low, high=high, before=since):
            took = time.monotonic()
            states += ledger.pruning.prune(low=low, high=high, before=since, at=to_ms(now))
            time.sleep(time.monotonic() - took if rests else 0.0)
    seen = sum(_through_seen(partial(ledger.pruning.forget_seen, limit=_WINDOW, before=since)))
    ledger.pruning.forget_rest(day=before.date().isoformat())
    why_not = _compact(ledger)
    return Pruned(
        states=states,
        seen=seen,
        bytes_before=size,
        bytes_after=ledger.pruning.size_bytes(),
        compacted=why_not is None,
        why_not_compacted=why_not or "",
    )


def _windows(ledger: Ledger) -> Iterator[tuple[int, int]]:
    return ((low, low + _WINDOW) for low in range(0, ledger.pruning.highest(), _WINDOW))


def _through_seen(step: Callable[..., tuple[str | None, int]]) -> Iterator[int]:
    after: str | None = ""
    while after is not None:
        after, count = step(after=after)
        yield count


def _compact(ledger: Ledger) -> str | None:
    """Rewrite the file, unless there is nothing to gain (""), or for the reason that is returned."""
    if not ledger.pruning.is_compactable():
        return ""
    if free_bytes(ledger.path.parent) < 2 * ledger.pruning.size_bytes() + backup.SPARE_BYTES:
        return "The file keeps its size: to rewrite it, its disk needs twice as much room once more."
    role = SenderRole(ledger.path)
    try:
        role.acquire()
    except LedgerBusy:
        return "The file keeps its size while a daemon runs: stop it, and repeat this."
    try:
        ledger.pruning.compact()
    finally:
        role.release()
    return None
