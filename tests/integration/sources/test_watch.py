"""The real inotify: what rings the bell, what does not, and a queue that overflows."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor

from uploader.sources.folder.watch import Bell, Watch


class Rung:
    """Waits for names to ring; no sleeping, an event for each ring."""

    def __init__(self):
        self.event = threading.Event()
        self.bell = Bell(ring=self.event.set)
        self.heard: set[bytes] = set()
        self.everything = False

    def hear(self, until, *, seconds=10.0):
        """Take what rings until `until` holds; return whether it ever did."""
        deadline = time.monotonic() + seconds
        while True:
            self.event.clear()
            paths, everything = self.bell.take()
            self.heard |= paths
            self.everything |= everything
            if until(self):
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not self.event.wait(left):
                return until(self)

    def names(self, root):
        return {path.removeprefix(os.fsencode(root) + b"/") for path in self.heard}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    return root


@pytest.fixture
def rung():
    return Rung()


@pytest.fixture
def watch(root, rung):
    watch = Watch(os.fsencode(root), rung.bell)
    assert watch.start() == ""
    yield watch
    watch.stop()


def hears(rung, root, *names):
    assert rung.hear(lambda r: set(names) <= r.names(root)), rung.heard


def test_a_file_that_is_written_rings(watch, root, rung):
    (root / "a.wav").write_bytes(b"x")
    (root / "sub" / "b.wav").write_bytes(b"x")
    hears(rung, root, b"a.wav", b"sub/b.wav")


def test_a_file_that_is_closed_after_writing_rings_again(watch, root, rung):
    with (root / "a.wav").open("wb") as file:
        file.write(b"x")
        file.flush()
        hears(rung, root, b"a.wav")
        rung.heard.clear()
    hears(rung, root, b"a.wav")


def test_a_rename_rings_for_both_names(watch, root, rung):
    (root / "a.part").write_bytes(b"x")
    hears(rung, root, b"a.part")
    (root / "a.part").rename(root / "a.wav")
    hears(rung, root, b"a.wav")


def test_a_file_moved_in_from_outside_rings(watch, root, rung):
    outside = root.parent / "outside.wav"
    outside.write_bytes(b"x")
    outside.rename(root / "moved.wav")
    hears(rung, root, b"moved.wav")


def test_a_hard_link_rings(watch, root, rung):
    outside = root.parent / "outside.wav"
    outside.write_bytes(b"x")
    os.link(outside, root / "linked.wav")
    hears(rung, root, b"linked.wav")


def test_a_folder_moved_in_rings_for_what_is_in_it_and_for_what_comes_into_it(watch, root, rung):
    outside = root.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "a.wav").write_bytes(b"x")
    (outside / "deep" / "b.wav").write_bytes(b"x")
    outside.rename(root / "moved")
    hears(rung, root, b"moved/a.wav", b"moved/deep/b.wav")
    (root / "moved" / "deep" / "later.wav").write_bytes(b"x")
    hears(rung, root, b"moved/deep/later.wav")


def test_a_new_folder_and_what_comes_into_it_rings(watch, root, rung):
    (root / "new").mkdir()
    (root / "new" / "first.wav").write_bytes(b"x")
    # whether the first file's event or only the folder's comes is a race; a later one always does
    for n in range(200):
        (root / "new" / f"{n}.wav").write_bytes(b"x")
        if rung.hear(lambda r: any(name.startswith(b"new/") for name in r.names(root)), seconds=0.1):
            return
    pytest.fail("nothing in the new folder rang")


@pytest.mark.parametrize("name", [b"\xff\xfe.wav", b"new\nline.wav", "Grüße.wav".encode(), b"'\" $.wav"])
def test_any_name_rings_as_it_is(watch, root, rung, name):
    with open(os.fsencode(root) + b"/" + name, "wb") as file:
        file.write(b"x")
    hears(rung, root, name)


def test_reading_does_not_ring(watch, root, rung):
    (root / "a.wav").write_bytes(b"x")
    hears(rung, root, b"a.wav")
    rung.hear(lambda r: False, seconds=0.3)
    rung.heard.clear()
    for _ in range(20):
        (root / "a.wav").read_bytes()
    (root / "marker.wav").write_bytes(b"x")
    hears(rung, root, b"marker.wav")
    assert b"a.wav" not in rung.names(root)


def test_after_an_overflow_the_observer_is_another_everything_is_scanned_and_events_come(watch, root, rung):
    """The kernel's own event for it, handed to watchdog as if it had been read."""
    before = watch._observer
    before._inotify_fd.handle_event(InotifyEvent(WatchDescriptor(-1), Mask(InotifyConstants.IN_Q_OVERFLOW), 0, b""))
    assert rung.hear(lambda r: r.everything)
    rung.everything = False
    assert watch.heal() == ""
    assert watch.overflows == 1
    assert watch._observer is not before
    assert not before.is_alive()
    assert rung.hear(lambda r: r.everything)
    (root / "after.wav").write_bytes(b"x")
    hears(rung, root, b"after.wav")
    assert watch.heal() == ""
    assert watch.overflows == 1


def test_an_observer_that_died_is_replaced(watch, root, rung):
    watch._observer.stop()
    watch._observer.join()
    assert watch.heal() == ""
    assert rung.hear(lambda r: r.everything)
    (root / "after.wav").write_bytes(b"x")
    hears(rung, root, b"after.wav")


def test_stopping_leaves_no_thread_and_no_listener(root, rung):
    before = set(threading.enumerate())
    handlers = list(logging.getLogger("watchdog.observers.inotify").handlers)
    watch = Watch(os.fsencode(root), rung.bell)
    watch.start()
    assert set(threading.enumerate()) - before
    watch.stop()
    watch.stop()
    assert not {t for t in threading.enumerate() if t not in before and t.is_alive()}
    assert logging.getLogger("watchdog.observers.inotify").handlers == handlers


def test_a_folder_that_is_not_there_is_said_so_and_leaves_nothing_behind(tmp_path, rung):
    watch = Watch(os.fsencode(tmp_path / "none"), rung.bell)
    assert "scanning only" in watch.start()
    watch.stop()


def test_nothing_is_written_into_the_folder(watch, root, rung):
    (root / "a.wav").write_bytes(b"x")
    hears(rung, root, b"a.wav")
    assert {p.name for p in root.rglob("*")} == {"sub", "a.wav"}
