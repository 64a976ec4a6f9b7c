"""HTTP ranges and preconditions as pure decisions (RFC 9110 sections 13 and 14); no files, no sockets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The bytes `first` to `last` inclusive; empty when `last` is `first - 1`."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return self.last - self.first + 1


NOTHING: Final = Span(first=0, last=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to answer: the status (200, 206, 304, 412 or 416) and the bytes that go with it."""

    status: int
    span: Span


def select(
    *,
    size_bytes: int,
    etag: str,
    ranges: Sequence[str],
    if_range: str | None,
    if_match: str | None,
    if_none_match: str | None,
) -> Selection:
    """Decide what part of a file of `size_bytes` answers a GET.

    `ranges` are all Range headers. One satisfiable range gives 206; several, or one that cannot be read,
    are ignored, as RFC 9110 section 14.2 allows.
    """
    whole = Span(first=0, last=size_bytes - 1)
    if if_match is not None and not _lists(if_match, etag):
        return Selection(status=412, span=NOTHING)
    if if_none_match is not None and _lists(if_none_match.replace("W/", ""), etag):
        return Selection(status=304, span=NOTHING)
    if len(ranges) != 1 or (if_range is not None and if_range.strip() != etag):
        return Selection(status=200, span=whole)
    match = _ONE_RANGE.fullmatch(ranges[0].strip())
    if match is None or (not match[1] and not match[2]):
        return Selection(status=200, span=whole)
    return _one(match[1], match[2], size_bytes)


def _one(first_text: str, last_text: str, size_bytes: int) -> Selection:
    final = size_bytes - 1
    if not first_text:
        first, last = max(0, size_bytes - int(last_text)), final
    else:
        first, last = int(first_text), int(last_text) if last_text else max(final, int(first_text))
        if last < first:
            return Selection(status=200, span=Span(first=0, last=final))
    if first > final:
        return Selection(status=416, span=NOTHING)
    return Selection(status=206, span=Span(first=first, last=min(last, final)))


def _lists(header: str, etag: str) -> bool:
    """Return whether a list of entity tags is `*` or names this one."""
    return header.strip() == "*" or etag in (part.strip() for part in header.split(","))
