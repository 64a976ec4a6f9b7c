"""The bell: bounded, and never loses that it rang."""

from __future__ import annotations

import errno
import threading

import pytest

from uploader.sources.folder.inotify import why_not
from uploader.sources.folder.watch import MAX_NAMES, Bell


@pytest.fixture
def rung():
    return []


@pytest.fixture
def bell(rung):
    return Bell(ring=lambda: rung.append(1))


def test_names_are_kept_until_they_are_taken(bell, rung):
    bell.touched(b"/a")
    bell.touched(b"/b")
    bell.touched(b"/a")
    assert len(rung) == 3
    assert bell.take() == ({b"/a", b"/b"}, False)
    assert bell.take() == (set(), False)


def test_too_many_names_are_one_scan_of_everything(bell):
    for n in range(MAX_NAMES + 10):
        bell.touched(b"/%d" % n)
    paths, everything = bell.take()
    assert (len(paths), everything) == (0, True)
    bell.touched(b"/x")
    assert bell.take() == ({b"/x"}, False)


def test_lost_events_are_one_scan_of_everything(bell, rung):
    bell.touched(b"/a")
    bell.everything()
    bell.touched(b"/b")
    assert bell.take() == (set(), True)
    assert len(rung) == 3


def test_many_threads_ring_and_nothing_is_lost(bell):
    taken, done = set(), threading.Event()

    def take():
        while not done.is_set():
            taken.update(bell.take()[0])

    taker = threading.Thread(target=take)
    taker.start()
    ringers = [
        threading.Thread(target=lambda t=t: [bell.touched(b"/%d-%d" % (t, n)) for n in range(500)]) for t in range(4)
    ]
    for thread in ringers:
        thread.start()
    for thread in ringers:
        thread.join(20)
    done.set()
    taker.join(20)
    taken.update(bell.take()[0])
    assert len(taken) == 2000


def test_what_rang_can_be_asked_for_until_it_is_taken(bell):
    bell.touched(b"/a")
    assert (bell.has(b"/a"), bell.has(b"/b")) == (True, False)
    bell.everything()
    assert bell.has(b"/b")
    bell.take()
    assert not bell.has(b"/a")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances"), (errno.EACCES, "Permission denied")],
)
def test_what_keeps_from_watching_is_said_with_the_line_that_mends_it(number, words):
    sentence = why_not(OSError(number, "x", "/secret/path"))
    assert words in sentence
    assert "secret" not in sentence
