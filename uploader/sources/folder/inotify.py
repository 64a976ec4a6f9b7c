"""What the kernel tells of changes in directories (inotify), and the limits it sets. Knows nothing of what they mean.

Source of the numbers and of what is told when: inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CLOSED_AFTER_WRITING = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATED = 0x100
DELETED = 0x200
MOVED_ITSELF = 0x800
UNMOUNTED = 0x2000
OVERFLOWED = 0x4000
FORGOTTEN = 0x8000
IS_FOLDER = 0x4000_0000

_ONLY_FOLDERS = 0x100_0000
_NO_LINKS = 0x200_0000
_HEARD = CREATED | CLOSED_AFTER_WRITING | MOVED_FROM | MOVED_TO | DELETED | MOVED_ITSELF | _ONLY_FOLDERS
_HEAD = struct.Struct("iIII")
_READ_BYTES = 64 * 1024
"""About 2,000 events: between two reads the thread that reads lets others run."""

_MOST_INSTANCES = 1024
_MOST_WATCHES = 1_048_576

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class Change(NamedTuple):
    """Something happened in a watched directory, or to it. `name` is empty when it was to itself."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """One notifier of the kernel. `wait` is for one thread; `wake` may be called by any."""

    def __init__(self) -> None:
        """Ask for it. Raises OpenFilesExhausted, OSError with EMFILE when this user has too many of them."""
        self._bell = _eventfd()
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            try:
                os.close(_eventfd())  # too many of these, or of any files?
            finally:
                os.close(self._bell)
            raise OSError(number, "inotify_init1")
        self._poll = select.poll()
        for descriptor in (self._descriptor, self._bell):
            self._poll.register(descriptor, select.POLLIN)

    def add(self, path: bytes, *, follow: bool) -> int:
        """Watch a directory and return its number, the same for one that is watched; `follow` a link. Raises OSError.

        ENOSPC: this user has as many watches as the kernel allows.
        """
        number = int(_libc.inotify_add_watch(self._descriptor, path, _HEARD | (0 if follow else _NO_LINKS)))
        if number < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        return number

    def remove(self, number: int) -> None:
        """Watch a directory no longer; one that is gone already is no matter."""
        _libc.inotify_rm_watch(self._descriptor, number)

    def wait(self) -> list[Change]:
        """Return what happened, as soon as anything did; nothing after `wake`."""
        self._poll.poll()
        return self.read()

    def read(self) -> list[Change]:
        """Return what happened and was not read yet, or the first part of it, without waiting."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        changes, at = [], 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            changes.append(Change(watch, mask, data[at : at + length].rstrip(b"\0")))
            at += length
        return changes

    def wake(self) -> None:
        """Let `wait` return, now or when it is next called."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give all watches and what was not read back to the kernel."""
        os.close(self._descriptor)
        os.close(self._bell)


def _eventfd() -> int:
    try:
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    except OSError as error:
        raise OpenFilesExhausted(error.errno, "eventfd") from error


class OpenFilesExhausted(OSError):
    """This process has as many files open as it may, or the machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """What the kernel allows this user, None where it does not say, and the keys of `sysctl` that change it."""

    watches: int | None
    instances: int | None
    queued_events: int | None
    watches_key: str = "fs.inotify.max_user_watches"
    instances_key: str = "fs.inotify.max_user_instances"

    @classmethod
    def read(cls, place: Path = Path("/proc/sys")) -> WatchLimits:
        """Ask the kernel. In a container the limits of its own user namespace may be the lower ones."""
        watches, watches_key = _lower(place, "fs.inotify.max_user_watches", "user.max_inotify_watches")
        instances, instances_key = _lower(place, "fs.inotify.max_user_instances", "user.max_inotify_instances")
        return cls(
            watches=watches,
            watches_key=watches_key,
            instances=instances,
            instances_key=instances_key,
            queued_events=_number(place, "fs.inotify.max_queued_events"),
        )


def why_not(error: OSError) -> str:
    """Say which limit of the system was met, and the line that raises it."""
    limits = WatchLimits.read()
    if isinstance(error, OpenFilesExhausted):
        return "too many open files: raise LimitNOFILE= in the unit, or `ulimit -n`"
    if error.errno == errno.ENOSPC:  # inotify's way of saying that there are too many watches
        wanted = max(_MOST_WATCHES, 2 * (limits.watches or 0))
        return f"too many folders to watch: set `{limits.watches_key}={wanted}` in /etc/sysctl.d"
    if error.errno == errno.EMFILE:
        return f"too many watchers: set `{limits.instances_key}={_MOST_INSTANCES}` in /etc/sysctl.d"
    return f"the folder cannot be watched ({os.strerror(error.errno or 0)})"


def _lower(place: Path, usual: str, other: str) -> tuple[int | None, str]:
    one, two = _number(place, usual), _number(place, other)
    return (two, other) if two is not None and (one is None or two < one) else (one, usual)


def _number(place: Path, key: str) -> int | None:
    with suppress(OSError, ValueError):
        return int((place / key.replace(".", "/")).read_text())
    return None
