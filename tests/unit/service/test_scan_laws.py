"""Whatever happens to a tree: after a full scan the cache equals it, and every difference was told once."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.ledger.kit import FakeClock, Kit, accepted
from uploader.domain.lifecycle import Event
from uploader.domain.scanning import Total
from uploader.ledger.entries import GONE
from uploader.platform.filesystem import stamp_of
from uploader.service.folder_scanner import FolderScanner
from uploader.service.scanner import Rhythm
from uploader.sources.folder.rules import Rules

FOLDERS = ["", "one", "two", "one/deep", ".hidden"]
NAMES = ["a.wav", "a.mp3", "a.json", "a.wav.json", "b.wav", "c.wav", "c.txt", "d.wav.part"]
FOLDER, NAME = st.sampled_from(FOLDERS), st.sampled_from(NAMES)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), FOLDER, NAME, st.integers(0, 3)),
        st.tuples(st.just("put"), FOLDER, NAME, st.integers(0, 3)),
        st.tuples(st.just("remove"), FOLDER, NAME),
        st.tuples(st.just("swap"), FOLDER, NAME, NAME),
        st.tuples(st.just("rename"), FOLDER, NAME, FOLDER, NAME),
        st.tuples(st.just("clear"), FOLDER),
        st.tuples(st.just("move"), FOLDER, FOLDER),
    ),
    max_size=8,
)
ROUNDS = st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=5)


class Tree:
    """A tree that changes, a scanner of it, and what the scanner told."""

    def __init__(self, folder: Path, *, part: int) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        (self.root / "keep.txt").write_text("")  # an empty root is taken for one that is not mounted
        self.kit = Kit(folder / "ledger.db", clock=FakeClock())
        self.kit.clock.step(86_400)  # all that happens here is long ago: folders can be trusted at once
        self.source_n = self.kit.source("s", root=os.fsencode(self.root))
        self.told: list[tuple[bytes, bytes, object]] = []
        self._record = self.kit.ledger.discovery.record
        self.kit.ledger.discovery.record = self._noting
        self.scanner = FolderScanner(
            root=os.fsencode(self.root), part=part, ledger=self.kit.ledger, stop=threading.Event(),
            source=self.kit.ledger.discovery.source("s"), rules=Rules(include=["*.wav", "*.mp3"], exclude=[]),
            rhythm=Rhythm(rescan_seconds=300.0, settle_seconds=2.0, events=False, backlog_limit=0),
            clock=self.kit.clock, found=lambda: None,
        )  # fmt: skip

    def _noting(self, **what):
        self.told += [(what["directory"], sight.name, sight.stamp) for sight in what["sights"]]
        self.told += [(what["directory"], name, None) for name in what["gone"]]
        return self._record(**what)

    def change(self, what, folder, *values):
        path = self.root / folder
        if what == "put":
            name, size = values
            path.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(b"x" * size)
            os.utime(path / name, ns=(size, size))
        elif what == "remove":
            (path / values[0]).unlink(missing_ok=True)
        elif what == "swap":
            one, other = path / values[0], path / values[1]
            if one.exists() and other.exists() and one != other:
                one.rename(path / "aside")
                other.rename(one)
                (path / "aside").rename(other)
        elif what == "rename":
            name, there, other = values
            if (path / name).exists() and (self.root / there).is_dir():
                (path / name).rename(self.root / there / other)
        elif what == "clear" and folder and path.is_dir():
            shutil.rmtree(path)
        elif what == "move" and folder and path.is_dir() and not (self.root / values[0]).exists():
            target = self.root / values[0]
            if target.parent.is_dir() and not target.is_relative_to(path):
                path.rename(target)

    def there(self):
        """The recordings and sidecars of the tree, by folder and name."""
        found = {}
        for folder, folders, names in os.walk(os.fsencode(self.root)):
            folders[:] = [name for name in folders if not name.startswith(b".")]
            for name in names:
                if name.endswith((b".wav", b".mp3", b".json")):
                    found[folder, name] = stamp_of(os.stat(os.path.join(folder, name)))
        return found

    def known(self):
        rows = self.kit.ask(
            "SELECT path, name FROM directory d JOIN entry e ON e.directory_n = d.n WHERE size_bytes >= 0"
        )
        found = {}
        for path, name in rows:
            found[path, name] = self.kit.entries(path, source_n=self.source_n)[name].stamp
        return found

    def totals(self):
        return {row.path: row.total for row in self.kit.ledger.scan_cache.directories(self.source_n)}

    def full(self):
        """Scan; return what was told."""
        self.told = []
        self.scanner.scan()
        return self.told


def totals_of(found):
    totals = {}
    for (folder, name), stamp in found.items():
        totals[folder] = totals.get(folder, Total()).plus(name, stamp)
    return totals


@pytest.fixture
def tree():
    with tempfile.TemporaryDirectory() as folder:
        made = Tree(Path(folder), part=2)
        yield made
        made.kit.close()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=ROUNDS, part=st.sampled_from([1, 2, 3, 10_000]))
def test_after_a_full_scan_the_cache_is_the_tree_and_each_difference_was_told_once(rounds, part):
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder), part=part)
        try:
            for changes, glances in rounds:
                for change in changes:
                    tree.change(*change)
                if glances:
                    tree.scanner.glance()
                before, there = tree.known(), tree.there()
                told = tree.full()
                came = [(*key, stamp) for key, stamp in there.items() if before.get(key) != stamp]
                went = [(*key, None) for key in before.keys() - there.keys()]
                assert sorted(told, key=repr) == sorted(came + went, key=repr)
                assert tree.known() == there
                assert {path: total for path, total in tree.totals().items() if total.count} == totals_of(there)
                assert tree.full() == []
        finally:
            tree.kit.close()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(before=CHANGES, after=CHANGES)
def test_a_glance_finds_what_came_or_went_by_name(before, after):
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder), part=2)
        try:
            for change in before:
                tree.change(*change)
            tree.full()
            for change in after:
                tree.change(*change)
            tree.scanner.glance()
            assert tree.known().keys() == tree.there().keys()
        finally:
            tree.kit.close()


def test_what_did_not_change_is_neither_read_nor_written_again(tree):
    tree.change("put", "one", "a.wav", 1)
    tree.change("put", "", "b.wav", 1)
    tree.full()
    statements: list[str] = []
    with tree.kit.ledger._readers.lend() as db:
        db.conn.set_trace_callback(statements.append)
    tree.full()
    tree.scanner.glance()
    assert not [one for one in statements if "FROM entry" in one and "LIMIT" not in one]
    assert tree.told == []


def test_a_trusted_folder_is_not_listed_by_a_glance(tree, monkeypatch):
    tree.change("put", "one", "a.wav", 1)
    tree.change("put", "two", "b.wav", 1)
    tree.full()
    tree.change("put", "two", "c.wav", 1)
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    tree.scanner.glance()
    assert {os.path.relpath(path, os.fsencode(tree.root)) for path in listed} == {b".", b"two"}
    assert tree.known() == tree.there()


def test_a_folder_that_was_changed_just_before_it_was_listed_is_listed_again(tree):
    """Its time may have too few digits to tell the next change from the last."""
    tree.change("put", "one", "a.wav", 1)
    path = tree.root / "one"
    seconds = path.stat().st_ctime - tree.kit.clock.now().timestamp()
    tree.kit.clock.step(seconds + 1)
    tree.full()
    assert tree.kit.ask("SELECT trusted FROM directory WHERE path = ?", os.fsencode(path)) == [(None,)]
    tree.kit.clock.advance(10)
    tree.scanner.glance()
    assert tree.kit.ask("SELECT trusted FROM directory WHERE path = ?", os.fsencode(path)) != [(None,)]


def test_a_file_that_was_replaced_in_flight_is_seen_by_every_scan_until_it_is_told(tree):
    tree.change("put", "", "a.wav", 1)
    tree.full()
    row = tree.kit.understand(tree.kit.row(1))
    row = tree.kit.ledger.recordings.apply(row, Event.STAGED, at=tree.kit.now, staged="{}", due_at=tree.kit.now)
    attempt, _ = tree.kit.begin(row)
    tree.change("put", "", "a.wav", 2)
    for scan in (tree.full, tree.scanner.glance, tree.full):
        tree.told = []
        scan()
        assert [name for _, name, _ in tree.told] == [b"a.wav"]
    tree.kit.finish(attempt, accepted("i-1"))
    tree.scanner.glance()
    assert sorted(tree.kit.states().values()) == ["discovered", "submitted"]
    assert tree.full() == []


def test_a_total_that_went_wrong_is_put_right_by_one_comparison(tree):
    tree.change("put", "", "a.wav", 1)
    tree.full()
    right = tree.totals()
    tree.kit.force("UPDATE directory SET count = count + 1, checksum = 5")
    assert tree.full() == []
    assert tree.totals() == right


def test_files_that_the_source_no_longer_takes_cost_one_comparison_and_are_known_when_it_does_again(tree):
    tree.change("put", "", "a.wav", 1)
    tree.change("put", "", "a.mp3", 1)
    tree.full()
    both = tree.scanner._rules
    for rules, total in ((Rules(include=["*.wav"], exclude=[]), 1), (both, 2)):
        tree.scanner._rules = rules
        assert tree.full() == []
        assert tree.totals()[os.fsencode(tree.root)].count == total


def test_the_entry_of_a_relocated_recording_leaves_the_total(tree):
    tree.change("put", "", "a.wav", 1)
    tree.change("put", "one", "b.wav", 1)
    tree.full()
    first, by = (tree.kit.row(n) for n in tree.kit.states())
    tree.kit.ledger.recordings.relocate(first, by=by, at=tree.kit.now)
    known = tree.known()
    assert {path: total for path, total in tree.totals().items() if total.count} == totals_of(known)
    assert len(known) == 1
    (entry,) = tree.kit.entries(by.location.rpartition(b"/")[0], source_n=tree.source_n).values()
    assert entry.recording_n == first.n


def test_all_sidecars_of_a_large_folder_are_known_before_its_first_recording(tree):
    for name in ("a.wav", "b.wav", "c.wav", "a.json", "c.wav.json"):
        tree.change("put", "", name, 1)
    names = [name for _, name, _ in tree.full()]
    assert {name.endswith(b".json") for name in names[:2]} == {True}
    assert len(names) == 5


def test_a_sidecar_wakes_its_recording_of_another_part(tree):
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        tree.change("put", "", name, 1)
    tree.full()
    rows = {tree.kit.row(n).location[-5:]: tree.kit.row(n) for n in tree.kit.states()}
    for row in rows.values():
        tree.kit.apply(row, Event.FAULTED)
    tree.change("put", "", "a.json", 1)
    tree.full()
    assert {name for name, row in rows.items() if tree.kit.again(row).state == "discovered"} == {b"a.wav"}


def test_a_gone_file_is_kept_while_its_recording_waits(tree):
    tree.change("put", "one", "a.wav", 1)
    tree.full()
    tree.change("clear", "one")
    tree.full()
    (entry,) = tree.kit.entries(os.fsencode(tree.root / "one"), source_n=tree.source_n).values()
    assert entry.stamp == GONE
    writes: list[object] = []
    write = tree.kit.ledger._writer.write
    tree.kit.ledger.scan_cache._writer.write = lambda *what, **how: writes.append(what) or write(*what, **how)
    tree.scanner.glance()
    assert (tree.full(), writes) == ([], [])
