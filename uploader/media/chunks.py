"""Chunks of RIFF and IFF files: a name, a size, a body, and a byte of padding; knows no meaning."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from uploader.media.bytes import BoundedBytes

NEVER_CLOSED_FROM = 0x7FFFF000
"""Sizes from here up that the file does not reach are what writers put in when they cannot know."""
_MOST_CHUNKS = 128
_PADDING_BYTES = 64 * 1024
"""The largest cluster that a file is filled up to; more zeros than that are silence."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk. `start` is where its body begins; `size` is what its header says, true or not."""

    name: bytes
    start: int
    size: int


def chunks(window: BoundedBytes, offset: int, *, order: Literal["<", ">"]) -> Iterator[Chunk]:
    """Yield the chunks from `offset` to the end of the file, the last perhaps longer than the file.

    Stops quietly where there is no chunk, and after a number that no recorder comes near.
    """
    for _ in range(_MOST_CHUNKS):
        header = window.read_at(offset, 8)
        if len(header) < 8:
            return
        name, size = struct.unpack(f"{order}4sI", header)
        yield Chunk(name=name, start=offset + 8, size=size)
        offset += 8 + size + size % 2


def looks_like_chunk(window: BoundedBytes, offset: int) -> bool:
    """Say whether what follows the container is a further chunk, a tag or padding, not audio."""
    rest = window.size_bytes - offset
    if rest <= _PADDING_BYTES and not any(window.read_at(offset, rest)):
        return True
    # a chunk may lie one byte on: not every writer pads
    for start in (offset, offset + offset % 2):
        header = window.read_at(start, 8)
        if header.startswith(_TAGS):
            return True
        name, size = struct.unpack("<4sI", header.ljust(8, b"\0"))
        if name.isalnum() and name.isascii() and start + 8 + size <= window.size_bytes:
            return True
    return False
