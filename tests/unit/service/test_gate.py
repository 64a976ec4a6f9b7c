"""A gate: closed for a reason, probed by one at a time, kept in the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.ledger.kit import Kit
from uploader.domain.gates import HALF_OPEN, SENTENCES, GateName, Why
from uploader.domain.retry import RetryPolicy
from uploader.service.gate import Gate

POLICY = RetryPolicy(initial=timedelta(seconds=4), maximum=timedelta(seconds=64))


@pytest.fixture
def kit(tmp_path):
    kit = Kit(tmp_path / "ledger.db")
    yield kit
    kit.close()


@pytest.fixture
def gate(kit):
    return make(kit)


def make(kit) -> Gate:
    return Gate(GateName.SUBMIT, kit.ledger.books, kit.clock, POLICY)


def wait(kit, gate):
    kit.clock.advance((gate.seconds_to_probe() or 0) + 0.01)


def test_a_new_gate_is_open(gate):
    assert gate.is_open
    assert (gate.why, gate.seconds_to_probe(), gate.admits_probe()) == (None, None, False)


def test_a_closed_gate_says_why_and_what_to_do(kit, gate):
    gate.close(Why.SCOPE)
    (row,) = kit.ledger.books.gates()
    assert (row.reason, (row.message, row.hint), row.closed_at) == ("scope", SENTENCES[Why.SCOPE], kit.now)
    assert not gate.is_open


def test_it_is_kept_across_a_restart(kit, gate):
    gate.close(Why.PLAN)
    again = make(kit)
    assert again.why is Why.PLAN
    assert again.seconds_to_probe() == gate.seconds_to_probe()
    again.passed()
    assert make(kit).is_open


def test_a_probe_is_admitted_when_its_time_has_come_and_only_one(kit, gate):
    gate.close(Why.UNREACHABLE)
    assert not gate.admits_probe()
    wait(kit, gate)
    assert gate.admits_probe()
    assert not gate.admits_probe()
    gate.probe_undecided()
    assert gate.admits_probe()


def test_waits_grow_with_every_probe_that_fails_up_to_the_longest(kit, gate):
    gate.close(Why.UNREACHABLE)
    waits = []
    for _ in range(8):
        waits.append(gate.seconds_to_probe())
        wait(kit, gate)
        assert gate.admits_probe()
        gate.close(Why.UNREACHABLE, by_probe=True)
    for number, seconds in enumerate(waits):
        longest = min(64, 4 * 2**number)
        assert longest / 2 <= seconds <= longest


def test_failures_that_are_no_probes_do_not_make_it_wait_longer(kit, gate):
    gate.close(Why.UNREACHABLE)
    first = gate.seconds_to_probe()
    for _ in range(20):
        gate.close(Why.UNREACHABLE)
    assert gate.seconds_to_probe() == first


def test_a_failure_that_is_no_probe_does_not_end_the_probe_under_way(kit, gate):
    """A request that had begun before the gate closed comes back while the probe is out."""
    gate.close(Why.UNREACHABLE)
    wait(kit, gate)
    assert gate.admits_probe()
    gate.close(Why.UNREACHABLE)
    assert gate.is_probing
    assert not gate.admits_probe()
    gate.close(Why.UNREACHABLE, by_probe=True)
    assert gate.seconds_to_probe() >= 4
    (row,) = kit.ledger.books.gates()
    assert row.failures == 2


def test_it_stays_closed_since_when_it_closed(kit, gate):
    gate.close(Why.UNREACHABLE)
    since = kit.now
    wait(kit, gate)
    assert gate.admits_probe()
    gate.close(Why.SERVER_ERRORS, by_probe=True)
    (row,) = kit.ledger.books.gates()
    assert (row.reason, row.closed_at) == ("server_errors", since)


def test_a_success_opens_it_and_begins_the_waits_anew(kit, gate):
    for _ in range(5):
        gate.close(Why.UNREACHABLE)
        wait(kit, gate)
        assert gate.admits_probe()
        gate.close(Why.UNREACHABLE, by_probe=True)
    gate.passed()
    assert gate.is_open
    gate.close(Why.UNREACHABLE)
    assert gate.seconds_to_probe() <= 4


def test_a_time_that_the_service_named_is_kept(kit, gate):
    until = kit.clock.now() + timedelta(hours=3)
    gate.close(Why.DAILY_LIMIT, until=until)
    assert gate.seconds_to_probe() == 3 * 3600
    gate.close(Why.DAILY_LIMIT, until=until + timedelta(hours=1))
    assert gate.seconds_to_probe() == 4 * 3600
    gate.close(Why.DAILY_LIMIT, until=kit.clock.now() - timedelta(hours=1))
    assert gate.seconds_to_probe() == 0


def test_a_person_lets_it_be_probed_now(kit, gate):
    gate.close(Why.SCOPE)
    gate.probe_now()
    assert gate.seconds_to_probe() == 0
    assert gate.admits_probe()
    make(kit).probe_now()


def test_an_open_gate_is_not_disturbed_by_a_person(kit, gate):
    gate.probe_now()
    assert kit.ledger.books.gates() == []


@pytest.mark.parametrize("why", Why)
def test_only_some_reasons_are_probed_by_sending(kit, gate, why):
    gate.close(why)
    wait(kit, gate)
    assert gate.admits_probe_by_sending() is (why in HALF_OPEN)


def test_the_clock_stepping_back_keeps_it_closed_no_longer_than_that(kit, gate):
    gate.close(Why.UNREACHABLE)
    kit.clock.step(-60)
    assert gate.seconds_to_probe() <= 64 + 60


def test_it_does_not_write_what_has_not_changed(kit, gate):
    gate.passed()
    assert kit.ledger.books.gates() == []
