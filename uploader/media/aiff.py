"""AIFF and AIFF-C files; knows nothing of other containers.

Source: Apple's "Audio Interchange File Format" 1.3 and its AIFF-C extension.
"""

from __future__ import annotations

import struct

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.chunks import NEVER_CLOSED_FROM, Chunk, chunks
from uploader.media.faults import empty, incomplete, truncated, unknown

_CODECS = {
    b"ulaw": "pcm_mulaw",
    b"alaw": "pcm_alaw",
    b"ima4": "adpcm_ima_qt",
    b"fl32": "pcm_f32be",
    b"fl64": "pcm_f64be",
    b"gsm ": "gsm",
}
_SSND_HEADER_BYTES = 8
_SLACK_BYTES = 8


def read_aiff(window: BoundedBytes) -> MediaFacts:
    """Read an AIFF file and hold its sizes against the file. Raises RecordingFault."""
    form_size = int.from_bytes(window.exactly(4, 4), "big")
    common: bytes | None = None
    sound: Chunk | None = None
    for chunk in chunks(window, 12, order=">"):
        if chunk.name == b"COMM":
            common = window.exactly(chunk.start, min(chunk.size, 22))
        elif chunk.name == b"SSND":
            sound = chunk
    _judge_sizes(window, form_size, sound)
    if common is None or len(common) < 18:
        raise unknown("the recording's audio has no description")
    return _facts(common, is_compressed=window.read_at(8, 4) == b"AIFC")


def _judge_sizes(window: BoundedBytes, form_size: int, sound: Chunk | None) -> None:
    form_end = 8 + form_size
    never_closed = form_size == 0 or (form_size >= NEVER_CLOSED_FROM and form_end > window.size_bytes)
    if sound is None:
        if form_end > window.size_bytes:
            raise incomplete() if never_closed else truncated()
        raise empty()
    available = window.size_bytes - sound.start
    if available <= _SSND_HEADER_BYTES:
        raise empty()
    if sound.size <= _SSND_HEADER_BYTES:
        raise incomplete() if never_closed or form_end < window.size_bytes else empty()
    if sound.size > available:
        raise incomplete() if sound.size >= NEVER_CLOSED_FROM else truncated()
    if not never_closed and form_end > window.size_bytes + _SLACK_BYTES:
        raise truncated()


def _facts(common: bytes, *, is_compressed: bool) -> MediaFacts:
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", common[:18])
    rate = _sample_rate(exponent, mantissa)
    if not channels or not rate:
        raise unknown("the header names no channels or no sample rate")
    if not frames:
        raise empty()
    codec = _codec(common[18:22] if is_compressed else b"NONE", bits)
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format="aiff",
        codec=codec,
        channels=channels,
        sample_rate=rate,
        # compressed formats count packets there, each in its own way
        duration_seconds=frames / rate if codec and codec.startswith("pcm_") else None,
    )


def _sample_rate(exponent: int, mantissa: int) -> int:
    """Return the whole hertz of an 80-bit extended float; 0 for what is no sample rate."""
    shift = 16383 + 63 - exponent
    return mantissa >> shift if 63 - 31 <= shift < 64 else 0


def _codec(compression: bytes, bits: int) -> str | None:
    if compression not in (b"NONE", b"twos", b"sowt"):
        return _CODECS.get(compression.lower())
    if bits <= 8:
        return "pcm_s8"
    order = "le" if compression == b"sowt" else "be"
    return f"pcm_s{-(-bits // 8) * 8}{order}" if bits <= 32 else None
