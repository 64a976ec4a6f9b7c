"""RIFF sizes against the file: cut, never closed, empty, stale, and what is tolerated."""

from __future__ import annotations

import struct

import pytest

from uploader.domain.reasons import Reason
from uploader.media.probe import probe

NEVER = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("sizes", "audio", "code"),
    [
        ({"data_size": 8000, "riff_size": 8038}, b"\xd5" * 4000, Reason.MEDIA_TRUNCATED),
        ({"data_size": 8000, "riff_size": 8038}, b"\xd5" * 7999, Reason.MEDIA_TRUNCATED),
        ({"data_size": 8000, "riff_size": 8038}, b"", Reason.MEDIA_EMPTY),
        ({"data_size": NEVER, "riff_size": NEVER}, b"\xd5" * 4000, Reason.MEDIA_INCOMPLETE),
        ({"data_size": 0x7FFFF000, "riff_size": 0x7FFFF024}, b"\xd5" * 4000, Reason.MEDIA_INCOMPLETE),
        ({"data_size": 0, "riff_size": 0}, b"\xd5" * 4000, Reason.MEDIA_INCOMPLETE),
        ({"data_size": 0, "riff_size": 38}, b"\xd5" * 4000, Reason.MEDIA_INCOMPLETE),
        ({"data_size": 0, "riff_size": 38}, b"", Reason.MEDIA_EMPTY),
        ({"data_size": 1000, "riff_size": 1038}, b"\xd5" * 9000, Reason.MEDIA_INCOMPLETE),
        ({"data_size": 4000, "riff_size": 9000}, b"\xd5" * 4000, Reason.MEDIA_TRUNCATED),
    ],
    ids=["half", "a byte short", "header only", "all ones", "sox pipe", "zero", "zero data",
         "closed and empty", "stale header", "later chunk missing"],
)  # fmt: skip
def test_sizes_that_do_not_fit_the_file(sizes, audio, code, wave_file, fault):
    assert fault(wave_file(audio, **sizes)) == code


@pytest.mark.parametrize(
    "sizes",
    [
        {"riff_size": 0},
        {"riff_size": NEVER},
        {"riff_size": 8046},
        {"after": b"LIST" + struct.pack("<I", 6000) + bytes(6000), "riff_size": 8038},
        {"after": bytes(8192), "riff_size": 8038},
        {"after": b"junk", "riff_size": 8038},
        {"before": b"WAVESIGN"[:4] + struct.pack("<I", 5) + b"abcde\0"},
        {"before": b"JUNK" + struct.pack("<I", 40_000) + bytes(40_000)},
    ],
    ids=["riff zero, data right", "riff ones, data right", "riff counts its own header", "chunk behind",
         "zeros behind", "four bytes behind", "odd chunk before", "long chunk before"],
)  # fmt: skip
def test_harmless_dialects_are_accepted(sizes, wave_file, memory):
    assert probe(memory(wave_file(**sizes))).duration_seconds == 1.0


@pytest.mark.parametrize(
    ("tag", "bits", "codec"),
    [(1, 8, "pcm_u8"), (1, 16, "pcm_s16le"), (3, 32, "pcm_f32le"), (6, 8, "pcm_alaw"), (7, 8, "pcm_mulaw"),
     (0x31, 0, "gsm_ms"), (0x83, 0, "g729"), (0x55, 0, "mp3"), (0x11, 4, "adpcm_ima_wav"), (2, 4, "adpcm_ms"),
     (0x1234, 8, None)],
)  # fmt: skip
def test_format_tag_names_the_codec(tag, bits, codec, wave_file, memory):
    fmt = struct.pack("<HHIIHH", tag, 1, 8000, 8000, 1, bits)
    assert probe(memory(wave_file(fmt=fmt))).codec == codec


def test_extensible_format_is_what_its_guid_begins_with(wave_file, memory):
    guid = bytes.fromhex("0700000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 2, 8000, 16000, 2, 8, 22, 8, 3) + guid
    facts = probe(memory(wave_file(fmt=fmt)))
    assert (facts.codec, facts.channels, facts.duration_seconds) == ("pcm_mulaw", 2, 0.5)


def test_wrong_byte_rate_of_pcm_is_not_believed(wave_file, memory):
    fmt = struct.pack("<HHIIHH", 1, 1, 8000, 1, 0, 16)
    assert probe(memory(wave_file(fmt=fmt))).duration_seconds == 0.5


@pytest.mark.parametrize(
    "fmt",
    [b"\7\0", struct.pack("<HHIIHH", 7, 0, 8000, 0, 1, 8), struct.pack("<HHIIHH", 7, 1, 0, 0, 1, 8)],
    ids=["too short", "no channels", "no rate"],
)
def test_description_without_sense_is_unknown(fmt, wave_file, fault):
    assert fault(wave_file(fmt=fmt)) == Reason.MEDIA_UNKNOWN


def test_data_before_its_description_is_unknown(fault):
    body = b"WAVEdata" + struct.pack("<I", 100) + bytes(100)
    assert fault(b"RIFF" + struct.pack("<I", len(body)) + body) == Reason.MEDIA_UNKNOWN


def test_thousands_of_empty_chunks_end_soon(memory, fault):
    content = b"RIFF" + struct.pack("<I", 800_004) + b"WAVE" + b"junk\0\0\0\0" * 100_000
    assert fault(content) == Reason.MEDIA_EMPTY


def test_rf64_is_measured_by_its_long_sizes(media, fault):
    content = bytearray((media / "rf64.wav").read_bytes())
    assert content[12:16] == b"ds64"
    data_size = struct.unpack_from("<Q", content, 28)[0]
    struct.pack_into("<Q", content, 28, data_size + 2)
    assert fault(bytes(content)) == Reason.MEDIA_TRUNCATED
