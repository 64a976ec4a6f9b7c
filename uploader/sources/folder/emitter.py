"""Tells watchdog what happens in a folder and all below it. Knows nothing of what it is told for.

watchdog's own emitter holds up what is behind a file that was moved out, and after an overflow may spin for
ever; this one stands on our own reader of inotify.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
)
from watchdog.observers.api import EventEmitter, EventQueue, ObservedWatch

from uploader.sources.folder.inotify import (
    CLOSED_AFTER_WRITING,
    CREATED,
    DELETED,
    FORGOTTEN,
    IS_FOLDER,
    MOVED_FROM,
    MOVED_ITSELF,
    MOVED_TO,
    OVERFLOWED,
    UNMOUNTED,
    Change,
    Inotify,
    why_not,
)

MAX_WAITING = 20_000
"""So many events may wait to be dispatched; of more it is only said that there were some."""

_BREATH_SECONDS = 0.002
"""In a flood many events are read at once: two threads that take turns at each one cost more than all else."""
_READ_EVERY = 256
"""While so many folders are added events may come that fill the kernel's queue."""
_NOT_TO_BE_READ = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG})
"""What is gone, a link, or closed to us, a scan does not see either."""
_OF_ITSELF = FORGOTTEN | UNMOUNTED | MOVED_ITSELF
_EVENTS: dict[int, Callable[[bytes], FileSystemEvent]] = {
    CREATED: FileCreatedEvent,
    CLOSED_AFTER_WRITING: FileClosedEvent,
    DELETED: FileDeletedEvent,
    # The halves of a move: to wait for the other one would hold up all that is behind it.
    MOVED_FROM: FileMovedEvent,
    MOVED_TO: lambda path: FileMovedEvent(b"", path),
}


class TreeEmitter(EventEmitter):
    """Emits for the files in one folder and in all below it that are entered, as far as the kernel allows.

    A DirCreatedEvent is a folder that could not be watched: it is to be looked at. `missed` is called when events
    were not emitted. When the kernel lost some, or the folder is gone, the emitter ends by itself: in a flood one
    that goes on would only lose more.
    """

    def __init__(
        self, event_queue: EventQueue, watch: ObservedWatch, *,
        enters: Callable[[bytes], bool], missed: Callable[[], None], **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(event_queue, watch, **options)
        self.name = "watch"
        self.why = ""
        self._queue = event_queue
        self._root = os.fsencode(watch.raw_path)
        self._enters = enters
        self._missed = missed
        self._inotify: Inotify | None = None
        self._folders: dict[int, bytes] = {}
        self._numbers: dict[bytes, int] = {}
        self._room = 0
        self._read_at = 0.0

    def covers(self, folder: bytes) -> bool:
        """Say whether this folder is watched."""
        return folder in self._numbers

    def on_thread_start(self) -> None:
        """Watch all folders that are there. Raises OSError when there is nothing to be had; `why`: not all of it."""
        self._inotify = Inotify()
        number = self._inotify.add(self._root, follow=True)
        self._folders[number], self._numbers[self._root] = self._root, number
        self._take_in(self._root, emits=False)

    def on_thread_stop(self) -> None:
        """End soon."""
        if self._inotify is not None:
            self._inotify.wake()

    def run(self) -> None:
        """Emit until told to stop; one that ends by itself says that events were missed."""
        try:
            super().run()
        finally:
            if self.should_keep_running():
                self.give_up()

    def queue_events(self, timeout: float) -> None:
        """Emit what happened, as soon as anything did. The time is not needed: to stop wakes it."""
        if self._inotify is not None:
            self._heed(self._inotify.wait())
        if time.monotonic() - self._read_at < _BREATH_SECONDS:
            self.stopped_event.wait(_BREATH_SECONDS)
        self._read_at = time.monotonic()

    def give_up(self) -> None:
        """End, and say that events were missed."""
        self.stop()
        self._missed()

    def close(self) -> None:
        """Give the watches back, once the thread has ended, or never began."""
        inotify, self._inotify = self._inotify, None
        if inotify is not None:
            inotify.close()

    def _heed(self, changes: list[Change]) -> None:
        """Emit one event for a file, whatever happened to it: all of it has happened when the first is looked at."""
        told: set[bytes] = set()
        for change in changes:
            folder = self._folders.get(change.watch)
            if folder is None or change.mask & _OF_ITSELF:
                self._heed_itself(change, folder)
                continue
            path = os.path.join(folder, change.name)  # noqa: PTH118 (names are bytes)
            if change.mask & IS_FOLDER:
                self._heed_folder(change, path)
            elif path not in told:
                told.add(path)
                self._emit(_EVENTS.get(change.mask, FileCreatedEvent)(path))

    def _heed_itself(self, change: Change, folder: bytes | None) -> None:
        """Heed what happened to a watched folder, to one that is no longer (None), or to the kernel's queue."""
        if folder == self._root or change.mask & OVERFLOWED:
            self.give_up()
        if change.mask & FORGOTTEN:
            self._forget(change.watch)

    def _heed_folder(self, change: Change, path: bytes) -> None:
        if change.mask & (CREATED | MOVED_TO) and self._enters(change.name):
            if self._add(path):
                self._take_in(path, emits=True)
        elif change.mask & MOVED_FROM:
            self._let_go(path)

    def _emit(self, event: FileSystemEvent) -> None:
        """Put an event into watchdog's queue, which has no bound of its own."""
        if self._room <= 0:
            self._room = MAX_WAITING - self._queue.qsize()
        if self._room <= 0:
            self._missed()
            return
        self._room -= 1
        self.queue_event(event)

    def _take_in(self, folder: bytes, *, emits: bool) -> None:
        """Watch what is below a watched folder; `emits`: for the files that came before the watch, too."""
        pending, added = [folder], 0
        while pending and self.should_keep_running():
            folders: list[bytes] = []
            with suppress(OSError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        if emits:
                            self._emit(FileCreatedEvent(entry.path))
                    elif self._enters(entry.name):
                        folders.append(entry.path)
            # Added before they are listed: what comes into them after that has an event.
            pending += [path for path in folders if self._add(path)]
            added += len(folders)
            if added >= _READ_EVERY:
                added = 0
                self._heed(self._inotify.read() if self._inotify is not None else [])

    def _add(self, folder: bytes) -> bool:
        """Watch one folder; return whether what is in it is still to be taken in."""
        if self._inotify is None:
            return False
        try:
            number = self._inotify.add(folder, follow=False)
        except OSError as error:
            if error.errno in _NOT_TO_BE_READ:
                return False
            self.why = self.why or why_not(error)
            if self.is_alive():
                self._emit(DirCreatedEvent(folder))
            return True
        if self._folders.get(number) == folder:
            return False
        self._forget(number)
        self._folders[number] = folder
        self._numbers[folder] = number
        return True

    def _let_go(self, folder: bytes) -> None:
        """A folder was moved away: the kernel would go on telling of it under its old name."""
        below = folder + b"/"
        for number in [n for path, n in self._numbers.items() if path == folder or path.startswith(below)]:
            if self._inotify is not None:
                self._inotify.remove(number)
            self._forget(number)

    def _forget(self, number: int) -> None:
        folder = self._folders.pop(number, None)
        if folder is not None and self._numbers.get(folder) == number:
            del self._numbers[folder]
