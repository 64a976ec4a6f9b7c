"""One thread a source: what it holds becomes recordings in the ledger. Events are a hint, the scan is the truth."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import structlog

from uploader.domain.pairing import is_sidecar_name, stem_prefix
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp
from uploader.domain.scanning import difference
from uploader.errors import SourceUnavailable
from uploader.ledger.discovery import GONE, Arrival, Seen, Sight, SourceRow
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.clock import Clock
from uploader.platform.filesystem import is_network
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import Listing, check_root, look_at, walk
from uploader.sources.folder.watch import Bell, Watch
from uploader.sources.s3.listing import ListingPage, S3Lister, SeenObject

log = structlog.get_logger()
T = TypeVar("T")

BATCH = 500
"""Files that one transaction of a scan may carry."""
UNAVAILABLE_SECONDS = 30.0
"""How often an unavailable source is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a source is scanned and how long its files rest, in seconds. `events`: watch it as well."""

    rescan_seconds: float
    settle_seconds: float
    events: bool
    backlog_limit: int


class Scanner:
    """What folders and buckets have in common: a loop that scans when it rings and when it is time."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        source: SourceRow,
        rules: Rules,
        rhythm: Rhythm,
        clock: Clock,
        stop: threading.Event,
        found: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._rules = rules
        self._rhythm = rhythm
        self._clock = clock
        self._stop = stop
        self._found = found
        self._rung = threading.Event()
        self._available = True
        self._held: Reason | None = None
        self.first_scan_done = threading.Event()

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    def ring(self) -> None:
        """Scan soon: something happened, or the program is ending."""
        self._rung.set()

    def run(self) -> None:
        """Scan until told to stop."""
        self.begin()
        try:
            due = self._clock.monotonic()
            while not self._stop.is_set():
                self._rung.clear()
                due = self._turn(due)
                wait = max(0.0, due - self._clock.monotonic())
                self._rung.wait(wait)
        finally:
            self.end()

    def _turn(self, due: float) -> float:
        """Scan what there is to scan; return when the next full scan is due."""
        try:
            if self._clock.monotonic() >= due or self.lost_events():
                self._scan()
                return self._clock.monotonic() + self._rhythm.rescan_seconds
            self.look()
        except SourceUnavailable as error:
            self.went_away()
            self._set_available(available=False, detail=str(error))
            self.first_scan_done.set()
            return self._clock.monotonic() + min(UNAVAILABLE_SECONDS, self._rhythm.rescan_seconds)
        return due

    def _scan(self) -> None:
        began = self._clock.monotonic()
        is_first = self._source.scanned_at is None
        if is_first and self._rhythm.backlog_limit:
            self._held = Reason.BACKLOG if self.holds_more_than(self._rhythm.backlog_limit) else None
        seen = self.scan()
        self._held = None
        if self._stop.is_set():
            return
        self._set_available(available=True)
        now = to_ms(self._clock.now())
        self._ledger.discovery.update_source(self._source.n, scanned_at=now)
        if is_first:
            self._source = self._ledger.discovery.source(self._source.name)
        self.first_scan_done.set()
        level = log.info if seen.new or seen.changed or seen.woken else log.debug
        level(
            "source.scanned",
            source=self._source.name,
            new=seen.new,
            changed=seen.changed,
            woken=seen.woken,
            seconds=round(self._clock.monotonic() - began, 3),
        )

    def _set_available(self, *, available: bool, detail: str = "") -> None:
        if available == self._available and available == self._source.available:
            return
        self._available = available
        self._ledger.discovery.update_source(self._source.n, available=int(available), detail=detail)
        self._source = self._ledger.discovery.source(self._source.name)
        if available:
            log.info("source.available", source=self._source.name)
        else:
            log.warning("source.unavailable", source=self._source.name, why=detail)

    def _record(
        self, directory: bytes, found: Mapping[bytes, Stamp], gone: frozenset[bytes], known: Mapping[bytes, Stamp],
        etags: Mapping[bytes, str] | None = None,
    ) -> Seen:  # fmt: skip
        """Write what differs in one directory; nothing is written when nothing does."""
        folder = self.below_root(directory)

        def is_recording(name: bytes) -> bool:
            return self._rules.is_recording(name, folder)

        relevant = {n: s for n, s in found.items() if is_sidecar_name(n) or is_recording(n)}
        change = difference(known, relevant, gone=gone, is_recording=is_recording, gone_stamp=GONE)
        if not (change.came or change.went or change.concerned):
            return Seen()
        now = to_ms(self._clock.now())
        arrival = Arrival(due_at=now + int(self._rhythm.settle_seconds * 1000), held=self._held)
        total = Seen()
        # Sidecars first: by the time a recording is judged its sidecar is in the cache.
        order = sorted(change.came, key=lambda name: not is_sidecar_name(name))
        for part in _batches(order, BATCH):
            total = _sum(
                total,
                self._ledger.discovery.record(
                    source_n=self._source.n,
                    directory=directory,
                    sights=[
                        Sight(
                            name=name,
                            stamp=relevant[name],
                            is_recording=not is_sidecar_name(name) and is_recording(name),
                            etag=(etags or {}).get(name),
                        )
                        for name in part
                    ],
                    gone=(),
                    wake=(),
                    arrival=arrival,
                    at=now,
                ),
            )
        if change.went or change.concerned:
            total = _sum(
                total,
                self._ledger.discovery.record(
                    source_n=self._source.n, directory=directory, sights=[], gone=change.went,
                    wake=change.concerned, arrival=arrival, at=now,
                ),
            )  # fmt: skip
        self._found()
        return total

    def begin(self) -> None:
        """Start what hears of changes."""

    def end(self) -> None:
        """End it."""

    def lost_events(self) -> bool:
        """Say whether only a full scan can tell what happened."""
        return False

    def went_away(self) -> None:
        """End what hears of changes: it would hear nothing of what is mounted or made in its place."""

    def look(self) -> None:
        """Look at what rang."""

    def holds_more_than(self, limit: int) -> bool:
        """Say whether there are more than `limit` recordings."""
        raise NotImplementedError

    def scan(self) -> Seen:
        """Scan all of it. Raises SourceUnavailable."""
        raise NotImplementedError

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's path below the root."""
        raise NotImplementedError


