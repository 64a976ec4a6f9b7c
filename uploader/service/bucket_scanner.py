"""Lists a bucket round after round."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from uploader.domain.pairing import is_sidecar_name, stem_prefix
from uploader.ledger.discovery import Seen
from uploader.service.scanner import Scanner
from uploader.sources.s3.listing import ListingPage, S3Lister, SeenObject


class BucketScanner(Scanner):
    """Lists a bucket round after round; a round that was interrupted goes on from its cursor."""

    def __init__(self, *, lister: S3Lister, **common: Any) -> None:
        super().__init__(**common)
        self._lister = lister

    def holds_more_than(self, limit: int) -> bool:
        """Count recordings until the limit is passed."""
        count = 0
        for page in self._lister.scan(None):
            count += sum(self._is_recording(one) for one in page.objects)
            if count > limit:
                return True
        return False

    def _is_recording(self, one: SeenObject) -> bool:
        directory, _, name = one.location.encode("utf-8", "surrogateescape").rpartition(b"/")
        return not is_sidecar_name(name) and self._rules.is_recording(name, self.below_root(directory))

    def scan(self) -> Seen:
        """List one round, or the rest of one."""
        total = Seen()
        for page in self._lister.scan(self._source.cursor):
            total = total.plus(self._page(page))
            self._ledger.discovery.update_source(self._source.n, cursor=page.cursor)
            if self._stop.is_set():
                break
        self._source = self._ledger.discovery.source(self._source.name)
        return total

    def _page(self, page: ListingPage) -> Seen:
        by_directory: dict[bytes, dict[bytes, SeenObject]] = defaultdict(dict)
        for one in page.objects:
            directory, _, name = one.location.encode("utf-8", "surrogateescape").rpartition(b"/")
            by_directory[directory][name] = one
        total = Seen()
        for directory, objects in by_directory.items():
            folder = self.below_root(directory)
            is_relevant, is_recording = self._rules.relevance(folder), self._rules.recognition(folder)
            found = {name: one.stamp for name, one in objects.items() if is_relevant(name)}
            prefixes = sorted({stem_prefix(name, is_recording=is_recording) for name in found})
            row = self._ledger.scan_cache.directory(self._source.n, directory)
            known = {} if row is None else self._ledger.scan_cache.with_prefixes(row.n, prefixes)
            etags = {name: one.etag for name, one in objects.items()}
            total = total.plus(self._record(directory, found, frozenset(), known, etags))
        return total

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's key below the prefix."""
        return directory[len(self._source.root) :].strip(b"/")
