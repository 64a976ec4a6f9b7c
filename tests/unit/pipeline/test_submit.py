"""One POST of one recording: the order that makes it exactly once, and what each outcome does."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.unit.ledger.kit import accepted, refused, unknown
from tests.unit.pipeline.bench import CALL, Bench, call, wave
from uploader.domain.gates import GateName, Why
from uploader.domain.interaction import format_time
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause
from uploader.domain.recording import State
from uploader.errors import RateLimited, ServiceRefusal, TokenUnavailable
from uploader.ledger.rows import to_ms


def state_on_disk(bench, row):
    return bench.kit.ask("SELECT state FROM recording WHERE n = ?", row.n)[0][0]


def test_the_intent_is_on_disk_when_the_request_begins_and_nothing_comes_between(bench):
    row = bench.staged()
    bench.story.clear()
    seen = []

    def look():
        seen.append(state_on_disk(bench, row))
        seen.append(bench.kit.ask("SELECT outcome FROM attempt WHERE recording_n = ?", row.n))
        seen.append(list(bench.story))

    bench.service.before_answer = look
    assert bench.send(row).state is State.SUBMITTED
    state, attempts, story = seen
    assert (state, attempts) == ("submitting", [(None,)])
    assert story[-2:] == ["write", "submit"]
    assert story.index("token") < story.index("url") < len(story) - 2
    assert story.count("submit") == 1


def test_every_way_to_the_request_is_in_the_ledgers_history_in_order(bench):
    row = bench.send(bench.staged())
    assert bench.kit.history(row) == ["discovered", "understood", "staged", "submit_started", "accepted"]


def test_the_body_is_sent_as_it_was_understood(bench):
    row = bench.send(bench.staged())
    (request,) = bench.service.requests
    assert request["body"] == json.loads(row.body)
    assert request["url"].startswith("https://files.example/")
    assert request["key"] is None


def test_an_idempotency_key_is_the_same_for_every_request_of_a_recording(tmp_path):
    bench = Bench(tmp_path, idempotency_key=True)
    row = bench.send(bench.staged(), refused())
    bench.send(row)
    keys = {request["key"] for request in bench.service.requests}
    assert keys == {f"{row.id}-0"}
    bench.close()


def test_every_attempt_has_a_url_of_its_own_number(bench):
    row = bench.send(bench.staged(), refused())
    bench.send(row)
    numbers = [request["url"].split("/")[4] for request in bench.service.requests]
    assert numbers == ["1", "2"]


def test_urls_of_older_attempts_are_revoked_before_the_next_request(bench):
    row = bench.send(bench.staged(), refused())
    assert bench.attempts_of(row)[0].revoked_at is None
    seen = []
    bench.service.before_answer = lambda: seen.append(
        bench.kit.ask("SELECT number, revoked_at IS NULL FROM attempt ORDER BY number")
    )
    bench.send(row)
    assert seen == [[(1, 0), (2, 1)]]


def test_what_is_staged_anew_for_a_repeat_has_its_older_copy_removed_first(bench):
    bench.stager.renews = True
    row = bench.kit.clear(bench.send(bench.staged(), "nothing"))
    bench.story.clear()
    row = bench.send(row)
    assert row.state is State.SUBMITTED
    order = [word for word in bench.story if word in {"remove", "stage", "submit"}]
    assert order == ["remove", "stage", "submit"]
    first, second = (request["url"] for request in bench.service.requests)
    assert first.split("/")[5] != second.split("/")[5]


def test_a_copy_that_another_recording_needs_is_not_removed(bench):
    bench.stager.renews = True
    row = bench.send(bench.staged("a.wav", call(1), audio=wave()), "nothing")
    other = bench.send(bench.staged("b.wav", call(2), audio=wave()))
    assert other.state is State.SUBMITTED
    bench.send(bench.kit.clear(row))
    assert bench.stager.removed == []


@pytest.mark.parametrize("state", ["submitting", "unconfirmed"])
def test_a_twin_waits_for_the_one_under_way_and_goes_when_it_is_settled(bench, state):
    first = bench.staged("a.wav", CALL, audio=wave(tone=1))
    second = bench.take_in(bench.rested("b.wav", CALL, audio=wave(tone=2)), same_call="send")
    second = bench.stage(second)
    first = bench.send(first, "lost")
    second = bench.send(second)
    assert (second.state, second.reason_code) == (State.STAGED, "twin")
    assert len(bench.service.requests) == 1
    bench.ledger.attempts.adopt(first, "int-1", at=bench.now)
    assert bench.row(second).due_at == bench.now
    assert bench.send(second).state is State.SUBMITTED


def test_a_recording_with_an_open_attempt_is_looked_for_before_another_request(bench):
    row = bench.send(bench.staged(), "lost")
    row = bench.kit.apply(row, Event.SEND_AGAIN, due_at=bench.now)
    row = bench.send(row)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "looking")
    assert len(bench.service.requests) == 1


def test_a_file_that_changed_is_not_sent_but_judged_again(bench):
    row = bench.staged()
    bench.write("a.wav", wave(0.9))
    row = bench.send(row)
    assert (row.state, row.due_at, row.stamped_at) == (State.DISCOVERED, bench.now, bench.now)
    assert bench.service.requests == []
    assert bench.attempts_of(row) == []


def test_a_file_that_is_gone_is_not_sent(bench):
    row = bench.staged()
    bench.path("a.wav").unlink()
    row = bench.send(row)
    assert row.state is State.DISCOVERED
    assert bench.service.requests == []


def test_a_file_that_became_a_link_out_of_the_source_is_not_sent(bench):
    row = bench.staged()
    outside = bench.path("a.wav").rename(bench.folder.parent / "outside.wav")
    bench.path("a.wav").symlink_to(outside)
    row = bench.send(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "file_outside")
    assert bench.service.requests == []


@pytest.mark.parametrize(
    "error",
    [TokenUnavailable("x"), ServiceRefusal("x", reason="credentials"), RateLimited("x")],
)
def test_without_a_token_nothing_is_begun(bench, error):
    row = bench.staged()
    bench.tokens.errors = [error]
    with pytest.raises(type(error)):
        bench.send(row)
    assert bench.attempts_of(row) == []
    assert state_on_disk(bench, row) == "staged"
    assert bench.ledger.books.submissions("2026-11-20") == 0
    assert bench.service.requests == []


def test_a_token_that_the_service_rejects_is_dropped_and_the_recording_goes_again_at_once(bench):
    row = bench.send(bench.staged(), refused(Cause.TOKEN))
    assert bench.tokens.rejected == 1
    assert (row.state, row.due_at, row.faults) == (State.STAGED, bench.now, 0)


def test_the_account_of_the_first_submission_is_written_before_it(bench):
    row = bench.staged()
    seen = []
    bench.service.before_answer = lambda: seen.append(bench.ledger.books.note("account_id"))
    bench.send(row)
    assert seen == ["acc"]


@pytest.mark.parametrize(
    "cause",
    [Cause.CREDENTIALS, Cause.SCOPE, Cause.PLAN, Cause.FORBIDDEN, Cause.RATE_DAY, Cause.RATE_SECOND, Cause.TOKEN,
     Cause.TRANSPORT],
)  # fmt: skip
def test_what_is_not_its_own_fault_uses_no_attempt_up_however_often(bench, cause):
    row = bench.staged()
    for _ in range(8):
        row = bench.send(row, refused(cause, "no"))
        assert (row.state, row.faults) == (State.STAGED, 0)


def test_its_own_fault_refuses_it_for_good_the_fifth_time_with_growing_waits(bench):
    row = bench.staged()
    waits = []
    for number in range(1, 6):
        row = bench.send(row, refused(message="to: the service does not take it"))
        if number < 5:
            assert (row.state, row.faults) == (State.STAGED, number)
            waits.append((row.due_at - bench.now) / 1000)
    assert (row.state, row.faults, row.reason_code) == (State.REFUSED, 5, "refused_by_service")
    assert row.reason == "to: the service does not take it"
    assert all(low <= wait <= high for wait, low, high in zip(waits, [2, 5, 10, 20], [5, 10, 20, 40], strict=True))
    assert bench.gates[GateName.SUBMIT].is_open


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_number_of_attempts_is_that_of_the_settings(tmp_path, attempts):
    bench = Bench(tmp_path, attempts=attempts)
    row = bench.staged()
    for _ in range(attempts):
        row = bench.send(row, refused())
    assert row.state is State.REFUSED
    bench.close()


def test_five_equal_refusals_of_different_recordings_close_the_gate_and_all_come_back(bench):
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(5)]
    for row in rows:
        bench.send(row, refused())
    assert bench.gates[GateName.SUBMIT].why is Why.EQUAL_REFUSALS
    after = [bench.row(row) for row in rows]
    assert {row.state for row in after} == {State.STAGED}
    assert [row.faults for row in after] == [0] * 5


def test_those_refused_for_good_among_them_come_back_too(tmp_path):
    bench = Bench(tmp_path, attempts=1)
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(5)]
    for row in rows[:4]:
        assert bench.send(row, refused()).state is State.REFUSED
    bench.send(rows[4], refused())
    assert {bench.row(row).state for row in rows} <= {State.DISCOVERED, State.STAGED}
    bench.close()


def test_while_the_gate_is_closed_a_probe_that_is_refused_uses_no_attempt_up(bench):
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(5)]
    for row in rows:
        bench.send(row, refused())
    gate = bench.gates[GateName.SUBMIT]
    for _ in range(8):
        bench.clock.advance(gate.seconds_to_probe() + 1)
        assert gate.admits_probe_by_sending()
        row = bench.send(rows[0], refused())
        assert (row.state, row.faults) == (State.STAGED, 0)
        assert gate.why is Why.EQUAL_REFUSALS


def test_refusals_that_were_under_way_when_the_gate_closed_use_no_attempt_up(bench):
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(7)]
    for row in rows:
        bench.send(row, refused())
    assert [bench.row(row).faults for row in rows] == [0] * 7


def test_the_success_of_a_probe_opens_the_gate(bench):
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(5)]
    for row in rows:
        bench.send(row, refused())
    bench.clock.advance(60)
    assert bench.gates[GateName.SUBMIT].admits_probe_by_sending()
    assert bench.send(rows[0]).state is State.SUBMITTED
    assert bench.gates[GateName.SUBMIT].is_open


def test_an_unknown_outcome_leaves_the_recording_to_be_looked_for(bench):
    row = bench.send(bench.staged(), "lost")
    assert (row.state, row.due_at) == (State.UNCONFIRMED, bench.now)
    (attempt,) = bench.attempts_of(row)
    assert (attempt.outcome, attempt.open) == ("unknown", 1)


@pytest.mark.parametrize(
    "outcome", [accepted("i-9"), refused(), refused(Cause.SCOPE), unknown(), unknown(Cause.SERVER)]
)
def test_whatever_comes_of_it_the_attempt_knows(bench, outcome):
    row = bench.send(bench.staged(), outcome)
    (attempt,) = bench.attempts_of(row)
    assert (attempt.outcome, attempt.cause) == (outcome.kind, outcome.cause)
    assert attempt.ended_at == bench.now


def test_tracking_begins_a_poll_interval_after_acceptance(bench):
    row = bench.send(bench.staged())
    assert row.due_at == bench.now + 300_000


def in_doubt(bench, since, found):
    """Open the ledger as one that was restored."""
    bench.ledger._doubt = (to_ms(since), to_ms(found))


def test_what_is_older_than_a_doubt_is_looked_for_before_it_is_sent(bench):
    row = bench.staged()
    in_doubt(bench, bench.clock.now(), bench.clock.now())
    bench.clock.advance(5)
    row = bench.send(row)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "in_doubt")
    assert bench.service.requests == []
    row = bench.kit.clear(row)
    assert bench.send(row).state is State.SUBMITTED


def test_what_came_after_the_doubt_was_found_is_sent(bench):
    in_doubt(bench, bench.clock.now(), bench.clock.now())
    bench.clock.advance(5)
    assert bench.send(_copied_now(bench, bench.clock.now())).state is State.SUBMITTED


def test_a_file_that_is_old_though_it_came_late_is_in_doubt(bench):
    """It may have been sent under the ledger that was lost, and is new to this one."""
    in_doubt(bench, bench.clock.now(), bench.clock.now())
    bench.clock.advance(5)
    assert bench.send(bench.staged()).reason_code == "in_doubt"


def test_a_new_copy_of_an_old_call_is_in_doubt(bench):
    """Disk and ledger were restored together: the copy's own time says nothing."""
    found = bench.clock.now()
    in_doubt(bench, found, found)
    bench.clock.advance(5)
    assert bench.send(_copied_now(bench, found - timedelta(hours=1))).reason_code == "in_doubt"


def _copied_now(bench, call_start):
    """A file that has just come, of a call that began at `call_start`; ready to be sent."""
    bench.write("a.wav", wave(), age=0)
    bench.write("a.wav.json", CALL | {"start_time": format_time(call_start)})
    row = bench.see("a.wav")
    bench.clock.advance(3)
    return bench.stage(bench.take_in(row))