class FolderScanner(Scanner):
    """Scans a folder, and watches it where events can be had."""

    def __init__(self, *, root: bytes, **common: object) -> None:
        super().__init__(**common)  # type: ignore[arg-type]
        self._root = root
        self._bell = Bell(ring=self.ring)
        self._watch: Watch | None = None
        self._paths: set[bytes] = set()

    def begin(self) -> None:
        """Start to watch, unless told not to or events cannot come."""
        if not self._rhythm.events:
            return
        if is_network(os.fsdecode(self._root)):
            log.warning("source.polled", source=self.name, why="a network file system sends no events")
            return
        self._start_watch()

    def _start_watch(self) -> None:
        self._watch = Watch(self._root, self._bell)
        problem = self._watch.start()
        if problem:
            log.warning("source.polled", source=self.name, why=problem)
            self._watch.stop()
            self._watch = None

    def end(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def went_away(self) -> None:
        """End the watch; the scan that finds the folder again starts another."""
        self.end()

    def lost_events(self) -> bool:
        """Heal the watch; say whether events were lost."""
        if self._watch is not None:
            problem = self._watch.heal()
            if problem:
                log.warning("source.polled", source=self.name, why=problem)
        paths, everything = self._bell.take()
        self._paths = paths
        return everything

    def look(self) -> None:
        """Look at the files that rang, and only at them."""
        by_folder: dict[bytes, list[bytes]] = defaultdict(list)
        for path in self._paths:
            folder, name = os.path.split(path)
            if self._enters(folder):
                by_folder[folder].append(name)
        for folder, names in by_folder.items():
            self._look_into(folder, names)

    def _enters(self, folder: bytes) -> bool:
        if folder == self._root:
            return True
        below = self.below_root(folder)
        return bool(below) and all(self._rules.enters(part) for part in below.split(b"/"))

    def _look_into(self, folder: bytes, names: list[bytes]) -> None:
        found, gone = look_at(folder, names, self._rules)
        if gone:
            check_root(self._root)
        known: dict[bytes, Stamp] = {}
        for name in names:
            prefix = stem_prefix(name, is_recording=self._rules.is_recording)
            known |= self._ledger.discovery.entries_with_prefix(self._source.n, folder, prefix)
        self._record(folder, found, frozenset(gone), known)

    def holds_more_than(self, limit: int) -> bool:
        """Count recordings until the limit is passed."""
        count = 0
        for listing in walk(self._root, self._rules, stop=self._stop):
            folder = self.below_root(listing.path)
            count += sum(self._rules.is_recording(n, folder) and not is_sidecar_name(n) for n in listing.files)
            if count > limit:
                return True
        return False

    def scan(self) -> Seen:
        """Walk the whole folder."""
        if self._watch is None and self._rhythm.events and not is_network(os.fsdecode(self._root)):
            check_root(self._root)
            self._start_watch()
        total, visited = Seen(), set[bytes]()
        known_directories = self._ledger.discovery.directories(self._source.n)
        for number, listing in enumerate(walk(self._root, self._rules, stop=self._stop)):
            if number == 0 and known_directories and self._looks_unmounted(listing):
                raise SourceUnavailable("the folder is empty, though recordings were known in it: is it mounted?")
            visited.add(listing.path)
            known = self._known(listing.path)
            gone = frozenset(known) - frozenset(listing.files)
            total = _sum(total, self._record(listing.path, listing.files, gone, known))
        for directory in known_directories:
            if directory not in visited and not self._stop.is_set():
                known = self._known(directory)
                total = _sum(total, self._record(directory, {}, frozenset(known), known))
        return total

    def _looks_unmounted(self, listing: Listing) -> bool:
        """An empty root where much was known is more likely an unmounted share than a cleared one."""
        with os.scandir(self._root) as entries:
            empty = next(entries, None) is None
        return empty and not listing.files and self._ledger.discovery.knows_files(self._source.n)

    def _known(self, directory: bytes) -> dict[bytes, Stamp]:
        return {n: e.stamp for n, e in self._ledger.discovery.entries(self._source.n, directory).items()}

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's path below the root."""
        return directory[len(self._root) :].strip(b"/")


class BucketScanner(Scanner):
    """Lists a bucket round after round; a round that was interrupted goes on from its cursor."""

    def __init__(self, *, lister: S3Lister, **common: object) -> None:
        super().__init__(**common)  # type: ignore[arg-type]
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
            total = _sum(total, self._page(page))
            self._ledger.discovery.update_source(self._source.n, cursor=page.cursor)
            if self._stop.is_set():
                break
        self._source = self._ledger.discovery.source(self._source.name)
        return total

    def _page(self, page: ListingPage) -> Seen:
        by_directory: dict[bytes, dict[bytes, SeenObject]] = defaultdict(dict)
        for one in page.objects:
            directory, _, name = one.location.encode("utf-8", "surrogateescape").rpartition(b"/")
            if not self._rules.is_ignored(name):
                by_directory[directory][name] = one
        total = Seen()
        for directory, objects in by_directory.items():
            known: dict[bytes, Stamp] = {}
            for name in objects:
                prefix = stem_prefix(name, is_recording=self._rules.is_recording)
                known |= self._ledger.discovery.entries_with_prefix(self._source.n, directory, prefix)
            found = {name: one.stamp for name, one in objects.items()}
            etags = {name: one.etag for name, one in objects.items()}
            total = _sum(total, self._record(directory, found, frozenset(), known, etags))
        return total

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's key below the prefix."""
        return directory[len(self._source.root) :].strip(b"/")


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def _sum(one: Seen, other: Seen) -> Seen:
    return Seen(
        new=one.new + other.new,
        changed=one.changed + other.changed,
        woken=one.woken + other.woken,
        busy=one.busy + other.busy,
    )


def ring_all(scanners: Iterable[Scanner]) -> None:
    """Wake every scanner, so that it sees that the program is ending."""
    for scanner in scanners:
        scanner.ring()
