"""MP4 and its kin (M4A, QuickTime, 3GP); knows nothing of other containers.

Source: ISO/IEC 14496-12 (boxes), 14496-14 and 14496-1 (`esds`), 14496-3 (AudioSpecificConfig).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, incomplete, truncated
from uploader.media.registered import joined

_MOST_BOXES = 256
"""A fragmented recording has a box or two a second: behind these it is taken on trust."""
_MOST_TRACKS = 16
_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_CODECS = {
    b"mp4a": "aac",
    b"alac": "alac",
    b"samr": "amr_nb",
    b"sawb": "amr_wb",
    b"Opus": "opus",
    b"fLaC": "flac",
    b".mp3": "mp3",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"ulaw": "pcm_mulaw",
    b"alaw": "pcm_alaw",
    b"sowt": "pcm_s16le",
    b"twos": "pcm_s16be",
    b"lpcm": "pcm",
    b"avc1": "h264",
    b"avc3": "h264",
    b"hvc1": "hevc",
    b"hev1": "hevc",
    b"mp4v": "mpeg4",
    b"vp08": "vp8",
    b"vp09": "vp9",
    b"av01": "av1",
    b"s263": "h263",
    b"jpeg": "mjpeg",
    b"png ": "png",
}
_PICTURES = ("mjpeg", "png")
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    name: bytes
    start: int
    end: int
    """Where the header says that it ends, true or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    handler: bytes
    codec: str | None
    channels: int | None = None
    sample_rate: int | None = None
    duration_seconds: float | None = None


def is_mp4(head: bytes, size_bytes: int) -> bool:
    """Say whether the first bytes are a box that such a file begins with."""
    name = head[4:8]
    plausible = int.from_bytes(head[:4], "big") <= size_bytes
    return name in _FIRST_BOXES and (plausible or name in (b"ftyp", b"mdat"))


def read_mp4(window: BoundedBytes) -> MediaFacts:
    """Read the tracks and hold the boxes against the file. Raises RecordingFault."""
    movie, has_media, is_fragmented, is_cut = None, False, False, False
    brand = b"qt  "
    for box in _boxes(window, 0, window.size_bytes):
        is_cut = box.end > window.size_bytes
        if box.name == b"ftyp":
            brand = window.read_at(box.start, 4)
        elif box.name == b"moov":
            movie = box
        elif box.name == b"moof":
            is_fragmented = True
        elif box.name == b"mdat" and min(box.end, window.size_bytes) > box.start:
            has_media = True
    if movie is None:
        raise incomplete("the recording has no index (`moov`), as if the recorder had been stopped")
    if is_cut:
        raise truncated()
    tracks = _tracks(window, movie)
    if not has_media or not tracks:
        raise empty()
    return _facts(tracks, brand=brand, is_fragmented=is_fragmented)


def _boxes(window: BoundedBytes, start: int, end: int) -> Iterator[_Box]:
    for _ in range(_MOST_BOXES):
        header = window.read_at(start, min(16, end - start))
        if len(header) < 8 or not _is_name(header[4:8]):
            return
        size, name, header_bytes = int.from_bytes(header[:4], "big"), header[4:8], 8
        if size == 1 and len(header) == 16:
            size, header_bytes = int.from_bytes(header[8:], "big"), 16
        elif size == 0:
            size = end - start
        if size < header_bytes:
            return
        yield _Box(name=name, start=start + header_bytes, end=start + size)
        start += size


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)


def _tracks(window: BoundedBytes, movie: _Box) -> list[_Track]:
    boxes = [box for box in _boxes(window, movie.start, movie.end) if box.name == b"trak"]
    found = [_track(window, box) for box in boxes[:_MOST_TRACKS]]
    return [track for track in found if track is not None]


def _inside(window: BoundedBytes, box: _Box | None, name: bytes) -> _Box | None:
    if box is None:
        return None
    return next((inner for inner in _boxes(window, box.start, box.end) if inner.name == name), None)


