"""Walking a folder: what is there, directory by directory. Knows nothing of the ledger; writes nothing.

A directory may hold a million files: they are summed up or yielded one by one, never kept. Symbolic
links to folders are not followed: those that stay inside the source are walked anyway, the others lead
out of it.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from threading import Event

from uploader.domain.recording import Stamp
from uploader.domain.scanning import Total, digest
from uploader.errors import SourceUnavailable
from uploader.platform.filesystem import is_gone, real_path, stamp_of
from uploader.sources.folder.rules import Rules

_STOP_EVERY = 4096
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A directory itself, without what is in it: another one means that names came or went.

    `value` stands for its inode and its times; `changed_ns` is the latest of these.
    """

    value: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One directory: the total of its recordings and sidecars. `state` is of before it was listed; None: it is gone."""

    path: bytes
    total: Total
    state: State | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A recording or sidecar in `folder`."""

    folder: bytes
    name: bytes
    stamp: Stamp


def check_root(root: bytes) -> None:
    """Raise SourceUnavailable when the root cannot be listed, with what to do."""
    try:
        with os.scandir(root):
            pass
    except FileNotFoundError as error:
        raise SourceUnavailable(
            "the folder does not exist", hint="make or mount it; it is looked for again by itself"
        ) from error
    except NotADirectoryError as error:
        raise SourceUnavailable("`path` is not a folder", hint="name a folder in `path`") from error
    except PermissionError as error:
        raise SourceUnavailable(
            "the folder cannot be read", hint="give the service's user the right to list it (r-x)"
        ) from error
    except OSError as error:
        raise SourceUnavailable(
            f"the folder cannot be reached ({errno_name(error)})", hint="check the mount; it is looked for by itself"
        ) from error


def errno_name(error: OSError) -> str:
    """Return what the system calls the error, without the name of a file."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def survey(
    root: bytes,
    rules: Rules,
    *,
    stop: Event,
    base: bytes | None = None,
    enters: Callable[[list[bytes]], list[bytes]] = lambda folders: folders,
    passed_over: Callable[[bytes], None] | None = None,
) -> Iterator[Survey]:
    """Yield every directory from `root` down, ignored ones left out, parents first.

    `base` is the source's root, where `root` lies below it; of the folders in each directory those that
    `enters` returns are walked. A directory that cannot be read is passed over: nothing in it is judged, and
    `passed_over` is told. Once stopped, the last survey is of a part. Raises SourceUnavailable when the
    source's root cannot be listed.
    """
    base = root if base is None else base
    pending = [root]
    while pending and not stop.is_set():
        path = pending.pop()
        try:
            found, folders = _survey(path, rules, below(base, path), stop)
        except OSError as error:
            if path == base:
                check_root(base)
            if not is_gone(error):
                if passed_over is not None:
                    passed_over(path)
                continue
            found, folders = Survey(path=path, total=Total(), state=None), []
        yield found
        pending.extend(enters(folders))


def files(
    root: bytes,
    rules: Rules,
    *,
    stop: Event,
    base: bytes | None = None,
    passed_over: Callable[[bytes], None] | None = None,
) -> Iterator[File]:
    """Yield every recording and sidecar from `root` down, directory by directory.

    Patterns with a slash are matched below `base`, or else below `root`. As for the rest, see `survey`.
    """
    base = root if base is None else base
    check_root(root)
    pending = [root]
    while pending and not stop.is_set():
        path = pending.pop()
        try:
            yield from _files(path, rules, below(base, path), pending)
        except OSError as error:
            if passed_over is not None and not is_gone(error):
                passed_over(path)


def files_in(
    path: bytes, rules: Rules, *, folder: bytes, wanted: Callable[[bytes], bool]
) -> Generator[File, None, None]:
    """Return the recordings and sidecars in one directory, `folder` below the root, whose names are `wanted`.

    To be closed if not read to the end. Raises OSError while it is read.
    """
    return _files(path, rules, folder, [], wanted)


def state_of(path: bytes) -> State | None:
    """Return the state of a directory; None when it is none any more. Raises OSError when that cannot be told."""
    try:
        stat = os.lstat(path)
    except OSError as error:
        if is_gone(error):
            return None
        raise
    return _state(stat) if modes.S_ISDIR(stat.st_mode) else None


def look_at(directory: bytes, names: Iterable[bytes], rules: Rules) -> tuple[dict[bytes, Stamp], list[bytes]]:
    """Return the stamps of `names` in `directory`, and which of them are not there."""
    found: dict[bytes, Stamp] = {}
    gone: list[bytes] = []
    for name in names:
        if rules.is_ignored(name):
            continue
        try:
            stat = os.stat(directory + b"/" + name)  # noqa: PTH116 (names are bytes)
        except OSError as error:
            if is_gone(error):
                gone.append(name)
            continue
        if modes.S_ISREG(stat.st_mode):
            found[name] = stamp_of(stat)
    return found, gone


def missing(directory: bytes, names: Iterable[bytes]) -> list[bytes]:
    """Return which of `names` are no files in `directory`, or no longer; one out of reach is not missing."""
    gone: list[bytes] = []
    for name in names:
        try:
            if not modes.S_ISREG(os.stat(directory + b"/" + name).st_mode):  # noqa: PTH116 (names are bytes)
                gone.append(name)
        except OSError as error:
            if is_gone(error):
                gone.append(name)
    return gone


def below(root: bytes, directory: bytes) -> bytes:
    """Return the directory's path below the root."""
    return directory[len(root) :].strip(b"/")


