"""Owning the threads: one that dies ends all, and the end has a deadline."""

from __future__ import annotations

import signal
import threading

import pytest

from uploader.errors import LedgerError
from uploader.service.supervisor import Supervisor, block_signals, wait_for_signal


@pytest.fixture
def supervisor():
    stop = threading.Event()
    supervisor = Supervisor(stop)
    yield supervisor
    supervisor.end(wake=(), cut=lambda: None, grace_seconds=5)


def end(supervisor, **options):
    return supervisor.end(**{"wake": (), "cut": lambda: None, "grace_seconds": 5} | options)


def test_threads_that_end_when_told_to_end_in_time(supervisor):
    for n in range(3):
        supervisor.start(f"t{n}", supervisor.stop.wait)
    assert end(supervisor)
    assert supervisor.failure is None


@pytest.mark.parametrize("error", [ValueError("a bug"), LedgerError("the disk is full"), RuntimeError("x")])
def test_one_that_raises_stops_all_and_is_remembered(supervisor, error):
    def dies():
        raise error

    supervisor.start("waits", supervisor.stop.wait)
    supervisor.start("dies", dies)
    assert supervisor.stop.wait(5)
    assert end(supervisor)
    assert supervisor.failure is error


def test_the_first_failure_is_the_one_that_counts(supervisor):
    def dies_later():
        supervisor.stop.wait()
        raise ValueError("second")

    def dies():
        raise ValueError("first")

    supervisor.start("later", dies_later)
    supervisor.start("first", dies)
    end(supervisor)
    assert str(supervisor.failure) == "first"


def test_one_that_ends_by_itself_is_a_failure_too(supervisor):
    supervisor.start("quits", lambda: None)
    assert supervisor.stop.wait(5)
    end(supervisor)
    assert "quits ended by itself" in str(supervisor.failure)


def test_the_ones_that_wait_are_woken(supervisor):
    bell = threading.Event()
    supervisor.start("sleeper", bell.wait)
    assert end(supervisor, wake=(bell.set,))


def test_what_does_not_end_in_time_is_cut_off(supervisor):
    request = threading.Event()
    supervisor.start("slow", request.wait)
    assert not end(supervisor, cut=request.set, grace_seconds=0)
    assert not any(thread.name == "slow" for thread in threading.enumerate())


def test_nothing_is_cut_that_ends_in_time(supervisor):
    cut = []
    supervisor.start("quick", supervisor.stop.wait)
    end(supervisor, cut=lambda: cut.append(1))
    assert cut == []


def test_a_stop_before_a_thread_starts_is_not_lost(supervisor):
    supervisor.stop.set()
    supervisor.start("late", supervisor.stop.wait)
    assert end(supervisor)


def test_a_signal_is_waited_for_not_handled():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        block_signals()
        assert not wait_for_signal(0)
        signal.raise_signal(signal.SIGTERM)
        assert wait_for_signal(1)
        assert not wait_for_signal(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
