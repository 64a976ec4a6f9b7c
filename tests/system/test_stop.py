"""Stopping: what is under way is finished or left for the next start; two daemons never share a ledger."""

from __future__ import annotations

import signal
import time

import pytest


def drop_calls(program, tools, count: int, *, first: int = 0) -> list:
    expected = []
    for number in range(first, first + count):
        audio, call = tools.make_wav(f"stop {number}"), tools.make_call(number)
        program.drop(f"call{number}.wav", audio, call)
        expected.append(tools.expected(audio, call))
    return expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_busy_finishes_what_is_under_way_and_ends_with_0(sandbox, daemon, tools, number):
    service = sandbox("--fault=slow:1", "--slow-seconds", "1s", "--analyze-delay", "0s")
    program = daemon(service, run={"stop_grace": "10s"})
    expected = drop_calls(program, tools, 40)
    program.start()
    program.wait_for(lambda d: d.states()["submitting"] >= 4, what="POSTs under way")

    began = time.monotonic()
    program.signal(number)

    assert program.wait() == 0
    assert time.monotonic() - began < 10
    states = program.states()
    assert states["submitting"] == 0
    assert 4 <= len(service.accepted()) < 40, "all were sent before the stop: the test shows nothing"
    assert states["submitted"] + states["analyzed"] == len(service.accepted())

    service.faults({})
    program.start()
    program.wait_settled(40)
    tools.compare(program, service, expected)


def test_a_request_that_outlives_the_grace_is_looked_for_at_the_next_start(sandbox, daemon, tools):
    service = sandbox("--fault=slow:1", "--slow-seconds", "5s", "--analyze-delay", "0s", "--seed", "3")
    program = daemon(service, run={"stop_grace": "300ms"}, zoom={"request_timeout": "20s"})
    expected = drop_calls(program, tools, 12)
    program.start()
    program.wait_for(lambda d: d.states()["submitting"] >= 4, what="POSTs under way")

    began = time.monotonic()
    assert program.terminate() == 0
    assert time.monotonic() - began < 5, "the grace was not kept"
    left = program.rows("state IN ('submitting', 'unconfirmed')")
    assert left, "nothing was under way any more"

    service.faults({})
    program.start()
    program.wait_settled(12)
    for row in left:
        events = [event for _, event, _, _ in program.rows("n = ?", row.n)[0].history]
        assert "outcome_unknown" in events, program.rows("n = ?", row.n)[0].story()
    tools.compare(program, service, expected)


def test_a_second_daemon_on_the_same_ledger_ends_with_3_and_says_why(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    program.start()

    second = program.command("run")

    assert second.returncode == 3
    assert "error: another qm-uploader is sending with this ledger" in second.stderr
    assert "hint: " in second.stderr
    expected = drop_calls(program, tools, 1)
    program.wait_settled(1)
    tools.compare(program, service, expected)


def test_a_stop_while_the_service_is_away_ends_at_once(sandbox, daemon, tools):
    service = sandbox()
    program = daemon(service)
    drop_calls(program, tools, 3)
    service.stop()
    program.start()
    program.wait_for(lambda d: d.gates(), what="a closed gate")

    began = time.monotonic()
    assert program.terminate() == 0
    assert time.monotonic() - began < 5
    assert program.states().keys() <= {"staged", "ready", "discovered"}
