"""Opening the ledger for one command beside the daemon. Knows nothing of what the command does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
