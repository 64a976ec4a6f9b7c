"""What `explain` says of files as they lie there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uploader.domain.identity import SameCall
from uploader.errors import SourceUnavailable, UsageError
from uploader.pipeline.places import FolderNames, FolderPlace
from uploader.pipeline.spec import SidecarPolicy, SourceSpec
from uploader.service.operations.explanations import FolderListing, check_profile, explain
from uploader.sidecars.mapping import MappingContext
from uploader.sources.folder.rules import Rules

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
SIDECAR = '{"start_time": "2026-11-20T05:00:00+01:00", "agent_email": "a@example.com"}'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "call.mp3").write_bytes((MEDIA / "plain_stereo.mp3").read_bytes())
    (tmp_path / "call.json").write_text(SIDECAR)
    return tmp_path


@pytest.fixture
def told(folder):
    """Explain one file of the folder."""

    def told(name: str | bytes = "call.mp3", *, sidecar=SidecarPolicy.REQUIRED, include=("*.mp3", "*.wav")):
        spec = SourceSpec(
            name="hq",
            rules=Rules(include=include, exclude=()),
            mapping=MappingContext(),
            sidecar=sidecar,
            same_call=SameCall.HOLD,
            sidecar_wait_seconds=900,
            settle_seconds=2,
        )
        root = os.fsencode(folder)
        place = FolderPlace(root, rules=spec.rules, siblings=FolderNames())
        return explain(place, root + b"/" + os.fsencode(name), spec, root=root)

    return told


def fields(problems):
    return [problem.field for problem in problems]


def test_a_good_recording_has_a_body_its_sidecar_its_media_and_a_trace_of_each_field(told, folder):
    found = told()
    assert found.body == {
        "start_time": "2026-11-20T04:00:00Z",
        "interaction_info": {"channel_type": "voice", "agent_email": "a@example.com"},
    }
    assert found.sidecar == os.fsencode(folder / "call.json")
    assert (found.problems, found.media.format) == ((), "mp3")
    traced = {one.field: (one.value, one.source) for one in found.fields}
    assert traced["start_time"] == ("2026-11-20T04:00:00Z", "sidecar")
    assert traced["channel_type"] == ("voice", "media")


@pytest.mark.parametrize("text", ["{", '{"agent_mail": "x"}', '{"start_time": "yesterday"}'])
def test_a_wrong_sidecar_leaves_no_body_and_a_problem(told, folder, text):
    (folder / "call.json").write_text(text)
    found = told()
    assert found.body is None
    assert found.problems


def test_without_its_sidecar_it_would_not_be_sent_where_one_is_required(told, folder):
    (folder / "call.json").unlink()
    found = told()
    assert (found.body, fields(found.problems)) == (None, ["sidecar"])


def test_without_its_sidecar_it_would_be_sent_where_one_is_optional_and_a_note_says_so(told, folder):
    (folder / "call.json").unlink()
    found = told(sidecar=SidecarPolicy.OPTIONAL)
    assert found.body == {"interaction_info": {"channel_type": "voice"}}
    assert fields(found.notes) == ["sidecar"]


def test_a_damaged_recording_would_not_be_sent_even_so_young(told, folder):
    whole = (MEDIA / "pcm24.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.json").write_text(SIDECAR)
    found = told("cut.wav")
    assert (found.body, fields(found.problems)) == (None, ["recording"])


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.mp3", "call.mp3.part", "@eaDir/call.mp3"])
def test_what_the_source_does_not_take_is_said_not_to_be_sent(told, folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    found = told(name)
    assert (found.body, fields(found.problems)) == (None, ["recording"])


def test_a_link_out_of_the_source_would_not_be_sent(told, folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "call.mp3"
    outside.write_bytes((folder / "call.mp3").read_bytes())
    (folder / "link.mp3").symlink_to(outside)
    found = told("link.mp3")
    assert (found.body, fields(found.problems)) == (None, ["recording"])


def test_a_pipe_is_not_opened(told, folder):
    os.mkfifo(folder / "pipe.wav")
    found = told("pipe.wav")
    assert (found.body, fields(found.problems)) == (None, ["recording"])


@pytest.mark.parametrize("name", ["none.mp3", "call.json"])
def test_what_is_not_there_or_a_sidecar_is_a_usage_error(told, name):
    with pytest.raises(UsageError):
        told(name)


def test_an_unknown_profile_names_the_known():
    check_profile("native")
    with pytest.raises(UsageError) as caught:
        check_profile("nativ")
    assert "native" in caught.value.hint


def test_a_listing_has_every_recording_below_and_counts_sidecars_without_one(folder):
    (folder / "sub").mkdir()
    (folder / ".git").mkdir()
    for name in ("sub/b.mp3", "sub/b.json", "sub/left.json", ".git/c.mp3", "notes.txt"):
        (folder / name).write_bytes(b"x")
    root = os.fsencode(folder)
    listing = FolderListing(root, root=root, rules=Rules(include=["*.mp3"], exclude=[]))
    assert list(listing.recordings()) == [root + b"/call.mp3", root + b"/sub/b.mp3"]
    assert listing.orphans == 1


def test_patterns_with_a_slash_count_from_the_source_not_from_the_folder_asked_for(folder):
    (folder / "sub").mkdir()
    (folder / "sub/b.mp3").write_bytes(b"x")
    root = os.fsencode(folder)
    rules = Rules(include=["*.mp3"], exclude=["sub/*"])
    assert list(FolderListing(root + b"/sub", root=root, rules=rules).recordings()) == []


def test_a_folder_that_cannot_be_listed_is_unavailable(folder):
    listing = FolderListing(b"/none", root=b"/none", rules=Rules(include=["*"], exclude=[]))
    with pytest.raises(SourceUnavailable):
        list(listing.recordings())
