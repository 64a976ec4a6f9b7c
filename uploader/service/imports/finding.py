"""Finding an import's recordings, and keeping what was found out of memory and in order. Judges nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from uploader.domain.pairing import is_sidecar_name
from uploader.domain.recording import Stamp
from uploader.platform.filesystem import stamp_of
from uploader.platform.s3 import Bucket
from uploader.service.imports.targets import Target
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import files
from uploader.sources.s3.listing import S3Lister

BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One recording as it lies there."""

    location: bytes
    stamp: Stamp
    etag: str | None = None


class Order(StrEnum):
    """By the files' mtimes."""

    OLDEST = "oldest"
    NEWEST = "newest"


class Walk:
    """Goes through the targets. `passed_over` counts folders that cannot be read."""

    def __init__(self, rules: Rules, *, base: bytes = b"") -> None:
        """Patterns with a slash are matched below `base`, where a target lies in it, else below the target."""
        self._rules = rules
        self._base = base.rstrip(b"/")
        self.passed_over = 0

    def files(self, targets: Iterable[Target], *, stop: threading.Event) -> Iterator[Found]:
        """Yield every recording of these folders and files. Raises SourceUnavailable for a folder."""
        for target in targets:
            if target.is_folder:
                yield from self._folder(target.path, stop)
            else:
                yield Found(location=target.path, stamp=stamp_of(os.stat(target.path)))  # noqa: PTH116

    def objects(self, bucket: Bucket, *, stop: threading.Event) -> Iterator[Found]:
        """Yield every recording below a bucket's prefix. Raises SourceUnavailable."""
        for page in S3Lister(bucket, wanted=lambda key: True).scan(None):
            for one in page.objects:
                folder, _, name = one.key.encode("utf-8", "surrogateescape").rpartition(b"/")
                if self._rules.is_recording(name, folder) and not is_sidecar_name(name):
                    location = one.location.encode("utf-8", "surrogateescape")
                    yield Found(location=location, stamp=one.stamp, etag=one.etag)
            if stop.is_set():
                return

    def _folder(self, root: bytes, stop: threading.Event) -> Iterator[Found]:
        base = self._base if self._base and (root + b"/").startswith(self._base + b"/") else root
        for file in files(root, self._rules, stop=stop, base=base, passed_over=self._pass_over):
            if not is_sidecar_name(file.name):
                yield Found(location=file.folder.rstrip(b"/") + b"/" + file.name, stamp=file.stamp)

    def _pass_over(self, path: bytes) -> None:
        del path
        self.passed_over += 1


class Spool:
    """What was found, each location once, in a temporary file of SQLite that is gone when this is closed."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute(
            "CREATE TABLE found (location BLOB PRIMARY KEY, size_bytes INTEGER, mtime_ns INTEGER, inode INTEGER, "
            "etag TEXT) WITHOUT ROWID"
        )

    def add(self, found: Iterable[Found]) -> None:
        """Take a batch in."""
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?)",
            ((f.location, f.stamp.size_bytes, f.stamp.mtime_ns, f.stamp.inode, f.etag) for f in found),
        )
        self._db.execute("COMMIT")

    def totals(self, *, order: Order, limit: int | None) -> tuple[int, int]:
        """Return how many recordings there are, and their bytes."""
        select, values = self._select("size_bytes", order, limit)
        count, size = self._db.execute(
            f"SELECT count(*), coalesce(sum(size_bytes), 0) FROM ({select})", values
        ).fetchone()
        return int(count), int(size)

    def read(self, *, order: Order, limit: int | None) -> Iterator[Found]:
        """Yield them in order, at most `limit`."""
        with closing(self._db.execute(*self._select("*", order, limit))) as cursor:
            for location, size, mtime, inode, etag in cursor:
                stamp = Stamp(size_bytes=size, mtime_ns=mtime, inode=inode)
                yield Found(location=bytes(location), stamp=stamp, etag=etag)

    def close(self) -> None:
        """Let it go."""
        self._db.close()

    @staticmethod
    def _select(columns: str, order: Order, limit: int | None) -> tuple[str, tuple[int, ...]]:
        way = "DESC" if order is Order.NEWEST else "ASC"
        return f"SELECT {columns} FROM found ORDER BY mtime_ns {way}, location LIMIT ?", (
            -1 if limit is None else limit,
        )


def batches(found: Iterable[Found], size: int = BATCH) -> Iterator[list[Found]]:
    """Yield parts of at most `size`."""
    rest = iter(found)
    while part := list(islice(rest, size)):
        yield part
