"""Which names are recordings, and which are nobody's business."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from uploader.domain.pairing import is_sidecar_name
from uploader.sources.folder.rules import Rules

RULES = Rules(include=["*.wav", "*.mp3"], exclude=["test-*", "old/*"])


@pytest.mark.parametrize("name", [b"a.wav", b"A.WAV", b"a b.wav", b"\xff\xfe.wav", b"a\nb.mp3", b"..wav.mp3x.wav"])
def test_what_is_included_is_a_recording(name):
    assert RULES.is_recording(name) is not name.startswith(b".")


@pytest.mark.parametrize("name", [b"a.txt", b"wav", b"a.wav.json", b"test-1.wav", b"TEST-1.wav"])
def test_what_is_not_included_or_excluded_is_none(name):
    assert not RULES.is_recording(name)


@pytest.mark.parametrize(
    "name",
    [
        b".hidden.wav", b"a.wav.part", b"a.part", b"a.wav.filepart", b"a.tmp", b"a.wav.tmp123", b"a.crdownload",
        b"a.swp", b"a.wav~", b"~$a.wav", b"Thumbs.db", b"THUMBS.DB", b"desktop.ini", b".DS_Store", b"._a.wav",
        b".a.wav.aB3dEf",
    ],
)  # fmt: skip
def test_what_is_being_written_or_left_behind_is_left_alone(name):
    assert Rules(include=["*"], exclude=[]).is_ignored(name)
    assert not Rules(include=["*"], exclude=[]).is_recording(name)


@pytest.mark.parametrize("name", [b"a.wav", b"part.wav", b"tmp.wav", b"a.temperature.wav", b"partial.mp3"])
def test_names_that_only_look_like_it_are_taken(name):
    assert not RULES.is_ignored(name)


@pytest.mark.parametrize("name", [b"@eaDir", b"#recycle", b".snapshot", b"$RECYCLE.BIN", b"lost+found", b"@tmp"])
def test_folders_of_storage_devices_are_not_entered(name):
    assert not RULES.enters(name)


@pytest.mark.parametrize("name", [b"2026", b"eaDir", b"tmp", b"r\xe9union"])
def test_other_folders_are_entered(name):
    assert RULES.enters(name)


def test_a_pattern_with_a_slash_is_of_the_path_below_the_root():
    assert not RULES.is_recording(b"a.wav", b"old")
    assert RULES.is_recording(b"a.wav", b"new")
    rules = Rules(include=["/calls/*.wav"], exclude=[])
    assert rules.is_recording(b"a.wav", b"calls")
    assert not rules.is_recording(b"a.wav")


def test_without_any_pattern_nothing_is_a_recording():
    assert not Rules(include=[], exclude=[]).is_recording(b"a.wav")


def test_a_pattern_is_no_regular_expression():
    rules = Rules(include=["a+b(1).wav"], exclude=[])
    assert rules.is_recording(b"a+b(1).wav")
    assert not rules.is_recording(b"aab1.wav")


PARTS = st.sampled_from(
    [
        b"a", b".", b"wav", b"WAV", b"Wav", b"wAv", b"json", b".json", b"tmp", b"TMP", b"~", b"~$", b"part", b"txt",
        b"Thumbs", b"desktop", b"ini", b"db", b"\xff", "\u212a".encode(), b"\n", b"bts", b"swp", b"/", b"m", b"kv",
    ]
)  # fmt: skip
PATTERNS = st.lists(
    st.sampled_from(
        [
            "*.wav", "*.WAV", "*.mkv", "*.tmp", "*.db", "*.ini", "*.part", "*.json", "*", "a*", "sub/*.wav", "*.m?v",
            "*.b~",
        ]
    ),
    max_size=4,
)  # fmt: skip


@given(
    name=st.lists(PARTS, min_size=1, max_size=5).map(b"".join), include=PATTERNS, exclude=PATTERNS,
    folder=st.sampled_from([b"", b"sub", b"sub/deep"]),
)  # fmt: skip
@example(name="x.m\u212av".encode(), include=["*.mkv"], exclude=[], folder=b"")
@example(name=b"a.TMP1.wav", include=["*.wav"], exclude=[], folder=b"")
def test_the_quick_way_says_what_the_others_say(name, include, exclude, folder):
    rules = Rules(include=include, exclude=exclude)
    slowly = not rules.is_ignored(name) and (is_sidecar_name(name) or rules.is_recording(name, folder))
    assert rules.relevance(folder)(name) is slowly
