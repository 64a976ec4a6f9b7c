"""Walking a folder: what is there, what is passed over, and when nothing may be judged."""

from __future__ import annotations

import os
import threading

import pytest

from uploader.domain.scanning import Total
from uploader.errors import SourceUnavailable
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import check_root, files, is_inside, look_at, missing, state_of, survey

RULES = Rules(include=["*"], exclude=[])


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    return root


def walked(root, rules=RULES, **options):
    """The names by folder, as the files are yielded; each folder's total says the same."""
    start, found = os.fsencode(root), {}
    surveys = {one.path: one for one in survey(start, rules, stop=threading.Event(), **options)}
    for file in files(start, rules, stop=threading.Event()):
        found.setdefault(file.folder, {})[file.name] = file.stamp
    for path, one in surveys.items():
        total = Total()
        for name, stamp in found.get(path, {}).items():
            total = total.plus(name, stamp)
        assert one.total == total
    return {path.removeprefix(start): set(found.get(path, ())) for path in surveys}


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
    (file,) = files(os.fsencode(root), RULES, stop=threading.Event())
    stamp = file.stamp
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
            list(survey(os.fsencode(path), RULES, stop=threading.Event()))
        with pytest.raises(SourceUnavailable, match="does not exist"):
            list(files(os.fsencode(path), RULES, stop=threading.Event()))
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


def test_a_listing_says_which_folders_it_could_not_read(root, modes):
    make(root, b"a.wav", b"shut/b.wav")
    passed: list[bytes] = []
    (root / "shut").chmod(0)
    try:
        with modes():
            found = list(files(os.fsencode(root), RULES, stop=threading.Event(), passed_over=passed.append))
    finally:
        (root / "shut").chmod(0o700)
    assert ([file.name for file in found], passed) == ([b"a.wav"], [os.fsencode(root / "shut")])


def test_a_folder_that_vanishes_while_its_parent_is_listed_holds_nothing(root):
    make(root, b"a.wav", b"sub/b.wav")
    found = survey(os.fsencode(root), RULES, stop=threading.Event())
    next(found)
    (root / "sub" / "b.wav").unlink()
    (root / "sub").rmdir()
    (gone,) = found
    assert (gone.path, gone.total, gone.state) == (os.fsencode(root / "sub"), Total(), None)


def test_only_the_folders_that_are_chosen_are_walked(root):
    make(root, b"a.wav", b"one/b.wav", b"two/c.wav", b"two/deep/d.wav")

    def chosen(folders):
        return [folder for folder in folders if not folder.endswith(b"one")]

    start = os.fsencode(root)
    found = {one.path for one in survey(start, RULES, stop=threading.Event(), enters=chosen)}
    assert found == {start, start + b"/two", start + b"/two/deep"}


def test_patterns_with_a_slash_are_of_the_path_below_the_base(root):
    make(root, b"calls/a.wav", b"calls/sub/b.wav")
    rules, base = Rules(include=["calls/*.wav"], exclude=[]), os.fsencode(root)
    for below, names in ((b"", {b"a.wav", b"b.wav"}), (b"/calls", {b"a.wav", b"b.wav"})):
        start = base + below
        assert {f.name for f in files(start, rules, stop=threading.Event(), base=base)} == names
        assert sum(s.total.count for s in survey(start, rules, stop=threading.Event(), base=base)) == 2


def test_the_state_of_a_folder_is_another_once_a_name_in_it_came_or_went(root):
    path, states = os.fsencode(root), []
    for _ in range(2):
        states.append(state_of(path))
        assert state_of(path) == states[-1]
        make(root, b"a.wav")
        before = root.stat()
        states.append(state_of(path))
        (root / "a.wav").unlink()
        # A tool that copies folders sets the time of the change of contents back.
        os.utime(root, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len({state.value for state in states}) == 4


def test_what_is_no_folder_has_no_state(root):
    make(root, b"a.wav", b"sub/b.wav")
    (root / "link").symlink_to("sub")
    for name in (b"a.wav", b"link", b"none", b"a.wav/below"):
        assert state_of(os.fsencode(root) + b"/" + name) is None


def test_what_is_not_there_or_no_file_any_more_is_missing(root, modes):
    make(root, b"a.wav", b"shut/b.wav")
    (root / "dir.wav").mkdir()
    (root / "dangling.wav").symlink_to("nowhere")
    names = [b"a.wav", b"none.wav", b"dir.wav", b"dangling.wav"]
    assert missing(os.fsencode(root), names) == names[1:]
    (root / "shut").chmod(0)
    try:
        with modes():
            assert missing(os.fsencode(root / "shut"), [b"b.wav", b"none.wav"]) == []
    finally:
        (root / "shut").chmod(0o700)


def test_a_stop_ends_the_walk(root):
    make(root, b"a/a.wav", b"b/b.wav")
    stop = threading.Event()
    for walk in (survey, files):
        stop.clear()
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
