"""The real inotify: what rings the bell, what does not, a queue that overflows, limits that are reached."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import missing
from uploader.sources.folder import emitter as module
from uploader.sources.folder.watch import Bell, Watch

LIMITS = Path("/proc/sys/fs/inotify")


def enters(name):
    return name != b"@eaDir"


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
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
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


def test_a_folder_moved_away_rings_no_more_and_under_its_new_name_it_does(watch, root, rung):
    (root / "sub" / "deep").mkdir()
    (root / "sub").rename(root / "other")
    (root / "other" / "deep" / "a.wav").write_bytes(b"x")
    hears(rung, root, b"other/deep/a.wav")
    (root / "other").rename(root.parent / "outside")
    (root.parent / "outside" / "deep" / "b.wav").write_bytes(b"x")
    (root / "marker.wav").write_bytes(b"x")
    hears(rung, root, b"marker.wav")
    assert not any(b"b.wav" in name for name in rung.names(root))
    assert not watch.covers(os.fsencode(root / "sub"))
    assert not watch.covers(os.fsencode(root / "other" / "deep"))


def test_a_folder_that_was_removed_and_made_again_rings(watch, root, rung):
    for n in range(3):
        shutil.rmtree(root / "sub")
        (root / "sub" / "deep").mkdir(parents=True)
        (root / "sub" / "deep" / f"{n}.wav").write_bytes(b"x")
        hears(rung, root, b"sub/deep/%d.wav" % n)
        assert watch.covers(os.fsencode(root / "sub" / "deep"))
        (root / "sub" / "deep" / f"later{n}.wav").write_bytes(b"x")
        hears(rung, root, b"sub/deep/later%d.wav" % n)


def test_a_tree_made_at_once_is_watched_to_its_last_folder(watch, root, rung):
    deep = "/".join("abcdefghijklmnop")
    (root / "new" / deep).mkdir(parents=True)
    (root / "new" / deep / "a.wav").write_bytes(b"x")
    hears(rung, root, b"new/" + os.fsencode(deep) + b"/a.wav")


def test_an_ignored_folder_takes_no_watch_and_does_not_ring(root, rung):
    (root / "@eaDir" / "deep").mkdir(parents=True)
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
    watch.start()
    try:
        (root / "sub" / "@eaDir").mkdir()
        (root / "sub" / "@eaDir" / "a.wav").write_bytes(b"x")
        (root / "@eaDir" / "deep" / "b.wav").write_bytes(b"x")
        (root / "marker.wav").write_bytes(b"x")
        hears(rung, root, b"marker.wav")
        assert rung.names(root) == {b"marker.wav"}
    finally:
        watch.stop()


def test_a_root_that_is_a_link_is_watched_and_a_link_in_it_is_not_followed(root, rung, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "way").symlink_to(root)
    watch = Watch(os.fsencode(tmp_path / "way"), rung.bell, enters=enters)
    assert watch.start() == ""
    try:
        (tmp_path / "outside" / "a.wav").write_bytes(b"x")
        (root / "marker.wav").write_bytes(b"x")
        hears(rung, tmp_path / "way", b"marker.wav")
        assert rung.names(tmp_path / "way") == {b"marker.wav"}
    finally:
        watch.stop()


def test_a_file_moved_out_does_not_hold_up_what_comes_behind_it(watch, root, rung):
    """Bells with the time at which they rang: nothing is paired, so nothing waits."""
    latencies = []
    for n in range(20):
        (root / f"out{n}.wav").write_bytes(b"x")
        hears(rung, root, b"out%d.wav" % n)
        (root / f"out{n}.wav").rename(root.parent / f"out{n}.wav")
        began = time.monotonic()
        (root / f"drop{n}.wav").write_bytes(b"x")
        hears(rung, root, b"drop%d.wav" % n)
        latencies.append(time.monotonic() - began)
    assert sorted(latencies)[10] < 0.05, latencies


class Held:
    """Holds the thread of that name when it comes by, until it is let go."""

    def __init__(self, thread):
        self.thread = thread
        self.go, self.held = threading.Event(), threading.Event()
        self.bell = Bell(ring=self.ring)

    def ring(self):
        if threading.current_thread().name == self.thread:
            self.held.set()
            self.go.wait(30)

    def enters(self, name):
        if name == b"hold":
            self.ring()
        return True


def queue_of(events):
    """Let notifiers made from now on keep so few events; a program of its own gets all that root may set."""
    place = LIMITS / "max_queued_events"
    before = place.read_text()
    try:
        place.write_text(str(events))
    except OSError:
        missing("only root may change the kernel's limits: run the tests as root")
    return lambda: place.write_text(before)


@pytest.fixture
def small_queue():
    restored = queue_of(64)
    yield restored
    restored()


def wait_until(holds, *, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (done := holds()) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return done


def flood(root, count):
    for n in range(count):
        (root / f"{n}.wav").touch()


@pytest.mark.parametrize("folders", [0, 3_000])
def test_a_queue_that_overflows_is_noticed_nothing_spins_and_events_come_again(root, folders, small_queue):
    """The kernel's own queue, filled while the reading thread is held; a large tree must not overflow for ever."""
    for n in range(folders):
        (root / f"{n % 50}" / f"{n}").mkdir(parents=True)
    held = Held("watch")
    watch = Watch(os.fsencode(root), held.bell, enters=held.enters)
    assert watch.start() == ""
    small_queue()
    try:
        (root / "hold").mkdir()
        assert held.held.wait(10)
        flood(root, 500)
        held.go.set()
        watch._emitter.join(10)
        assert not watch._emitter.is_alive(), "it goes on though events were lost"
        assert not watch.is_listening
        assert held.bell.take()[1], "everything is to be scanned"

        assert watch.heal()
        held.bell.take()
        before = time.process_time()
        assert not watch.heal()
        (root / "after.wav").touch()
        assert wait_until(lambda: held.bell.has(os.fsencode(root / "after.wav")))
        assert held.bell.take() == ({os.fsencode(root / "after.wav")}, False)
        assert time.process_time() - before < 1.0
        assert watch.lost == 1
    finally:
        held.go.set()
        watch.stop()


