"""One directory of a folder, compared with the scan cache file by file. Knows no other directory and no schedule.

However many files there are, a bounded number of names is in memory: the listing is read in parts, each
compared with what the cache has of its names; then the cache is read in parts, and what it has that is no
longer there is gone. All sidecars are compared before any recording, so that none is judged without its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Protocol

from uploader.domain.pairing import is_sidecar_name, stem_prefix
from uploader.domain.recording import Stamp
from uploader.domain.scanning import Total
from uploader.ledger.discovery import Seen
from uploader.ledger.entries import GONE
from uploader.ledger.scan_cache import ScanCache
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import File, files_in, missing

PART = 10_000
"""Files that are compared at once; of a directory with fewer all sidecars and names are at hand together."""


class Record(Protocol):
    """Writes what differs in one directory, of what it is told is there and is gone."""

    def __call__(
        self, directory: bytes, found: Mapping[bytes, Stamp], gone: frozenset[bytes], known: Mapping[bytes, Stamp]
    ) -> Seen: ...


class DirectoryCheck:
    """Compares single directories of one source, and has the differences written."""

    def __init__(
        self, *, cache: ScanCache, source_n: int, rules: Rules, below_root: Callable[[bytes], bytes], record: Record,
        stop: threading.Event, part: int,
    ) -> None:  # fmt: skip
        self._cache = cache
        self._source_n = source_n
        self._rules = rules
        self._below_root = below_root
        self._record = record
        self._stop = stop
        self._part = part

    def compare(self, path: bytes) -> tuple[Seen, Total]:
        """Compare all that is in a directory; return what differed, and the total of what was found.

        Raises OSError when it is gone or cannot be read to the end: what differs until then is written, and
        nothing is gone.
        """
        before = self._number(path)
        known = 0 if before is None else self._cache.count(before)
        seen, total, met = Seen(), Total(), 0
        for part in self._parts(path):
            number = self._number(path)
            stamps = {} if number is None else self._cache.stamps(number, list(part))
            met += sum(stamp != GONE for stamp in stamps.values())
            came = {name: stamp for name, stamp in part.items() if stamps.get(name) != stamp}
            seen = seen.plus(self.take(path, came, ()))
            for name, stamp in part.items():
                total = total.plus(name, stamp)
        if before is not None and met < known and not self._stop.is_set():
            for names in self._cache.pages(before):
                seen = seen.plus(self.take(path, {}, missing(path, names)))
        return seen, total

    def leave(self, path: bytes, number: int) -> Seen:
        """Write that a directory is gone, and all that was in it."""
        seen = Seen()
        for names in self._cache.pages(number):
            if self._stop.is_set():
                return seen
            near = self._near(path, number, names)
            seen = seen.plus(self._record(path, {}, frozenset(near).union(names), near))
        self._cache.forget(number)
        return seen

    def take(self, path: bytes, came: Mapping[bytes, Stamp], gone: Collection[bytes]) -> Seen:
        """Write of one directory that these files came or changed, and those are gone, if the cache differs.

        What is beside them in the cache is looked for: what is gone too wakes nobody.
        """
        if not (came or gone):
            return Seen()
        number, went = self._number(path), frozenset(gone)
        near = {} if number is None else self._near(path, number, [*came, *gone])
        beside = [name for name, stamp in near.items() if stamp != GONE and name not in came and name not in went]
        return self._record(path, came, went.union(missing(path, beside)), near)

    def _number(self, path: bytes) -> int | None:
        row = self._cache.directory(self._source_n, path)
        return None if row is None else row.n

    def _near(self, path: bytes, number: int, names: Iterable[bytes]) -> dict[bytes, Stamp]:
        is_recording = self._rules.recognition(self._below_root(path))
        prefixes = {stem_prefix(name, is_recording=is_recording) for name in names}
        return self._cache.with_prefixes(number, sorted(prefixes))

    def _parts(self, path: bytes) -> Iterator[dict[bytes, Stamp]]:
        with closing(self._files(path, _is_any)) as found:
            first = _taken(found, self._part)
        if len(first) < self._part:
            yield first
            return
        for wanted in (is_sidecar_name, _is_no_sidecar):
            with closing(self._files(path, wanted)) as found:
                while not self._stop.is_set() and (part := _taken(found, self._part)):
                    yield part

    def _files(self, path: bytes, wanted: Callable[[bytes], bool]) -> Generator[File, None, None]:
        return files_in(path, self._rules, folder=self._below_root(path), wanted=wanted)


def _is_any(name: bytes) -> bool:
    del name
    return True


def _is_no_sidecar(name: bytes) -> bool:
    return not is_sidecar_name(name)


def _taken(found: Iterator[File], size: int) -> dict[bytes, Stamp]:
    return {file.name: file.stamp for file in islice(found, size)}
