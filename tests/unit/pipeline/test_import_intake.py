"""How the intake treats the recordings of an import: no waiting, but a second look; filters; many roots."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.bench import CALL, wave
from uploader.domain.recording import State
from uploader.errors import RecordingFault, SourceUnavailable
from uploader.pipeline.places import FolderNames, FolderPlace
from uploader.sources.folder.rules import Rules

RULES = Rules(include=["*.wav"], exclude=[])
FOUR = datetime(2026, 11, 20, 4, tzinfo=UTC)
FIVE = datetime(2026, 11, 20, 5, tzinfo=UTC)


def take_in(bench: Any, row: Any, **spec: Any) -> Any:
    return bench.take_in(row, is_import=True, **spec)


def test_file_that_is_as_it_was_found_is_taken_at_once(bench):
    assert take_in(bench, bench.drop("a.wav", CALL)).state is State.READY


def test_file_that_changed_since_gets_a_moment_to_rest_and_is_taken_as_it_is_then(bench):
    row = bench.drop("a.wav", CALL, audio=wave()[:100])
    bench.write("a.wav", wave(), age=0)
    row = take_in(bench, row)
    assert (row.state, row.due_at, row.size_bytes) == (State.DISCOVERED, bench.now + 2000, len(wave()))
    bench.clock.advance(2)
    assert take_in(bench, row).state is State.READY


def test_file_that_never_rests_is_told_and_not_waited_for_for_ever(bench):
    row = bench.drop("a.wav", CALL)
    for number in range(1, 5):
        assert row.state is State.DISCOVERED
        bench.write("a.wav", wave(number / 10), age=0)
        row = take_in(bench, row)
        bench.clock.advance(2)
    assert (row.state, row.reason_code, row.due_at) == (State.QUARANTINED, "source_changed", None)
    assert row.looks == 0, "a retry has all its looks again"


def test_sidecar_that_is_half_written_is_left_to_rest_before_it_is_judged(bench):
    row = bench.drop("a.wav")
    bench.write("a.wav.json", b'{"start_time": "2026', age=0.5)
    row = take_in(bench, row)
    assert (row.state, row.due_at) == (State.DISCOVERED, bench.now + 1500)
    bench.write("a.wav.json", CALL, age=0)
    bench.clock.advance(2)
    assert take_in(bench, row).state is State.READY


@pytest.mark.parametrize(
    ("since", "until", "state"),
    [
        (FOUR, None, State.READY), (None, FOUR, State.SKIPPED), (FIVE, None, State.SKIPPED),
        (FOUR, FIVE, State.READY), (None, None, State.READY),
    ],
)  # fmt: skip
def test_calls_outside_the_filter_are_skipped(bench, since, until, state):
    row = take_in(bench, bench.drop("a.wav", CALL), since=since, until=until)
    assert row.state is state
    assert row.reason_code == ("outside_filter" if state is State.SKIPPED else None)


def test_call_without_a_start_is_in_no_filter_and_in_no_filter_is_sent(bench):
    assert take_in(bench, bench.drop("a.wav", {"direction": "inbound"}), since=FOUR).reason_code == "outside_filter"
    assert take_in(bench, bench.drop("b.wav", {"direction": "inbound"})).state is State.READY


def test_fault_is_told_where_a_filter_cannot_be_judged(bench):
    row = take_in(bench, bench.drop("a.wav", CALL, audio=b""), since=FIVE)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "media_empty")


def test_what_was_left_out_keeps_no_other_out(bench):
    take_in(bench, bench.drop("a.wav", CALL, audio=wave()), since=FIVE)
    assert take_in(bench, bench.drop("b.wav", CALL, audio=wave())).state is State.READY


@given(st.none() | st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_two_halves_of_a_filter_are_the_whole(start: datetime | None, cut: datetime):
    from uploader.pipeline.spec import SourceSpec

    def takes(**values: Any) -> bool:
        unused: dict[str, Any] = dict.fromkeys(("mapping", "sidecar", "same_call"))
        return SourceSpec(
            name="x", rules=RULES, sidecar_wait_seconds=0, settle_seconds=0, **unused, **values
        ).takes(start)  # fmt: skip

    assert takes()
    assert takes(since=cut) + takes(until=cut) == (0 if start is None else 1)


# Several roots


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    for name in ("one", "two", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(wave())
    roots = [os.fsencode(tmp_path / name) for name in ("one", "two")]
    return FolderPlace(roots[0], rules=RULES, siblings=FolderNames(), further=roots[1:])


def test_link_into_another_root_of_the_import_is_taken_and_one_out_of_all_is_not(place: FolderPlace, tmp_path: Path):
    (tmp_path / "one" / "in.wav").symlink_to(tmp_path / "two" / "a.wav")
    (tmp_path / "one" / "out.wav").symlink_to(tmp_path / "elsewhere" / "a.wav")
    assert place.stamp(os.fsencode(tmp_path / "one" / "in.wav")) is not None
    with pytest.raises(RecordingFault) as caught:
        place.stamp(os.fsencode(tmp_path / "one" / "out.wav"))
    assert caught.value.code == "file_outside"


def test_file_is_gone_only_if_its_own_root_is_there(place: FolderPlace, tmp_path: Path):
    assert place.stamp(os.fsencode(tmp_path / "two" / "gone.wav")) is None
    for name in ("one", "two"):
        (tmp_path / name / "a.wav").unlink()
    (tmp_path / "two").rmdir()
    assert place.stamp(os.fsencode(tmp_path / "one" / "a.wav")) is None
    with pytest.raises(SourceUnavailable):
        place.stamp(os.fsencode(tmp_path / "two" / "a.wav"))


# Names beside a recording

NAMES = st.binary(min_size=1, max_size=6).filter(lambda n: b"/" not in n and b"\0" not in n and n not in {b".", b".."})


@given(st.sets(NAMES, max_size=12), NAMES)
def test_names_are_those_that_begin_alike_and_the_bare_stem(tmp_path_factory, names: set[bytes], stem: bytes):
    folder = os.fsencode(tmp_path_factory.mktemp("names"))
    for name in names:
        os.close(os.open(folder + b"/" + name, os.O_CREAT))
    expected = {name for name in names if name.startswith(stem + b".") or name == stem}
    assert set(FolderNames()(folder, stem + b".")) == expected


def test_name_that_goes_on_with_the_highest_byte_begins_alike_too(tmp_path: Path):
    folder = os.fsencode(tmp_path)
    os.close(os.open(folder + b"/a.\xff.json", os.O_CREAT))
    assert FolderNames()(folder, b"a.") == [b"a.\xff.json"]


def test_name_that_comes_or_goes_is_seen_though_folders_are_kept(tmp_path: Path):
    names, folder = FolderNames(), os.fsencode(tmp_path)
    assert names(folder, b"a.") == []
    (tmp_path / "a.wav").touch()
    os.utime(tmp_path, ns=(1, 1))
    assert names(folder, b"a.") == [b"a.wav"]
    (tmp_path / "a.wav").unlink()
    assert names(folder, b"a.") == []


def test_of_many_names_only_those_of_the_last_folder_are_kept(tmp_path: Path):
    names = FolderNames(most_names=5)
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            (tmp_path / folder / f"{number}.wav").touch()
        assert names(os.fsencode(tmp_path / folder), b"1.") == [b"1.wav"]
    assert list(names._kept) == [os.fsencode(tmp_path / "three")]


def test_folder_that_cannot_be_listed_is_out_of_reach(tmp_path: Path):
    with pytest.raises(SourceUnavailable):
        FolderNames()(os.fsencode(tmp_path / "no"), b"a.")
