"""Walking a folder: what is there, what is passed over, and when nothing may be judged."""

from __future__ import annotations

import os
import threading

import pytest

from uploader.errors import SourceUnavailable
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import check_root, is_inside, look_at, walk

RULES = Rules(include=["*"], exclude=[])


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    return root


def walked(root, **options):
    found = walk(os.fsencode(root), RULES, stop=threading.Event(), **options)
    return {listing.path.removeprefix(os.fsencode(root)): set(listing.files) for listing in found}


def make(root, *names):
    for name in names:
        path = os.fsencode(root) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")


def test_every_folder_is_listed_with_its_files(root):
    make(root, b"a.wav", b"sub/b.wav", b"sub/deep/c.wav")
    (root / "empty").mkdir()
    assert walked(root) == {b"": {b"a.wav"}, b"/sub": {b"b.wav"}, b"/sub/deep": {b"c.wav"}, b"/empty": set()}


def test_a_stamp_is_that_of_the_file(root):
    make(root, b"a.wav")
    stat = (root / "a.wav").stat()
    (listing,) = walk(os.fsencode(root), RULES, stop=threading.Event())
    (stamp,) = listing.files.values()
    assert (stamp.size_bytes, stamp.mtime_ns, stamp.inode) == (1, stat.st_mtime_ns, stat.st_ino)


@pytest.mark.parametrize(
    "name", [b"with space.wav", b"new\nline.wav", b"\xff\xfe.wav", "Ümläut.wav".encode(), b"-rf.wav", b"'\"$(x).wav"]
)
def test_any_name_is_carried(root, name):
    make(root, name, b"\xfe dir\n/" + name)
    assert walked(root) == {b"": {name}, b"/\xfe dir\n": {name}}


def test_ignored_files_and_folders_are_left_out(root):
    make(root, b"a.wav", b"a.wav.part", b".b.wav", b"@eaDir/c.wav", b".git/d.wav", b"#recycle/e.wav")
    assert walked(root) == {b"": {b"a.wav"}}


def test_what_is_no_regular_file_is_left_out(root):
    make(root, b"a.wav")
    os.mkfifo(root / "pipe.wav")
    (root / "dir.wav").mkdir()
    (root / "dangling.wav").symlink_to("nowhere")
    assert walked(root)[b""] == {b"a.wav"}


def test_a_link_to_a_file_is_seen_and_one_to_a_folder_is_not_followed(root):
    make(root, b"real/a.wav")
    (root / "link.wav").symlink_to("real/a.wav")
    (root / "folder").symlink_to("real")
    (root / "loop").symlink_to(".")
    (root / "real" / "up").symlink_to("..")
    assert walked(root) == {b"": {b"link.wav"}, b"/real": {b"a.wav"}}


def test_links_in_a_circle_end(root):
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    assert walked(root) == {b"": set()}


@pytest.mark.parametrize(
    ("link", "inside"),
    [("a.wav", True), ("sub/../a.wav", True), ("../outside.wav", False), ("/etc/passwd", False), ("chain", False)],
)
def test_where_a_link_leads_is_judged_with_every_link_resolved(root, link, inside):
    make(root, b"a.wav", b"sub/b.wav")
    make(root.parent, b"outside.wav")
    (root / "chain").symlink_to("../outside.wav")
    (root / "l").symlink_to(link)
    assert is_inside(os.fsencode(root), os.fsencode(root / "l")) is inside


def test_a_neighbour_whose_name_begins_alike_is_outside(root):
    make(root.parent, b"rootkit/a.wav")
    assert not is_inside(os.fsencode(root), os.fsencode(root.parent / "rootkit" / "a.wav"))


def test_a_root_that_is_a_link_itself_holds_what_is_in_it(root):
    make(root, b"a.wav")
    (root.parent / "alias").symlink_to("root")
    assert is_inside(os.fsencode(root.parent / "alias"), os.fsencode(root.parent / "alias" / "a.wav"))


def test_everything_is_inside_the_root_of_all():
    assert is_inside(b"/", b"/etc/passwd")


def test_a_root_that_is_not_there_is_unavailable(root):
    for path in (root / "none", root / "none" / "deeper"):
        with pytest.raises(SourceUnavailable, match="does not exist") as refusal:
            list(walk(os.fsencode(path), RULES, stop=threading.Event()))
        assert refusal.value.hint


def test_a_root_that_is_a_file_is_unavailable(root):
    make(root, b"a.wav")
    with pytest.raises(SourceUnavailable, match="not a folder"):
        check_root(os.fsencode(root / "a.wav"))


def test_a_root_without_rights_is_unavailable(root, modes):
    root.chmod(0)
    try:
        with modes(), pytest.raises(SourceUnavailable, match="cannot be read"):
            check_root(os.fsencode(root))
    finally:
        root.chmod(0o700)


def test_a_folder_without_rights_is_passed_over_and_said_so(root, modes):
    make(root, b"a.wav", b"shut/b.wav", b"open/c.wav")
    passed: list[bytes] = []
    (root / "shut").chmod(0)
    try:
        with modes():
            found = walked(root, passed_over=passed.append)
    finally:
        (root / "shut").chmod(0o700)
    assert found == {b"": {b"a.wav"}, b"/open": {b"c.wav"}}
    assert passed == [os.fsencode(root / "shut")]


def test_a_stop_ends_the_walk(root):
    make(root, b"a/a.wav", b"b/b.wav")
    stop = threading.Event()
    found = walk(os.fsencode(root), RULES, stop=stop)
    next(found)
    stop.set()
    assert list(found) == []


def test_looking_at_names_tells_what_is_there_and_what_is_gone(root):
    make(root, b"a.wav", b"a.wav.part")
    (root / "dir.wav").mkdir()
    names = [b"a.wav", b"gone.wav", b"a.wav.part", b".x", b"dir.wav"]
    found, gone = look_at(os.fsencode(root), names, RULES)
    assert (set(found), gone) == ({b"a.wav"}, [b"gone.wav"])


def test_looking_where_there_are_no_rights_judges_nothing(root, modes):
    make(root, b"shut/a.wav")
    (root / "shut").chmod(0)
    try:
        with modes():
            assert look_at(os.fsencode(root / "shut"), [b"a.wav", b"b.wav"], RULES) == ({}, [])
    finally:
        (root / "shut").chmod(0o700)


def test_nothing_is_ever_written(root):
    make(root, b"a.wav", b"sub/b.wav")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in [root, *root.rglob("*")]}
    walked(root)
    look_at(os.fsencode(root), [b"a.wav"], RULES)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in [root, *root.rglob("*")]} == before
