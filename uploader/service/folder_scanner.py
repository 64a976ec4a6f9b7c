"""Scans a folder, and watches it where events can be had."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from uploader.domain.pairing import is_sidecar_name
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.domain.scanning import Total
from uploader.errors import SourceUnavailable
from uploader.ledger.books import WATCH_NOTE
from uploader.ledger.discovery import Seen
from uploader.ledger.entries import GONE
from uploader.ledger.filters import Filter
from uploader.ledger.rows import to_ms
from uploader.ledger.scan_cache import PAGE, DirectoryRow
from uploader.service.directory_check import PART, DirectoryCheck, Record
from uploader.service.listener import Listener
from uploader.service.scanner import BATCH, Scanner
from uploader.sources.folder.scan import State as DirectoryState
from uploader.sources.folder.scan import Survey, below, check_root, files, look_at, state_of, survey

log = structlog.get_logger()

COARSEST = timedelta(seconds=3)
"""Some file systems count time in steps of two seconds: a directory that was changed within this time before it
was listed may change again and look the same."""


class FolderScanner(Scanner):
    """Scans a folder, and watches it where events can be had."""

    def __init__(self, *, root: bytes, part: int = PART, **common: Any) -> None:
        """Scan below `root`, `part` files of a directory at a time in memory."""
        super().__init__(**common)
        self._root = root
        self._part = part
        self._listener = Listener(
            root=root, enters=self._rules.enters, events=self._rhythm.events, trusted=self._rhythm.trusted,
            ring=self.ring, say=self._say_watch, clock=self._clock,
        )  # fmt: skip
        self._bell = self._listener.bell
        self._paths: set[bytes] = set()
        self._cache = self._ledger.scan_cache
        self._trust: dict[bytes, int | None] = {}

    @property
    def is_watched(self) -> bool:
        """Say whether changes anywhere in the folder are heard of at once."""
        return self._listener.hears_all

    @property
    def times_lost(self) -> int:
        """How often changes were lost: more came than could be heard, or the folder became another."""
        return self._listener.times_lost

    def begin(self) -> None:
        """Start to watch, unless told not to or events cannot come."""
        self._listener.begin()

    def end(self) -> None:
        """End the watch."""
        self._listener.end()

    def went_away(self) -> None:
        """End the watch; the scan that finds the folder again starts another."""
        self._listener.went_away()

    def lost_events(self) -> bool:
        """Heal the watch; say whether events were lost."""
        self._paths, everything = self._listener.take()
        return everything

    def _say_watch(self, why: str) -> None:
        """Write and log why the folder is only scanned, wholly or in part; or that it is no more."""
        books, note = self._ledger.books, WATCH_NOTE + self.name
        if why:
            log.warning("source.polled", source=self.name, why=why)
        elif books.note(note):
            log.info("source.watched", source=self.name)
        else:
            return
        books.set_notes({note: why})

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
        is_relevant = self._rules.relevance(self.below_root(folder))
        came = {name: stamp for name, stamp in found.items() if is_relevant(name)}
        self._check(self._record).take(folder, came, gone)

    def _check(self, record: Record) -> DirectoryCheck:
        return DirectoryCheck(
            cache=self._cache, source_n=self._source.n, rules=self._rules, below_root=self.below_root, record=record,
            stop=self._stop, part=self._part,
        )  # fmt: skip

    def holds_more_than(self, limit: int) -> bool:
        """Count recordings until the limit is passed."""
        count = 0
        for file in files(self._root, self._rules, stop=self._stop):
            count += not is_sidecar_name(file.name)
            if count > limit:
                return True
        return False

    def scan(self) -> Seen:
        """Look at the whole folder, file by file."""
        self._listener.before_scan()
        check_root(self._root)
        self._check_mounted()
        total, visited, unread, files_seen = Seen(), set[int](), set[bytes](), 0
        check, began = self._check(self._record_heard), self._clock.now()
        for found in survey(self._root, self._rules, stop=self._stop, passed_over=unread.add):
            seen, row = self._visit(found, check, began)
            total, began = total.plus(seen), self._clock.now()
            files_seen += found.total.count
            if row is not None:
                visited.add(row.n)
        for row in self._cache.directories(self._source.n):
            # In what cannot be read nothing is gone.
            if row.n not in visited and not self._stop.is_set() and not _is_in(row.path, unread):
                total = total.plus(self._left(row, check))
        self._keep_trust()
        self._listener.after_scan()
        self.meters.files = files_seen
        return total.plus(Seen(woken=self._wake_readable()))

    def glance(self) -> None:
        """List the directories only that are others than when all that is in them was known."""
        check_root(self._root)
        self._check_mounted()
        check = self._check(self._record)
        for row in self._cache.directories(self._source.n):
            if self._stop.is_set():
                break
            try:
                state = state_of(row.path)
            except OSError:
                continue  # out of reach: nothing in it is judged
            if state is None:
                self._left(row, check)
            elif state.value != row.trusted:
                self._list(row.path, check)
        self._keep_trust()

    def _list(self, path: bytes, check: DirectoryCheck) -> None:
        """Look at one directory and at what no scan has seen below it."""
        began = self._clock.now()
        found = survey(
            path, self._rules, stop=self._stop, base=self._root,
            enters=lambda folders: self._cache.unknown(self._source.n, folders),
        )  # fmt: skip
        for one in found:
            self._visit(one, check, began)
            began = self._clock.now()

    def _visit(self, found: Survey, check: DirectoryCheck, began: datetime) -> tuple[Seen, DirectoryRow | None]:
        """Compare one directory that was surveyed after `began` with what is known of it."""
        row, seen = self._row(found.path), Seen()
        if self._stop.is_set():
            return seen, row
        if found.state is None:
            return (seen if row is None else self._left(row, check)), row
        if found.total != _total(row):
            try:
                seen, total = check.compare(found.path)
            except OSError:
                return seen, row  # gone meanwhile, or out of reach: the next scan tells
            before, row = row, self._row(found.path)
            # Only where nobody wrote meanwhile: a worker may have untied a renamed file, which may come back.
            is_as_before = _total(before) == _total(row) and not seen.busy and not self._stop.is_set()
            if row is not None and is_as_before and row.total != total:
                self._cache.correct(row.n, total, known=row.total)
                row = self._row(found.path)
        agrees = found.total == _total(row)
        self._note_trust(found.path, row, found.state if agrees else None, began)
        return seen, row

    def _note_trust(self, path: bytes, row: DirectoryRow | None, state: DirectoryState | None, began: datetime) -> None:
        rested = state is not None and state.changed_ns < (began - COARSEST).timestamp() * 1e9
        value = state.value if state is not None and rested else None
        if row is None or value != row.trusted:
            self._trust[path] = value
        if len(self._trust) >= PAGE:
            self._keep_trust()

    def _keep_trust(self) -> None:
        if self._trust:
            self._cache.trust(self._source.n, self._trust)
            self._trust = {}

    def _left(self, row: DirectoryRow, check: DirectoryCheck) -> Seen:
        """A directory is gone; unless the whole folder is, which judges nothing."""
        if not row.total.count and row.trusted is None:
            return Seen()  # that was known
        check_root(self._root)
        self._check_mounted()
        return check.leave(row.path, row.n)

    def _row(self, path: bytes) -> DirectoryRow | None:
        return self._cache.directory(self._source.n, path)

    def _record_heard(
        self, directory: bytes, found: Mapping[bytes, Stamp], gone: frozenset[bytes], known: Mapping[bytes, Stamp]
    ) -> Seen:
        """Write what differs, and let the listener see whether events told of what is new."""
        seen = self._record(directory, found, gone, known)
        if seen.new:
            self._listener.found(directory, (n for n in found if known.get(n, GONE) == GONE))
        return seen

    def _wake_readable(self) -> int:
        """Judge again what could not be read and can be now: a change of rights changes no stamp."""
        wanted = Filter(states=(State.QUARANTINED,), source=self.name, reason=Reason.FILE_UNREADABLE.value)
        rows = [row for row in self._ledger.recordings.search(wanted, limit=BATCH) if os.access(row.location, os.R_OK)]
        if rows:
            self._ledger.recordings.judge_again(rows, at=to_ms(self._clock.now()), detail="it can be read now")
            self._found()
        return len(rows)

    def _check_mounted(self) -> None:
        """Raise SourceUnavailable for an empty root where much was known: more likely unmounted than cleared."""
        try:
            with os.scandir(self._root) as entries:
                is_empty = next(entries, None) is None
        except OSError as error:
            raise SourceUnavailable("the folder cannot be reached any more", hint="check the mount") from error
        if is_empty and self._cache.knows_files(self._source.n):
            raise SourceUnavailable("the folder is empty, though recordings were known in it: is it mounted?")

    def below_root(self, directory: bytes) -> bytes:
        """Return the directory's path below the root."""
        return below(self._root, directory)


def _total(row: DirectoryRow | None) -> Total:
    return Total() if row is None else row.total


def _is_in(directory: bytes, folders: set[bytes]) -> bool:
    """Say whether `directory` is one of these folders, or lies in one."""
    while directory and directory not in folders:
        directory = directory.rpartition(b"/")[0]
    return directory in folders
