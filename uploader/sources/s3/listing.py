"""The objects of a bucket, page by page; knows no pairing, no ledger and nothing of what they contain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from uploader.domain.recording import Stamp
from uploader.errors import ServiceRefusal, SourceUnavailable, StoreUnavailable
from uploader.platform.s3 import Bucket, ObjectInfo
from uploader.sources.s3.location import location_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenObject:
    """One object of a listing.

    `archived` objects cannot be read until they are restored; a listing of a store other than AWS does not
    say so of a restored one, so HEAD decides before one is quarantined.
    """

    key: str
    location: str
    stamp: Stamp
    etag: str
    storage_class: str
    archived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingPage:
    """One page of a round. `cursor` is what the next `scan` takes once this page is dealt with."""

    objects: tuple[SeenObject, ...]
    cursor: str | None
    last: bool


class S3Lister:
    """Walk a bucket's prefix, round after round.

    `wanted` gets a key without the prefix and says whether it concerns the source (include, exclude, and
    sidecars). Folder markers (keys that end in a slash) are left out; empty objects are not.
    """

    def __init__(self, bucket: Bucket, *, wanted: Callable[[str], bool]) -> None:
        self._bucket = bucket
        self._wanted = wanted

    def scan(self, cursor: str | None = None) -> Iterator[ListingPage]:
        """Walk one round to its end, or the rest of one that was interrupted at `cursor`.

        Keep each page's cursor with what the page brought: a restart goes on behind it. The last page's is
        None, and the next round starts anew, so what came behind our back, or lies where a store lists
        out of byte order, is found in the next round at the latest. Raises `SourceUnavailable`.
        """
        pages = self._bucket.list(start_after=cursor)
        while True:
            try:
                page = next(pages, None)
            except (StoreUnavailable, ServiceRefusal) as exc:
                raise SourceUnavailable(str(exc), hint=exc.hint) from exc
            if page is None:
                return
            if page.objects:
                cursor = page.objects[-1].key
            yield ListingPage(
                objects=tuple(self._seen(info) for info in page.objects if self._concerns(info.key)),
                cursor=None if page.last else cursor,
                last=page.last,
            )

    def _concerns(self, key: str) -> bool:
        return not key.endswith("/") and self._wanted(key.removeprefix(self._bucket.access.prefix))

    def _seen(self, info: ObjectInfo) -> SeenObject:
        return SeenObject(
            key=info.key,
            location=location_of(self._bucket.access.bucket, info.key),
            stamp=stamp_of(info),
            etag=info.etag,
            storage_class=info.storage_class,
            archived=info.archived,
        )


def stamp_of(info: ObjectInfo) -> Stamp:
    """Return the stamp by which an object is known to be unchanged; listing and HEAD give the same.

    Its time has whole seconds only, so its ETag stands where a file has its inode.
    """
    return Stamp(
        size_bytes=info.size_bytes,
        mtime_ns=int(info.last_modified.timestamp()) * 1_000_000_000,
        inode=int.from_bytes(hashlib.sha256(info.etag.encode()).digest()[:6], "big"),
    )


def content_id(info: ObjectInfo) -> str:
    """Name an object's content without downloading it, from what HEAD told.

    A checksum over the whole object, the short ones with the size; where the store keeps none, ETag
    and size, which may differ for equal content (uploads in parts, KMS).
    """
    if info.checksum is None:
        return f"etag:{info.etag}:{info.size_bytes}"
    known = f"{info.checksum.algorithm}:{info.checksum.value}"
    return known if info.checksum.algorithm in {"sha256", "sha512"} else f"{known}:{info.size_bytes}"
