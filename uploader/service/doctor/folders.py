"""Checks of folder sources and of what the system allows to watch in them. Writes nothing anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from uploader.platform.clock import Clock
from uploader.platform.filesystem import NETWORK_TYPES, mount_type
from uploader.service.doctor.report import Finding, fail, ok, warn
from uploader.service.listener import NETWORK
from uploader.sources.folder.inotify import WatchLimits
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import check_root

SURVEY_SECONDS = 15.0
READ_TRIED = 50
_LEAST_QUEUED = 1024
_USED_SHARE = 0.8
"""Other programs of the same user watch, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder source: `events` unless it is told to poll."""

    name: str
    root: bytes
    rules: Rules
    events: bool
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a walk found. `whole` is False when the time was over before the end."""

    folders: int
    closed_folders: int
    recordings: int
    closed_recordings: int
    whole: bool


def survey(root: bytes, rules: Rules, clock: Clock, *, files: bool, within_seconds: float = SURVEY_SECONDS) -> Survey:
    """Walk a folder as a scan does, without its cache; with `files`, see whether recordings can be read."""
    deadline = clock.monotonic() + within_seconds
    pending = [root]
    folders = closed = recordings = unreadable = 0
    while pending and clock.monotonic() < deadline:
        path = pending.pop()
        below = path[len(root) :].lstrip(b"/")
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending += [entry.path] if rules.enters(entry.name) else []
                    elif files and rules.is_recording(entry.name, below):
                        recordings += 1
                        unreadable += not _can_read(entry.path, really=recordings <= READ_TRIED)
        except FileNotFoundError:
            continue
        except OSError:
            closed += 1
        folders += 1
    return Survey(
        folders=folders,
        closed_folders=closed,
        recordings=recordings,
        closed_recordings=unreadable,
        whole=not pending,
    )


def check_folder(folder: Folder, clock: Clock) -> Finding:
    """Find out whether a folder can be listed and its recordings read. Raises SourceUnavailable."""
    check_root(folder.root)
    found = survey(folder.root, folder.rules, clock, files=True)
    return judge_folder(folder, found, kind=mount_type(os.fsdecode(folder.root)))


def judge_folder(folder: Folder, found: Survey, *, kind: str) -> Finding:
    """Judge what was found in a folder on a file system of this type."""
    closed = _counted(found.closed_recordings, "recording") if found.closed_recordings else ""
    if found.closed_folders:
        closed += (" and " if closed else "") + _counted(found.closed_folders, "folder")
    more = "" if found.whole else " at least (the rest was not looked at)"
    what = f"{_counted(found.folders, 'folder')}, {_counted(found.recordings, 'recording')}{more}"
    if closed:
        hint = "give the service's user the right to read them (r on files, r-x on folders), or exclude them"
        return fail(f"{what}: {closed} cannot be read by this user", hint=hint)
    if kind in NETWORK_TYPES and folder.enabled:
        polled = f"{what}; on a network file system ({kind}), so it is polled at every `rescan`"
        return ok(polled) if not folder.events else ok(polled, hint="shorten `rescan` if that is too seldom")
    return ok(what if folder.enabled else f"{what}; not enabled: for `import` only")


def check_watches(
    folders: Sequence[Folder], clock: Clock, limits: WatchLimits, said: Callable[[], Mapping[str, str]]
) -> Finding:
    """Count what is to be watched beside what the kernel allows, and hear what a running daemon `said` of it.

    `said` returns by a source's name why that is only scanned.
    """
    polled = {name: why for name, why in said().items() if why != NETWORK}
    if polled:
        message = "; ".join(f"{name}: {why}" for name, why in sorted(polled.items()))
        return warn(message, hint="what is only scanned is found at every `rescan`")
    count = 0
    for folder in folders:
        count += survey(folder.root, folder.rules, clock, files=False).folders
    return judge_watches(count, sources=len(folders), limits=limits)


def judge_watches(count: int, *, sources: int, limits: WatchLimits) -> Finding:
    """Judge so many folders in so many sources by what the kernel allows."""
    if limits.watches is None:
        return warn(
            "the kernel does not say how many folders can be watched", hint="rescans find what events do not tell"
        )
    what = f"{_counted(count, 'folder')} to watch, {limits.watches:,} allowed"
    if count > limits.watches * _USED_SHARE:
        wanted = max(1_048_576, 2 * count)
        return warn(f"{what}: the rest is only scanned", hint=f"set `{limits.watches_key}={wanted}` in /etc/sysctl.d")
    if limits.instances is not None and sources > limits.instances * _USED_SHARE:
        message = f"{_counted(sources, 'source')} to watch, {limits.instances:,} watchers allowed"
        return warn(message, hint=f"set `{limits.instances_key}=1024` in /etc/sysctl.d")
    if limits.queued_events is not None and limits.queued_events < _LEAST_QUEUED:
        message = f"the kernel keeps only {limits.queued_events:,} events: more at once are lost until the next scan"
        return warn(message, hint="set `fs.inotify.max_queued_events=16384` in /etc/sysctl.d")
    return ok(what)


def _can_read(path: bytes, *, really: bool) -> bool:
    if not really:
        return os.access(path, os.R_OK)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    os.close(descriptor)
    return True


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
