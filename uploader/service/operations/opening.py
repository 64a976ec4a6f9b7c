"""Opening the ledger for one command beside the daemon. Knows nothing of what the command does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uploader.errors import LedgerError
from uploader.ledger.ledger import Ledger


@contextmanager
def existing(path: Path) -> Iterator[tuple[Ledger, bool]]:
    """Open the ledger at `path`, to look or to change what is in it; yield it, and whether it exists.

    One that does not exist is not made: an empty one elsewhere stands for it. Raises LedgerError.
    """
    if _exists(path):
        with _closing(Ledger.open_beside(path)) as ledger:
            yield ledger, True
        return
    with (
        tempfile.TemporaryDirectory(prefix="qm-uploader-") as place,
        _closing(Ledger.open_beside(Path(place) / "empty.db")) as ledger,
    ):
        yield ledger, False


@contextmanager
def existing_or_new(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path`; make it if need be. Raises LedgerError."""
    if not _exists(path):
        _make_for_the_folders_owner(path)
    with _closing(Ledger.open_beside(path)) as ledger:
        yield ledger


@contextmanager
def _closing(ledger: Ledger) -> Iterator[Ledger]:
    try:
        yield ledger
    finally:
        ledger.close()


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise LedgerError(
            f"the ledger cannot be looked at ({os.strerror(error.errno or 0)})",
            hint="run the command as the user of the service",
        ) from error
    return True


def _make_for_the_folders_owner(path: Path) -> None:
    """Make the file as the service's own, should root run the command before the service ever ran."""
    if os.geteuid() != 0 or not path.parent.is_dir():
        return
    owner = path.parent.stat()
    with suppress(OSError):  # whatever is wrong here is told better when the ledger is opened
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)
