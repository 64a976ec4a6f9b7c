"""Small formats of telephony: AMR and AU with a magic number, GSM and G.722 without a header.

Sources: RFC 4867 section 5 (AMR storage), the NeXT/Sun `.snd` header, ETSI EN 300 961 (GSM 06.10
frames as toast writes them), ITU-T G.722 (64 kbit/s).
"""

from __future__ import annotations

import struct

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, truncated, unknown
from uploader.media.frames import Frame, count_samples

AMR_MAGIC = b"#!AMR"
AU_MAGIC = b".snd"
_AMR_SIZES = {
    "amr_nb": {0: 13, 1: 14, 2: 16, 3: 18, 4: 20, 5: 21, 6: 27, 7: 32, 8: 6, 15: 1},
    "amr_wb": {0: 18, 1: 24, 2: 33, 3: 37, 4: 41, 5: 47, 6: 51, 7: 59, 8: 61, 9: 6, 14: 1, 15: 1},
}
_AU_CODECS = {
    1: ("pcm_mulaw", 1),
    2: ("pcm_s8", 1),
    3: ("pcm_s16be", 2),
    4: ("pcm_s24be", 3),
    5: ("pcm_s32be", 4),
    6: ("pcm_f32be", 4),
    7: ("pcm_f64be", 8),
    27: ("pcm_alaw", 1),
}
_AU_UNKNOWN_SIZE = 0xFFFFFFFF
_GSM_FRAME_BYTES, _GSM_FRAME_SAMPLES, _GSM_SIGNATURE = 33, 160, 0xD
_GSM_LOOKED_AT = 64
_G722_BYTES_PER_SECOND = 8000


def read_amr(window: BoundedBytes) -> MediaFacts:
    """Read an AMR file of one channel, frame by frame. Raises RecordingFault."""
    head = window.read_at(0, 9)
    if head.startswith(b"#!AMR-WB\n"):
        codec, start, rate = "amr_wb", 9, 16000
    elif head.startswith(b"#!AMR\n"):
        codec, start, rate = "amr_nb", 6, 8000
    else:
        raise unknown("the recording is of a kind of AMR that is not known")
    sizes = _AMR_SIZES[codec]

    def parse(buffer: bytes, offset: int) -> Frame | None:
        kind = buffer[offset] >> 3 & 0xF
        # bits outside type and quality are zero (RFC 4867, section 5.3)
        if kind not in sizes or buffer[offset] & 0x83:
            return None
        return Frame(size=sizes[kind], samples=rate // 50, kind=())

    if window.size_bytes == start:
        raise empty()
    samples = count_samples(window, start, window.size_bytes, parse=parse, header_bytes=1)
    if not samples:
        raise unknown()
    return _audio("amr", codec, channels=1, sample_rate=rate, duration_seconds=samples / rate)


def read_au(window: BoundedBytes) -> MediaFacts:
    """Read an AU file and hold its size against the file. Raises RecordingFault."""
    start, size, encoding, rate, channels = struct.unpack(">IIIII", window.exactly(4, 20))
    if not rate or not channels:
        raise unknown("the header names no channels or no sample rate")
    available = window.size_bytes - start
    if available <= 0 or not size:
        raise empty()
    if size != _AU_UNKNOWN_SIZE and size > available:
        raise truncated()
    codec, width = _AU_CODECS.get(encoding, (None, 0))
    seconds = min(size, available) / (rate * channels * width) if width else None
    return _audio("au", codec, channels=channels, sample_rate=rate, duration_seconds=seconds)


def read_raw_gsm(window: BoundedBytes) -> MediaFacts:
    """Read GSM 06.10 frames without a header, known by the signature that each begins with."""
    frames, rest = divmod(window.size_bytes, _GSM_FRAME_BYTES)
    head = window.read_at(0, min(frames + 1, _GSM_LOOKED_AT) * _GSM_FRAME_BYTES)
    if any(byte >> 4 != _GSM_SIGNATURE for byte in head[::_GSM_FRAME_BYTES]):
        raise unknown()
    if rest:
        raise truncated("the file ends within a frame of audio")
    seconds = frames * _GSM_FRAME_SAMPLES / 8000
    return _audio("gsm", "gsm", channels=1, sample_rate=8000, duration_seconds=seconds)


def read_raw_g722(window: BoundedBytes) -> MediaFacts:
    """Take the content for G.722 at 64 kbit/s: it has no mark by which it could be known."""
    seconds = window.size_bytes / _G722_BYTES_PER_SECOND
    return _audio("g722", "adpcm_g722", channels=1, sample_rate=16000, duration_seconds=seconds)


def _audio(
    name: str, codec: str | None, *, channels: int, sample_rate: int, duration_seconds: float | None
) -> MediaFacts:
    return MediaFacts(
        kind=MediaKind.AUDIO,
        format=name,
        codec=codec,
        channels=channels,
        sample_rate=sample_rate,
        duration_seconds=duration_seconds,
    )
