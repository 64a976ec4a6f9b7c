"""Which names in a folder are recordings, which are nobody's business. Pure; names are bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate

from uploader.domain.pairing import is_sidecar_name

_IGNORED_FILES = (
    ".*", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.tmp*", "*.temp", "*.swp", "*~", "~$*",
    "Thumbs.db", "desktop.ini", "*.!sync", "*.bts",
)  # fmt: skip
"""Files still being written by copy programs, and what desktops and editors leave behind."""

_IGNORED_FOLDERS = (
    ".*", "@eaDir", "@tmp", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found",
)  # fmt: skip
"""Folders that storage devices and operating systems put into shares."""


def _spellings(extensions: Iterable[str]) -> frozenset[bytes]:
    """Return extensions as they are commonly written."""
    return frozenset(spelling.encode() for e in extensions for spelling in (e.lower(), e.upper(), e.capitalize()))


_SIDECARS = _spellings(["json"])
_EXTENSION_ALONE = re.compile(r"\*\.([a-zA-Z0-9]+)")


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
        alone = [_EXTENSION_ALONE.fullmatch(pattern) for pattern in include]
        extensions = {"json", *(found[1].lower() for found in alone if found)}
        self._wanted = frozenset(extension.encode() for extension in extensions)
        self._telling = _spellings(e for e in extensions if not self._may_be_ignored(e))
        self._only_extensions = all(alone)
        self._has_exclude = bool(exclude)

    def is_ignored(self, name: bytes) -> bool:
        """Say whether a file of this name is left alone, be it recording or sidecar."""
        return self._ignored_file.match(_text(name)) is not None

    def is_recording(self, name: bytes, folder: bytes = b"") -> bool:
        """Say whether `name`, in `folder` below the root, is a recording by its name."""
        if self.is_ignored(name):
            return False
        return _matches(self._include, name, folder) and not _matches(self._exclude, name, folder)

    def relevance(self, folder: bytes) -> Callable[[bytes], bool]:
        """Return what says by its name whether a file in `folder`, below the root, is a recording or a sidecar.

        It says what the other methods say, but several times as fast where the extension tells.
        """
        telling, wanted, only_extensions = self._telling, self._wanted, self._only_extensions
        has_exclude, sidecars = self._has_exclude, _SIDECARS

        def is_relevant(name: bytes) -> bool:
            stem, _, extension = name.rpartition(b".")
            if extension not in telling:
                if only_extensions and extension.isascii() and extension.lower() not in wanted:
                    return False
            elif stem and stem[0] not in b".~" and not (b"." in stem and b".tmp" in name.lower()):
                # Nothing that is left alone looks like this.
                return not has_exclude or extension in sidecars or not _matches(self._exclude, name, folder)
            return not self.is_ignored(name) and (is_sidecar_name(name) or self.is_recording(name, folder))

        return is_relevant

    def recognition(self, folder: bytes) -> Callable[[bytes], bool]:
        """Return what says by its name whether a file in `folder`, below the root, is a recording and no sidecar."""
        is_relevant = self.relevance(folder)

        def is_recording(name: bytes) -> bool:
            return is_relevant(name) and not is_sidecar_name(name)

        return is_recording

    def _may_be_ignored(self, extension: str) -> bool:
        """Say whether files of this extension are left alone, however their names begin, or some of them."""
        named = any(pattern.lower().endswith(f".{extension}") for pattern in _IGNORED_FILES)
        return named or self.is_ignored(f"x.{extension}".encode())

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