@pytest.fixture
def held(root, monkeypatch):
    """A watch whose dispatching is held from its first event on, and of which 10 more may wait."""
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    held = Held("watch-dispatch")
    held.watch = Watch(os.fsencode(root), held.bell, enters=enters)
    assert held.watch.start() == ""
    (root / "first.wav").touch()
    assert held.held.wait(10)
    yield held
    held.go.set()
    held.watch.stop()


def test_more_events_than_may_wait_are_one_scan_of_everything_and_the_watch_goes_on(held, root):
    """The library's queue has no bound, and its other end may be slow."""
    flood(root, 500)
    assert wait_until(lambda: held.bell.has(b"anything"))
    assert held.watch._observer.event_queue.qsize() <= 10
    assert held.watch.is_listening
    held.go.set()
    assert wait_until(held.watch._observer.event_queue.empty)
    for n in range(1_000):
        held.bell.take()
        (root / f"after{n}.wav").touch()
        if wait_until(lambda n=n: held.bell.has(os.fsencode(root / f"after{n}.wav"))) and not held.bell.take()[1]:
            break
    else:
        pytest.fail("names never came again")
    assert not held.watch.heal()


def test_what_was_told_before_the_end_rings(held, root):
    """A watch is begun anew while files come: what the old one has read must not go with it."""
    observer = held.watch._observer
    (root / "second.wav").touch()
    assert wait_until(lambda: not observer.event_queue.empty())
    held.bell.take()
    stopper = threading.Thread(target=held.watch.stop)
    stopper.start()
    assert observer.stopped_event.wait(10)
    held.go.set()
    stopper.join(10)
    assert held.bell.has(os.fsencode(root / "second.wav"))
    assert not held.bell.has(b"anything")


def test_a_watch_can_be_ended_in_a_flood(root, rung):
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
    ended = threading.Event()

    def write():
        while not ended.is_set():
            for n in range(50):
                (root / f"{n}.wav").write_bytes(b"x")

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            watch.start()
            assert rung.hear(lambda r: r.heard)
            rung.heard.clear()
            stopper = threading.Thread(target=watch.stop)
            stopper.start()
            stopper.join(10)
            assert not stopper.is_alive()
    finally:
        ended.set()
        for writer in writers:
            writer.join()
        watch.stop()


class Broken(Exception):
    pass


def breaks(*args):
    raise Broken


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reading_thread_that_died_is_noticed_and_replaced(watch, root, rung):
    watch._emitter._inotify.wait = breaks
    (root / "a.wav").write_bytes(b"x")
    assert rung.hear(lambda r: r.everything)
    assert not watch.is_listening
    assert watch.heal()
    (root / "after.wav").write_bytes(b"x")
    hears(rung, root, b"after.wav")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dispatching_thread_that_died_is_noticed_and_replaced(watch, root, rung, monkeypatch):
    observer = watch._observer
    with monkeypatch.context() as patch:
        patch.setattr(rung.bell, "touched", breaks)
        (root / "a.wav").write_bytes(b"x")
        assert rung.hear(lambda r: r.everything)
        observer.join(10)
    assert not watch.is_listening
    assert watch.heal()
    (root / "after.wav").write_bytes(b"x")
    hears(rung, root, b"after.wav")


def test_a_root_that_was_replaced_is_watched_anew(watch, root, rung):
    root.rename(root.parent / "before")
    root.mkdir()
    assert rung.hear(lambda r: r.everything)
    assert watch.heal()
    (root / "after.wav").write_bytes(b"x")
    hears(rung, root, b"after.wav")


