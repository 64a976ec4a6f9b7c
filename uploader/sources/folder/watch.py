"""The bell: hears of changes in a folder and rings. Events are a hint, the scan is the truth.

watchdog's handler only puts names into a bounded set: it must not raise, which would end the dispatching, nor wait
for anybody, which would hold up the end of the watch.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

from uploader.platform.filesystem import is_gone
from uploader.sources.folder.emitter import TreeEmitter
from uploader.sources.folder.inotify import why_not

log = structlog.get_logger()

MAX_NAMES = 20_000
"""More names than this between two looks, and the whole folder is scanned instead."""

_HEARD: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
]


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

    def has(self, path: bytes) -> bool:
        """Say whether `path` rang, or may have, and was not taken yet."""
        with self._lock:
            return self._everything or path in self._paths


class _Ringer(FileSystemEventHandler):
    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    def dispatch(self, event: FileSystemEvent) -> None:
        """Ring for what the event names; the methods for single kinds of events are not called."""
        for path in (event.src_path, event.dest_path):
            if path:
                self._bell.touched(os.fsencode(path))


class _Observer(BaseObserver):
    """Dispatches what one emitter tells of; says so when it ends by itself."""

    def __init__(self, bell: Bell, *, enters: Callable[[bytes], bool]) -> None:
        super().__init__(TreeEmitter, enters=enters, missed=bell.everything)
        self.name = "watch-dispatch"
        self._bell = bell

    def run(self) -> None:
        """Dispatch until told to stop."""
        try:
            super().run()
        finally:
            if self.should_keep_running():
                self._bell.everything()


class Watch:
    """Watches one folder and all below it that are entered, as far as the kernel allows.

    When events were lost it rings for everything and hears no more until `heal` begins anew.
    `start`, `heal`, `begin_anew` and `stop` are for one thread.
    """

    def __init__(self, root: bytes, bell: Bell, *, enters: Callable[[bytes], bool]) -> None:
        self._root = root
        self._bell = bell
        self._enters = enters
        self._ringer = _Ringer(bell)
        self._observer: _Observer | None = None
        self._emitter: TreeEmitter | None = None
        self._why = ""
        self._root_id: tuple[int, int] | None = None
        self.begun = 0
        self.lost = 0

    @property
    def problem(self) -> str:
        """Why not all of it is watched, with the line that mends it; empty when all is."""
        if self._emitter is not None and self._emitter.why:
            # How many is not said: with every new folder it would be news.
            return f"some folders are only scanned: {self._emitter.why}"
        return self._why

    @property
    def is_listening(self) -> bool:
        """Say whether anything is watched, and what happens there rings."""
        threads = (self._observer, self._emitter)
        return all(one is not None and one.should_keep_running() and one.is_alive() for one in threads)

    def covers(self, folder: bytes) -> bool:
        """Say whether this folder is watched."""
        return self._emitter is not None and self._emitter.covers(folder)

    def start(self) -> str:
        """Begin to watch; return `problem`. What is there already does not ring."""
        self.stop()
        self._why = ""
        self.begun += 1
        observer = _Observer(self._bell, enters=self._enters)
        observer.schedule(self._ringer, os.fsdecode(self._root), recursive=True, event_filter=_HEARD)
        (emitter,) = (one for one in observer.emitters if isinstance(one, TreeEmitter))
        try:
            stat = os.stat(self._root)  # noqa: PTH116 (the path is bytes)
            self._root_id = (stat.st_dev, stat.st_ino)
            observer.start()
            self._observer, self._emitter = observer, emitter
        except OSError as error:
            # A root that is away is the scan's business.
            self._why = "" if is_gone(error) else why_not(error)
        finally:
            if self._observer is None:
                observer.unschedule_all()
                emitter.close()
        return self.problem

    def heal(self) -> bool:
        """Begin anew when events were lost, or the folder is another one now; return whether only a scan tells."""
        if self._observer is None or (self.is_listening and not self._is_another()):
            return False
        self.lost += 1
        log.warning("watch.replaced", times=self.lost)
        self.begin_anew()
        return True

    def begin_anew(self) -> str:
        """Watch again from the start; return `problem`. What happens meanwhile only a scan tells."""
        return self.start()

    def stop(self) -> None:
        """End the watch and its threads; what they told of until then rings. Harmless when it is not under way."""
        observer, self._observer = self._observer, None
        emitter, self._emitter = self._emitter, None
        if observer is None or emitter is None:
            return
        observer.stop()
        observer.join()
        emitter.close()
        with suppress(queue.Empty):
            while True:
                told = observer.event_queue.get_nowait()
                if told is not observer.stop_event:
                    self._ringer.dispatch(told[0])

    def _is_another(self) -> bool:
        """What was mounted over the root, or took its place, is not what is watched."""
        try:
            stat = os.stat(self._root)  # noqa: PTH116
        except OSError:
            return False  # the scan says that it is away
        return (stat.st_dev, stat.st_ino) != self._root_id
