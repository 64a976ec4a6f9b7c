"""Local files brought to a bucket under their content's hash; knows no ledger and no service."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import structlog

from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp
from uploader.errors import RecordingFault, ServiceRefusal, StoreUnavailable
from uploader.platform.filesystem import stamp_of
from uploader.platform.s3 import Bucket, ChangedDuringUpload, PresignedUrl

_EXTENSION = re.compile(r"(\.[a-z0-9]{1,8})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_BYTES = 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedObject:
    """Where a staged file lies, enough to sign for it or to remove it."""

    bucket: str
    key: str
    size_bytes: int
    etag: str


class S3Stager:
    """Put local files into a bucket, sign for them, remove them. Safe from any thread."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        prefix = bucket.access.prefix
        self._prefix = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix

    def key_for(self, *, sha256: str, extension: str, generation: int = 0) -> str:
        """Name the object: the same content has the same key, a later generation one of its own.

        A new generation lets the old object be deleted, which revokes the URLs given out for it.
        """
        if not _SHA256.fullmatch(sha256) or not _EXTENSION.fullmatch(extension) or generation < 0:
            raise ValueError("a key is made of a SHA-256 in hex, an extension like .wav and a generation")
        again = f"-{generation}" if generation else ""
        return f"{self._prefix}{sha256[:2]}/{sha256}{again}{extension}"

    def stage(
        self,
        *,
        path: bytes,
        stamp: Stamp,
        sha256: str,
        extension: str,
        content_type: str,
        generation: int = 0,
    ) -> StagedObject:
        """Bring the file to its key, unless that very content lies there already.

        The file must be the one of `stamp` and `sha256` before, during and after; else `RecordingFault`
        (`source_changed`, `file_vanished`, `file_unreadable`), and no wrong content stays under the key.
        Raises `StoreUnavailable` and `ServiceRefusal` of the store. Repeating it is harmless.
        """
        key = self.key_for(sha256=sha256, extension=extension, generation=generation)
        with _opened(path, stamp) as file:
            etag = self._etag_if_there(key, file, size_bytes=stamp.size_bytes, sha256=sha256)
            uploaded = etag is None
            if etag is None:
                etag = self._bucket.put(
                    key, file, size_bytes=stamp.size_bytes, content_type=content_type, sha256=sha256
                )
                self._verify(key, size_bytes=stamp.size_bytes)
            # the descriptor shows changes in place, the path a file put in its place
            if stamp_of(os.fstat(file.fileno())) != stamp or stamp_of(_stat(path)) != stamp:
                raise ChangedDuringUpload
        log.info("store.object_staged", size_bytes=stamp.size_bytes, uploaded=uploaded)
        return StagedObject(bucket=self._bucket.access.bucket, key=key, size_bytes=stamp.size_bytes, etag=etag)

    def url(self, staged: StagedObject, *, lifetime_seconds: int) -> PresignedUrl:
        """Sign for a staged object; call it just before the URL is sent. Raises as `Bucket.presign_get`."""
        return self._bucket.presign_get(staged.key, lifetime_seconds=lifetime_seconds)

    def remove(self, staged: StagedObject) -> None:
        """Delete a staged object, and with it all its URLs; who else refers to it is the caller's to know."""
        self._bucket.delete(staged.key)

    def _etag_if_there(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str) -> str | None:
        """Return the ETag when the object lies there and its ETag proves the file's content."""
        try:
            info = self._bucket.head(key)
        except ServiceRefusal as exc:
            if exc.reason != "store_forbidden":
                raise
            return None  # without s3:ListBucket a missing object answers 403
        if info is None or info.size_bytes != size_bytes:
            return None
        content_hash, etag = content_digests(file, part_size_bytes=self._bucket.part_size_for(size_bytes))
        if content_hash != sha256:
            raise ChangedDuringUpload
        return info.etag if info.etag == etag else None

    def _verify(self, key: str, *, size_bytes: int) -> None:
        info = self._bucket.head(key)
        if info is None or info.size_bytes != size_bytes:
            raise StoreUnavailable("the object store does not show what it has just taken")


@contextmanager
def _opened(path: bytes, stamp: Stamp) -> Iterator[BinaryIO]:
    """Open the file of that stamp; what a link leads to is the source's to judge."""
    try:
        # a pipe put in its place must not block us
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise RecordingFault("the file is gone", code=Reason.FILE_VANISHED) from None
    except OSError:
        raise RecordingFault("the file cannot be opened", code=Reason.FILE_UNREADABLE) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or stamp_of(found) != stamp:
        os.close(descriptor)
        raise ChangedDuringUpload("the file is no longer the one that was read")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _stat(path: bytes) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - paths are bytes here
    except OSError:
        raise ChangedDuringUpload from None


def content_digests(file: BinaryIO, *, part_size_bytes: int) -> tuple[str, str]:
    """Return the SHA-256 and the ETag that S3 gives the content: MD5, of parts the MD5 of their MD5s.

    Buckets that encrypt with KMS give other ETags: there nothing is proven, and the file goes up again.
    """
    file.seek(0)
    content = hashlib.sha256()
    parts: list[bytes] = []
    while True:
        part = hashlib.md5(usedforsecurity=False)
        left = part_size_bytes
        size = 0
        while chunk := file.read(min(left - size, _READ_BYTES) if left else _READ_BYTES):
            content.update(chunk)
            part.update(chunk)
            size += len(chunk)
            if left and size == left:
                break
        if not left:
            return content.hexdigest(), part.hexdigest()
        if size == 0:
            whole = hashlib.md5(b"".join(parts), usedforsecurity=False)
            return content.hexdigest(), f"{whole.hexdigest()}-{len(parts)}"
        parts.append(part.digest())