def is_inside(root: bytes, path: bytes) -> bool:
    """Say whether `path`, with every link resolved, lies below `root`."""
    real = real_path(path)
    # With no link in the path there is none in the part of it that is the root.
    real_root = root if real == path else real_path(root)
    return real.startswith(real_root.rstrip(b"/") + b"/")


def _survey(path: bytes, rules: Rules, folder: bytes, stop: Event) -> tuple[Survey, list[bytes]]:
    """Sum one directory up, and return the folders in it. A million files a scan pass this loop."""
    is_relevant, stat_of = rules.relevance(folder), os.stat
    folders: list[bytes] = []
    count = digests = 0
    descriptor = os.open(path, _OPEN)
    try:
        state = _state(os.fstat(descriptor))
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                try:
                    if is_relevant(name):
                        # By the directory's descriptor: the system need not resolve the path again for each.
                        stat = stat_of(name, dir_fd=descriptor)
                        if stat.st_mode & 0o170000 == 0o100000:
                            count += 1
                            digests += digest(name, stat.st_size, stat.st_mtime_ns, stat.st_ino)
                            if not count % _STOP_EVERY and stop.is_set():
                                break
                            continue
                    if entry.is_dir(follow_symlinks=False) and rules.enters(name):
                        folders.append(entry.path)
                except OSError:
                    # Gone between listing and stat, or a link that leads nowhere: the next scan tells.
                    continue
    finally:
        os.close(descriptor)
    return Survey(path=path, total=Total.of(count, digests), state=state), folders


def _files(
    path: bytes, rules: Rules, folder: bytes, folders: list[bytes], wanted: Callable[[bytes], bool] | None = None
) -> Generator[File, None, None]:
    """Yield the files of one directory, and add the folders in it to `folders`."""
    is_relevant = rules.relevance(folder)
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if rules.enters(entry.name):
                        folders.append(entry.path)
                    continue
                if not is_relevant(entry.name) or not (wanted is None or wanted(entry.name)):
                    continue
                stat = entry.stat()
            except OSError:
                continue  # as in `_survey`
            if modes.S_ISREG(stat.st_mode):
                yield File(folder=path, name=entry.name, stamp=stamp_of(stat))


def _state(stat: os.stat_result) -> State:
    # The time of the last change as well: tools that copy folders set the other one back.
    value = digest(b"", stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return State(value=Total.of(0, value).checksum, changed_ns=max(stat.st_mtime_ns, stat.st_ctime_ns))
