"""Hears of changes in one folder as far as the system tells of them; else says why the folder is only scanned."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice

import structlog

from uploader.domain.hearing import Hearing, is_overdue
from uploader.platform.clock import Clock
from uploader.platform.filesystem import is_network
from uploader.sources.folder.watch import Bell, Watch

log = structlog.get_logger()

NETWORK = "a network file system tells nothing of what other hosts write"
DEAF = "files came that no event told of: other hosts seem to write here"
_MOST_CANDIDATES = 1_000


class Listener:
    """The watch of one source, and whether it can be relied on. For the scanner's thread alone.

    `events`: watch at all; `trusted`: and rely on it, whatever the file system and whatever scans find.
    `say` gets the sentence why the folder is only scanned, wholly or in part, and nothing once it is not.
    """

    def __init__(
        self, *, root: bytes, enters: Callable[[bytes], bool], events: bool, trusted: bool,
        ring: Callable[[], None], say: Callable[[str], None], clock: Clock,
    ) -> None:  # fmt: skip
        self.bell = Bell(ring=ring)
        self._root = root
        self._watch = Watch(root, self.bell, enters=enters)
        self._events = events
        self._trusted = trusted
        self._say = say
        self._clock = clock
        self._hearing = Hearing()
        self._said: str | None = None
        self._why = ""
        self._rung: set[bytes] = set()
        self._names_were_lost = False
        self._is_judged = False
        self._scanned: int | None = None
        self._candidates: set[bytes] = set()

    @property
    def hears_all(self) -> bool:
        """Say whether changes anywhere in the folder are heard of."""
        return self._watch.is_listening and not self._watch.problem

    @property
    def times_lost(self) -> int:
        """How often changes were lost, so that only a scan told of them."""
        return self._watch.lost

    def begin(self) -> None:
        """Start to watch, unless told not to or events cannot come."""
        if self._events and not self._trusted and is_network(os.fsdecode(self._root)):
            self._why = NETWORK
        elif self._events and not self._hearing.is_deaf:
            self._watch.start()
            self._why = self._watch.problem
        self._tell()

    def end(self) -> None:
        """End the watch."""
        self._watch.stop()
        self._scanned = None

    def went_away(self) -> None:
        """End the watch; what is found again in the folder's place may be another file system."""
        self.end()
        self._hearing, self._why, self._candidates = Hearing(), "", set()

    def take(self) -> tuple[set[bytes], bool]:
        """Return what rang, and whether only a full scan can tell what happened."""
        is_new = self._watch.heal()
        self._note()
        paths, everything = self.bell.take()
        self._candidates -= paths
        self._names_were_lost |= everything
        return paths, everything or is_new

    def before_scan(self) -> None:
        """Watch what is not watched yet, if it can be now. What rang until now the scan tells."""
        self._watch.heal()
        if not self._watch.is_listening:
            self.begin()
        elif self._watch.problem:
            self._watch.begin_anew()
        self._note()
        self._rung, everything = self.bell.take()
        names_were_lost, self._names_were_lost = everything or self._names_were_lost, False
        is_same = self._watch.is_listening and self._scanned == self._watch.begun
        self._is_judged = is_same and not names_were_lost and not self._trusted
        self._candidates = self._candidates - self._rung if self._is_judged else set()

    def found(self, folder: bytes, names: Iterable[bytes]) -> None:
        """A scan found new files in a folder: see whether events told of them."""
        if self._is_judged and self._watch.covers(folder):
            room = _MOST_CANDIDATES - len(self._candidates)
            self._candidates |= {folder + b"/" + name for name in islice(names, max(0, room))}

    def after_scan(self) -> None:
        """Judge by the scan whether events can be relied on; poll when they cannot."""
        self._scanned = self._watch.begun
        if not self._is_judged:
            return
        silent = {path for path in self._candidates if not (path in self._rung or self.bell.has(path))}
        ages = {path: age for path in silent if (age := self._age_seconds(path)) is not None}
        unheard = sum(is_overdue(age) for age in ages.values())
        # What may still ring is judged at the next scan.
        self._candidates = {path for path, age in ages.items() if not is_overdue(age)}
        self._hearing = self._hearing.after_scan(unheard=unheard)
        if not unheard:
            return
        log.warning("watch.missed", files=unheard)
        if self._hearing.is_deaf:
            self._watch.stop()
            self._why = DEAF
            self._tell()
        else:
            # What was mounted below since is watched from now on; what came meanwhile the old watch told.
            self._watch.begin_anew()
            self._scanned = self._watch.begun

    def _age_seconds(self, path: bytes) -> float | None:
        try:
            changed = os.stat(path).st_ctime  # noqa: PTH116 (the path is bytes)
        except OSError:
            return None
        return self._clock.now().timestamp() - changed

    def _note(self) -> None:
        if self._watch.is_listening:
            self._why = self._watch.problem
        self._tell()

    def _tell(self) -> None:
        if self._why != self._said:
            self._said = self._why
            self._say(self._why)
