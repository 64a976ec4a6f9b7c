"""One thread a source: what it holds becomes recordings in the ledger. Events are a hint, the scan is the truth."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import structlog

from uploader.domain.pairing import is_sidecar_name
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp
from uploader.domain.scanning import difference
from uploader.errors import SourceUnavailable
from uploader.ledger.discovery import Seen, SourceRow
from uploader.ledger.entries import GONE
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.ledger.sighting import Arrival, Sight
from uploader.platform.clock import Clock
from uploader.service.meters import ScanMeters
from uploader.sources.folder.rules import Rules

log = structlog.get_logger()
T = TypeVar("T")

BATCH = 200
"""Files that one transaction of a scan may carry."""
_GLANCES = 10
"""Where changes are not heard of, so often between two full scans is looked for what came."""
_SHORTEST_GLANCE_SECONDS = 1.0
UNAVAILABLE_SECONDS = 30.0
"""How often an unavailable source is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a source is scanned and how long its files rest, in seconds.

    `events`: watch it as well; `trusted`: and rely on that, whatever file system it lies on.
    """

    rescan_seconds: float
    settle_seconds: float
    events: bool
    backlog_limit: int
    trusted: bool = False


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
        self._glance_due = 0.0
        self._available = True
        self._held: Reason | None = None
        self.first_scan_done = threading.Event()
        self.meters = ScanMeters()

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    @property
    def is_watched(self) -> bool:
        """Say whether all changes are heard of at once; else only scans tell."""
        return False

    @property
    def times_lost(self) -> int:
        """How often changes were lost, so that only a scan told of them."""
        return 0

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
                soonest = due if self.is_watched else min(due, self._glance_due)
                self._rung.wait(max(0.0, soonest - self._clock.monotonic()))
        finally:
            self.end()

    def _turn(self, due: float) -> float:
        """Scan what there is to scan; return when the next full scan is due."""
        try:
            is_due = self._clock.monotonic() >= due
            if is_due or self.lost_events():
                if not is_due:
                    # Where much is known, what came is found long before all is looked at.
                    self._glance()
                self._scan()
                self._set_glance()
                return self._clock.monotonic() + self._rhythm.rescan_seconds
            self.look()
            if not self.is_watched and self._clock.monotonic() >= self._glance_due:
                self._glance()
                self._set_glance()
        except SourceUnavailable as error:
            self.went_away()
            self._set_available(available=False, detail=str(error))
            self.first_scan_done.set()
            due = self._clock.monotonic() + min(UNAVAILABLE_SECONDS, self._rhythm.rescan_seconds)
            self._glance_due = due
        return due

    def _glance(self) -> None:
        """Look for what came, but not before the first scan is done: only that one holds a backlog."""
        if self._source.scanned_at is not None:
            self.glance()

    def _set_glance(self) -> None:
        seconds = max(_SHORTEST_GLANCE_SECONDS, self._rhythm.rescan_seconds / _GLANCES)
        self._glance_due = self._clock.monotonic() + seconds

    def _scan(self) -> None:
        began = self._clock.monotonic()
        is_first = self._source.scanned_at is None
        if is_first and self._rhythm.backlog_limit:
            self._held = Reason.BACKLOG if self.holds_more_than(self._rhythm.backlog_limit) else None
        try:
            seen = self.scan()
        finally:
            self._held = None
        if self._stop.is_set():
            return
        self._set_available(available=True)
        now = to_ms(self._clock.now())
        self._ledger.discovery.update_source(self._source.n, scanned_at=now)
        if is_first:
            self._source = self._ledger.discovery.source(self._source.name)
        self.first_scan_done.set()
        seconds = self._clock.monotonic() - began
        self.meters.seconds.observe(seconds)
        level = log.info if seen.new or seen.changed or seen.woken else log.debug
        level(
            "source.scanned",
            source=self._source.name,
            new=seen.new,
            changed=seen.changed,
            woken=seen.woken,
            seconds=round(seconds, 3),
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
        """Write what differs in one directory, of recordings and sidecars; nothing when nothing does."""
        is_recording = self._rules.recognition(self.below_root(directory))
        change = difference(known, found, gone=gone, is_recording=is_recording, gone_stamp=GONE)
        if not (change.came or change.went):
            return Seen()
        now = to_ms(self._clock.now())
        arrival = Arrival(due_at=now + int(self._rhythm.settle_seconds * 1000), held=self._held)
        total = Seen()
        # Sidecars first: by the time a recording is judged its sidecar is in the cache. What a file concerns is
        # woken together with its own entry: after a crash no scan would see the difference again.
        order = sorted(change.came, key=lambda name: not is_sidecar_name(name))
        for part in _batches(order, BATCH):
            total = total.plus(
                self._ledger.discovery.record(
                    source_n=self._source.n,
                    directory=directory,
                    sights=[
                        Sight(
                            name=name,
                            stamp=found[name],
                            is_recording=is_recording(name),
                            etag=(etags or {}).get(name),
                        )
                        for name in part
                    ],
                    gone=(),
                    wake=change.concerned_by(part),
                    arrival=arrival,
                    at=now,
                ),
            )
        for part in _batches(change.went, BATCH):
            total = total.plus(
                self._ledger.discovery.record(
                    source_n=self._source.n, directory=directory, sights=[], gone=part,
                    wake=change.concerned_by(part), arrival=arrival, at=now,
                )
            )  # fmt: skip
        self.meters.found(total)
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

    def glance(self) -> None:
        """Look for what came or went, without looking at every file. Raises SourceUnavailable."""

    def holds_more_than(self, limit: int) -> bool:
        """Say whether there are more than `limit` recordings."""
        raise NotImplementedError

    def scan(self) -> Seen:
        """Scan all of it. Raises SourceUnavailable."""
        raise NotImplementedError

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's path below the root."""
        raise NotImplementedError


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def ring_all(scanners: Iterable[Scanner]) -> None:
    """Wake every scanner, so that it sees that the program is ending."""
    for scanner in scanners:
        scanner.ring()
