"""Matroska and WebM; knows nothing of other containers.

Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated, unknown
from uploader.media.registered import joined

_HEADER, _DOC_TYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _CLUSTER, _INFO, _TRACKS = 0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B
_TIME_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _TRACK_TYPE, _CODEC_ID, _AUDIO, _RATE, _CHANNELS = 0xAE, 0x83, 0x86, 0xE1, 0xB5, 0x9F
_VIDEO_TRACK, _SOUND_TRACK = 1, 2
_MOST_ELEMENTS = 256
_MOST_TRACKS = 16
_OPUS_HERTZ = 48_000.0
"""What Opus is always decoded at; the element says what it was made from (RFC 7845, section 4)."""
_CODECS = {
    b"A_OPUS": "opus",
    b"A_VORBIS": "vorbis",
    b"A_AAC": "aac",
    b"A_FLAC": "flac",
    b"A_MPEG/L3": "mp3",
    b"A_AC3": "ac3",
    b"A_PCM/INT/LIT": "pcm",
    b"V_VP8": "vp8",
    b"V_VP9": "vp9",
    b"V_AV1": "av1",
    b"V_MPEG4/ISO/AVC": "h264",
    b"V_MPEGH/ISO/HEVC": "hevc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    id: int
    start: int
    end: int | None
    """None where the writer did not know (a live stream)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    type: int
    codec: str | None
    channels: int
    sample_rate: int | None


@dataclass(slots=True, kw_only=True)
class _Seen:
    duration_seconds: float | None = None
    tracks: list[_Track] = field(default_factory=list)
    has_cluster: bool = False


def read_matroska(window: BoundedBytes) -> MediaFacts:
    """Read tracks and length, and hold the segment's size against the file. Raises RecordingFault."""
    outer = list(_elements(window, 0, window.size_bytes, most=4))
    if not outer or outer[0].end is None or outer[0].end > window.size_bytes:
        raise truncated()
    doc_type = _text(window, outer[0], _DOC_TYPE)
    if doc_type not in (b"webm", b"matroska"):
        raise unknown()
    segment = next((element for element in outer if element.id == _SEGMENT), None)
    if segment is None:
        raise empty()
    if segment.end is not None and segment.end > window.size_bytes:
        raise truncated()
    seen = _segment(window, segment)
    if not seen.has_cluster or not seen.tracks:
        raise empty()
    return _facts(seen, "webm" if doc_type == b"webm" else "matroska")


def _elements(window: BoundedBytes, start: int, end: int, *, most: int = _MOST_ELEMENTS) -> Iterator[_Element]:
    for _ in range(most):
        head = window.read_at(start, min(12, end - start))
        id_bytes = _vint_length(head, 0)
        size_bytes = _vint_length(head, id_bytes)
        if not 0 < id_bytes <= 4 or not size_bytes or len(head) < id_bytes + size_bytes:
            return
        coded = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
        mask = (1 << 7 * size_bytes) - 1
        body = start + id_bytes + size_bytes
        size = coded & mask
        known_end = None if size == mask else body + size
        yield _Element(id=int.from_bytes(head[:id_bytes], "big"), start=body, end=known_end)
        if known_end is None:
            return
        start = known_end


def _vint_length(head: bytes, position: int) -> int:
    """Return how many bytes a variable-length number takes, by its first one; 0 for none."""
    if position >= len(head):
        return 0
    return 9 - head[position].bit_length() if head[position] else 0


def _segment(window: BoundedBytes, segment: _Element) -> _Seen:
    seen = _Seen()
    end = window.size_bytes if segment.end is None else segment.end
    for element in _elements(window, segment.start, end):
        if element.id == _CLUSTER:
            seen.has_cluster = True
            if seen.tracks:
                break
        elif element.id == _INFO and element.end is not None:
            seen.duration_seconds = _duration(window, element)
        elif element.id == _TRACKS and element.end is not None:
            tracks = _children(window, element, _TRACK)
            seen.tracks = [_track(window, track) for track in tracks[:_MOST_TRACKS]]
    return seen


def _children(window: BoundedBytes, parent: _Element, wanted: int) -> list[_Element]:
    if parent.end is None:
        return []
    return [inner for inner in _elements(window, parent.start, parent.end) if inner.id == wanted]


def _value(window: BoundedBytes, parent: _Element, wanted: int) -> bytes:
    found = next(iter(_children(window, parent, wanted)), None)
    if found is None or found.end is None:
        return b""
    return window.read_at(found.start, min(found.end - found.start, 64))


def _text(window: BoundedBytes, parent: _Element, wanted: int) -> bytes:
    return _value(window, parent, wanted).rstrip(b"\0")


def _float(data: bytes) -> float | None:
    if len(data) not in (4, 8):
        return None
    (value,) = struct.unpack(">f" if len(data) == 4 else ">d", data)
    return float(value) if 0 < value < 1e15 else None


def _duration(window: BoundedBytes, info: _Element) -> float | None:
    scale_ns = int.from_bytes(_value(window, info, _TIME_SCALE)[:8], "big") or 1_000_000
    length = _float(_value(window, info, _DURATION))
    return length * scale_ns / 1e9 if length is not None else None


def _track(window: BoundedBytes, track: _Element) -> _Track:
    audio = next(iter(_children(window, track, _AUDIO)), None)
    rate = _float(_value(window, audio, _RATE)) if audio is not None else None
    channels = int.from_bytes(_value(window, audio, _CHANNELS)[:2], "big") if audio is not None else 0
    codec = _CODECS.get(_text(window, track, _CODEC_ID))
    if codec == "opus":
        rate = _OPUS_HERTZ
    return _Track(
        type=int.from_bytes(_value(window, track, _TRACK_TYPE)[:1], "big"),
        codec=codec,
        channels=channels or 1,
        sample_rate=round(rate) if rate is not None and rate < 1e6 else None,
    )


def _facts(seen: _Seen, name: str) -> MediaFacts:
    sound = next((track for track in seen.tracks if track.type == _SOUND_TRACK), None)
    picture = next((track for track in seen.tracks if track.type == _VIDEO_TRACK), None)
    if sound is None and picture is None:
        raise empty()
    return MediaFacts(
        kind=MediaKind.VIDEO if picture is not None else MediaKind.AUDIO,
        format=name,
        codec=joined(sound.codec if sound is not None else None, picture.codec if picture is not None else None),
        channels=sound.channels if sound is not None else None,
        sample_rate=sound.sample_rate if sound is not None else None,
        duration_seconds=seen.duration_seconds,
    )
