"""What a source hears of: the real inotify, and scans that find what no event told."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from uploader.domain.hearing import Hearing
from uploader.service import listener as module
from uploader.service.listener import DEAF, NETWORK, Listener


class LateClock:
    """The system's clock some time later: what has just been written is old."""

    ahead = timedelta(seconds=60)

    def now(self):
        return datetime.now(UTC) + self.ahead

    def monotonic(self):
        raise AssertionError


class Ear:
    """A listener, a folder, and what was said."""

    def __init__(self, root, *, events=True, trusted=False):
        self.root = root
        self.said: list[str] = []
        self.rung = threading.Event()
        self.clock = LateClock()
        self.listener = Listener(
            root=os.fsencode(root), enters=lambda name: True, events=events, trusted=trusted, ring=self.rung.set,
            say=self.said.append, clock=self.clock,
        )  # fmt: skip

    def drop(self, name, *, heard):
        """Put a file there; `heard` or not, its event is taken, and it changed long ago."""
        path = self.root / name
        self.rung.clear()
        path.write_bytes(b"x")
        while not self.listener.bell.has(os.fsencode(path)):
            assert self.rung.wait(10)
            self.rung.clear()
        if not heard:
            # closed after writing is the last event of the file
            (self.root / "marker").write_bytes(b"x")
            while not self.listener.bell.has(os.fsencode(self.root / "marker")):
                assert self.rung.wait(10)
                self.rung.clear()
            self.listener.bell.take()
        return os.fsencode(name)

    def scan(self, *found):
        self.listener.before_scan()
        self.listener.found(os.fsencode(self.root), found)
        self.listener.after_scan()


@pytest.fixture
def ear(tmp_path):
    made = []

    def make(**options):
        root = tmp_path / "root"
        root.mkdir()
        made.append(Ear(root, **options))
        made[-1].listener.begin()
        return made[-1]

    yield make
    for one in made:
        one.listener.end()


def test_what_the_first_scan_finds_says_nothing_of_events(ear):
    one = ear()
    one.scan(one.drop("a.wav", heard=False))
    assert one.said == [""]
    assert one.listener.hears_all


def test_files_that_rang_are_no_reason_to_doubt_whenever_they_were_found(ear):
    one = ear()
    one.scan()
    for n in range(4):
        one.scan(one.drop(f"{n}.wav", heard=True))
    assert one.said == [""]


def test_two_scans_with_files_that_never_rang_end_in_polling_that_is_said_once_and_stays(ear):
    one = ear()
    one.scan()
    one.scan(one.drop("a.wav", heard=False))
    assert one.said == [""]
    one.scan(one.drop("b.wav", heard=False))
    assert one.said == ["", DEAF]
    assert not one.listener.hears_all
    for _ in range(3):
        one.scan()
        one.listener.take()
    assert one.said == ["", DEAF]


def test_a_file_that_has_just_come_may_still_ring_and_is_judged_by_a_later_scan(ear):
    one = ear()
    one.scan()
    one.clock.ahead = timedelta()
    one.scan(one.drop("late.wav", heard=False))
    one.scan()
    one.listener.bell.touched(os.fsencode(one.root / "late.wav"))
    one.listener.take()
    one.scan(one.drop("never.wav", heard=False))
    assert not one.listener._hearing.is_doubtful
    one.clock.ahead = timedelta(seconds=60)
    one.scan()
    assert one.listener._hearing == Hearing(strikes=1)


def test_what_lies_in_a_folder_that_is_not_watched_says_nothing(ear):
    one = ear()
    one.scan()
    for n in range(3):
        name = one.drop(f"{n}.wav", heard=False)
        one.listener.before_scan()
        one.listener.found(os.fsencode(one.root) + b"/other", [name])
        one.listener.after_scan()
    assert one.listener.hears_all


def test_a_folder_that_went_away_and_came_back_is_trusted_again(ear):
    one = ear()
    one.scan()
    for n in range(2):
        one.scan(one.drop(f"{n}.wav", heard=False))
    assert not one.listener.hears_all
    one.listener.went_away()
    one.scan()
    assert one.listener.hears_all
    assert one.said == ["", DEAF, ""]


def test_a_source_that_is_to_be_polled_is_not_watched_and_nothing_is_said_of_it(ear):
    one = ear(events=False)
    one.scan()
    assert not one.listener.hears_all
    assert one.said == [""]


def test_a_network_file_system_is_polled_and_said_so_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_network", lambda path: True)
    one = Ear(tmp_path)
    one.listener.begin()
    one.scan()
    one.scan()
    assert one.said == [NETWORK]
    assert not one.listener.hears_all


def test_events_that_are_to_be_relied_on_are_on_any_file_system_and_whatever_is_found(ear, monkeypatch):
    monkeypatch.setattr(module, "is_network", lambda path: True)
    one = ear(trusted=True)
    one.scan()
    for n in range(3):
        one.scan(one.drop(f"{n}.wav", heard=False))
    assert one.listener.hears_all
    assert one.said == [""]


def lose_events(one):
    """End the watch as an overflow does."""
    emitter = one.listener._watch._emitter
    emitter.give_up()
    emitter.join(10)


def test_events_that_were_lost_are_one_full_scan_and_no_doubt(ear):
    one = ear()
    one.scan()
    lose_events(one)
    assert one.rung.is_set()
    (one.root / "a.wav").touch()
    one.scan(b"a.wav")
    assert one.listener.take() == (set(), False)
    assert one.said == [""]
    one.drop("b.wav", heard=True)
    assert one.listener.take()[0] == {os.fsencode(one.root / "b.wav")}


def test_more_names_than_are_kept_are_one_full_scan_and_no_doubt(ear):
    one = ear()
    one.scan()
    for n in range(3):
        name = one.drop(f"{n}.wav", heard=False)
        one.listener.bell.everything()
        assert one.listener.take() == (set(), True)
        one.scan(name)
    assert not one.listener._hearing.is_doubtful


def test_a_watch_that_is_lost_between_two_scans_that_are_due_is_healed_by_the_scan(ear):
    """Nothing rings any more: only the scan that is due comes."""
    one = ear()
    one.scan()
    lose_events(one)
    (one.root / "a.wav").touch()
    assert not one.listener.hears_all
    one.scan()
    assert one.listener.hears_all
    one.drop("b.wav", heard=True)
