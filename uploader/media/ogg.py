"""Ogg files with Opus, Vorbis, Speex, FLAC or Theora; knows nothing of other containers.

Sources: RFC 3533 (pages), RFC 7845 (Opus), the Vorbis I, Speex and Ogg FLAC mapping documents.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated, unknown

_HEADER_BYTES = 27
_BEGINS = 2
_MOST_STREAMS = 8
_TAIL_BYTES = 2 * 65_307
"""Twice the longest page there is."""
_OPUS_HERTZ = 48_000
"""What granules of Opus count, whatever the rate of its input (RFC 7845, section 4)."""
_NO_GRANULE = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    flags: int
    granule: int
    serial: int
    body: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    codec: str
    serial: int = 0
    channels: int = 0
    sample_rate: int = 0
    skipped_samples: int = 0
    is_picture: bool = False


def read_ogg(window: BoundedBytes) -> MediaFacts:
    """Read the streams' headers and the last page. Raises RecordingFault."""
    streams: list[_Stream] = []
    offset, page = 0, None
    for _ in range(_MOST_STREAMS + 1):
        page = _page(window, offset)
        if page is None or not page.flags & _BEGINS:
            break
        stream = _stream(window.read_at(page.body, min(64, page.end - page.body)), page.serial)
        streams += [stream] if stream is not None else []
        offset = page.end
    is_begun = page is None and not offset and window.size_bytes < _HEADER_BYTES + 255
    if is_begun or offset > window.size_bytes:
        raise truncated()
    sound = next((s for s in streams if not s.is_picture), None)
    if sound is None:
        raise unknown("the container holds no audio that is known")
    duration = _duration(window, offset, sound)
    pictures = [s.codec for s in streams if s.is_picture]
    return MediaFacts(
        kind=MediaKind.VIDEO if pictures else MediaKind.AUDIO,
        format="ogg",
        codec="+".join([sound.codec, *pictures[:1]]),
        channels=sound.channels,
        sample_rate=sound.sample_rate,
        duration_seconds=duration,
    )


def _page(window: BoundedBytes, offset: int) -> _Page | None:
    header = window.read_at(offset, _HEADER_BYTES + 255)
    if len(header) < _HEADER_BYTES or header[:5] != b"OggS\0" or header[5] > 7:
        return None
    granule, serial = struct.unpack("<QI", header[6:18])
    count = header[26]
    lacing = header[_HEADER_BYTES : _HEADER_BYTES + count]
    body = offset + _HEADER_BYTES + count
    return _Page(flags=header[5], granule=granule, serial=serial, body=body, end=body + sum(lacing))


def _stream(packet: bytes, serial: int) -> _Stream | None:
    found: _Stream | None = None
    if packet.startswith(b"OpusHead") and len(packet) >= 19:
        skipped = int.from_bytes(packet[10:12], "little")
        found = _Stream(
            codec="opus", serial=serial, channels=packet[9], sample_rate=_OPUS_HERTZ, skipped_samples=skipped
        )
    elif packet.startswith(b"\x01vorbis") and len(packet) >= 16:
        rate = int.from_bytes(packet[12:16], "little")
        found = _Stream(codec="vorbis", serial=serial, channels=packet[11], sample_rate=rate)
    elif packet.startswith(b"Speex   ") and len(packet) >= 52:
        rate, channels = struct.unpack("<36xI8xI", packet[:52])
        found = _Stream(codec="speex", serial=serial, channels=channels, sample_rate=rate)
    elif packet.startswith(b"\x7fFLAC") and len(packet) >= 33:
        packed = int.from_bytes(packet[27:31], "big")
        found = _Stream(codec="flac", serial=serial, channels=(packed >> 9 & 7) + 1, sample_rate=packed >> 12)
    elif packet.startswith(b"\x80theora"):
        return _Stream(codec="theora", serial=serial, is_picture=True)
    return found if found is not None and found.channels and found.sample_rate else None


def _duration(window: BoundedBytes, start: int, sound: _Stream) -> float | None:
    """Return seconds by the last page's granule. Raises RecordingFault when that page is cut or absent."""
    tail_start = max(start, window.size_bytes - _TAIL_BYTES)
    tail = window.read_at(tail_start, window.size_bytes - tail_start)
    at, is_last = len(tail), True
    while (at := tail.rfind(b"OggS", 0, at)) >= 0:
        page = _page(window, tail_start + at)
        if page is None:
            continue
        if is_last and page.end > window.size_bytes:
            raise truncated("the file ends within a page of audio")
        is_last = False
        if page.serial == sound.serial and 0 < page.granule < _NO_GRANULE:
            return max(0, page.granule - sound.skipped_samples) / sound.sample_rate
    if tail_start == start:
        raise empty()
    return None
