"""Where recordings lie, behind one face: a folder, or a bucket. Reads only; nothing is written there."""

from __future__ import annotations

import errno
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from uploader.domain.pairing import stem_prefix
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import Stamp
from uploader.errors import RecordingFault, ServiceRefusal, SourceUnavailable, StoreUnavailable
from uploader.media.bytes import ByteSource, LocalBytes
from uploader.platform.filesystem import is_gone, read_small, sha256_of, stamp_of
from uploader.platform.s3 import Bucket, ObjectInfo, ObjectMissing, ObjectTooLarge, RangedObject
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import check_root, is_inside
from uploader.sources.s3.listing import content_id
from uploader.sources.s3.listing import stamp_of as stamp_of_object

MAX_SIBLINGS = 200
"""More files of one stem than this are not looked at for pairing."""

_KEPT_FOLDERS, _KEPT_NAMES = 4, 200_000
"""Folders whose names are kept, and names in all of them together (15 MiB); of a larger one, it alone."""
_OUT_OF_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

Siblings = Callable[[bytes, bytes], Sequence[bytes]]
"""Given a folder and a prefix, the names in that folder that begin with it."""


class Place(Protocol):
    """One source's files, by location (bytes). Every method may raise SourceUnavailable."""

    def stamp(self, location: bytes) -> Stamp | None:
        """Return the file's stamp, None when it is not there. Raises RecordingFault when not to be read."""

    def siblings(self, location: bytes) -> Sequence[bytes]:
        """Return the names beside it that may matter for its pairing."""

    def read_sidecar(self, location: bytes, name: bytes, *, limit: int) -> tuple[bytes, int]:
        """Return up to `limit` + 1 bytes of the sidecar `name` beside it, and its mtime in ns.

        Raises RecordingFault.
        """

    def open(self, location: bytes) -> AbstractContextManager[ByteSource]:
        """Open the content for probing. Raises RecordingFault."""

    def content_id(self, location: bytes, stamp: Stamp) -> tuple[str, bytes | None] | None:
        """Return what identifies the content, with its SHA-256 if it was read; None if it is another now."""


class FolderPlace:
    """A folder on this machine. `siblings` answers from the scan cache, or by listing.

    An import may have `further` roots beside the first.
    """

    def __init__(self, root: bytes, *, rules: Rules, siblings: Siblings, further: Sequence[bytes] = ()) -> None:
        self._roots = (root, *further)
        self._rules = rules
        self._siblings = siblings

    def stamp(self, location: bytes) -> Stamp | None:
        """Return the file's stamp, None when it is gone while the root is there."""
        try:
            stat = os.stat(location)  # noqa: PTH116 (names are bytes)
        except OSError as error:
            if not is_gone(error):
                raise _unreadable(error) from error
            check_root(self._root_of(location))
            return None
        if not self._holds(location):
            raise RecordingFault(REASONS[Reason.FILE_OUTSIDE][0], code=Reason.FILE_OUTSIDE)
        return stamp_of(stat)

    def siblings(self, location: bytes) -> Sequence[bytes]:
        """Return the names beside it that may matter for its pairing."""
        folder, name = os.path.split(location)
        prefix = stem_prefix(name, is_recording=self._rules.is_recording)
        found = [n for n in self._siblings(folder, prefix) if not self._rules.is_ignored(n)]
        return found[:MAX_SIBLINGS]

    def read_sidecar(self, location: bytes, name: bytes, *, limit: int) -> tuple[bytes, int]:
        """Return up to `limit` + 1 bytes of the sidecar and its mtime in ns."""
        path = os.path.join(os.path.dirname(location), name)  # noqa: PTH118, PTH120 (names are bytes)
        try:
            if not self._holds(path):
                raise RecordingFault("the sidecar is a link that leads out of the source", code=Reason.FILE_OUTSIDE)
            return read_small(path, limit=limit)
        except OSError as error:
            if is_gone(error):
                raise RecordingFault(REASONS[Reason.SIDECAR_MISSING][0], code=Reason.SIDECAR_MISSING) from error
            if error.errno in _OUT_OF_MEANS:
                raise _unreadable(error) from error
            raise RecordingFault("the sidecar cannot be read", code=Reason.SIDECAR_UNREADABLE) from error

    @contextmanager
    def open(self, location: bytes) -> Iterator[ByteSource]:
        """Open the file for probing."""
        try:
            with LocalBytes(location) as file:
                yield file
        except OSError as error:
            raise _unreadable(error) from error

    def content_id(self, location: bytes, stamp: Stamp) -> tuple[str, bytes | None] | None:
        """Return the SHA-256 of the file, None if it is another, or changes, meanwhile."""
        try:
            digest = sha256_of(location, expected=stamp)
        except OSError as error:
            if is_gone(error):
                return None
            raise _unreadable(error) from error
        return None if digest is None else (f"sha256:{digest.hex()}", digest)

    def _holds(self, path: bytes) -> bool:
        """Say whether a path leads to what is in the source: any folder of it may have become a link."""
        return any(is_inside(root, path) for root in self._roots)

    def _root_of(self, location: bytes) -> bytes:
        """Return the root that a location lies below, as its name says."""
        above = (root for root in self._roots if location.startswith(root.rstrip(b"/") + b"/"))
        return max(above, key=len, default=self._roots[0])


