"""Whether a resting file may still be being written."""

from __future__ import annotations

import pytest

from uploader.errors import RecordingFault
from uploader.media.completeness import may_still_grow
from uploader.media.probe import probe


def is_complete(source) -> bool:
    """Say whether the content is all that its container promises."""
    try:
        probe(source)
    except RecordingFault as fault:
        return not may_still_grow(fault)
    return True


@pytest.mark.parametrize("name", ["mulaw.wav", "late_index.m4a", "pcm.aiff", "rf64.wav", "xing.mp3", "opus.webm"])
def test_whole_recording_is_complete_and_half_of_it_is_not(name, media, memory):
    content = (media / name).read_bytes()
    assert is_complete(memory(content))
    assert not is_complete(memory(content[: len(content) // 2]))


@pytest.mark.parametrize("name", ["mulaw.wav", "late_index.m4a", "early_index.m4a", "video.mp4", "opus.opus"])
def test_growing_container_is_complete_only_at_its_end(name, media, memory):
    content = (media / name).read_bytes()
    steps = [*range(0, len(content), 97), len(content) - 1]
    assert [size for size in steps if is_complete(memory(content[:size]))] == []
    assert is_complete(memory(content))


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(4096), b"#!AMR\n"])
def test_file_that_has_just_been_begun_is_not_complete(content, memory):
    assert not is_complete(memory(content))


@pytest.mark.parametrize("content", [b"<html>Not found</html>" * 9, b"PK\x03\x04" + b"\xfe" * 200])
def test_what_more_bytes_would_not_mend_is_complete(content, memory):
    assert is_complete(memory(content))


def test_raw_stream_without_length_is_complete(media, memory):
    assert is_complete(memory((media / "raw.gsm").read_bytes()[:100]))
