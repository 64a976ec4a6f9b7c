"""What the probe says of real recordings in every format, of cut ones, and of what is no recording."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uploader.domain.reasons import Reason
from uploader.domain.recording import MediaFacts, MediaKind
from uploader.errors import RecordingFault
from uploader.media.formats import content_type, true_extension
from uploader.media.probe import probe

# name: format, codec, channels, sample rate, seconds; made by tests/fixtures/make_media.py
AUDIO = {
    "mulaw.wav": ("wav", "pcm_mulaw", 1, 8000, 0.6),
    "alaw_stereo.wav": ("wav", "pcm_alaw", 2, 8000, 0.6),
    "pcm24.wav": ("wav", "pcm_s24le", 1, 8000, 0.6),
    "float.wav": ("wav", "pcm_f32le", 1, 8000, 0.6),
    "adpcm_ima.wav": ("wav", "adpcm_ima_wav", 1, 8000, 0.76),
    "adpcm_ms.wav": ("wav", "adpcm_ms", 1, 8000, 0.76),
    "g722.wav": ("wav", "adpcm_g722", 1, 16000, 0.6),
    "gsm.wav": ("wav", "gsm_ms", 1, 8000, 0.6),
    "mp3_inside.wav": ("wav", "mp3", 1, 16000, 0.68),
    "rf64.wav": ("wav", "pcm_s16le", 1, 8000, 0.6),
    "xing.mp3": ("mp3", "mp3", 1, 16000, 0.68),
    "plain_stereo.mp3": ("mp3", "mp3", 2, 16000, 0.68),
    "mpeg1_id3.mp3": ("mp3", "mp3", 1, 44100, 0.63),
    "layer2.mp2": ("mp2", "mp2", 1, 16000, 0.65),
    "adts.aac": ("aac", "aac", 1, 16000, 0.7),
    "late_index.m4a": ("m4a", "aac", 1, 16000, 0.66),
    "early_index.m4a": ("m4a", "aac", 1, 16000, 0.66),
    "alac.m4a": ("m4a", "alac", 1, 8000, 0.6),
    "vorbis.ogg": ("ogg", "vorbis", 1, 16000, 0.6),
    "speex.ogg": ("ogg", "speex", 1, 16000, 0.59),
    "flac.ogg": ("ogg", "flac", 1, 8000, 0.6),
    "opus.opus": ("ogg", "opus", 1, 48000, 0.6),
    "flac.flac": ("flac", "flac", 1, 8000, 0.6),
    "opus.webm": ("webm", "opus", 1, 48000, 0.61),
    "pcm.aiff": ("aiff", "pcm_s16be", 1, 8000, 0.6),
    "mulaw.aifc": ("aiff", "pcm_mulaw", 1, 8000, 0.6),
    "mulaw.au": ("au", "pcm_mulaw", 1, 8000, 0.6),
    "raw.gsm": ("gsm", "gsm", 1, 8000, 0.6),
    "raw.g722": ("g722", "adpcm_g722", 1, 16000, 0.6),
    "narrow.amr": ("amr", "amr_nb", 1, 8000, 0.6),
    "wma2.wma": ("asf", "wmav2", 1, 16000, 0.61),
}
VIDEO = {
    "video.mp4": ("mp4", "aac+h264", 1, 16000, 0.66),
    "fragmented.mp4": ("mp4", "aac+h264", 1, 16000, None),
    "video.mov": ("mov", "aac+mpeg4", 1, 16000, 0.66),
    "video.webm": ("webm", "opus+vp8", 1, 48000, 0.61),
    "video.mkv": ("matroska", "aac+h264", 1, 16000, 0.66),
    "video.avi": ("avi", "mp3+mpeg4", 1, 16000, 0.8),
    "video.wmv": ("asf", "wmav2+wmv2", 1, 16000, 0.63),
    "video.ogv": ("ogg", "vorbis+theora", 1, 16000, 0.6),
}
ALL = AUDIO | VIDEO
WITHOUT_HEADER = {"raw.gsm", "raw.g722"}
OTHER_NAMES = {"late_index.m4a": ".m4a", "mulaw.aifc": ".aiff"}
DAMAGED = (Reason.MEDIA_EMPTY, Reason.MEDIA_TRUNCATED, Reason.MEDIA_INCOMPLETE)


def suffix_of(name: str) -> str:
    return name[name.index(".") :]


def test_every_kept_recording_is_expected(media):
    assert {path.name for path in media.iterdir()} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_real_recording_is_known_by_its_content(name, media, memory):
    format_, codec, channels, rate, seconds = ALL[name]
    facts = probe(memory((media / name).read_bytes()), suffix=suffix_of(name))
    assert facts == MediaFacts(
        kind=MediaKind.VIDEO if name in VIDEO else MediaKind.AUDIO,
        format=format_,
        codec=codec,
        channels=channels,
        sample_rate=rate,
        duration_seconds=pytest.approx(seconds, rel=0.02) if seconds else None,
    )


@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT_HEADER))
def test_extension_in_the_name_changes_nothing_where_content_speaks(name, media, memory):
    source = memory((media / name).read_bytes())
    assert probe(source, suffix=".gsm") == probe(source, suffix=".wav") == probe(source)


@pytest.mark.parametrize("name", ALL)
def test_true_extension_is_that_of_the_content(name, media, memory):
    facts = probe(memory((media / name).read_bytes()), suffix=suffix_of(name))
    assert true_extension(facts) == OTHER_NAMES.get(name, suffix_of(name))


@pytest.mark.parametrize("name", ALL)
def test_content_type_says_audio_or_video(name, media, memory):
    facts = probe(memory((media / name).read_bytes()), suffix=suffix_of(name))
    assert content_type(facts).split("/")[0] == facts.kind.value


@pytest.mark.parametrize("part", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT_HEADER))
def test_cut_recording_is_damaged(name, part, media, fault):
    content = (media / name).read_bytes()
    assert fault(content[: round(len(content) * part)], suffix_of(name)) in DAMAGED


@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT_HEADER - {"flac.flac", "video.avi"}))
def test_recording_that_lacks_its_last_byte_is_damaged(name, media, fault):
    content = (media / name).read_bytes()
    assert fault(content[:-1], suffix_of(name)) in DAMAGED


@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT_HEADER - {"narrow.amr"}))
def test_a_few_bytes_of_padding_behind_are_tolerated(name, media, fault):
    assert fault((media / name).read_bytes() + b"\0\0\0", suffix_of(name)) is None


@pytest.mark.parametrize("name", ["xing.mp3", "plain_stereo.mp3", "adts.aac", "mulaw.wav", "flac.flac"])
def test_tag_behind_the_audio_is_tolerated(name, media, fault):
    tag = b"TAG" + b"title".ljust(125, b"\0")
    assert fault((media / name).read_bytes() + tag, suffix_of(name)) is None


@pytest.mark.parametrize("name", ["plain_stereo.mp3", "adts.aac", "flac.flac"])
def test_tag_before_the_audio_is_skipped(name, media, memory):
    content = (media / name).read_bytes()
    tag = b"ID3\x04\0\0" + bytes([0, 0, 16, 0]) + bytes(2048)
    assert probe(memory(tag + content)) == probe(memory(content))


def test_index_missing_is_incomplete_and_early_index_makes_it_truncated(media, fault):
    late, early = (media / "late_index.m4a").read_bytes(), (media / "early_index.m4a").read_bytes()
    assert fault(late[: len(late) // 2]) == Reason.MEDIA_INCOMPLETE
    assert fault(early[: len(early) // 2]) == Reason.MEDIA_TRUNCATED


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", Reason.MEDIA_EMPTY),
        (b"\xff", Reason.MEDIA_EMPTY),
        (bytes(50_000), Reason.MEDIA_INCOMPLETE),
        (b"RIFF", Reason.MEDIA_TRUNCATED),
        (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10), Reason.MEDIA_EMPTY),
        (b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(10), Reason.MEDIA_TRUNCATED),
        (b"<!DOCTYPE html><title>502 Bad Gateway</title>", Reason.MEDIA_UNKNOWN),
        (b"The free lunch is over: this is not an mp4 file\n" * 3, Reason.MEDIA_UNKNOWN),
        (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA9Kr/wud\n", Reason.MEDIA_UNKNOWN),
        (b"\x85\x01\x0c\x03" + random.Random(1).randbytes(5000), Reason.MEDIA_UNKNOWN),
        (b"PK\x03\x04" + random.Random(2).randbytes(5000), Reason.MEDIA_UNKNOWN),
        (random.Random(3).randbytes(300_000), Reason.MEDIA_UNKNOWN),
        (b"\xff" * 100_000, Reason.MEDIA_UNKNOWN),
    ],
)
def test_what_is_no_recording_is_refused_with_its_code(content, code, fault):
    assert fault(content) == code


@pytest.mark.parametrize("suffix", [".gsm", ".g722"])
@pytest.mark.parametrize("content", [b"<html>" * 99, b"%PDF-1.7\n\xff" + bytes(range(256)) * 9])
def test_headerless_suffix_does_not_make_audio_of_something_else(content, suffix, fault):
    assert fault(content, suffix) == Reason.MEDIA_UNKNOWN


def test_headerless_content_needs_its_suffix(media, fault):
    for name in WITHOUT_HEADER:
        assert fault((media / name).read_bytes(), ".wav") == Reason.MEDIA_UNKNOWN


def test_raw_gsm_cut_within_a_frame_is_truncated(media, fault):
    assert fault((media / "raw.gsm").read_bytes()[:-1], ".gsm") == Reason.MEDIA_TRUNCATED


def test_only_noise_in_1500_random_files(fault):
    chance = random.Random(5)
    sizes = [200, 5000, 30_000]
    assert {fault(chance.randbytes(chance.choice(sizes))) for _ in range(1500)} == {Reason.MEDIA_UNKNOWN}


def test_long_recording_is_judged_by_a_small_part(media, memory):
    content = (media / "plain_stereo.mp3").read_bytes()[20:]  # without its tag
    source = memory(content * 8000)
    facts = probe(source)
    assert facts.duration_seconds == pytest.approx(8000 * 0.684, rel=0.001)
    assert source.read_bytes < 2 * 1024 * 1024 < source.size_bytes


@pytest.mark.parametrize("missing_bytes", [1, 7, 40])
@pytest.mark.parametrize("name", ["plain_stereo.mp3", "adts.aac"])
def test_long_stream_cut_at_its_end_is_truncated(name, missing_bytes, media, fault):
    content = (media / name).read_bytes() * 1500
    assert fault(content) is None
    assert fault(content[:-missing_bytes]) == Reason.MEDIA_TRUNCATED


def test_messages_hold_nothing_of_the_file(memory, wave_file):
    content = wave_file(b"+12025550143 secret", data_size=999_999)
    with pytest.raises(RecordingFault) as caught:
        probe(memory(content))
    assert "2025550143" not in str(caught.value)
    assert "999999" not in str(caught.value)


@given(content=st.binary(max_size=4096), suffix=st.sampled_from(["", ".wav", ".gsm", ".g722"]))
def test_random_bytes_give_facts_or_a_fault(content, suffix, fault):
    assert fault(content, suffix) in {None, *DAMAGED, Reason.MEDIA_UNKNOWN}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_recordings_give_facts_or_a_fault_within_the_limit(data, media, memory):
    name = data.draw(st.sampled_from(sorted(ALL)))
    content = bytearray((media / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(content) - 1, data.draw(st.sampled_from([64, 1024, 20_000])))))
        put = data.draw(st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1"]) | st.binary(max_size=8))
        content[at : at + len(put)] = put
    source = memory(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        facts = probe(source, suffix=suffix_of(name))
    except RecordingFault as error:
        assert error.code.startswith("media_")
    else:
        assert facts.duration_seconds is None or facts.duration_seconds >= 0
    assert source.read_bytes <= 4 * 1024 * 1024