class BucketPlace:
    """A bucket; objects are probed by ranges and never downloaded. Locations are `s3://bucket/key`."""

    def __init__(self, bucket: Bucket, *, rules: Rules, siblings: Siblings) -> None:
        self._bucket = bucket
        self._rules = rules
        self._siblings = siblings
        self._start = f"s3://{bucket.access.bucket}/".encode()

    def key(self, location: bytes) -> str:
        """Return the object's key."""
        return location.removeprefix(self._start).decode("utf-8", "surrogateescape")

    def stamp(self, location: bytes) -> Stamp | None:
        """Return the object's stamp, None when it is not there."""
        with as_source():
            info = self._bucket.head(self.key(location))
        return None if info is None else stamp_of_object(info)

    def siblings(self, location: bytes) -> Sequence[bytes]:
        """Return the names under the same prefix that may matter for its pairing."""
        folder, _, name = location.rpartition(b"/")
        prefix = stem_prefix(name, is_recording=self._rules.is_recording)
        return list(self._siblings(folder, prefix))[:MAX_SIBLINGS]

    def read_sidecar(self, location: bytes, name: bytes, *, limit: int) -> tuple[bytes, int]:
        """Return the sidecar object's content; it is whole once it is there, so its age does not matter."""
        key = self.key(location.rpartition(b"/")[0] + b"/" + name)
        try:
            with as_source():
                data = self._bucket.read_small(key, limit_bytes=limit)
        except ObjectTooLarge as error:
            raise RecordingFault(REASONS[Reason.SIDECAR_TOO_LARGE][0], code=Reason.SIDECAR_TOO_LARGE) from error
        if data is None:
            raise RecordingFault(REASONS[Reason.SIDECAR_MISSING][0], code=Reason.SIDECAR_MISSING)
        return data, 0

    @contextmanager
    def open(self, location: bytes) -> Iterator[ByteSource]:
        """Open the object for probing by ranges."""
        with as_source():
            yield RangedObject(self._bucket, self._info(location))

    def content_id(self, location: bytes, stamp: Stamp) -> tuple[str, bytes | None] | None:
        """Return the object's own checksum, else its ETag and size."""
        with as_source():
            info = self._info(location)
        return (content_id(info), None) if stamp_of_object(info) == stamp else None

    def _info(self, location: bytes) -> ObjectInfo:
        info = self._bucket.head(self.key(location))
        if info is None:
            raise ObjectMissing
        return info


@contextmanager
def as_source() -> Iterator[None]:
    """Take what a source's own bucket refuses, or its being away, as the source's: others go on."""
    try:
        yield
    except (StoreUnavailable, ServiceRefusal) as error:
        raise SourceUnavailable(str(error), hint=error.hint) from error


def _unreadable(error: OSError) -> RecordingFault | SourceUnavailable:
    """Tell a file that cannot be read from a system that can open none just now."""
    if error.errno in _OUT_OF_MEANS:
        return SourceUnavailable(f"no file can be opened ({os.strerror(error.errno)})")
    code = Reason.FILE_UNREADABLE
    return RecordingFault(f"the file cannot be read ({os.strerror(error.errno or 0)})", code=code)


def list_siblings(folder: bytes, prefix: bytes) -> list[bytes]:
    """Answer `Siblings` by listing the folder itself: for commands that have no scan cache."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name.startswith(prefix)]
    except OSError as error:
        raise SourceUnavailable("the recording's folder cannot be listed", hint="check its rights") from error


class FolderNames:
    """Answers `Siblings` by listing folders, a few of which it keeps while their own mtime holds.

    An archive often has all its recordings in one folder: listing it anew for each would never end.
    Safe from any thread.
    """

    def __init__(self, *, most_names: int = _KEPT_NAMES) -> None:
        self._most_names = most_names
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[int, list[bytes]]] = {}

    def __call__(self, folder: bytes, prefix: bytes) -> list[bytes]:
        """Return the names in `folder` that begin with `prefix`, and the one that is its stem."""
        with self._lock:
            names = self._names(folder)
        start = bisect_left(names, prefix)
        end = start
        while end < len(names) and names[end].startswith(prefix):
            end += 1
        found = names[start:end]
        stem = prefix.removesuffix(b".")
        at = bisect_left(names, stem)
        if stem != prefix and at < len(names) and names[at] == stem:
            found.append(stem)
        return found

    def _names(self, folder: bytes) -> list[bytes]:
        try:
            # Read before the listing: what comes meanwhile makes it outdated.
            mtime_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116 (names are bytes)
            kept = self._kept.pop(folder, None)
            if kept is None or kept[0] != mtime_ns:
                with os.scandir(folder) as entries:
                    kept = (mtime_ns, sorted(entry.name for entry in entries))
        except OSError as error:
            raise SourceUnavailable("the recording's folder cannot be listed", hint="check its rights") from error
        self._kept[folder] = kept
        while len(self._kept) > 1 and (len(self._kept) > _KEPT_FOLDERS or self._count() > self._most_names):
            del self._kept[next(iter(self._kept))]
        return kept[1]

    def _count(self) -> int:
        return sum(len(names) for _, names in self._kept.values())
