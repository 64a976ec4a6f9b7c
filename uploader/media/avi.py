"""AVI files; knows nothing of other containers.

Source: Microsoft's "AVI RIFF File Reference" (`avih`, `strh`, `strf`).
"""

from __future__ import annotations

import struct

from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.bytes import BoundedBytes
from uploader.media.faults import empty, incomplete, truncated
from uploader.media.registered import joined, picture_codec, sound_codec

_SLACK_BYTES = 8
_HEADERS_BYTES = 64 * 1024


def read_avi(window: BoundedBytes) -> MediaFacts:
    """Read the streams' headers and hold the size against the file. Raises RecordingFault."""
    riff_size = int.from_bytes(window.exactly(4, 4), "little")
    if not riff_size:
        raise incomplete()
    if 8 + riff_size > window.size_bytes + _SLACK_BYTES:
        raise truncated()
    headers = window.read_at(0, min(_HEADERS_BYTES, window.size_bytes))
    at = headers.find(b"avih")
    micros, frames = struct.unpack("<I12xI", headers[at + 8 : at + 28]) if 0 < at <= len(headers) - 28 else (0, 0)
    sound, picture = _stream(headers, b"auds"), _stream(headers, b"vids")
    if sound is None and picture is None:
        raise empty()
    tag, channels, rate, bits = struct.unpack("<HHI6xH", sound[:16]) if sound else (0, 0, 0, 0)
    return MediaFacts(
        kind=MediaKind.AUDIO if picture is None else MediaKind.VIDEO,
        format="avi",
        codec=joined(sound_codec(tag, bits), picture_codec(picture[16:]) if picture else None),
        channels=channels or None,
        sample_rate=rate or None,
        duration_seconds=micros * frames / 1e6 or None,
    )


def _stream(headers: bytes, kind: bytes) -> bytes | None:
    """Return the format of the first stream of a kind, empty when it is too short; None without one."""
    at = headers.find(b"strh")
    while at >= 0:
        if headers[at + 8 : at + 12] == kind:
            described = headers.find(b"strf", at)
            body = headers[described + 8 : described + 28] if described >= 0 else b""
            return body if len(body) == 20 else b""
        at = headers.find(b"strh", at + 4)
    return None
