"""ASF files (WMA, WMV); knows nothing of other containers.

Source: Microsoft's "Advanced Systems Format (ASF) Specification", revision 01.20.03, sections 3.1 to 3.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated
from uploader.media.registered import joined, picture_codec, sound_codec

ASF_MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_SOUND = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_PICTURE = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_MOST_OBJECTS = 64
_BROADCAST = 1


@dataclass(slots=True, kw_only=True)
class _Seen:
    file_size: int = 0
    duration_seconds: float | None = None
    sound: bytes | None = None
    picture: bytes | None = None


def read_asf(window: BoundedBytes) -> MediaFacts:
    """Read the header's objects and hold the size against the file. Raises RecordingFault."""
    header_size = int.from_bytes(window.exactly(16, 8), "little")
    if header_size > window.size_bytes:
        raise truncated()
    seen = _header(window, header_size)
    if seen.file_size > window.size_bytes:
        raise truncated()
    if header_size == window.size_bytes or (seen.sound is None and seen.picture is None):
        raise empty()
    tag, channels, rate = struct.unpack("<HHI", seen.sound) if seen.sound is not None else (0, 0, 0)
    picture = picture_codec(seen.picture) if seen.picture is not None else None
    return MediaFacts(
        kind=MediaKind.AUDIO if seen.picture is None else MediaKind.VIDEO,
        format="asf",
        codec=joined(sound_codec(tag, 0), picture),
        channels=channels or None,
        sample_rate=rate or None,
        duration_seconds=seen.duration_seconds,
    )


def _header(window: BoundedBytes, end: int) -> _Seen:
    seen, offset = _Seen(), 30
    for _ in range(_MOST_OBJECTS):
        head = window.read_at(offset, min(24, end - offset))
        if len(head) < 24:
            break
        size = int.from_bytes(head[16:], "little")
        if head.startswith(_PROPERTIES):
            _read_properties(seen, window.exactly(offset + 24, 68))
        elif head.startswith(_STREAM):
            _read_stream(seen, window.read_at(offset + 24, 85))
        if size < 24:
            break
        offset += size
    return seen


def _read_properties(seen: _Seen, body: bytes) -> None:
    file_size, played, preroll_ms, flags = struct.unpack("<16xQ16xQ8xQI", body)
    if flags & _BROADCAST:
        return  # a live stream: neither size nor length mean anything
    seen.file_size = file_size
    seen.duration_seconds = max(0.0, played / 1e7 - preroll_ms / 1e3) or None


def _read_stream(seen: _Seen, body: bytes) -> None:
    if body.startswith(_PICTURE) and len(body) == 85:
        seen.picture = body[81:]
    elif body.startswith(_SOUND) and len(body) >= 62 and seen.sound is None:
        seen.sound = body[54:62]
