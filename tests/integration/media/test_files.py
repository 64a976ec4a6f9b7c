"""Recordings on a real file system: growing, sparse, replaced, of the wrong kind; and those of the package."""

from __future__ import annotations

import json
import os
import wave
from datetime import datetime

import pytest

from uploader.demo import manifest, recordings
from uploader.domain.interaction import BODY_FIELDS, LANGUAGES
from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault
from uploader.media.bytes import LocalBytes
from uploader.media.completeness import may_still_grow
from uploader.media.probe import probe


def complete(path) -> bool:
    with LocalBytes(path) as source:
        try:
            probe(source)
        except RecordingFault as fault:
            return not may_still_grow(fault)
        return True


def test_wave_file_being_written_is_complete_only_when_closed(tmp_path):
    path = tmp_path / "call.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframesraw(b"\1\2" * 8000)  # this writer's first header counts the first piece
        for _ in range(4):
            writer.writeframesraw(b"\1\2" * 8000)
            assert not complete(path)
    assert complete(path)


def test_name_that_is_not_utf8_is_read(tmp_path, wave_bytes):
    path = os.fsencode(tmp_path) + b"/call\xff.wav"
    with open(path, "wb") as file:
        file.write(wave_bytes)
    assert complete(path)


def test_large_file_is_probed_without_being_read(tmp_path, wave_bytes):
    path = tmp_path / "long.wav"
    size = 3 * 1024**3
    with path.open("wb") as file:
        file.write(wave_bytes[:4] + (size - 8).to_bytes(4, "little") + wave_bytes[8:40])
        file.write((size - 44).to_bytes(4, "little"))
        file.truncate(size)
    with LocalBytes(path) as source:
        assert probe(source).duration_seconds == pytest.approx((size - 44) / 16000)


def test_file_cut_while_it_is_read_is_truncated(tmp_path, wave_bytes):
    path = tmp_path / "call.wav"
    path.write_bytes(wave_bytes)
    with LocalBytes(path) as source:
        os.truncate(path, 10)
        with pytest.raises(RecordingFault) as caught:
            probe(source)
    assert caught.value.code == Reason.MEDIA_TRUNCATED


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_an_error_at_once(make, tmp_path):
    path = tmp_path / "call.wav"
    make(path)
    with pytest.raises(OSError, match="regular file"):
        LocalBytes(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        LocalBytes(tmp_path / "gone.wav")


@pytest.fixture
def wave_bytes(tmp_path):
    path = tmp_path / "made.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\1\2" * 8000)
    return path.read_bytes()


DEMO = json.loads(manifest().read_text("utf-8"))["files"]


@pytest.mark.parametrize("entry", DEMO, ids=[entry["name"] for entry in DEMO])
def test_demo_recording_is_what_its_manifest_says(entry):
    path = recordings() / entry["recording"]
    body = json.loads((recordings() / entry["sidecar"]).read_text("utf-8"))
    fields = {*body, *body.pop("interaction_info", {})} - {"interaction_info"}
    assert fields <= set(BODY_FIELDS)
    is_good_body = body["direction"] in ("inbound", "outbound") and bool(
        datetime.fromisoformat(body["start_time"]).tzinfo
    )
    assert body["primary_language"] in LANGUAGES
    try:
        with LocalBytes(str(path)) as source:
            is_good_file = (probe(source).duration_seconds or 0) > 3
    except RecordingFault as fault:
        is_good_file = False
        assert fault.code == Reason.MEDIA_TRUNCATED
    assert (is_good_body and is_good_file) == (entry["intended"] in ("analyzed", "duplicate"))


def test_demo_recordings_are_all_used_and_small():
    used = {entry[key] for entry in DEMO for key in ("recording", "sidecar")}
    there = {path.name: len(path.read_bytes()) for path in recordings().iterdir()}
    assert set(there) == used
    assert sum(there.values()) <= 400 * 1024
    assert {entry["intended"] for entry in DEMO} == {"analyzed", "quarantined", "duplicate"}
