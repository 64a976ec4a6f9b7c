"""The engine: what it sweeps and starts, keeps in order, and how it ends."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.ledger.kit import unknown
from tests.unit.pipeline.bench import call
from tests.unit.service.bench import ServiceBench
from uploader.domain.gates import GateName, Why
from uploader.domain.recording import State
from uploader.errors import LedgerError, LedgerFull, UsageError
from uploader.service import engine
from uploader.service.engine import Engine, Parts


class Loop:
    """A thread's loop that waits for the stop; `error` is raised instead."""

    name = "hq"

    def __init__(self, stop, error=None):
        self.stop, self.error = stop, error
        self.ran, self.rung = threading.Event(), threading.Event()

    def run(self):
        self.ran.set()
        if self.error:
            raise self.error
        self.stop.wait(30)

    def ring(self):
        self.rung.set()


class Server:
    def __init__(self, story, error=None):
        self.story, self.error = story, error

    def start(self):
        self.story.append("server started")
        if self.error:
            raise self.error

    def stop(self, grace_seconds):
        self.story.append("server stopped")


class Works:
    """One engine around a bench, with loops that do nothing."""

    def __init__(self, folder, *, follower_error=None, server_error=None, selftest=None, sources=1):
        self.bench = ServiceBench(folder)
        self.ledger = self.bench.ledger
        self.story: list[str] = []
        stop = self.bench.stop
        self.follower = Loop(stop, follower_error)
        self.scanners = [Loop(stop) for _ in range(sources)]
        close = self.ledger.close
        self.ledger.close = lambda: (self.story.append("ledger closed"), close())
        self.parts = Parts(
            ledger=self.ledger, governor=self.bench.governor, dispatcher=self.bench.dispatcher,
            follower=self.follower, scanners=self.scanners, servers=[Server(self.story, server_error)], workers=2,
            grace_seconds=10, clock=self.bench.clock, selftest=selftest,
            cut=lambda: self.story.append("cut"), close=lambda: self.story.append("clients closed"),
        )  # fmt: skip
        self.engine = Engine(self.parts, stop)

    def note(self, key):
        (found,) = self.bench.kit.ask("SELECT value FROM note WHERE key = ?", key) or [(None,)]
        return found[0]


