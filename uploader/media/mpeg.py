"""MPEG audio without a container: layers II and III (mp3) and AAC in ADTS; knows no other format.

Sources: ISO/IEC 11172-3 and 13818-3 (frame header), ISO/IEC 14496-3 (ADTS), ID3v2.4 (tag size),
the LAME project's notes on the Xing/Info header, Fraunhofer's VBRI header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated
from uploader.media.frames import Frame, count_samples, find_first

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates by the header's version bits: 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5."""
_KBITS = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by (MPEG-1 or not, layer bits): 1 is layer III, 2 is layer II; both alike outside MPEG-1."""
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_MPEG_1, _LAYER_III = 3, 1
_MOST_TAGS = 4
_BEHIND_STATED_BYTES = 4096
_SEARCH_BYTES = 8 * 1024
_SEARCH_AFTER_TAG_BYTES = 64 * 1024
_MPEG_HEADER_BYTES = 4
_ADTS_HEADER_BYTES = 7


def _mpeg_frame(buffer: bytes, offset: int) -> Frame | None:
    if offset + _MPEG_HEADER_BYTES > len(buffer):
        return None
    first, second, third = buffer[offset : offset + 3]
    version, layer = second >> 3 & 3, second >> 1 & 3
    bit_rate, rate = third >> 4, third >> 2 & 3
    if first != 0xFF or second < 0xE0 or version == 1 or layer not in (1, 2) or not 0 < bit_rate < 15 or rate == 3:
        return None
    hertz = _RATES[version][rate]
    kbits = _KBITS[(3, layer) if version == _MPEG_1 else (2, 1)][bit_rate - 1]
    samples = 576 if layer == _LAYER_III and version != _MPEG_1 else 1152
    size = samples // 8 * kbits * 1000 // hertz + (third >> 1 & 1)
    return Frame(size=size, samples=samples, kind=(version, layer, rate))


def _adts_frame(buffer: bytes, offset: int) -> Frame | None:
    header = buffer[offset : offset + _ADTS_HEADER_BYTES]
    if len(header) < _ADTS_HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    rate = header[2] >> 2 & 0xF
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(_ADTS_RATES) or size < _ADTS_HEADER_BYTES:
        return None
    channels = (header[2] & 1) << 2 | header[3] >> 6
    return Frame(size=size, samples=1024 * ((header[6] & 3) + 1), kind=(header[1] & 8, rate, channels))


def read_mpeg(window: BoundedBytes) -> MediaFacts | None:
    """Read an mp3 or ADTS stream, tags in front skipped; None when it is neither.

    Raises RecordingFault when nothing follows the tag or the last frame is cut.
    """
    start = tags_end(window)
    if start and start >= window.size_bytes:
        raise empty("the recording has a tag, but no audio") if start == window.size_bytes else truncated()
    stop = max(start, _audio_end(window))
    within = _SEARCH_AFTER_TAG_BYTES if start else _SEARCH_BYTES
    found = find_first(window, start, stop, parse=_mpeg_frame, header_bytes=_MPEG_HEADER_BYTES, within_bytes=within)
    if found is not None:
        return _mp3_facts(window, found, stop)
    found = find_first(window, start, stop, parse=_adts_frame, header_bytes=_ADTS_HEADER_BYTES, within_bytes=within)
    return _adts_facts(window, found, stop) if found is not None else None


def tags_end(window: BoundedBytes) -> int:
    """Return where the content begins, behind ID3v2 tags; 0 without any, perhaps past the end of the file."""
    offset = 0
    for _ in range(_MOST_TAGS):
        head = window.read_at(offset, 10)
        if len(head) < 10 or not head.startswith(b"ID3") or max(head[6:]) > 0x7F:
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        offset += 10 + size + (10 if head[5] & 0x10 else 0)
    return offset


def _audio_end(window: BoundedBytes) -> int:
    """Return where the audio ends, before ID3v1 and APEv2 tags."""
    end = window.size_bytes
    if window.read_at(end - 128, 3) == b"TAG":
        end -= 128
    footer = window.read_at(end - 32, 32)
    if len(footer) == 32 and footer.startswith(b"APETAGEX"):
        size, _, flags = struct.unpack("<III", footer[12:24])
        end -= size + (32 if flags >> 31 else 0)
    return end


def _mp3_facts(window: BoundedBytes, found: tuple[int, Frame], stop: int) -> MediaFacts:
    start, first = found
    version, layer, rate_index = first.kind
    rate = _RATES[version][rate_index]
    is_mono = window.exactly(start + 3, 1)[0] >> 6 == 3
    stated = _stated_length(window, found, is_mono=is_mono)
    if stated.size_bytes and stop - start < stated.size_bytes - first.size:
        raise truncated()
    # much more than stated is several recordings joined, of which the first speaks for itself only
    if stated.frames and 0 <= stop - start - stated.size_bytes <= _BEHIND_STATED_BYTES:
        samples: float = stated.frames * first.samples
    else:
        samples = count_samples(window, start, stop, parse=_mpeg_frame, header_bytes=_MPEG_HEADER_BYTES)
    name = "mp3" if layer == _LAYER_III else "mp2"
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format=name,
        codec=name,
        channels=1 if is_mono else 2,
        sample_rate=rate,
        duration_seconds=samples / rate,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    """What the first frame says of the whole stream; 0 where it says nothing."""

    frames: int = 0
    size_bytes: int = 0


def _stated_length(window: BoundedBytes, found: tuple[int, Frame], *, is_mono: bool) -> _Stated:
    start, first = found
    frame = window.read_at(start, min(first.size, 256))
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        size, frames = struct.unpack(">II", frame[46:54])
        return _Stated(frames=frames, size_bytes=size)
    # the tag stands behind the side information, whose length depends on version and channels
    side = (17 if is_mono else 32) if first.kind[0] == _MPEG_1 else (9 if is_mono else 17)
    tag = frame[4 + side : 20 + side]
    if len(tag) < 16 or tag[:4] not in (b"Xing", b"Info"):
        return _Stated()
    flags, one, two = struct.unpack(">III", tag[4:])
    if flags & 3 == 3:
        return _Stated(frames=one, size_bytes=two)
    return _Stated(frames=one if flags & 1 else 0, size_bytes=one if flags & 2 else 0)


def _adts_facts(window: BoundedBytes, found: tuple[int, Frame], stop: int) -> MediaFacts:
    start, first = found
    _, rate_index, channels = first.kind
    samples = count_samples(window, start, stop, parse=_adts_frame, header_bytes=_ADTS_HEADER_BYTES)
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format="aac",
        codec="aac",
        channels=8 if channels == 7 else channels or None,
        sample_rate=_ADTS_RATES[rate_index],
        duration_seconds=samples / _ADTS_RATES[rate_index],
    )
