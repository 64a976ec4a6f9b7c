"""Recordings in memory, and the small real ones that are kept beside the tests."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from uploader.errors import RecordingFault
from uploader.media.probe import probe

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"


class MemoryBytes:
    """A `ByteSource` in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size_bytes = len(content)
        self.read_bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        found = self.content[offset : offset + length]
        self.read_bytes += len(found)
        return found


@pytest.fixture(scope="session")
def memory():
    return MemoryBytes


@pytest.fixture(scope="session")
def media():
    return MEDIA


@pytest.fixture(scope="session")
def fault():
    """Return the reason code that some content is refused with, or None when it is accepted."""

    def judge(content: bytes, suffix: str = "") -> str | None:
        try:
            probe(MemoryBytes(content), suffix=suffix)
        except RecordingFault as error:
            return str(error.code)
        return None

    return judge


@pytest.fixture(scope="session")
def wave_file():
    """Build a WAVE file by hand: µ-law mono at 8 kHz, every size as the test wants it."""

    def build(
        audio: bytes = b"\xd5" * 8000,
        *,
        data_size: int | None = None,
        riff_size: int | None = None,
        fmt: bytes = struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0),
        before: bytes = b"",
        after: bytes = b"",
    ) -> bytes:
        data_size = len(audio) if data_size is None else data_size
        body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(fmt)) + fmt
        body += b"data" + struct.pack("<I", data_size) + audio + after
        return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body

    return build
