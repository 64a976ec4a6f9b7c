"""An object read in pieces, a little ahead, for those who probe a header; knows no media."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.platform.s3.bucket import Bucket
    from uploader.platform.s3.values import ObjectInfo

READ_AHEAD_BYTES = 256 * 1024
KEPT_WINDOWS = 4
MAX_READ_BYTES = 16 * 1024 * 1024


class RangedObject:
    """The bytes of one object as it was when `info` was taken: same size, same ETag.

    Each request fetches a window; small objects take one request, a header and a trailer two. Memory is
    at most `KEPT_WINDOWS` windows. For one thread.
    """

    def __init__(self, bucket: Bucket, info: ObjectInfo, *, read_ahead_bytes: int = READ_AHEAD_BYTES) -> None:
        self._bucket = bucket
        self._info = info
        self._read_ahead_bytes = read_ahead_bytes
        self._windows: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """The whole object's size."""
        return self._info.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end of the object.

        Raises `ObjectChanged`, `ObjectMissing` and `ObjectArchived` (recording faults), and what
        `Bucket.read_range` raises of the store. `length` may be 16 MiB at most.
        """
        if offset < 0 or not 0 <= length <= MAX_READ_BYTES:
            raise ValueError("a read must lie in the object and be 16 MiB at most")
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return b""
        for start, data in self._windows.items():
            if start <= offset and end <= start + len(data):
                self._windows.move_to_end(start)
                return data[offset - start : end - start]
        return self._fetch(offset, end)

    def _fetch(self, offset: int, end: int) -> bytes:
        stop = min(max(end, offset + self._read_ahead_bytes), self.size_bytes)
        # near the end a window is taken backwards: who looks at a trailer looks around it
        start = max(0, min(offset, stop - self._read_ahead_bytes))
        data = self._bucket.read_range(self._info.key, start, stop - start, etag=self._info.etag)
        self._windows[start] = data
        self._windows.move_to_end(start)
        while len(self._windows) > KEPT_WINDOWS:
            self._windows.popitem(last=False)
        return data[offset - start : end - start]
