"""Bytes of a recording, wherever they lie: read by offset, in bounded amounts; knows no format.

Two sources exist: a local file (here) and ranged reads of an S3 object. A probe reads through
`BoundedBytes`, so that looking at a large object never downloads it.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import Protocol, Self

from uploader.media.faults import truncated, unknown

BLOCK_BYTES = 16 * 1024
"""The least that is fetched at a time: most headers fit into one."""
PROBE_LIMIT_BYTES = 4 * 1024 * 1024
"""What one probe may fetch; a container that needs more to be understood is not understood."""
_KEPT_BLOCKS = 8


class ByteSource(Protocol):
    """Something with a known size that can be read at any offset."""

    @property
    def size_bytes(self) -> int:
        """Return the size when it was opened."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end. Raises OSError."""


class LocalBytes:
    """A regular file on this machine, as a context manager. Raises OSError, also for anything else.

    Whether a symlink may be followed is the source's to judge, before this.
    """

    def __init__(self, path: bytes | str | os.PathLike[str]) -> None:
        # O_NONBLOCK: a FIFO put in the file's place must not hold the thread
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        self._size_bytes = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "not a regular file")

    @property
    def size_bytes(self) -> int:
        """Return the size when the file was opened."""
        return self._size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end. Raises OSError."""
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        """Give the file back; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BoundedBytes:
    """A `ByteSource` read through a few kept blocks, with a limit on what is fetched in all.

    Raises RecordingFault (media_unknown) when the limit is passed. Not for several threads.
    """

    def __init__(self, source: ByteSource, *, limit_bytes: int = PROBE_LIMIT_BYTES) -> None:
        self._source = source
        self._left_bytes = limit_bytes
        self._kept: list[tuple[int, bytes]] = []
        self.size_bytes = source.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""
        length = min(length, self.size_bytes - offset)
        if offset < 0 or length <= 0:
            return b""
        for start, block in self._kept:
            if start <= offset and offset + length <= start + len(block):
                return block[offset - start : offset - start + length]
        return self._fetch(offset, length)

    def exactly(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. Raises RecordingFault (media_truncated) at the end."""
        found = self.read_at(offset, length)
        if len(found) < length:
            raise truncated()
        return found

    def _fetch(self, offset: int, length: int) -> bytes:
        start = offset - offset % BLOCK_BYTES
        wanted = min(-(-(offset + length - start) // BLOCK_BYTES) * BLOCK_BYTES, self.size_bytes - start)
        self._left_bytes -= wanted
        if self._left_bytes < 0:
            raise unknown("the header of the recording is too long to be read")
        block = self._source.read_at(start, wanted)
        self._kept = [(start, block), *self._kept[: _KEPT_BLOCKS - 1]]
        return block[offset - start : offset - start + length]
