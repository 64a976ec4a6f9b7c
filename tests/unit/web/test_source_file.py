"""A file held against its stamp: the same, certainly another, or not to be told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uploader.domain.recording import Stamp
from uploader.web.source_file import FileFault, SourceFile, open_source


def stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(size_bytes=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def opened(path: Path):
    file = open_source(os.fsencode(path), stamp_of(path))
    assert isinstance(file, SourceFile)
    yield file
    file.close()


def test_an_unchanged_file_is_read_at_any_place(opened: SourceFile) -> None:
    assert opened.read(0, 10, check=True) == b"0123456789"
    assert opened.read(7, 2, check=False) == b"78"


def test_a_change_after_opening_is_seen_by_the_check(opened: SourceFile, path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(1, 1))
    assert opened.read(5, 5, check=False) == b"56789"
    assert opened.read(5, 5, check=True) is FileFault.CHANGED


def test_a_file_that_became_shorter_is_changed_without_a_check(opened: SourceFile, path: Path) -> None:
    os.truncate(path, 7)
    assert opened.read(5, 5, check=False) is FileFault.CHANGED


def test_a_file_that_cannot_be_read_is_unclear(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    file = SourceFile(descriptor, stamp_of(path))
    assert file.read(0, 1, check=False) is FileFault.UNCLEAR
    file.close()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda good: Stamp(size_bytes=good.size_bytes + 1, mtime_ns=good.mtime_ns, inode=good.inode),
        lambda good: Stamp(size_bytes=good.size_bytes, mtime_ns=good.mtime_ns + 1, inode=good.inode),
        lambda good: Stamp(size_bytes=good.size_bytes, mtime_ns=good.mtime_ns, inode=good.inode + 1),
    ],
    ids=["size", "mtime", "inode"],
)
def test_any_part_of_the_stamp_tells_a_changed_file_and_nothing_stays_open(path: Path, wrong) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert open_source(os.fsencode(path), wrong(stamp_of(path))) is FileFault.CHANGED
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_file_among_others_is_gone(path: Path) -> None:
    assert open_source(os.fsencode(path) + b"x", stamp_of(path)) is FileFault.GONE


@pytest.mark.parametrize(
    "place",
    [
        lambda path: path / "below-a-file",
        lambda path: path.parent / "no-folder" / "a.wav",
        lambda path: path.parent / ("x" * 300),
        lambda path: path.parent / "loop",
        lambda path: path.parent / "empty" / "a.wav",
    ],
    ids=["below a file", "no folder", "long name", "link to itself", "empty folder"],
)
def test_what_cannot_be_told_is_unclear(path: Path, place) -> None:
    (path.parent / "loop").symlink_to("loop")
    (path.parent / "empty").mkdir()
    assert open_source(os.fsencode(place(path)), stamp_of(path)) is FileFault.UNCLEAR


def test_a_link_to_the_same_file_is_the_same_file(path: Path) -> None:
    link = path.parent / "link.wav"
    link.symlink_to(path)
    file = open_source(os.fsencode(link), stamp_of(path))
    assert isinstance(file, SourceFile)
    file.close()
