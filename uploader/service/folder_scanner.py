"""Scans a folder, and watches it where events can be had."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog

from uploader.domain.pairing import is_sidecar_name, stem_prefix
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.errors import SourceUnavailable
from uploader.ledger.discovery import Seen
from uploader.ledger.filters import Filter
from uploader.ledger.rows import to_ms
from uploader.platform.filesystem import is_network
from uploader.service.scanner import BATCH, Scanner, added
from uploader.sources.folder.scan import Listing, check_root, look_at, walk
from uploader.sources.folder.watch import Bell, Watch

log = structlog.get_logger()


class FolderScanner(Scanner):
    """Scans a folder, and watches it where events can be had."""

    def __init__(self, *, root: bytes, **common: Any) -> None:
        super().__init__(**common)
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
        total, visited, unread = Seen(), set[bytes](), list[bytes]()
        known_directories = self._ledger.discovery.directories(self._source.n)
        listings = walk(self._root, self._rules, stop=self._stop, passed_over=unread.append)
        for number, listing in enumerate(listings):
            if number == 0 and known_directories and self._looks_unmounted(listing):
                raise SourceUnavailable("the folder is empty, though recordings were known in it: is it mounted?")
            visited.add(listing.path)
            known = self._known(listing.path)
            gone = frozenset(known) - frozenset(listing.files)
            total = added(total, self._record(listing.path, listing.files, gone, known))
        for directory in known_directories:
            if directory in visited or _is_in(directory, unread):
                continue  # in what cannot be read nothing is gone
            if not self._stop.is_set():
                known = self._known(directory)
                total = added(total, self._record(directory, {}, frozenset(known), known))
        return added(total, Seen(woken=self._wake_readable()))

    def _wake_readable(self) -> int:
        """Judge again what could not be read and can be now: a change of rights changes no stamp."""
        wanted = Filter(states=(State.QUARANTINED,), source=self.name, reason=Reason.FILE_UNREADABLE.value)
        rows = [row for row in self._ledger.recordings.search(wanted, limit=BATCH) if os.access(row.location, os.R_OK)]
        if rows:
            self._ledger.recordings.judge_again(rows, at=to_ms(self._clock.now()), detail="it can be read now")
            self._found()
        return len(rows)

    def _looks_unmounted(self, listing: Listing) -> bool:
        """An empty root where much was known is more likely an unmounted share than a cleared one."""
        try:
            with os.scandir(self._root) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            raise SourceUnavailable("the folder cannot be reached any more", hint="check the mount") from error
        return empty and not listing.files and self._ledger.discovery.knows_files(self._source.n)

    def _known(self, directory: bytes) -> dict[bytes, Stamp]:
        return {n: e.stamp for n, e in self._ledger.discovery.entries(self._source.n, directory).items()}

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's path below the root."""
        return directory[len(self._root) :].strip(b"/")


def _is_in(directory: bytes, folders: Sequence[bytes]) -> bool:
    """Say whether `directory` is one of these folders, or lies in one."""
    return any(directory == folder or directory.startswith(folder + b"/") for folder in folders)
