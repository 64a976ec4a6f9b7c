"""Walking a folder: what is there, directory by directory. Knows nothing of the ledger; writes nothing.

Symbolic links to folders are not followed: those that stay inside the source are walked anyway,
the others lead out of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event

from uploader.domain.recording import Stamp
from uploader.errors import SourceUnavailable
from uploader.platform.filesystem import is_gone, stamp_of
from uploader.sources.folder.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One directory: its absolute path and the files in it that are not ignored."""

    path: bytes
    files: dict[bytes, Stamp]


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


def walk(
    root: bytes, rules: Rules, *, stop: Event, passed_over: Callable[[bytes], None] | None = None
) -> Iterator[Listing]:
    """Yield every directory below `root`, ignored ones left out, parents first.

    A directory that cannot be read, or vanishes meanwhile, is passed over: nothing in it is judged.
    `passed_over` is told of those that cannot be read. Raises SourceUnavailable when the root cannot be listed.
    """
    check_root(root)
    pending = [root]
    while pending and not stop.is_set():
        path = pending.pop()
        try:
            listing, folders = _list(path, rules)
        except OSError as error:
            if path == root:
                check_root(root)
            if not is_gone(error):
                if passed_over is not None:
                    passed_over(path)
                continue
            listing, folders = Listing(path=path, files={}), []
        yield listing
        pending.extend(folders)


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
        if _is_regular(stat):
            found[name] = stamp_of(stat)
    return found, gone


def _list(path: bytes, rules: Rules) -> tuple[Listing, list[bytes]]:
    files: dict[bytes, Stamp] = {}
    folders: list[bytes] = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if rules.enters(entry.name):
                        folders.append(entry.path)
                elif not rules.is_ignored(entry.name):
                    stat = entry.stat()
                    if _is_regular(stat):
                        files[entry.name] = stamp_of(stat)
            except OSError:
                # Gone between listing and stat, or a link that leads nowhere: the next scan tells.
                continue
    return Listing(path=path, files=files), folders


def _is_regular(stat: os.stat_result) -> bool:
    return (stat.st_mode & 0o170000) == 0o100000


def is_inside(root: bytes, path: bytes) -> bool:
    """Say whether `path`, with every link resolved, lies below `root`."""
    real_root, real = os.path.realpath(root), os.path.realpath(path)
    return real.startswith(real_root.rstrip(b"/") + b"/")