def _track(window: BoundedBytes, trak: _Box) -> _Track | None:
    media = _inside(window, trak, b"mdia")
    handler = _inside(window, media, b"hdlr")
    table = _inside(window, _inside(window, media, b"minf"), b"stbl")
    description = _inside(window, table, b"stsd")
    if handler is None or description is None:
        return None
    kind = window.read_at(handler.start + 8, 4)
    entry = next(_boxes(window, description.start + 8, description.end), None)
    if kind not in (b"soun", b"vide") or entry is None:
        return None
    duration = _duration(window, _inside(window, media, b"mdhd"))
    codec = _CODECS.get(entry.name)
    if kind == b"vide":
        return _Track(handler=kind, codec=codec, duration_seconds=duration)
    return _sound_track(window, entry, codec=codec, duration_seconds=duration)


def _duration(window: BoundedBytes, header: _Box | None) -> float | None:
    if header is None:
        return None
    body = window.read_at(header.start, 32)
    if len(body) < 32:
        return None
    scale, length = struct.unpack(">IQ", body[20:32]) if body[0] == 1 else struct.unpack(">II", body[12:20])
    unknown = 0xFFFFFFFFFFFFFFFF if body[0] == 1 else 0xFFFFFFFF
    return length / scale if scale and length and length != unknown else None


def _sound_track(window: BoundedBytes, entry: _Box, *, codec: str | None, duration_seconds: float | None) -> _Track:
    body = window.read_at(entry.start, 28)
    channels, rate = 0, 0
    if len(body) == 28:
        version, channels, rate = struct.unpack(">8xH6xH6xI", body)
        rate >>= 16
        inner_start = entry.start + 28 + {1: 16, 2: 36}.get(version, 0)
        told = _inside(window, _Box(name=entry.name, start=inner_start, end=entry.end), b"esds")
        if told is not None:
            channels, rate = _from_esds(window.read_at(told.start, 64), channels, rate)
    return _Track(
        handler=b"soun",
        codec=codec,
        channels=channels or None,
        sample_rate=rate or None,
        duration_seconds=duration_seconds,
    )


def _from_esds(body: bytes, channels: int, rate: int) -> tuple[int, int]:
    """Return channels and rate as the decoder's own configuration says, where it says so plainly."""
    # an ES descriptor (3) holds a decoder configuration (4) that holds the AudioSpecificConfig (5)
    stream = _descriptor(body, 4, tag=3)
    decoder = _descriptor(body, stream + 3, tag=4) if stream else 0
    told_at = _descriptor(body, decoder + 13, tag=5) if decoder else 0
    told = body[told_at : told_at + 2]
    if not told_at or len(told) < 2:
        return channels, rate
    index, layout = (told[0] & 7) << 1 | told[1] >> 7, told[1] >> 3 & 0xF
    if index < len(_AAC_RATES) and 0 < layout < 7:
        return layout, _AAC_RATES[index]
    return channels, rate


def _descriptor(body: bytes, position: int, *, tag: int) -> int:
    """Return where the content of the descriptor at `position` begins; 0 when it is another one."""
    if body[position : position + 1] != bytes([tag]):
        return 0
    position += 1
    while body[position : position + 1] >= b"\x80":
        position += 1
    return position + 1


def _facts(tracks: list[_Track], *, brand: bytes, is_fragmented: bool) -> MediaFacts:
    sound = next((track for track in tracks if track.handler == b"soun"), None)
    picture = next((t for t in tracks if t.handler == b"vide" and t.codec not in _PICTURES), None)
    lengths = [track.duration_seconds for track in tracks if track.duration_seconds is not None]
    if not lengths and not is_fragmented:
        raise empty()
    return MediaFacts(
        kind=MediaKind.VIDEO if picture is not None else MediaKind.AUDIO,
        format=_format(brand, has_picture=picture is not None),
        codec=joined(sound.codec if sound is not None else None, picture.codec if picture is not None else None),
        channels=sound.channels if sound is not None else None,
        sample_rate=sound.sample_rate if sound is not None else None,
        duration_seconds=max(lengths) if lengths and not is_fragmented else None,
    )


def _format(brand: bytes, *, has_picture: bool) -> str:
    if brand == b"qt  ":
        return "mov"
    if brand.startswith((b"3gp", b"3g2")):
        return "3gp"
    return "mp4" if has_picture else "m4a"
