"""A recording opened for serving, held against its stamp; knows nothing of HTTP. Its calls block."""

from __future__ import annotations

import os
import stat
from enum import StrEnum

from uploader.domain.recording import Stamp
from uploader.platform.filesystem import stamp_of

# a pipe put in a recording's place must not hold the thread; a link is followed, as the scan did
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class FileFault(StrEnum):
    """Why a recording cannot be served: certainly gone or another, or not to be told for now."""

    GONE = "gone"
    CHANGED = "changed"
    UNCLEAR = "unclear"


class SourceFile:
    """An open file that was, when it was opened, the one that the stamp describes."""

    def __init__(self, descriptor: int, stamp: Stamp) -> None:
        self._descriptor = descriptor
        self._stamp = stamp

    def read(self, offset: int, length: int, *, check: bool) -> bytes | FileFault:
        """Return exactly `length` bytes; with `check` only if the file has its stamp after that."""
        try:
            parts = bytearray()
            while len(parts) < length:
                part = os.pread(self._descriptor, length - len(parts), offset + len(parts))
                if not part:
                    return FileFault.CHANGED
                parts += part
            if check and not _matches(os.fstat(self._descriptor), self._stamp):
                return FileFault.CHANGED
        except OSError:
            return FileFault.UNCLEAR
        return bytes(parts)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def open_source(path: bytes, stamp: Stamp) -> SourceFile | FileFault:
    """Open a recording by its absolute path and compare size, mtime and inode before a byte is read.

    A missing file is `GONE` only in a directory that is there and holds something else: an empty one
    may be a mount point without its file system, so it is `UNCLEAR` like every other failure.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return FileFault.GONE if _has_entries(path.rpartition(b"/")[0]) else FileFault.UNCLEAR
    except OSError:
        return FileFault.UNCLEAR
    try:
        same = _matches(os.fstat(descriptor), stamp)
    except OSError:
        os.close(descriptor)
        return FileFault.UNCLEAR
    if not same:
        os.close(descriptor)
        return FileFault.CHANGED
    return SourceFile(descriptor, stamp)


def _matches(found: os.stat_result, stamp: Stamp) -> bool:
    return stat.S_ISREG(found.st_mode) and stamp_of(found) == stamp


def _has_entries(directory: bytes) -> bool:
    try:
        with os.scandir(directory or b"/") as entries:
            return next(entries, None) is not None
    except OSError:
        return False
