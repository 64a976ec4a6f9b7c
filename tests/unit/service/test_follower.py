"""The thread that asks: probes of closed gates, what it does with failures, and how long it waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.pipeline.bench import call
from tests.unit.service.bench import ServiceBench
from uploader.domain.gates import Why
from uploader.domain.recording import State
from uploader.domain.retry import RetryPolicy
from uploader.errors import ApiUnavailable, RateLimited, ServiceRefusal, TokenUnavailable
from uploader.service.follower import Follower, Prober

RETRY = RetryPolicy(initial=timedelta(seconds=4), maximum=timedelta(minutes=10))


class Turns:
    """A stop token that counts its waits, lets time pass, and stops after so many."""

    def __init__(self, clock, turns):
        self.clock, self.left, self.waits = clock, turns, []

    def is_set(self):
        return self.left <= 0

    def wait(self, timeout):
        self.waits.append(timeout)
        self.clock.advance(timeout)
        self.left -= 1
        return False


@pytest.fixture
def bench(tmp_path):
    bench = ServiceBench(tmp_path)
    bench.selftests = []
    bench.prober = prober(bench)
    yield bench
    bench.close()


def prober(bench, *, selftest=True):
    def fetch():
        bench.story.append("selftest")
        return bench.selftests.pop(0) if bench.selftests else True

    return Prober(
        governor=bench.governor, client=bench.service, tokens=bench.tokens, clock=bench.clock,
        selftest=fetch if selftest else None,
    )  # fmt: skip


def follower(bench, turns=1):
    stop = Turns(bench.clock, turns)
    made = Follower(
        ledger=bench.ledger, reconciler=bench.reconciler, tracker=bench.tracker, prober=bench.prober,
        governor=bench.governor, clock=bench.clock, stop=stop, retry=RETRY,
    )  # fmt: skip
    return made, stop


def run(bench, turns=1):
    made, stop = follower(bench, turns)
    made.run()
    return made, stop.waits


def probe_when_due(bench, gate):
    bench.after_probe_time(gate)
    bench.story.clear()
    bench.prober.run_once()
    return [word for word in bench.story if word != "write"]


def test_open_gates_are_not_probed(bench):
    bench.story.clear()
    bench.prober.run_once()
    assert bench.story == []


@pytest.mark.parametrize("why", [Why.UNREACHABLE, Why.SERVER_ERRORS, Why.LISTING])
def test_an_api_that_was_away_is_asked_for_one_entry(bench, why):
    bench.submit_gate.close(why)
    bench.prober.run_once()
    assert bench.service.reads == 0
    assert probe_when_due(bench, bench.submit_gate) == ["list"]
    assert bench.submit_gate.is_open


def test_while_it_stays_away_the_waits_grow(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    waits = []
    for _ in range(5):
        bench.service.errors = [ApiUnavailable("x")]
        assert probe_when_due(bench, bench.submit_gate) == ["list"]
        waits.append(bench.submit_gate.seconds_to_probe())
    assert bench.submit_gate.why is Why.UNREACHABLE
    assert waits[0] >= 5
    assert waits[-1] >= 40


def test_an_api_that_answers_for_itself_is_there(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    bench.service.errors = [ServiceRefusal("x", reason="scope")]
    probe_when_due(bench, bench.submit_gate)
    assert bench.submit_gate.is_open


@pytest.mark.parametrize("why", [Why.CREDENTIALS, Why.SCOPE, Why.PLAN, Why.FORBIDDEN, Why.EQUAL_REFUSALS])
def test_what_only_a_submission_can_show_is_not_asked_of_the_listing(bench, why):
    bench.submit_gate.close(why)
    assert probe_when_due(bench, bench.submit_gate) == []
    assert bench.line.admits() is not None


def test_the_day_that_has_reset_needs_no_question(bench):
    bench.submit_gate.close(Why.DAILY_LIMIT, until=bench.governor.resets_at())
    assert probe_when_due(bench, bench.submit_gate) == []
    assert bench.submit_gate.is_open


def test_the_token_endpoint_is_asked_for_a_token(bench):
    bench.token_gate.close(Why.UNREACHABLE)
    assert probe_when_due(bench, bench.token_gate) == ["token"]
    assert bench.token_gate.is_open


@pytest.mark.parametrize("error", [TokenUnavailable("x"), ServiceRefusal("x", reason="credentials")])
def test_while_there_is_no_token_the_waits_grow(bench, error):
    bench.token_gate.close(Why.UNREACHABLE)
    waits = []
    for _ in range(4):
        bench.tokens.errors = [error]
        assert probe_when_due(bench, bench.token_gate) == ["token"]
        waits.append(bench.token_gate.seconds_to_probe())
    assert not bench.token_gate.is_open
    assert waits[-1] >= 20


def test_a_token_endpoint_that_lacks_a_scope_is_there(bench):
    bench.token_gate.close(Why.UNREACHABLE)
    bench.tokens.errors = [ServiceRefusal("x", reason="scope")]
    probe_when_due(bench, bench.token_gate)
    assert bench.token_gate.is_open
    assert bench.submit_gate.why is Why.SCOPE


def test_the_public_url_is_fetched_until_it_serves(bench):
    bench.store_gate.close(Why.PUBLIC_URL)
    bench.selftests = [False, False]
    first = bench.store_gate.seconds_to_probe()
    for _ in range(2):
        assert probe_when_due(bench, bench.store_gate) == ["selftest"]
    assert bench.store_gate.seconds_to_probe() > first / 2
    probe_when_due(bench, bench.store_gate)
    assert bench.store_gate.is_open


def test_a_person_who_says_that_it_is_mended_has_it_probed_now(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    bench.submit_gate.probe_now()
    bench.prober.run_once()
    assert bench.submit_gate.is_open


def test_a_failure_is_said_once_and_waited_for_longer_each_time(bench):
    bench.send(bench.staged(), "lost")
    bench.service.errors = [ApiUnavailable("the service cannot be reached")] * 100
    made, stop = follower(bench, 60)
    made.run()
    assert bench.ledger.books.note("tracking_problem") == "the service cannot be reached"
    assert bench.service.reads <= 6
    bench.service.errors = []
    bench.clock.advance(600)
    stop.left = 2
    made.run()
    assert (made.problem, bench.ledger.books.note("tracking_problem")) == ("", "")


def test_a_time_that_the_service_named_is_kept(bench):
    bench.send(bench.staged(), "lost")
    until = bench.clock.now() + timedelta(minutes=7)
    bench.service.errors = [RateLimited("x", until=until)]
    run(bench, 300)
    assert bench.service.reads == 1
    bench.clock.advance(300)
    run(bench, 2)
    assert bench.service.reads > 1


def test_without_credentials_the_token_gate_closes_and_nobody_asks(bench):
    bench.send(bench.staged(), "lost")
    bench.service.errors = [ServiceRefusal("x", reason="credentials")]
    run(bench, 1)
    assert bench.token_gate.why is Why.CREDENTIALS
    reads = bench.service.reads
    bench.tokens.errors = [ServiceRefusal("x", reason="credentials")] * 99
    run(bench, 50)
    assert bench.service.reads == reads


def test_nothing_to_ask_is_looked_for_once_a_second(bench):
    _, waits = run(bench, 5)
    assert waits == [1.0] * 5


def test_a_closed_token_gate_makes_no_busy_loop_though_much_is_due(bench):
    bench.send(bench.staged(), "lost")
    bench.token_gate.close(Why.CREDENTIALS)
    bench.tokens.errors = [ServiceRefusal("x", reason="credentials")] * 99
    _, waits = run(bench, 20)
    assert min(waits) >= 0.5


def test_what_is_due_soon_is_not_slept_over(bench):
    row = bench.send(bench.staged())
    bench.kit.force("UPDATE recording SET due_at = ? WHERE n = ?", bench.now + 300, row.n)
    _, waits = run(bench, 1)
    assert waits == [pytest.approx(0.3)]


def test_a_lost_answer_is_found_within_seconds(bench):
    row = bench.send(bench.staged(), "lost")
    bench.learn()
    _, waits = run(bench, 30)
    assert bench.row(row).state is State.SUBMITTED
    assert bench.row(row).interaction_id == "int-1"
    assert sum(waits) < 35


def test_a_row_that_a_person_settled_meanwhile_does_not_end_the_thread(bench):
    row = bench.send(bench.staged("a.wav", call(1)), "lost")
    bench.learn()
    reads = bench.service.list_interactions

    def adopt_meanwhile(**window):
        if bench.row(row).state is State.UNCONFIRMED:
            bench.ledger.attempts.adopt(bench.row(row), "by-hand", at=bench.now)
        return reads(**window)

    bench.service.list_interactions = adopt_meanwhile
    run(bench, 3)
    assert bench.row(row).interaction_id == "by-hand"
