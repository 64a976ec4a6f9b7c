"""The bell: hears of changes in a folder and rings. Events are a hint, the scan is the truth.

The handler of watchdog only puts names into a bounded set: one that raises would end its thread
silently, one that blocks would make stopping hang.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

import structlog
from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = structlog.get_logger()

MAX_NAMES = 20_000
"""More names than this between two looks, and the whole folder is scanned instead."""

_OVERFLOW_LOGGERS = ("watchdog.observers.inotify", "watchdog.observers.inotify_c")


class Bell:
    """Names of files that something happened to, and whether to scan everything. Bounded."""

    def __init__(self, *, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._paths: set[bytes] = set()
        self._everything = False

    def touched(self, path: bytes) -> None:
        """Say that something happened to the file at `path`."""
        with self._lock:
            if len(self._paths) >= MAX_NAMES:
                self._everything = True
                self._paths.clear()
            if not self._everything:
                self._paths.add(path)
        self._ring()

    def everything(self) -> None:
        """Say that events were lost: only a scan tells."""
        with self._lock:
            self._everything = True
            self._paths.clear()
        self._ring()

    def take(self) -> tuple[set[bytes], bool]:
        """Return and forget what rang: the paths, and whether to scan everything."""
        with self._lock:
            taken = self._paths, self._everything
            self._paths, self._everything = set(), False
        return taken


class _Handler(FileSystemEventHandler):
    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self._bell.touched(os.fsencode(path))


class _OverflowListener(logging.Handler):
    """watchdog has no event for a queue that overflowed; it only logs."""

    def __init__(self, heard: threading.Event, bell: Bell) -> None:
        super().__init__(level=logging.WARNING)
        self._heard = heard
        self._bell = bell

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._heard.set()
            self._bell.everything()


class Watch:
    """Watches one folder, and replaces its observer when events were lost.

    On an overflow watchdog 7.1 re-adds every watch, which in a large tree overflows again for
    ever; a new observer throws the flood away with its file descriptor.
    """

    def __init__(self, root: bytes, bell: Bell) -> None:
        self._root = root
        self._bell = bell
        self._overflowed = threading.Event()
        self._observer: BaseObserver | None = None
        self._listener = _OverflowListener(self._overflowed, bell)
        self.overflows = 0

    def start(self) -> str:
        """Begin to watch; return an empty string, or the sentence why only scanning is left."""
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).addHandler(self._listener)
        return self._observe()

    def heal(self) -> str:
        """Replace the observer after an overflow, or when its thread has died; as `start` returns."""
        observer = self._observer
        alive = observer is not None and observer.is_alive()
        if observer is None or (alive and not self._overflowed.is_set()):
            return ""
        self.overflows += 1
        log.warning("watch.replaced", overflows=self.overflows)
        self._end()
        self._overflowed.clear()
        problem = self._observe()
        self._bell.everything()
        return problem

    def stop(self) -> None:
        """End the watch and its threads."""
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).removeHandler(self._listener)
        self._end()

    def _observe(self) -> str:
        observer = Observer()
        try:
            observer.schedule(
                _Handler(self._bell),
                os.fsdecode(self._root),
                recursive=True,
                event_filter=[FileCreatedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent],
            )
            observer.start()
        except OSError as error:
            self._observer = None
            # It has a thread and a file descriptor from its making on, though it never started.
            observer.stop()
            if observer.is_alive():
                observer.join()
            return _why_not(error)
        self._observer = observer
        return ""

    def _end(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()


def _why_not(error: OSError) -> str:
    """Say which limit of the system was met, and the line that raises it."""
    if error.errno == 28:  # ENOSPC: inotify's way of saying that there are too many watches
        return "too many folders to watch: set `fs.inotify.max_user_watches=1048576` in /etc/sysctl.d; scanning only"
    if error.errno == 24:  # EMFILE
        return "too many watchers: set `fs.inotify.max_user_instances=1024` in /etc/sysctl.d; scanning only"
    return f"the folder cannot be watched ({os.strerror(error.errno or 0)}); scanning only"
