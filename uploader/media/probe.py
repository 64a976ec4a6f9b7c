"""Probe of a recording: what its content is and whether it is whole, whatever its name says.

Knows which reader takes which first bytes; knows no container itself, no path, sidecar or row.
"""

from __future__ import annotations

from uploader.domain.recording import MediaFacts
from uploader.media.aiff import read_aiff
from uploader.media.asf import ASF_MAGIC, read_asf
from uploader.media.avi import read_avi
from uploader.media.bytes import BoundedBytes, ByteSource
from uploader.media.faults import empty, incomplete, truncated, unknown
from uploader.media.flac import read_flac
from uploader.media.matroska import read_matroska
from uploader.media.mp4 import is_mp4, read_mp4
from uploader.media.mpeg import read_mpeg, tags_end
from uploader.media.ogg import read_ogg
from uploader.media.riff import read_wave
from uploader.media.telephony import (
    AMR_MAGIC,
    AU_MAGIC,
    read_amr,
    read_au,
    read_raw_g722,
    read_raw_gsm,
)

_READERS = {b"OggS": read_ogg, b"\x1aE\xdf\xa3": read_matroska, AU_MAGIC: read_au, ASF_MAGIC[:4]: read_asf}
_RIFF_READERS = {b"WAVE": read_wave, b"AVI ": read_avi}
_WITHOUT_HEADER = {".gsm": read_raw_gsm, ".g722": read_raw_g722}
_LOOKED_AT_BYTES = 1024
_LEAST_BYTES = 64
"""Below this it is not content that cannot be known, but a file that has just been begun."""
_ENCRYPTED = (b"-----BEGIN PGP", b"\x84", b"\x85", b"\x8c", b"\xc1", b"\xc3")
"""How OpenPGP messages begin: armour, or a packet with a session key (RFC 9580, section 4)."""
_OTHERS = (
    b"%PDF",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\x7fELF",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"SQLite",
)
"""Files that are certainly something else, where only the name would speak for audio."""


def probe(source: ByteSource, *, suffix: str = "") -> MediaFacts:
    """Say what the content is.

    `suffix` (lower case, with its dot) decides only for formats without any header. Reads a
    bounded amount. Raises RecordingFault (media_empty, media_truncated, media_incomplete,
    media_unknown) with a sentence that holds no value of the file; OSError passes through.
    """
    if not source.size_bytes:
        raise empty("the recording has no bytes")
    window = BoundedBytes(source)
    facts = _by_magic(window)
    if facts is None:
        facts = read_mpeg(window)
    return facts if facts is not None else _without_header(window, suffix)


def _by_magic(window: BoundedBytes) -> MediaFacts | None:
    head = window.read_at(0, _LOOKED_AT_BYTES)
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RF64", b"BW64", b"FORM") and len(head) < 12:
        raise truncated()
    if magic in (b"RIFF", b"RF64", b"BW64") and form in _RIFF_READERS:
        return _RIFF_READERS[form](window)
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return read_aiff(window)
    if magic in _READERS:
        return _READERS[magic](window)
    if head.startswith(AMR_MAGIC):
        return read_amr(window)
    if is_mp4(head, window.size_bytes):
        return read_mp4(window)
    start = tags_end(window)
    return read_flac(window, start) if window.read_at(start, 4) == b"fLaC" else None


def _without_header(window: BoundedBytes, suffix: str) -> MediaFacts:
    head = window.read_at(0, _LOOKED_AT_BYTES)
    if not any(head):
        raise incomplete("the file begins with nothing but zeros, as if its content had not come yet")
    if _is_text(head):
        if head.startswith(_ENCRYPTED[0]):
            raise unknown("the content is encrypted (OpenPGP), not audio or video")
        raise unknown("the content is text or a web page, not audio or video")
    if window.size_bytes < _LEAST_BYTES:
        raise empty("the file is too short to hold any audio")
    if suffix in _WITHOUT_HEADER and not head.startswith(_OTHERS):
        return _WITHOUT_HEADER[suffix](window)
    if head.startswith(_ENCRYPTED):
        raise unknown("the content seems to be encrypted (OpenPGP), not audio or video")
    raise unknown()


def _is_text(head: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte in b"\t\r\n\f" for byte in head)
