"""Importing: what the arguments mean, what is found, what it will take, when it is done; no ledger, no service."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.gates import Why
from uploader.domain.recording import Stamp, State
from uploader.errors import SourceUnavailable, UsageError
from uploader.ledger.books import GateRow
from uploader.ledger.imports import Stuck
from uploader.service.imports.finding import Found, Order, Spool, Walk, batches
from uploader.service.imports.report import Report
from uploader.service.imports.targets import check_names, read_targets
from uploader.service.imports.watch import Look, Wait
from uploader.sources.folder.rules import Rules

RULES = Rules(include=["*.wav", "*.mp3"], exclude=["draft*", "internal/*"])
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SUMMANDS = ("submitted", "duplicate", "quarantined", "refused", "unconfirmed", "skipped", "discarded", "pending")


# What the arguments mean


def test_folders_and_files_are_made_absolute_and_folders_are_told_by_a_slash(tmp_path: Path, monkeypatch):
    (tmp_path / "calls").mkdir()
    (tmp_path / "one.wav").touch()
    monkeypatch.chdir(tmp_path)
    found = read_targets([b"calls/", b"./one.wav"])
    assert found.paths == (os.fsencode(tmp_path) + b"/calls/", os.fsencode(tmp_path) + b"/one.wav")
    assert [target.is_folder for target in found.targets] == [True, False]
    assert found.bucket == ""


def test_prefixes_of_one_bucket_are_taken_together():
    found = read_targets([b"s3://calls/2024", b"S3://calls"])
    assert found.bucket == "calls"
    assert found.paths == (b"s3://calls/2024", b"s3://calls/")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([b"no-such"], "the path does not exist"),
        ([b"/", b"no-such"], "path 2 of 2 does not exist"),
        ([b"s3://a/b", b"/"], "folders and buckets cannot be imported together"),
        ([b"s3://a/b", b"s3://c/d"], "several buckets cannot be imported together"),
        ([b"s3://"], "not of the form s3://bucket/prefix"),
        ([b"/dev/null"], "neither a folder nor a file"),
        ([b"s3://a/2024.zip"], "is an archive file"),
    ],
)
def test_arguments_that_cannot_be_imported_are_refused_in_a_sentence(arguments, words):
    with pytest.raises(UsageError, match=words) as caught:
        read_targets(arguments)
    assert "no-such" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.TGZ", "a.tar.gz", "a.7z", "calls.csv", "calls.jsonl"])
def test_archive_files_and_lists_are_refused(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    with pytest.raises(UsageError) as caught:
        read_targets([os.fsencode(tmp_path / name)])
    assert caught.value.hint
    assert name not in str(caught.value)


def test_a_folder_may_be_called_like_an_archive(tmp_path: Path):
    (tmp_path / "old.zip").mkdir()
    assert read_targets([os.fsencode(tmp_path / "old.zip")]).targets[0].is_folder


@pytest.mark.parametrize(("name", "words"), [("a.json", "is a sidecar"), ("a.txt", "is no recording by its name")])
def test_files_named_that_are_no_recordings_are_refused(tmp_path: Path, name: str, words: str):
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match=words):
        check_names(read_targets([os.fsencode(tmp_path / name)]), RULES)


# What is found


def walked(*paths: Path, base: bytes = b"") -> set[str]:
    walk = Walk(RULES, base=base)
    targets = read_targets([os.fsencode(path) for path in paths]).targets
    return {os.fsdecode(one.location) for one in walk.files(targets, stop=threading.Event())}


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_walk_finds_recordings_by_the_rules_and_no_sidecars_or_droppings(tmp_path: Path):
    plant(
        tmp_path, "a.wav", "a.wav.json", "sub/b.MP3", "sub/deep/ü c.wav", "draft1.wav", "note.txt", "c.wav.part",
        ".hidden.wav", "@eaDir/d.wav", ".git/e.wav", "internal/f.wav",
    )  # fmt: skip
    assert walked(tmp_path) == {str(tmp_path / n) for n in ("a.wav", "sub/b.MP3", "sub/deep/ü c.wav")}


def test_patterns_with_a_slash_are_matched_below_the_source_that_the_folder_lies_in(tmp_path: Path):
    plant(tmp_path, "internal/f.wav")
    assert walked(tmp_path / "internal") == {str(tmp_path / "internal" / "f.wav")}
    assert walked(tmp_path / "internal", base=os.fsencode(tmp_path)) == set()
    # A name that only begins alike is no folder of that source.
    plant(tmp_path, "internal2/f.wav")
    assert walked(tmp_path / "internal2", base=os.fsencode(tmp_path / "internal")) == {
        str(tmp_path / "internal2" / "f.wav")
    }


def test_names_that_are_not_utf8_are_found(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/\xff\n.wav"
    os.close(os.open(path, os.O_CREAT))
    found = list(Walk(RULES).files(read_targets([os.fsencode(tmp_path)]).targets, stop=threading.Event()))
    assert [one.location for one in found] == [path]


def test_folder_that_is_gone_is_an_error_and_not_an_empty_archive(tmp_path: Path):
    (tmp_path / "calls").mkdir()
    targets = read_targets([os.fsencode(tmp_path / "calls")]).targets
    (tmp_path / "calls").rmdir()
    with pytest.raises(SourceUnavailable):
        list(Walk(RULES).files(targets, stop=threading.Event()))


def test_folders_that_cannot_be_read_are_counted(tmp_path: Path, monkeypatch):
    plant(tmp_path, "a.wav", "closed/b.wav")
    scandir = os.scandir

    def refuse(path):
        if os.fsencode(path).endswith(b"/closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walk = Walk(RULES)
    found = list(walk.files(read_targets([os.fsencode(tmp_path)]).targets, stop=threading.Event()))
    assert len(found) == 1
    assert walk.passed_over == 1


def found(name: str, *, mtime: int = 0, size: int = 1) -> Found:
    return Found(location=name.encode(), stamp=Stamp(size_bytes=size, mtime_ns=mtime, inode=7))


@pytest.fixture
def spool():
    made = Spool()
    yield made
    made.close()


def test_spool_has_each_location_once_and_gives_them_in_order(spool: Spool):
    spool.add([found("b", mtime=2, size=20), found("a", mtime=3, size=30)])
    spool.add([found("c", mtime=1, size=10), found("a", mtime=3, size=30)])
    assert [f.location for f in spool.read(order=Order.OLDEST, limit=None)] == [b"c", b"b", b"a"]
    assert [f.location for f in spool.read(order=Order.NEWEST, limit=2)] == [b"a", b"b"]
    assert spool.totals(order=Order.OLDEST, limit=None) == (3, 60)
    assert spool.totals(order=Order.OLDEST, limit=2) == (2, 30)


def test_spool_gives_back_what_it_was_given(spool: Spool):
    one = Found(location=b"\xff/\n", stamp=Stamp(size_bytes=1 << 40, mtime_ns=-5, inode=1 << 60), etag="e")
    spool.add([one])
    assert list(spool.read(order=Order.OLDEST, limit=None)) == [one]


@given(st.integers(0, 40), st.integers(1, 12))
def test_batches_are_all_of_it_in_parts(count: int, size: int):
    whole = [found(str(n)) for n in range(count)]
    parts = list(batches(whole, size))
    assert [one for part in parts for one in part] == whole
    assert all(len(part) == size for part in parts[:-1])


# When it is done

COUNTS = st.dictionaries(st.sampled_from(list(State)), st.integers(0, 50))


@given(COUNTS)
def test_report_adds_up_whatever_the_states(counts: dict[State, int]):
    report = Report.of(counts)
    assert report.discovered == sum(counts.values()) == sum(getattr(report, name) for name in SUMMANDS)
    assert report.analyzed <= report.submitted
    assert next(iter(report.document())) == "discovered"


@given(st.sampled_from(list(State)))
def test_each_state_is_in_exactly_one_number(state: State):
    report = Report.of({state: 1})
    assert [name for name in SUMMANDS if getattr(report, name)] == [
        {State.ANALYZED: "submitted"}.get(state, "pending" if state in _PENDING else state.value)
    ]


_PENDING = {State.DISCOVERED, State.READY, State.STAGED, State.SUBMITTING}


def look(
    counts: dict[State, int], *, stuck: Stuck | None = None, overdue: int = 0, gates: tuple[GateRow, ...] = ()
) -> Look:
    return Look(report=Report.of(counts), stuck=stuck, overdue=overdue, gates=gates, paused=None)


@given(COUNTS)
def test_nothing_is_settled_while_anything_is_on_its_way(counts: dict[State, int]):
    moving = sum(counts.get(state, 0) for state in (*_PENDING, State.UNCONFIRMED))
    assert look(counts).is_settled(Wait.SUBMITTED) == (moving == 0)


def test_what_is_held_is_not_waited_for_and_what_is_looked_for_is():
    held = Stuck(held=2, behind_twin=0, twins_move=False)
    assert look({State.UNCONFIRMED: 2}, stuck=held).is_settled(Wait.SUBMITTED)
    assert not look({State.UNCONFIRMED: 3}, stuck=held).is_settled(Wait.SUBMITTED)


def test_what_is_behind_a_twin_is_waited_for_only_while_the_twin_moves():
    counts = {State.STAGED: 1, State.SUBMITTED: 5}
    assert not look(counts, stuck=Stuck(held=0, behind_twin=1, twins_move=True)).is_settled(Wait.SUBMITTED)
    assert look(counts, stuck=Stuck(held=0, behind_twin=1, twins_move=False)).is_settled(Wait.SUBMITTED)


def test_analyses_are_waited_for_when_asked_to_but_not_overdue_ones():
    counts = {State.SUBMITTED: 2, State.ANALYZED: 3}
    assert look(counts).is_settled(Wait.SUBMITTED)
    assert not look(counts, overdue=1).is_settled(Wait.ANALYZED)
    assert look(counts, overdue=2).is_settled(Wait.ANALYZED)
    assert look({State.ANALYZED: 3}).is_settled(Wait.ANALYZED)


def gate(why: Why, *, failures: int, name: str = "submit") -> GateRow:
    return GateRow(
        name=name, reason=why.value, message="m", hint="h", closed_at=1, probe_at=2, failures=failures
    )  # fmt: skip


@pytest.mark.parametrize("why", list(Why))
def test_only_what_a_person_must_mend_ends_an_import(why: Why):
    goes_on = {
        Why.DAILY_LIMIT, Why.UNREACHABLE, Why.SERVER_ERRORS, Why.LISTING, Why.PUBLIC_URL, Why.STORE_UNREACHABLE,
        Why.DISK_FULL, Why.RATE_LIMIT,
    }  # fmt: skip
    refusal = look({State.STAGED: 1}, gates=(gate(why, failures=1),)).refusal
    assert (refusal is None) == (why in goes_on)


def test_gate_that_was_not_tried_since_the_import_began_does_not_end_it():
    assert look({State.STAGED: 1}, gates=(gate(Why.CREDENTIALS, failures=0, name="token"),)).refusal is None