def test_what_is_mounted_over_the_root_is_watched_by_the_next_turn(root, rung, small_disk):
    """A mount has no event: the folder is another one all the same."""
    place = small_disk(1)
    watch = Watch(os.fsencode(place), rung.bell, enters=enters)
    assert watch.start() == ""
    try:
        assert not watch.heal()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "qm-uploader-test", str(place)], check=True)
        assert watch.heal()
        (place / "a.wav").write_bytes(b"x")
        hears(rung, place, b"a.wav")
    finally:
        watch.stop()
        subprocess.run(["umount", str(place)], check=True)


def test_stopping_leaves_no_thread_and_no_descriptor(root, rung):
    before, open_before = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
    for _ in range(3):
        watch.start()
        assert set(threading.enumerate()) - before
        watch.stop()
        watch.stop()
    assert set(threading.enumerate()) == before
    assert set(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize("refused", ["watch", "watch-dispatch"])
def test_a_thread_that_cannot_be_started_leaves_no_other_and_no_descriptor(root, rung, monkeypatch, refused):
    before, open_before = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    started = threading.Thread.start

    def start(thread):
        if thread.name == refused:
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
    with pytest.raises(RuntimeError):
        watch.start()
    assert not watch.is_listening
    assert set(threading.enumerate()) == before
    assert set(os.listdir("/proc/self/fd")) == open_before
    monkeypatch.undo()
    assert watch.start() == ""
    watch.stop()


def test_a_folder_that_is_not_there_is_not_watched_and_leaves_nothing_behind(tmp_path, rung):
    watch = Watch(os.fsencode(tmp_path / "none"), rung.bell, enters=enters)
    assert watch.start() == ""
    assert not watch.is_listening
    watch.stop()


@pytest.mark.parametrize("left", [0, 1])
def test_without_a_file_to_open_it_says_so_and_later_it_watches(root, rung, left):
    watch = Watch(os.fsencode(root), rung.bell, enters=enters)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    free = descriptor + left
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        problem = watch.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "LimitNOFILE" in problem
    assert not watch.is_listening
    assert watch.begin_anew() == ""
    assert watch.is_listening
    watch.stop()


LIMITED = """
import os, sys, threading, time
from pathlib import Path
from uploader.sources.folder.watch import Bell, Watch

root, limits = Path(sys.argv[1]), Path("/proc/sys/user")
event = threading.Event()
bell = Bell(ring=event.set)

def hears(name):
    for _ in range(200):
        if bell.has(os.fsencode(root / name)):
            return True
        event.clear()
        event.wait(0.05)
    return False

watch = Watch(os.fsencode(root), bell, enters=lambda name: True)
(limits / "max_inotify_watches").write_text("6")
print(watch.start())
(root / "a.wav").touch()
print(hears("a.wav"))
watch.stop()

(limits / "max_inotify_watches").write_text("12")
print(repr(watch.start()))
for n in range(4):
    (root / f"new{n}").mkdir()
(root / "new0" / "b.wav").touch()
hears("new0/b.wav")
(root / "last.wav").touch()
print(hears("last.wav"), watch.problem)

(limits / "max_inotify_watches").write_text("1000")
print(repr(watch.begin_anew()))
(root / "new3" / "c.wav").touch()
print(hears("new3/c.wav"))
watch.stop()

(limits / "max_inotify_instances").write_text("0")
print(watch.start(), watch.is_listening)
(limits / "max_inotify_instances").write_text("5")
print(repr(watch.begin_anew()), watch.is_listening)
watch.stop()
"""


def test_the_limits_of_the_kernel_are_said_with_the_line_and_when_raised_all_is_watched(root):
    """In a user namespace of its own, which has limits of its own: nobody else's watches are concerned."""
    for n in range(9):
        (root / "sub" / f"{n}").mkdir()
    command = ["unshare", "-Ur", sys.executable, "-c", LIMITED, str(root)]
    if subprocess.run(["unshare", "-Ur", "true"], check=False, capture_output=True).returncode:
        missing("a user namespace cannot be made: run the tests as root, or install util-linux")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "some folders are only scanned: "
        "too many folders to watch: set `user.max_inotify_watches=1048576` in /etc/sysctl.d",
        "True",
    ]
    assert lines[2] == "''"
    assert lines[3].startswith("True some folders are only scanned: too many folders to watch")
    assert lines[4:6] == ["''", "True"]
    assert lines[6] == "too many watchers: set `user.max_inotify_instances=1024` in /etc/sysctl.d False"
    assert lines[7] == "'' True"


def test_nothing_is_written_into_the_folder(watch, root, rung):
    (root / "a.wav").write_bytes(b"x")
    hears(rung, root, b"a.wav")
    assert {p.name for p in root.rglob("*")} == {"sub", "a.wav"}
