"""Particular cases of the other readers, built by hand."""

from __future__ import annotations

import struct

import pytest

from uploader.domain.reasons import Reason
from uploader.domain.recording import MediaFacts, MediaKind
from uploader.media.formats import content_type, true_extension
from uploader.media.probe import probe


def au(size: int, audio: bytes = bytes(8000)) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, size, 27, 8000, 1) + audio


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (au(8000), None),
        (au(0xFFFFFFFF), None),
        (au(8001), Reason.MEDIA_TRUNCATED),
        (au(8000, b""), Reason.MEDIA_EMPTY),
        (b".snd" + bytes(20) + b"x" * 99, Reason.MEDIA_UNKNOWN),
    ],
)
def test_au_size_is_held_against_the_file(content, code, fault):
    assert fault(content) == code


def test_wide_band_amr_is_walked_by_its_frames(memory, fault):
    frame = bytes([8 << 3 | 4]) + bytes(60)
    facts = probe(memory(b"#!AMR-WB\n" + frame * 50))
    assert (facts.codec, facts.sample_rate, facts.duration_seconds) == ("amr_wb", 16000, 1.0)
    assert content_type(facts) == "audio/AMR-WB"
    assert fault(b"#!AMR-WB\n" + frame * 50 + frame[:5]) == Reason.MEDIA_TRUNCATED


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"#!AMR\n", Reason.MEDIA_EMPTY),
        (b"#!AMR\n" + b"\xff" * 90, Reason.MEDIA_UNKNOWN),
        (b"#!AMR_MC1.0\n" + bytes(90), Reason.MEDIA_UNKNOWN),
    ],
)
def test_amr_without_frames_is_refused(content, code, fault):
    assert fault(content) == code


def test_flac_of_unknown_length_is_measured_by_its_last_frame(media, memory):
    content = bytearray((media / "flac.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert probe(memory(bytes(content))).duration_seconds == pytest.approx(0.6, rel=0.02)


def test_flac_without_frames_is_empty(media, fault):
    content = bytearray((media / "flac.flac").read_bytes()[:42])
    content[4] |= 0x80
    assert fault(bytes(content)) == Reason.MEDIA_EMPTY


def test_ogg_without_its_end_mark_is_accepted(media, memory):
    content = bytearray((media / "opus.opus").read_bytes())
    content[content.rfind(b"OggS") + 5] &= ~4
    assert probe(memory(bytes(content))).duration_seconds == pytest.approx(0.6, rel=0.02)


def test_ogg_with_headers_only_is_empty(media, fault):
    content = (media / "vorbis.ogg").read_bytes()
    assert fault(content[: content.rfind(b"OggS")]) == Reason.MEDIA_EMPTY


def test_webm_of_a_live_stream_is_accepted_without_a_length(media, memory):
    content = (media / "opus.webm").read_bytes()
    at = content.index(bytes.fromhex("18538067")) + 4
    live = content[:at] + b"\x01" + b"\xff" * 7 + content[at + 8 :]
    assert probe(memory(live)).codec == "opus"
    assert probe(memory(live[:-100])).codec == "opus"


def test_mp4_without_any_track_is_empty(fault):
    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", len(body) + 8, name) + body

    content = box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100))) + box(b"mdat", b"xx")
    assert fault(content) == Reason.MEDIA_EMPTY


def test_mp4_with_data_that_runs_to_the_end_and_no_index_is_incomplete(fault):
    content = struct.pack(">I4s4s", 12, b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + bytes(500)
    assert fault(content) == Reason.MEDIA_INCOMPLETE


def test_aiff_that_was_never_closed_is_incomplete(media, fault):
    content = bytearray((media / "pcm.aiff").read_bytes())
    at = content.index(b"SSND") + 4
    content[4:8] = content[at : at + 4] = bytes(4)
    assert fault(bytes(content)) == Reason.MEDIA_INCOMPLETE


@pytest.mark.parametrize(
    ("kind", "name", "extension", "type_"),
    [
        (MediaKind.AUDIO, "webm", ".webm", "audio/webm"),
        (MediaKind.AUDIO, "matroska", ".mka", "audio/matroska"),
        (MediaKind.AUDIO, "3gp", ".3gp", "audio/3gpp"),
        (MediaKind.VIDEO, "3gp", ".3gp", "video/3gpp"),
        (MediaKind.VIDEO, "matroska", ".mkv", "video/matroska"),
    ],
)
def test_name_of_a_container_follows_what_it_holds(kind, name, extension, type_):
    facts = MediaFacts(kind=kind, format=name)
    assert (true_extension(facts), content_type(facts)) == (extension, type_)


def test_channels_of_aac_are_those_of_its_decoder_not_of_the_box(media, memory):
    content = bytearray((media / "late_index.m4a").read_bytes())
    at = content.index(b"mp4a") + 4 + 16
    content[at : at + 2] = b"\0\2"
    assert probe(memory(bytes(content))).channels == 1


def test_vbri_header_gives_length_and_size(memory, fault):
    head = bytes([0xFF, 0xFB, 0x90, 0x00])
    vbri = (head + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, 417 * 10, 9)).ljust(417, b"\0")
    content = vbri + (head + bytes(413)) * 9
    assert probe(memory(content)).duration_seconds == pytest.approx(9 * 1152 / 44100)
    assert fault(content[: 417 * 5]) == Reason.MEDIA_TRUNCATED


def test_joined_mp3s_are_as_long_as_both(media, memory):
    content = (media / "xing.mp3").read_bytes()
    assert probe(memory(content * 10)).duration_seconds == pytest.approx(6.84, rel=0.1)