@pytest.fixture
def works(tmp_path):
    made = []

    def make(**options):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Works(folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.bench.stop.set()
        one.bench.dispatcher.ring()


def started(works, **options):
    one = works(**options)
    one.engine.start()
    return one


def test_everything_is_started_and_ended_in_order(works):
    one = started(works)
    assert one.engine.started
    assert one.follower.ran.wait(5)
    assert one.scanners[0].ran.wait(5)
    assert one.engine.is_healthy
    assert one.note("clean") == "0"
    assert one.engine.end()
    assert one.scanners[0].rung.is_set()
    assert one.story == ["server started", "server stopped", "ledger closed", "clients closed"]
    assert one.note("clean") == "1"
    assert one.engine.failure is None


def test_backups_run_in_a_thread_of_their_own_until_the_stop(works):
    one = works()
    backups = Loop(one.bench.stop)
    one.engine = Engine(replace(one.parts, backups=backups.run), one.bench.stop)
    one.engine.start()
    assert backups.ran.wait(5)
    assert one.engine.end()


def test_what_an_earlier_process_left_is_swept_before_anything_starts(works):
    one = works()
    bench = one.bench
    row, _ = bench.kit.begin(bench.staged("a.wav", call(1)))
    lease = bench.kit.claim(bench.staged("b.wav", call(2)))
    one.engine.start()
    one.engine.end()
    assert dict(bench.kit.ask("SELECT n, state FROM recording"))[row.recording_n] == "unconfirmed"
    assert bench.kit.ask("SELECT claimed FROM recording WHERE n = ?", lease.n) == [(None,)]


def test_a_thread_that_dies_ends_the_engine_and_it_is_known_of_what(works):
    one = started(works, follower_error=ValueError("a bug"))
    assert one.bench.stop.wait(5)
    assert not one.engine.is_healthy
    one.engine.end()
    assert str(one.engine.failure) == "a bug"
    assert one.note("clean") == "0"
    assert one.story[-2:] == ["ledger closed", "clients closed"]


def test_an_acceptance_that_is_lost_after_its_sender_has_gone_on_ends_the_engine(works):
    one, tellers = works(), []
    one.ledger.when_lost = tellers.append
    one.engine.start()
    (tell,) = tellers
    tell(LedgerFull("the ledger's disk is full"))
    assert one.bench.stop.is_set()
    one.engine.end()
    assert isinstance(one.engine.failure, LedgerFull)


def test_a_port_that_is_taken_ends_it_with_everything_closed(works):
    one = works(server_error=UsageError("the port is taken"))
    with pytest.raises(UsageError):
        one.engine.start()
    one.engine.end()
    assert one.story[-2:] == ["ledger closed", "clients closed"]
    assert not one.follower.ran.is_set()


def test_the_ledger_is_closed_though_its_last_words_cannot_be_written(works):
    one = started(works)
    advance = one.ledger.advance_generation

    def fails():
        raise LedgerError("the ledger's disk is full")

    one.ledger.advance_generation = fails
    with pytest.raises(LedgerError):
        one.engine.end()
    assert one.story[-2:] == ["ledger closed", "clients closed"]
    one.ledger.advance_generation = advance


def test_it_is_not_healthy_when_the_dispatcher_has_not_come_round(works):
    one = started(works)
    one.bench.clock.advance(61)
    one.bench.dispatcher.beat = one.bench.clock.monotonic() - 61
    healthy = one.engine.is_healthy
    one.engine.end()
    assert not healthy


def test_a_signing_key_is_made_kept_for_a_month_and_older_ones_verify_for_three(works):
    one = works()
    books, clock = one.ledger.books, one.bench.clock
    one.engine.keep_house()
    one.engine.start()
    first = books.signing_keys()
    assert len(first) == 1
    clock.advance(timedelta(days=29).total_seconds())
    one.engine.keep_house()
    assert books.signing_keys() == first
    for _ in range(5):
        clock.advance(timedelta(days=31).total_seconds())
        one.engine.keep_house()
        ages = [(one.bench.now - key.created_at) / 86_400_000 for key in books.signing_keys()]
        assert len(ages) >= 2
        assert ages[0] <= 31
        assert max(ages) <= 90
    one.engine.end()


def test_a_public_url_that_does_not_serve_closes_the_store_until_it_does(works):
    answers = [False, False, True]
    one = started(works, selftest=lambda: answers.pop(0))
    gate = one.bench.store_gate
    assert gate.why is Why.PUBLIC_URL
    one.engine.keep_house()
    assert len(answers) == 1 or len(answers) == 2
    while answers:
        one.bench.clock.advance(3601)
        one.engine.keep_house()
    assert gate.is_open
    one.engine.end()


def test_it_is_tested_hourly_and_not_more_often(works):
    calls = []
    one = started(works, selftest=lambda: calls.append(1) or True)
    at_start = len(calls)
    for _ in range(50):
        one.bench.clock.advance(60)
        one.engine.keep_house()
    assert len(calls) <= at_start + 1
    one.engine.end()


def test_another_trouble_of_the_store_is_not_lifted_by_the_test_file(works):
    one = works(selftest=lambda: True)
    one.bench.store_gate.close(Why.STORE_FORBIDDEN)
    one.engine.start()
    assert one.bench.store_gate.why is Why.STORE_FORBIDDEN
    one.engine.end()


def test_a_closed_public_url_of_another_manner_of_staging_is_forgotten(works):
    """The settings went from builtin to s3 while the gate was closed: nobody could ever open it."""
    one = works(selftest=None)
    one.bench.store_gate.close(Why.PUBLIC_URL)
    one.engine.start()
    assert one.bench.store_gate.is_open
    one.engine.end()


def test_the_generation_goes_up_once_a_minute_when_something_was_sent(works):
    one = works()
    bench = one.bench
    one.engine.keep_house()
    before = int(one.note("generation") or 0)
    for _ in range(5):
        bench.clock.advance(61)
        one.engine.keep_house()
    assert int(one.note("generation") or 0) == before
    bench.send(bench.staged("a.wav", call(1)))
    bench.clock.advance(61)
    one.engine.keep_house()
    one.engine.keep_house()
    assert int(one.note("generation") or 0) == before + 1
    assert (one.ledger.path.with_name("ledger.db.generation")).read_text().strip() == str(before + 1)
    one.engine.end()


def test_a_disk_with_room_opens_its_gate(works):
    one = works()
    one.bench.gates[GateName.DISK].close(Why.DISK_FULL)
    one.engine.keep_house()
    assert one.bench.gates[GateName.DISK].is_open
    assert not one.bench.dispatcher.disk_is_full
    one.engine.end()


def test_on_a_full_disk_the_gate_closes_and_the_generation_waits_for_room(works, monkeypatch):
    """The file beside the ledger could not be written, and that would end the daemon."""
    one = works()
    bench = one.bench
    one.engine.keep_house()
    bench.send(bench.staged("a.wav", call(1)))
    before = one.note("generation")
    monkeypatch.setattr(engine, "has_room", lambda path, *, least_bytes: False)
    bench.clock.advance(61)
    one.engine.keep_house()
    assert bench.gates[GateName.DISK].why is Why.DISK_FULL
    assert one.note("generation") == before
    monkeypatch.undo()
    bench.clock.advance(61)
    one.engine.keep_house()
    assert bench.gates[GateName.DISK].is_open
    assert one.note("generation") != before
    one.engine.end()


def test_at_the_deadline_what_is_under_way_is_cut_and_stays_to_be_looked_for(works):
    one = works()
    bench = one.bench
    one.engine._parts = Parts(**{f: getattr(one.parts, f) for f in one.parts.__slots__} | {
        "grace_seconds": 0.05, "cut": lambda: (one.story.append("cut"), answer.set())})  # fmt: skip
    answer, begun = threading.Event(), threading.Event()
    row = bench.staged("a.wav", call(1))

    def hangs():
        begun.set()
        answer.wait(20)
        return unknown()

    bench.service.manners = [hangs]
    one.engine.start()
    assert begun.wait(10)
    assert not one.engine.end()
    assert "cut" in one.story
    assert bench.kit.ask("SELECT state FROM recording WHERE n = ?", row.n)[0][0] in {
        State.SUBMITTING.value, State.UNCONFIRMED.value,
    }  # fmt: skip
