"""Pairing: who gets which sidecar, who is woken by a change, and what is left over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.pairing import (
    Pairing,
    is_sidecar_name,
    orphans,
    pair,
    recordings_of,
    stem_prefix,
)
from uploader.domain.reasons import Reason


def is_audio(name: bytes) -> bool:
    return name.lower().endswith((b".wav", b".mp3"))


def anything(_name: bytes) -> bool:
    return True


NAMES = st.builds(
    lambda stem, middle, end: stem + middle + end,
    st.sampled_from([b"a", b"b", b"a.b", b"\xff ", b".a"]),
    st.sampled_from([b"", b".wav", b".mp3", b".WAV", b".wav.mp3"]),
    st.sampled_from([b"", b".json", b".JSON", b".txt", b".json.json"]),
)
DIRECTORIES = st.sets(NAMES, max_size=10)
MATCHERS = st.sampled_from([is_audio, anything])


def recordings(names, matcher):
    return [name for name in names if matcher(name) and not is_sidecar_name(name)]


@pytest.mark.parametrize(
    ("recording", "siblings", "sidecar"),
    [
        (b"call.wav", {b"call.wav.json"}, b"call.wav.json"),
        (b"call.wav", {b"call.json"}, b"call.json"),
        (b"call.wav", {b"call.JSON"}, b"call.JSON"),
        (b"call.wav", {b"call.wav.JSON"}, b"call.wav.JSON"),
        (b"a.b.wav", {b"a.b.json", b"a.json"}, b"a.b.json"),
        (b"\xff\xfe.wav", {b"\xff\xfe.json"}, b"\xff\xfe.json"),
        (b"call.wav", {b"call.txt", b"other.json", b"call.json.part"}, None),
        (b"call.wav", {b"CALL.json"}, None),
        (b"call.wav", set(), None),
    ],
)
def test_a_recording_gets_the_sidecar_named_after_it_or_its_stem(recording, siblings, sidecar):
    assert pair(recording, siblings, is_recording=is_audio) == Pairing(sidecar=sidecar)


@pytest.mark.parametrize(
    "siblings",
    [
        {b"call.wav.json", b"call.json"},
        {b"call.json", b"call.JSON"},
        {b"call.wav.json", b"call.wav.JSON"},
        {b"call.mp3", b"call.json"},
        {b"call.mp3", b"call.WAV", b"call.mp3.json", b"call.json"},
        {b"call.mp3", b"call.mp3.json", b"call.wav.json", b"call.json"},
    ],
)
def test_more_than_one_possibility_is_ambiguous_and_gives_no_sidecar(siblings):
    found = pair(b"call.wav", siblings | {b"call.wav"}, is_recording=is_audio)
    assert (found.sidecar, found.fault) == (None, Reason.SIDECAR_AMBIGUOUS)
    assert found.message
    assert "call" not in found.message


def test_the_sidecar_by_stem_goes_to_the_one_recording_without_an_exact_one():
    names = {b"call.wav", b"call.mp3", b"call.mp3.json", b"call.json"}
    assert pair(b"call.wav", names, is_recording=is_audio).sidecar == b"call.json"
    assert pair(b"call.mp3", names, is_recording=is_audio).sidecar == b"call.mp3.json"


def test_a_file_that_is_no_recording_does_not_share_a_sidecar():
    names = {b"call.wav", b"call.txt", b"call.pdf", b"call.json"}
    assert pair(b"call.wav", names, is_recording=is_audio).sidecar == b"call.json"


def test_a_sidecar_named_after_a_whole_recording_is_not_another_ones_by_stem():
    names = {b"call.wav", b"call.wav.mp3", b"call.wav.json"}
    assert pair(b"call.wav", names, is_recording=is_audio).sidecar == b"call.wav.json"
    assert pair(b"call.wav.mp3", names, is_recording=is_audio).fault is Reason.SIDECAR_AMBIGUOUS
    names |= {b"call.wav.mp3.json"}
    assert pair(b"call.wav.mp3", names, is_recording=is_audio).sidecar == b"call.wav.mp3.json"


def test_a_recording_without_extension_keeps_its_sidecar_from_the_one_of_that_stem():
    names = {b"call", b"call.wav", b"call.json"}
    assert pair(b"call", names, is_recording=anything).sidecar == b"call.json"
    assert pair(b"call.wav", names, is_recording=anything).fault is Reason.SIDECAR_AMBIGUOUS


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"a.json", True), (b"a.wav.JSON", True), (b".a.json", False), (b".json", False), (b"a.json5", False)],
)
def test_a_sidecar_name_ends_in_json_and_is_no_dotfile(name, expected):
    assert is_sidecar_name(name) is expected


def test_a_change_of_an_exact_sidecar_wakes_the_others_of_its_stem_as_well():
    names = {b"call.wav", b"call.mp3", b"call.json", b"other.wav"}
    assert recordings_of(b"call.mp3.json", names, is_recording=is_audio) == (b"call.mp3", b"call.wav")


def test_a_sidecar_concerns_its_recordings_and_nobody_elses():
    names = {b"call.wav", b"call.mp3", b"call2.wav"}
    assert recordings_of(b"call.json", names, is_recording=is_audio) == (b"call.mp3", b"call.wav")
    assert recordings_of(b"call2.wav.json", names, is_recording=is_audio) == (b"call2.wav",)
    assert recordings_of(b"none.json", names, is_recording=is_audio) == ()


def test_a_recording_that_vanished_concerns_those_it_shared_a_sidecar_with():
    assert recordings_of(b"call.mp3", {b"call.wav", b"call.json"}, is_recording=is_audio) == (b"call.wav",)


def test_orphans_are_the_sidecars_that_no_recording_could_have():
    names = [b"a.wav", b"a.json", b"b.json", b"c.mp3.json", b"c.wav", b".d.json", b"e.txt", b"e.json"]
    assert orphans(names, is_recording=is_audio) == (b"b.json", b"c.mp3.json", b"e.json")


def test_the_prefix_of_a_dated_sidecar_does_not_reach_over_the_whole_directory():
    assert stem_prefix(b"call.0001.json", is_recording=is_audio) == b"call.0001."
    assert stem_prefix(b"call.0001.wav", is_recording=is_audio) == b"call.0001."
    assert stem_prefix(b"call.wav.json", is_recording=is_audio) == b"call."


@given(DIRECTORIES, NAMES, MATCHERS, st.randoms())
def test_order_of_siblings_does_not_matter(names, recording, matcher, random):
    ordered = sorted(names)
    shuffled = list(ordered)
    random.shuffle(shuffled)
    assert pair(recording, ordered, is_recording=matcher) == pair(recording, shuffled, is_recording=matcher)
    assert recordings_of(recording, ordered, is_recording=matcher) == recordings_of(
        recording, shuffled, is_recording=matcher
    )


@given(DIRECTORIES, NAMES, MATCHERS)
def test_whoever_pairs_differently_after_a_change_is_woken_by_it(names, changed, matcher):
    without, having = names - {changed}, names | {changed}
    for recording in recordings(without, matcher):
        before = pair(recording, without, is_recording=matcher)
        after = pair(recording, having, is_recording=matcher)
        if before != after:
            assert recording in recordings_of(changed, having, is_recording=matcher)
            assert recording in recordings_of(changed, without, is_recording=matcher)


@given(DIRECTORIES, MATCHERS)
def test_the_sidecar_that_a_recording_is_paired_with_concerns_it_and_is_no_orphan(names, matcher):
    left_over = orphans(names, is_recording=matcher)
    for recording in recordings(names, matcher):
        sidecar = pair(recording, names, is_recording=matcher).sidecar
        if sidecar is not None:
            assert sidecar in names
            assert recording in recordings_of(sidecar, names, is_recording=matcher)
            assert sidecar not in left_over


@given(DIRECTORIES, MATCHERS)
def test_no_sidecar_is_given_to_two_recordings(names, matcher):
    found = recordings(names, matcher)
    given_out = [pair(recording, names, is_recording=matcher).sidecar for recording in found]
    taken = [sidecar for sidecar in given_out if sidecar is not None]
    assert len(taken) == len(set(taken))


@given(DIRECTORIES, NAMES, MATCHERS)
def test_what_begins_with_the_prefix_and_the_bare_stem_is_enough_to_judge_by(names, changed, matcher):
    def nearby(name):
        prefix = stem_prefix(name, is_recording=matcher)
        return {n for n in names if n.startswith(prefix) or n == prefix[:-1]}

    assert recordings_of(changed, names, is_recording=matcher) == recordings_of(
        changed, nearby(changed), is_recording=matcher
    )
    for recording in recordings(names, matcher):
        assert pair(recording, names, is_recording=matcher) == pair(recording, nearby(recording), is_recording=matcher)
