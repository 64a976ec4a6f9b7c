"""The scan is the truth: what a folder holds becomes recordings, whatever happened between two looks."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading

import pytest

from tests.conftest import missing
from tests.unit.ledger.kit import FakeClock, Kit
from tests.unit.sources.folder.conftest import bound_by_modes
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.ledger.entries import untie
from uploader.platform.filesystem import stamp_of
from uploader.service.directory_check import DirectoryCheck
from uploader.service.folder_scanner import FolderScanner
from uploader.service.scanner import BATCH, Rhythm
from uploader.sources.folder.rules import Rules

AUDIO = ["*.wav", "*.mp3"]


class Desk:
    """A folder, a ledger, and a scanner that is turned by hand."""

    def __init__(self, folder, *, backlog_limit=0, include=AUDIO, settle_seconds=2.0):
        self.root = folder / "root"
        self.root.mkdir()
        self.clock = FakeClock()
        self.kit = Kit(folder / "ledger.db", clock=self.clock)
        self.source_n = self.kit.source("s", root=os.fsencode(self.root))
        self.stop = threading.Event()
        self.found = 0
        self.options = {"backlog_limit": backlog_limit, "settle_seconds": settle_seconds}
        self.include = include
        self.start()

    def start(self):
        """A scanner as a new process would make it."""
        self.scanner = FolderScanner(
            root=os.fsencode(self.root), ledger=self.kit.ledger, source=self.kit.ledger.discovery.source("s"),
            rules=Rules(include=self.include, exclude=[]),
            rhythm=Rhythm(rescan_seconds=300.0, events=False, **self.options),
            clock=self.clock, stop=self.stop, found=self.ring,
        )  # fmt: skip

    def ring(self):
        self.found += 1

    def scan(self):
        """One full scan; return when the next is due."""
        due = self.scanner._turn(self.clock.monotonic())
        return due - self.clock.monotonic()

    def look(self, *names):
        """Ring for some names, and let the scanner look at them only."""
        for name in names:
            self.scanner._bell.touched(os.path.join(os.fsencode(self.root), os.fsencode(name)))
        self.scanner._turn(math.inf)

    def put(self, name, content=b"x"):
        path = os.path.join(os.fsencode(self.root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def rows(self):
        return [self.kit.row(n) for n in self.kit.states()]

    def names(self):
        start = len(os.fsencode(self.root)) + 1
        return sorted(row.location[start:] for row in self.rows())

    def row(self, name):
        (found,) = [row for row in self.rows() if row.location.endswith(b"/" + os.fsencode(name))]
        return found

    def entries(self, folder=""):
        """What the scan cache has of one folder."""
        path = os.path.join(os.fsencode(self.root), os.fsencode(folder)).rstrip(b"/")
        return self.kit.entries(path, source_n=self.source_n)

    @property
    def source(self):
        return self.kit.ledger.discovery.source("s")

    def settle(self, *states):
        """Give every row a state, as if it had gone its way."""
        for row in self.rows():
            self.kit.force("UPDATE recording SET due_at = NULL WHERE n = ?", row.n)


@pytest.fixture
def desk(tmp_path):
    made = []

    def make(**options):
        made.append(Desk(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.kit.close()


def test_what_is_there_is_found_once(desk):
    one = desk()
    one.put("a.wav")
    one.put("sub/b.mp3")
    one.put("sub/b.json")
    one.put("readme.txt")
    assert one.scan() == 300
    assert one.names() == [b"a.wav", b"sub/b.mp3"]
    assert one.found > 0
    one.found = 0
    one.scan()
    assert (one.names(), one.found) == ([b"a.wav", b"sub/b.mp3"], 0)


def test_what_is_found_rests_first(desk):
    one = desk(settle_seconds=7.0)
    one.put("a.wav")
    one.scan()
    assert one.row("a.wav").due_at == one.kit.now + 7000


@pytest.mark.parametrize("name", [b"a b.wav", b"\xff.wav", b"a\nb.wav", b"d\xff/\n/x.wav", "Ü/ß.wav".encode()])
def test_any_name_is_found_and_found_again(desk, name):
    one = desk()
    one.put(name)
    one.scan()
    one.scan()
    one.look(name)
    assert one.names() == [name]


def test_a_look_tells_the_same_as_a_scan(desk):
    one = desk()
    one.put("a.wav")
    one.put("sub/b.wav")
    one.look("a.wav", "sub/b.wav", "none.wav")
    assert one.names() == [b"a.wav", b"sub/b.wav"]
    before = one.rows()
    one.scan()
    assert one.rows() == before


def test_a_look_into_an_ignored_folder_finds_nothing(desk):
    one = desk()
    for name in ("@eaDir/a.wav", ".x/b.wav", "sub/#recycle/c.wav"):
        one.put(name)
        one.look(name)
    one.scan()
    assert one.names() == []


def test_a_folder_that_was_moved_in_is_found_with_all_that_is_in_it(desk):
    one = desk()
    one.scan()
    elsewhere = one.root.parent / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "a.wav").write_bytes(b"x")
    (elsewhere / "deep" / "b.wav").write_bytes(b"x")
    elsewhere.rename(one.root / "moved")
    one.scan()
    assert one.names() == [b"moved/a.wav", b"moved/deep/b.wav"]


def test_a_renamed_file_is_a_new_recording_and_the_old_one_waits(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    (one.root / "a.wav").rename(one.root / "b.wav")
    one.look("a.wav", "b.wav")
    assert one.names() == [b"a.wav", b"b.wav"]
    assert {row.state for row in one.rows()} == {State.DISCOVERED}


def test_a_removed_file_judges_nothing_and_is_the_same_recording_when_it_is_back(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    (one.root / "a.wav").unlink()
    one.put("keep.txt")
    one.scan()
    before = one.rows()
    one.scan()
    assert one.rows() == before
    one.put("a.wav")
    one.scan()
    assert one.names() == [b"a.wav"]


def test_a_sidecar_that_came_late_wakes_its_recording(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    row = one.kit.claim(one.row("a.wav"))
    one.kit.ledger.recordings.release(row, due_at=one.kit.now + 10**9)
    one.put("a.json")
    one.look("a.json")
    assert one.row("a.wav").due_at == one.kit.now


@pytest.mark.parametrize("how", ["scan", "look"])
def test_a_quarantined_recording_is_woken_by_a_sidecar_that_came_changed_or_went(desk, how):
    one = desk()
    one.put("a.wav")
    one.scan()
    for change in ("came", "changed", "went"):
        one.kit.apply(one.row("a.wav"), Event.FAULTED)
        if change == "went":
            (one.root / "a.wav.json").unlink()
        else:
            one.put("a.wav.json", change.encode())
        one.scan() if how == "scan" else one.look("a.wav.json")
        assert one.row("a.wav").state is State.DISCOVERED, change


def test_both_files_come_at_once_and_the_sidecar_is_known_first(desk):
    """By the time a recording can be claimed its sidecar is in the cache."""
    one = desk()
    one.put("a.wav")
    one.put("a.wav.json")
    seen = []
    record = one.kit.ledger.discovery.record

    def noting(**options):
        seen.append([(sight.name, sight.is_recording) for sight in options["sights"]])
        return record(**options)

    one.kit.ledger.discovery.record = noting
    one.scan()
    assert seen == [[(b"a.wav.json", False), (b"a.wav", True)]]


def test_a_large_folder_is_written_in_parts_and_whole(desk):
    one = desk()
    for n in range(BATCH + 20):
        one.put(f"{n}.wav")
    one.scan()
    assert len(one.rows()) == BATCH + 20


def test_a_large_first_scan_is_held_and_what_comes_after_it_is_not(desk):
    one = desk(backlog_limit=3)
    for n in range(4):
        one.put(f"{n}.wav")
    one.scan()
    assert one.kit.ledger.recordings.held() == {"backlog": 4}
    one.put("new.wav")
    one.scan()
    assert one.row("new.wav").held is None
    one.put("newer.wav")
    one.look("newer.wav")
    assert one.row("newer.wav").held is None
    assert one.kit.ledger.discovery.release_backlog(one.source_n, at=one.kit.now) == 4


def test_as_many_as_the_limit_are_not_held_and_sidecars_do_not_count(desk):
    one = desk(backlog_limit=3)
    for n in range(3):
        one.put(f"{n}.wav")
        one.put(f"{n}.json")
    one.scan()
    assert one.kit.ledger.recordings.held() == {}


def test_a_first_scan_that_was_broken_off_is_still_the_first(desk):
    one = desk(backlog_limit=3)
    for n in range(4):
        one.put(f"{n}.wav")
    one.stop.set()
    one.scan()
    assert one.source.scanned_at is None
    one.stop.clear()
    one.start()
    one.scan()
    assert one.kit.ledger.recordings.held() == {"backlog": 4}


def test_a_first_scan_that_failed_does_not_hold_what_comes_after(desk):
    one = desk(backlog_limit=1)
    for n in range(3):
        one.put(f"{n}.wav")
    walk = one.scanner.scan

    def fails():
        from uploader.errors import SourceUnavailable

        one.scanner.scan = walk
        raise SourceUnavailable("gone")

    one.scanner.scan = fails
    one.scan()
    one.put("new.wav")
    one.look("new.wav")
    assert one.row("new.wav").held is None


def test_an_empty_root_where_recordings_were_is_unavailable_not_cleared(desk):
    one = desk()
    one.put("a.wav")
    one.put("a.json")
    one.scan()
    before = one.rows()
    aside = one.root.parent / "aside"
    one.root.rename(aside)
    one.root.mkdir()
    assert one.scan() == 30
    assert (one.source.available, "mounted" in one.source.detail) == (False, True)
    assert one.rows() == before
    one.root.rmdir()
    aside.rename(one.root)
    assert one.scan() == 300
    assert (one.source.available, one.source.detail) == (True, "")
    assert one.rows() == before


def test_a_missing_root_is_unavailable_and_comes_back(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    aside = one.root.parent / "aside"
    one.root.rename(aside)
    for _ in range(2):
        assert one.scan() == 30
        assert not one.source.available
    aside.rename(one.root)
    one.scan()
    assert one.source.available
    assert one.names() == [b"a.wav"]


def test_an_unavailable_source_is_known_as_such_by_the_next_process(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    one.root.rename(one.root.parent / "aside")
    one.scan()
    one.start()
    (one.root.parent / "aside").rename(one.root)
    one.scan()
    assert one.source.available


def test_a_look_while_the_root_is_away_judges_nothing(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    before = one.rows(), one.entries()
    one.root.rename(one.root.parent / "aside")
    one.look("a.wav")
    assert (one.rows(), one.entries()) == before
    assert not one.source.available


def test_an_empty_folder_of_a_new_source_is_available(desk):
    one = desk()
    assert one.scan() == 300
    assert one.source.available


@contextlib.contextmanager
def shut(path):
    path.chmod(0)
    try:
        with bound_by_modes():
            yield
    finally:
        path.chmod(0o700)


def test_nothing_in_a_folder_that_cannot_be_read_is_judged(desk):
    """Sent recordings would be forgotten, and be new ones when the rights are mended."""
    one = desk()
    for name in ("shut/a.wav", "shut/deep/b.wav", "open/c.wav"):
        one.put(name)
    one.scan()
    for row in one.rows():
        one.kit.ledger.attempts.adopt(row, f"i-{row.n}", at=one.kit.now)
    before = one.rows()
    with shut(one.root / "shut"):
        one.scan()
        one.scan()
    one.scan()
    assert one.rows() == before


def test_a_folder_that_is_really_gone_is_forgotten(desk):
    one = desk()
    for name in ("gone/a.wav", "gone/deep/b.wav", "open/c.wav"):
        one.put(name)
    one.scan()
    for row in one.rows():
        one.kit.ledger.attempts.adopt(row, f"i-{row.n}", at=one.kit.now)
    shutil.rmtree(one.root / "gone")
    one.scan()
    for directory in ("gone", "gone/deep"):
        assert one.entries(directory) == {}
    one.put("gone/a.wav")
    one.scan()
    assert len(one.rows()) == 4


def test_a_folder_that_became_a_link_is_gone(desk):
    one = desk()
    one.put("sub/a.wav")
    one.scan()
    (one.root / "sub").rename(one.root.parent / "outside")
    (one.root / "sub").symlink_to(one.root.parent / "outside")
    one.scan()
    (entry,) = one.entries("sub").values()
    assert entry.stamp.size_bytes == -1


def test_a_scan_that_is_stopped_forgets_nothing(desk):
    one = desk()
    for name in ("a.wav", "one/b.wav", "two/c.wav"):
        one.put(name)
    one.scan()
    entries = [one.entries(folder) for folder in ("", "one", "two")]
    one.stop.set()
    one.scan()
    assert [one.entries(folder) for folder in ("", "one", "two")] == entries


def test_a_file_that_was_replaced_after_it_was_sent_is_a_new_recording(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    one.kit.ledger.attempts.adopt(one.row("a.wav"), "i-1", at=one.kit.now)
    one.put("a.wav", b"another")
    one.look("a.wav")
    assert sorted(row.state for row in one.rows()) == ["discovered", "submitted"]


def test_a_file_that_was_replaced_in_flight_is_seen_by_the_next_scan_after_it(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    row = one.kit.understand(one.row("a.wav"))
    row = one.kit.ledger.recordings.apply(row, Event.STAGED, at=one.kit.now, staged="{}", due_at=one.kit.now)
    attempt, _ = one.kit.begin(row)
    one.put("a.wav", b"another")
    one.look("a.wav")
    one.scan()
    assert len(one.rows()) == 1
    from tests.unit.ledger.kit import accepted

    one.kit.finish(attempt, accepted("i-1"))
    one.scan()
    assert sorted(row.state for row in one.rows()) == ["discovered", "submitted"]


def test_what_arrives_while_the_source_is_paused_is_parked(desk):
    one = desk()
    one.kit.ledger.discovery.set_parked(at=one.kit.now, parked=True, source_n=one.source_n)
    one.put("a.wav")
    one.scan()
    assert one.row("a.wav").lane >= 10


def test_many_names_that_rang_are_one_scan(desk):
    one = desk()
    one.put("a.wav")
    one.scanner._bell.everything()
    one.scanner._turn(math.inf)
    assert one.names() == [b"a.wav"]
    assert one.source.scanned_at is not None


def test_the_loop_scans_waits_and_ends_when_it_is_rung(desk):
    one = desk()
    one.put("a.wav")
    thread = threading.Thread(target=one.scanner.run)
    thread.start()
    assert one.scanner.first_scan_done.wait(10)
    one.stop.set()
    one.scanner.ring()
    thread.join(10)
    assert not thread.is_alive()
    assert one.names() == [b"a.wav"]


def test_what_could_not_be_read_is_judged_again_by_the_scan_that_finds_its_rights_mended(desk):
    one = desk()
    path = one.root / "a.wav"
    path.write_bytes(b"RIFF")
    one.scan()
    (n,) = one.kit.states()
    row = one.kit.apply(one.kit.row(n), Event.FAULTED, reason_code="file_unreadable", reason="not to be read")
    one.scan()
    assert (one.kit.again(row).state, one.kit.again(row).due_at) == (State.DISCOVERED, one.kit.now)
    path.unlink()
    row = one.kit.apply(one.kit.again(row), Event.FAULTED, reason_code="file_unreadable", reason="not to be read")
    one.scan()
    assert one.kit.again(row).state is State.QUARANTINED


def test_where_nothing_is_heard_new_files_are_found_long_before_the_next_full_scan(desk):
    one = desk()
    due = one.clock.monotonic() + one.scan()
    scanned_at = one.source.scanned_at
    one.put("a.wav")
    for seconds, names in ((29.0, []), (1.5, [b"a.wav"])):
        one.clock.advance(seconds)
        assert one.scanner._turn(due) == due
        assert one.names() == names
    assert one.source.scanned_at == scanned_at


def test_a_folder_that_is_heard_of_is_not_listed_between_full_scans(desk, monkeypatch):
    one = desk()
    due = one.clock.monotonic() + one.scan()
    monkeypatch.setattr(type(one.scanner), "is_watched", True)
    one.put("a.wav")
    one.clock.advance(200)
    one.scanner._turn(due)
    assert one.names() == []


def test_while_a_source_is_unavailable_it_is_looked_for_only_when_the_next_full_scan_is_due(desk):
    one = desk()
    one.put("a.wav")
    one.scan()
    aside = one.root.parent / "aside"
    one.root.rename(aside)
    one.clock.advance(40)
    due = one.scanner._turn(one.clock.monotonic() + 260)
    assert due - one.clock.monotonic() == 30
    aside.rename(one.root)
    one.put("b.wav")
    one.clock.advance(29)
    assert one.scanner._turn(due) == due
    assert (one.source.available, one.names()) == (False, [b"a.wav"])
    one.clock.advance(1)
    one.scanner._turn(due)
    assert (one.source.available, one.names()) == (True, [b"a.wav", b"b.wav"])


def test_after_lost_events_what_came_is_looked_for_first_and_then_everything(desk):
    one = desk()
    one.scan()
    order = []
    glance, scan = one.scanner.glance, one.scanner.scan
    one.scanner.glance = lambda: order.append("glance") or glance()
    one.scanner.scan = lambda: order.append("scan") or scan()
    one.put("a.wav")
    one.scanner._bell.everything()
    one.scanner._turn(math.inf)
    assert order == ["glance", "scan"]
    assert one.names() == [b"a.wav"]


def test_a_glance_at_an_unmounted_folder_judges_nothing(desk):
    one = desk()
    one.put("sub/a.wav")
    one.scan()
    for row in one.rows():
        one.kit.ledger.attempts.adopt(row, "i-1", at=one.kit.now)
    before = one.entries("sub")
    one.root.rename(one.root.parent / "aside")
    one.root.mkdir()
    one.clock.advance(31)
    assert one.scanner._turn(math.inf) - one.clock.monotonic() == 30
    assert one.entries("sub") == before
    assert not one.source.available


def test_a_folder_that_came_back_is_walked_by_a_glance_with_all_that_is_below(desk):
    one = desk()
    one.put("sub/deep/a.wav")
    one.put("sub/b.wav")
    one.put("keep.wav")
    one.scan()
    for row in one.rows():
        one.kit.ledger.attempts.adopt(row, f"i-{row.n}", at=one.kit.now)
    (one.root / "sub").rename(one.root.parent / "aside")
    one.scanner.glance()
    assert one.entries("sub") == one.entries("sub/deep") == {}
    (one.root.parent / "aside").rename(one.root / "sub")
    one.scanner.glance()
    assert set(one.entries("sub/deep")) == {b"a.wav"}
    assert set(one.entries("sub")) == {b"b.wav"}


def test_files_and_folders_dated_beyond_what_a_database_keeps_are_found_like_any_other(desk):
    """Struct and SQLite have signed integers of 64 bits: such a date ended the program, at every start anew."""
    one, far = desk(), 13_569_465_600
    one.put("sub/a.wav")
    one.put("b.wav")
    for path in (one.root / "b.wav", one.root / "sub", one.root):
        os.utime(path, (far, far))
    if (one.root / "b.wav").stat().st_mtime != far:
        missing("this file system keeps no such date")
    one.scan()
    one.found = 0
    one.scan()
    one.scanner.glance()
    assert (one.names(), one.found) == ([b"b.wav", b"sub/a.wav"], 0)
    assert one.row("b.wav").stamp == stamp_of((one.root / "b.wav").stat())


def test_what_was_lost_while_the_first_scan_is_not_done_is_held_like_the_rest(desk):
    """A program that was killed in its first scan knows some folders: a glance at them would let the others through."""
    one = desk(backlog_limit=2)
    for number in range(3):
        one.put(f"a{number}.wav")
    one.scan()
    one.kit.force("UPDATE source SET scanned_at = NULL")
    one.start()
    for number in range(3):
        one.put(f"new/b{number}.wav")
    one.scanner._bell.everything()
    one.scanner._turn(math.inf)
    assert one.kit.ledger.recordings.held() == {"backlog": 6}


def test_a_file_that_was_untied_while_its_folder_was_compared_is_found_again(desk, monkeypatch):
    """A worker unties a renamed file; the total that the scan then wrote counted it, so that no scan saw its return."""
    one = desk()
    one.put("a.wav")
    one.scan()
    one.put("b.wav")
    compare = DirectoryCheck.compare

    def compare_meanwhile(check, path):
        found = compare(check, path)
        (row,) = [row for row in one.rows() if row.location.endswith(b"/a.wav")]
        one.kit.ledger.recordings.write(lambda db: untie(db, one.source_n, row.location, of=row.n))
        return found

    monkeypatch.setattr(DirectoryCheck, "compare", compare_meanwhile)
    one.scan()
    monkeypatch.setattr(DirectoryCheck, "compare", compare)
    one.scan()
    assert set(one.entries()) == {b"a.wav", b"b.wav"}


def test_names_that_no_rule_wants_any_more_are_compared_only_until_the_total_leaves_them_out(desk, monkeypatch):
    one = desk()
    one.put("a.wav")
    one.put("b.mp3")
    one.scan()
    one.include = ["*.wav"]
    one.start()
    one.put("c.wav")
    compared = []
    compare = DirectoryCheck.compare
    monkeypatch.setattr(DirectoryCheck, "compare", lambda check, path: compared.append(path) or compare(check, path))
    for _ in range(4):
        one.scan()
    assert len(compared) == 2
