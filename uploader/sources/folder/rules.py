"""Which names in a folder are recordings, which are nobody's business. Pure; names are bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

_IGNORED_FILES = (
    ".*", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.tmp*", "*.temp", "*.swp", "*~", "~$*",
    "Thumbs.db", "desktop.ini", "*.!sync", "*.bts",
)  # fmt: skip
"""Files still being written by copy programs, and what desktops and editors leave behind."""

_IGNORED_FOLDERS = (
    ".*", "@eaDir", "@tmp", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found",
)  # fmt: skip
"""Folders that storage devices and operating systems put into shares."""


class Rules:
    """The `include` and `exclude` patterns of a source, and what is left alone everywhere.

    A pattern with a slash is matched against the path below the root, one without against the name;
    case does not matter.
    """

    def __init__(self, *, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = _compile(include)
        self._exclude = _compile(exclude)
        self._ignored_file = _compile(_IGNORED_FILES)[0]
        self._ignored_folder = _compile(_IGNORED_FOLDERS)[0]

    def is_ignored(self, name: bytes) -> bool:
        """Say whether a file of this name is left alone, be it recording or sidecar."""
        return self._ignored_file.match(_text(name)) is not None

    def is_recording(self, name: bytes, folder: bytes = b"") -> bool:
        """Say whether `name`, in `folder` below the root, is a recording by its name."""
        if self.is_ignored(name):
            return False
        return _matches(self._include, name, folder) and not _matches(self._exclude, name, folder)

    def enters(self, folder_name: bytes) -> bool:
        """Say whether a folder of this name is walked."""
        return self._ignored_folder.match(_text(folder_name)) is None


_Patterns = tuple[re.Pattern[str], re.Pattern[str]]


def _compile(patterns: Sequence[str]) -> _Patterns:
    names = [translate(p) for p in patterns if "/" not in p]
    paths = [translate(p.lstrip("/")) for p in patterns if "/" in p]
    return re.compile("|".join(names) or "(?!)", re.IGNORECASE), re.compile("|".join(paths) or "(?!)", re.IGNORECASE)


def _matches(patterns: _Patterns, name: bytes, folder: bytes) -> bool:
    by_name, by_path = patterns
    path = folder + b"/" + name if folder else name
    return by_name.match(_text(name)) is not None or by_path.match(_text(path)) is not None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
