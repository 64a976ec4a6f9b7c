"""FLAC files; knows nothing of other containers.

Source: RFC 9639 (STREAMINFO, frame header, its CRC-8).
"""

from __future__ import annotations

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated, unknown

_TAIL_BYTES = 128 * 1024
_MOST_BLOCKS = 128
_BLOCK_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {n: 256 << (n - 8) for n in range(8, 16)}


def _crc8_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value


_CRC8 = tuple(_crc8_of_byte(value) for value in range(256))


def read_flac(window: BoundedBytes, start: int) -> MediaFacts:
    """Read a FLAC stream that begins at `start` and look for its last frame. Raises RecordingFault."""
    info = window.exactly(start + 8, 34)
    packed = int.from_bytes(info[10:18], "big")
    rate, channels, total = packed >> 44, (packed >> 41 & 7) + 1, packed & 0xF_FFFF_FFFF
    if not rate:
        raise unknown("the header names no sample rate")
    if _audio_start(window, start + 4) >= window.size_bytes:
        raise empty()
    reached = _samples_reached(window, int.from_bytes(info[:2], "big"))
    if total and reached is not None and reached < total:
        raise truncated()
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format="flac",
        codec="flac",
        channels=channels,
        sample_rate=rate,
        duration_seconds=(total or reached or 0) / rate or None,
    )


def _audio_start(window: BoundedBytes, offset: int) -> int:
    """Return where the frames begin, behind the metadata blocks. Raises RecordingFault when they are cut."""
    for _ in range(_MOST_BLOCKS):
        head = window.exactly(offset, 4)
        offset += 4 + int.from_bytes(head[1:], "big")
        if offset > window.size_bytes:
            raise truncated()
        if head[0] & 0x80:
            return offset
    raise unknown("the header of the recording is too long to be read")


def _samples_reached(window: BoundedBytes, fixed_block: int) -> int | None:
    """Return the sample count at the end of the last frame; None when no frame was found."""
    tail_start = max(0, window.size_bytes - _TAIL_BYTES)
    tail = window.read_at(tail_start, window.size_bytes - tail_start)
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        reached = _frame_end(tail[at : at + 16], fixed_block)
        if reached is not None:
            return reached
    return None


def _frame_end(header: bytes, fixed_block: int) -> int | None:
    """Return the number of the first sample behind a frame, if these bytes are a frame's header."""
    if len(header) < 6 or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    number, position = _coded_number(header, 4)
    size_code, rate_code = header[2] >> 4, header[2] & 0xF
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    coded_size = header[position : position + size_bytes]
    position += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if number is None or position >= len(header) or _crc8(header[:position]) != header[position]:
        return None
    block = int.from_bytes(coded_size, "big") + 1 if size_bytes else _BLOCK_SIZES.get(size_code)
    if block is None:
        return None
    first = number if header[1] & 1 else number * fixed_block
    return first + block


def _coded_number(header: bytes, position: int) -> tuple[int | None, int]:
    """Read a number in FLAC's extension of UTF-8; returns it and where it ends."""
    lead = header[position]
    length = 8 - (~lead & 0xFF).bit_length()
    if length == 0:
        return lead, position + 1
    rest = header[position + 1 : position + length]
    if length == 1 or length > 7 or len(rest) < length - 1 or any(byte & 0xC0 != 0x80 for byte in rest):
        return None, position
    number = lead & (0x7F >> length)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, position + length


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value
