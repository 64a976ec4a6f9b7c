"""What needs no upload goes from its judgement to its request in one transaction, as if step by step."""

from __future__ import annotations

import pytest

from tests.unit.ledger.kit import DAY_MS, unknown
from tests.unit.pipeline.bench import CALL, wave
from tests.unit.service.bench import ServiceBench
from uploader.domain.gates import Why
from uploader.domain.recording import State
from uploader.errors import RateLimited, ServiceRefusal, TokenUnavailable


@pytest.fixture
def bench(tmp_path):
    bench = ServiceBench(tmp_path)
    bench.stager.is_instant = True
    yield bench
    bench.close()


def test_it_has_the_history_and_the_request_of_one_that_went_step_by_step(bench):
    row = bench.carry(bench.rested())
    assert row.state is State.SUBMITTED
    assert bench.kit.history(row) == ["discovered", "understood", "staged", "submit_started", "accepted"]
    [request] = bench.service.requests
    assert request["body"]["interaction_info"]["from"] == CALL["interaction_info"]["from"]
    assert row.attempts == 1


def test_between_intent_and_request_nothing_comes_and_the_intent_is_one_transaction(bench):
    row = bench.rested()
    del bench.story[:]
    bench.carry(row)
    before = bench.story[: bench.story.index("submit")]
    assert before[-1] not in {"token", "url", "stage"}
    assert [told for told in before if told in {"token", "url", "stage"}] == ["stage", "token", "url"]


def test_the_intent_waits_for_the_disk(bench):
    lasting = []
    write = bench.kit.ledger.recordings._writer.write

    def noting(work, *, redoable=False):
        result = write(work, redoable=redoable)
        if bench.kit.states() and "submitting" in bench.kit.states().values():
            lasting.append(not redoable)
        return result

    bench.kit.ledger.recordings._writer.write = noting
    bench.carry(bench.rested())
    assert lasting[0] is True


def test_a_duplicate_is_not_sent_and_its_place_is_given_back(bench):
    audio = wave(tone=5)
    first = bench.carry(bench.rested("a.wav", CALL, audio=audio))
    second = bench.carry(bench.rested("b.wav", CALL, audio=audio))
    assert (first.state, second.state) == (State.SUBMITTED, State.DUPLICATE)
    assert len(bench.service.requests) == 1
    assert bench.line._taken == 0


def test_a_twin_of_one_under_way_is_staged_and_waits(bench):
    first = bench.rested("a.wav", CALL, audio=wave(tone=1))
    bench.service.manners.append(unknown())
    assert bench.carry(first).state is State.UNCONFIRMED
    second = bench.rested("b.wav", CALL | {"agent_email": "other@example.com"}, audio=wave(tone=2))
    bench.kit.force("UPDATE recording SET same_call_ok = 1 WHERE n = ?", second.n)
    second = bench.carry(second)
    assert (second.state, second.reason_code, second.claimed) == (State.STAGED, "twin", None)
    assert len(bench.service.requests) == 1


@pytest.mark.parametrize("error", [TokenUnavailable("x"), RateLimited("x"), ServiceRefusal("x", reason="credentials")])
def test_without_a_token_what_was_understood_is_kept_and_nothing_is_begun(bench, error):
    bench.tokens.errors = [error, error]
    row = bench.carry(bench.rested())
    assert (row.state, row.attempts, row.claimed) == (State.STAGED, 0, None)
    assert bench.line._taken == 0


def test_with_a_closed_gate_it_is_staged_and_due(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    row = bench.carry(bench.rested())
    assert (row.state, row.claimed) == (State.STAGED, None)
    assert bench.service.requests == []


def test_in_doubt_it_is_looked_for_before_it_is_sent(bench):
    row = bench.rested()
    bench.ledger._doubt = (bench.now - DAY_MS, bench.now + 1)
    row = bench.carry(row)
    assert row.state is State.UNCONFIRMED
    assert bench.service.requests == []
