"""Streams of frames without a container: walked by their headers; knows no particular format.

A long stream is walked at its start and looked at again at its end, so that what is read stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from uploader.media.bytes import BoundedBytes
from uploader.media.faults import truncated

_WALK_BYTES = 1024 * 1024
_MOST_FRAMES = 100_000
_PIECE_BYTES = 256 * 1024
_TRIED_BYTES = 16 * 1024
_TAIL_BYTES = 32 * 1024
_JUNK_BYTES = 4096
"""What may follow the last frame without being part of the stream: tags and padding."""
_SYNC = b"\xff"
_CERTAIN_FRAMES = 4
"""Headers in a row, of one kind, that are no accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame. `kind` is what does not change within a stream (version, layer, rate)."""

    size: int
    samples: int
    kind: tuple[int, ...]


class End(StrEnum):
    """How a walk came to its end."""

    WHOLE = "whole"
    """The last frame ends where the stream does."""
    CUT = "cut"
    """The last frame is longer than what is left."""
    LOST = "lost"
    """No frame follows the last one."""
    LIMIT = "limit"
    """There is more than was walked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What a walk saw: whole frames, their samples and bytes."""

    frames: int
    samples: int
    size_bytes: int
    end: End


Parse = Callable[[bytes, int], Frame | None]
"""Reads the frame header at an offset of a buffer; None when there is none."""


def walk(
    window: BoundedBytes,
    start: int,
    stop: int,
    *,
    parse: Parse,
    header_bytes: int,
    most_bytes: int = _WALK_BYTES,
) -> Walk:
    """Walk whole frames of one kind from `start`, at most to `stop`."""
    position, frames, samples = start, 0, 0
    base, piece = start, b""
    kind: tuple[int, ...] | None = None
    end = End.LIMIT
    while position - start < most_bytes and frames < _MOST_FRAMES:
        left = stop - position
        if left <= 0:
            end = End.WHOLE
            break
        if position + header_bytes > base + len(piece):
            base, piece = position, window.read_at(position, min(_PIECE_BYTES, most_bytes, left))
        frame = parse(piece, position - base)
        if frame is None or frame.kind != (kind or frame.kind):
            is_cut_header = left < header_bytes and piece.startswith(_SYNC, position - base)
            end = End.CUT if is_cut_header else End.LOST
            break
        if frame.size > left:
            end = End.CUT
            break
        kind = frame.kind
        position, frames, samples = position + frame.size, frames + 1, samples + frame.samples
    return Walk(frames=frames, samples=samples, size_bytes=position - start, end=end)


def find_first(
    window: BoundedBytes, start: int, stop: int, *, parse: Parse, header_bytes: int, within_bytes: int
) -> tuple[int, Frame] | None:
    """Return where a run of frames begins and its first frame, looking no further than `within_bytes`.

    At `start` itself two frames do; further on, where chance has more tries, it takes more.
    """
    buffer = window.read_at(start, min(within_bytes, stop - start))
    offset = -1
    while (offset := buffer.find(_SYNC, offset + 1)) >= 0:
        frame = parse(buffer, offset)
        if frame is None:
            continue
        seen = walk(window, start + offset, stop, parse=parse, header_bytes=header_bytes, most_bytes=_TRIED_BYTES)
        if seen.frames >= _CERTAIN_FRAMES or (offset == 0 and _is_short_stream(seen)):
            return start + offset, frame
    return None


def _is_short_stream(seen: Walk) -> bool:
    headers = seen.frames + (seen.end is End.CUT)
    return headers >= 2 or (seen.frames == 1 and seen.end is End.WHOLE)


def count_samples(window: BoundedBytes, start: int, stop: int, *, parse: Parse, header_bytes: int) -> float:
    """Return the samples between `start` and `stop`; of a long stream, what its start makes likely.

    Raises RecordingFault (media_truncated) when the last frame is cut.
    """
    seen = walk(window, start, stop, parse=parse, header_bytes=header_bytes)
    rest = stop - start - seen.size_bytes
    end = seen.end
    if end in (End.LIMIT, End.LOST) and rest > _JUNK_BYTES:
        end = _how_it_ends(window, start, stop, parse=parse, header_bytes=header_bytes)
    if end is End.CUT:
        raise truncated("the file ends within a frame of audio")
    if rest > _JUNK_BYTES and seen.size_bytes:
        return seen.samples * (stop - start) / seen.size_bytes
    return seen.samples


def _how_it_ends(window: BoundedBytes, start: int, stop: int, *, parse: Parse, header_bytes: int) -> End:
    """Say how a stream ends that was not walked to its end; LOST when its end shows no run of frames."""
    first = parse(window.read_at(start, header_bytes), 0)
    tail = max(start, stop - _TAIL_BYTES)
    buffer = window.read_at(tail, stop - tail)
    at = buffer.find(_SYNC)
    while at >= 0:
        frame = parse(buffer, at)
        if frame is not None and first is not None and frame.kind == first.kind:
            seen = walk(window, tail + at, stop, parse=parse, header_bytes=header_bytes)
            if seen.frames >= _CERTAIN_FRAMES - 1:
                if seen.end is not End.LOST:
                    return seen.end
                # a tag in between, perhaps: what counts is the last run
                at += seen.size_bytes
        at = buffer.find(_SYNC, at + 1)
    return End.LOST
