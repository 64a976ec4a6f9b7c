"""RIFF files: WAVE in all its dialects (RF64 and BW64 too); knows nothing of other containers.

Sources: the Multimedia Programming Interface 1.0 (chunks, padding, `fmt `), EBU Tech 3306 (RF64, `ds64`)
and the registered format tags of Microsoft's mmreg.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.chunks import NEVER_CLOSED_FROM, chunks, looks_like_chunk
from uploader.media.faults import empty, incomplete, truncated, unknown
from uploader.media.registered import sound_codec

_EXTENSIBLE = 0xFFFE
_SAMPLE_BY_SAMPLE = (0x0001, 0x0003, 0x0006, 0x0007)
"""Tags whose samples take whole bytes: PCM, float, A-law, µ-law."""
_IN_BLOCKS = (0x0002, 0x0011, 0x0031)
"""Tags whose header says how many samples a block of bytes holds: both ADPCMs, and GSM."""
_IN_BITS = (0x0017, 0x0045, 0x0064, 0x028F)
"""Tags of ADPCM that gives every sample its few bits: OKI, G.726, G.722."""
_RIFF_SLACK_BYTES = 8
"""Writers are common that count the first eight bytes in, or leave the last padding byte out."""
_TRAILER_BYTES = 4096
"""More than this behind the end that the header names is audio that the header does not know of yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    tag: int
    channels: int
    sample_rate: int
    bytes_per_second: float
    frame_bytes: int
    bits: int


def read_wave(window: BoundedBytes) -> MediaFacts:
    """Read a WAVE file and hold its sizes against the file. Raises RecordingFault."""
    magic, riff_size = struct.unpack("<4sI", window.exactly(0, 8))
    described: _Format | None = None
    long_data: int | None = None
    for chunk in chunks(window, 12, order="<"):
        if chunk.name == b"ds64" and magic != b"RIFF":
            riff_size, long_data = struct.unpack("<QQ", window.exactly(chunk.start, 16))
        elif chunk.name == b"fmt ":
            described = _format(window.exactly(chunk.start, min(chunk.size, 40)))
        elif chunk.name == b"data":
            size = long_data if long_data is not None and chunk.size == 0xFFFFFFFF else chunk.size
            break
    else:
        raise _without_data(window, riff_size)
    if described is None:
        raise unknown("the recording's audio has no description before it")
    _judge_sizes(window, riff_size=riff_size, data_start=chunk.start, data_size=size)
    if size < described.frame_bytes:
        raise empty()
    return _facts(described, size)


def _without_data(window: BoundedBytes, riff_size: int) -> Exception:
    if 8 + riff_size > window.size_bytes + _RIFF_SLACK_BYTES:
        return truncated() if riff_size < NEVER_CLOSED_FROM else incomplete()
    return empty()


def _format(body: bytes) -> _Format:
    if len(body) < 14:
        raise unknown("the recording's description is too short")
    tag, channels, rate, byte_rate, align, bits, extra, per_block = struct.unpack(
        "<HHIIHHHH", body[:20].ljust(20, b"\0")
    )
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = int.from_bytes(body[24:26], "little")
    if not channels or not rate:
        raise unknown("the header names no channels or no sample rate")
    # the codec's own geometry is right where some writers state the rate of the decoded audio
    bytes_per_second: float = byte_rate
    if tag in _SAMPLE_BY_SAMPLE:
        align = channels * max(1, -(-bits // 8))
        bytes_per_second = align * rate
    elif tag in _IN_BLOCKS and extra and align and per_block:
        bytes_per_second = align * rate / per_block
    elif tag in _IN_BITS and bits:
        bytes_per_second = rate * channels * bits / 8
    return _Format(
        tag=tag,
        channels=channels,
        sample_rate=rate,
        bytes_per_second=bytes_per_second,
        frame_bytes=max(1, align),
        bits=bits,
    )


def _judge_sizes(window: BoundedBytes, *, riff_size: int, data_start: int, data_size: int) -> None:
    available = window.size_bytes - data_start
    riff_end, data_end = 8 + riff_size, data_start + data_size
    never_closed = riff_size == 0 or (riff_size >= NEVER_CLOSED_FROM and riff_end > window.size_bytes)
    if available <= 0:
        raise empty()
    if data_size == 0:
        raise incomplete() if never_closed or riff_end < window.size_bytes else empty()
    if data_size > available:
        raise incomplete() if data_size >= NEVER_CLOSED_FROM else truncated()
    if never_closed:
        riff_end = data_end
    if riff_end > window.size_bytes + _RIFF_SLACK_BYTES:
        raise truncated()
    rest = max(riff_end, data_end)
    if window.size_bytes - rest > _TRAILER_BYTES and not looks_like_chunk(window, rest):
        raise incomplete("the file holds more audio than its header says, as if the recorder had been stopped")


def _facts(described: _Format, data_size: int) -> MediaFacts:
    rate = described.bytes_per_second
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format="wav",
        codec=sound_codec(described.tag, described.bits),
        channels=described.channels,
        sample_rate=described.sample_rate,
        duration_seconds=data_size / rate if rate else None,
    )
