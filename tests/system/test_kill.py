"""SIGKILL at any instant: whatever was under way, every recording is accepted exactly once in the end."""

from __future__ import annotations

import random

import pytest

SEED = 4711
RECORDINGS = 150
KILLS = 32
FAULTS = ("slow:0.2", "lost-answer:0.1", "reset:0.05", "5xx:0.05")


@pytest.mark.timeout(180)
def test_recordings_are_accepted_once_though_the_daemon_is_killed_thirty_times(sandbox, daemon, tools):
    options = [f"--fault={fault}" for fault in FAULTS]
    # The recordings are served by what is killed: the service must not give up fetching meanwhile.
    options += ["--fetch-retries", "100", "--fetch-retry-delay", "300ms"]
    service = sandbox(*options, "--seed", str(SEED), "--slow-seconds", "700ms", "--analyze-delay", "0s")
    program = daemon(
        service, zoom={"request_timeout": "1500ms"}, reconcile={"wait": "1s"}, budget={"submissions_per_second": 100}
    )
    chance, expected, in_flight = random.Random(SEED), [], 0

    def drop(count: int) -> None:
        for _ in range(count):
            number = len(expected)
            audio, call = tools.make_wav(f"kill {number}"), tools.make_call(number)
            program.drop(f"call{number}.wav", audio, call)
            expected.append(tools.expected(audio, call))

    for kill in range(KILLS):
        drop(RECORDINGS // KILLS if kill < KILLS - 1 else RECORDINGS - len(expected))
        # One in five is hit while it starts, one in three as soon as a POST is open.
        program.start(ready=chance.random() < 0.8)
        if chance.random() < 0.35:
            program.wait_for(lambda d: d.states()["submitting"] or _nothing_waits(d), seconds=15, what="a POST")
        else:
            tools.rest(chance.uniform(0, 0.9))
        program.kill()
        in_flight += bool(program.states()["submitting"])
    assert in_flight >= 8, "the kills came when nothing was under way: the test shows too little"

    service.faults({})
    program.start()
    program.wait_settled(RECORDINGS, seconds=60)
    tools.compare(program, service, expected)
    assert program.states().keys() <= {"submitted", "analyzed"}
    assert not program.ask("SELECT 1 FROM note WHERE key = 'doubles'")
    assert program.terminate() == 0


def _nothing_waits(program) -> bool:
    states = program.states()
    return bool(states) and not (states["discovered"] or states["ready"] or states["staged"])
