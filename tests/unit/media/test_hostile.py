"""Content made to be long in the looking: judged within the limit on reads, and soon."""

from __future__ import annotations

import struct
import time

import pytest

from uploader.errors import RecordingFault
from uploader.media.bytes import PROBE_LIMIT_BYTES
from uploader.media.probe import probe

SIZE = 1024 * 1024


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def nested(name: bytes, depth: int) -> bytes:
    return b"".join(struct.pack(">I4s", 8 * (depth - level), name) for level in range(depth))


FALSE_STARTS = (b"\xff\xfb\x10\0" + b"\xff\xfb\x20\0" + b"\xff\xf3\x10\0") * (SIZE // 12)
TRACK = box(b"trak", box(b"mdia", box(b"free", b"") * 255 + box(b"minf", b"")))
CASES = {
    "false mp3 starts": FALSE_STARTS,
    "false mp3 starts behind a tag": b"ID3\4\0\0\0\0\0\5AAAAA" + FALSE_STARTS,
    "page marks": b"OggS" * (SIZE // 4),
    "empty chunks": b"RIFF" + struct.pack("<I", SIZE) + b"WAVE" + b"junk\0\0\0\0" * (SIZE // 8),
    "far chunks": b"RIFF" + struct.pack("<I", SIZE) + b"WAVE"
    + (b"junk" + struct.pack("<I", 200_000) + b"\1" * 200_000) * 40,
    "deep boxes": box(b"ftyp", b"isom") + box(b"moov", nested(b"mdia", 9000)) + box(b"mdat", b"xx"),
    "many tracks": box(b"ftyp", b"isom") + box(b"moov", TRACK * 200) + box(b"mdat", b"xx"),
    "empty elements": bytes.fromhex("1a45dfa38742828477656277") + b"\xae\x80" * SIZE,
    "frames of one byte": b"#!AMR\n" + b"\x7c" * (8 * SIZE),
    "stream marks": b"RIFF" + struct.pack("<I", SIZE - 8) + b"AVI " + b"strh" * (SIZE // 4),
    "flac marks": b"fLaC\x80\0\0\x22" + bytes(10) + b"\x01\xf4\0\xf0" + bytes(20) + b"\xff\xf8\x69\x18" * SIZE,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hostile_content_is_judged_soon_and_within_the_limit(name, memory):
    source = memory(CASES[name])
    began = time.process_time()
    try:
        probe(source)
    except RecordingFault as fault:
        assert fault.code.startswith("media_")
    assert source.read_bytes <= PROBE_LIMIT_BYTES
    assert time.process_time() - began < 2
