"""Scanner and watch together: a file that lands is in the ledger within moments, whatever way it came."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import pytest

from tests.unit.ledger.kit import Kit
from uploader.platform.clock import SystemClock
from uploader.service.folder_scanner import FolderScanner
from uploader.service.scanner import Rhythm
from uploader.sources.folder.rules import Rules


class Watched:
    def __init__(self, folder):
        self.root = folder / "root"
        self.root.mkdir()
        self.kit = Kit(folder / "ledger.db", clock=SystemClock())  # type: ignore[arg-type]
        self.kit.source("s", root=os.fsencode(self.root))
        self.stop, self.found = threading.Event(), threading.Event()
        self.scanner = self.make()
        self.thread = threading.Thread(target=self.scanner.run)

    def make(self, **rhythm):
        beat = Rhythm(rescan_seconds=3600, settle_seconds=0, events=True, backlog_limit=0)
        return FolderScanner(
            root=os.fsencode(self.root), ledger=self.kit.ledger, source=self.kit.ledger.discovery.source("s"),
            rules=Rules(include=["*.wav"], exclude=[]), rhythm=replace(beat, **rhythm), clock=SystemClock(),
            stop=self.stop, found=self.found.set,
        )  # fmt: skip

    def start(self):
        self.thread.start()
        assert self.scanner.first_scan_done.wait(10)

    def end(self):
        self.stop.set()
        self.scanner.ring()
        if self.thread.ident:
            self.thread.join(10)
        self.kit.close()

    def names(self):
        start = len(os.fsencode(self.root)) + 1
        return {location[start:] for (location,) in self.kit.ask("SELECT location FROM recording")}

    def wait_for(self, *names, seconds=15):
        deadline = time.monotonic() + seconds
        while not set(names) <= self.names():
            assert time.monotonic() < deadline, (names, self.names())
            self.found.wait(0.2)
            self.found.clear()


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.end()


def test_files_that_land_in_any_way_are_found_by_their_events(watched):
    watched.start()
    root, outside = watched.root, watched.root.parent
    (root / "written.wav").write_bytes(b"x")
    (root / "renamed.part").write_bytes(b"x")
    (root / "renamed.part").rename(root / "renamed.wav")
    (outside / "moved.wav").write_bytes(b"x")
    (outside / "moved.wav").rename(root / "moved.wav")
    (outside / "linked.wav").write_bytes(b"x")
    os.link(outside / "linked.wav", root / "linked.wav")
    (outside / "folder" / "deep").mkdir(parents=True)
    (outside / "folder" / "deep" / "in.wav").write_bytes(b"x")
    (outside / "folder").rename(root / "folder")
    watched.wait_for(b"written.wav", b"renamed.wav", b"moved.wav", b"linked.wav", b"folder/deep/in.wav")


def test_files_from_before_the_start_are_found_by_the_scan(watched):
    (watched.root / "before.wav").write_bytes(b"x")
    watched.start()
    assert watched.names() == {b"before.wav"}


def test_a_root_that_comes_later_is_found_and_watched(tmp_path):
    watched = Watched(tmp_path)
    watched.root.rmdir()
    watched.scanner = watched.make(rescan_seconds=0.1)
    watched.thread = threading.Thread(target=watched.scanner.run)
    try:
        watched.start()
        assert not watched.kit.ledger.discovery.source("s").available
        watched.root.mkdir()
        (watched.root / "a.wav").write_bytes(b"x")
        watched.wait_for(b"a.wav")
        deadline = time.monotonic() + 10
        while not watched.kit.ledger.discovery.source("s").available:
            assert time.monotonic() < deadline
        (watched.root / "later.wav").write_bytes(b"x")
        watched.wait_for(b"later.wav")
    finally:
        watched.end()


def test_many_files_at_once_are_all_found(watched):
    watched.start()
    for n in range(300):
        (watched.root / f"{n:03}.wav").write_bytes(b"x")
    watched.wait_for(*[b"%03d.wav" % n for n in range(300)])
    assert watched.kit.ask("SELECT count(*) FROM recording") == [(300,)]


def test_it_ends_at_once_when_told_to(watched):
    watched.start()
    began = time.monotonic()
    watched.stop.set()
    watched.scanner.ring()
    watched.thread.join(10)
    assert not watched.thread.is_alive()
    assert time.monotonic() - began < 5
