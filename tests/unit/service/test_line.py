"""A recording's way in one worker's hands: as far as it goes, and whom its end belongs to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.ledger.kit import accepted, refused, unknown
from tests.unit.pipeline.bench import CALL, call, wave
from tests.unit.service.bench import ServiceBench
from uploader.domain.gates import Why
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause
from uploader.domain.recording import State
from uploader.errors import (
    RateLimited,
    RecordingFault,
    ServiceRefusal,
    SourceUnavailable,
    StoreUnavailable,
    TokenUnavailable,
)
from uploader.ledger.books import count_submission
from uploader.ledger.recordings import BACK_FILL
from uploader.service.line import Admission


@pytest.fixture
def bench(tmp_path):
    bench = ServiceBench(tmp_path)
    yield bench
    bench.close()


def due_in(bench, row):
    return row.due_at - bench.now


def test_a_recording_goes_all_the_way_in_one_hand(bench):
    row = bench.carry(bench.rested())
    assert row.state is State.SUBMITTED
    assert bench.kit.history(row) == ["discovered", "understood", "staged", "submit_started", "accepted"]


def test_a_row_of_a_source_that_is_no_longer_configured_waits(bench):
    bench.routed = False
    row = bench.carry(bench.rested())
    assert (row.state, row.claimed, due_in(bench, row)) == (State.DISCOVERED, None, 600_000)
    assert row.reason_code == "source_gone"


def test_a_row_that_moved_under_the_hands_is_left_to_the_other(bench):
    claimed = bench.kit.claim(bench.rested())
    bench.kit.apply(claimed, Event.DISCARDED)
    bench.line.carry(claimed, admission=None)
    assert bench.row(claimed).state is State.DISCARDED


def test_an_unavailable_source_makes_its_rows_wait(bench):
    row = bench.rested()
    bench.folder.rename(bench.folder.with_name("away"))
    row = bench.carry(row)
    assert (row.state, due_in(bench, row)) == (State.DISCOVERED, 30_000)


def test_without_a_place_it_stays_staged_and_is_due_at_once(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    row = bench.carry(bench.rested())
    assert (row.state, row.claimed, due_in(bench, row)) == (State.STAGED, None, 0)
    assert bench.service.requests == []


def test_back_fill_gives_way_to_a_live_recording_that_waits(bench):
    live = bench.staged("live.wav", call(1))
    fill = bench.rested("fill.wav", call(2))
    claimed = bench.kit.claim(fill)
    bench.kit.force("UPDATE recording SET lane = 1 WHERE n = ?", fill.n)
    bench.line.carry(bench.row(claimed), admission=None)
    assert bench.row(fill).state is State.STAGED
    assert bench.row(live).state is State.STAGED
    assert bench.service.requests == []


@pytest.mark.parametrize(
    ("error", "gate", "why"),
    [
        (TokenUnavailable("x"), "token_gate", Why.UNREACHABLE),
        (RateLimited("x"), "token_gate", Why.UNREACHABLE),
        (ServiceRefusal("x", reason="credentials"), "token_gate", Why.CREDENTIALS),
        (ServiceRefusal("x", reason="scope"), "submit_gate", Why.SCOPE),
    ],
)
def test_without_a_token_a_gate_closes_and_the_row_comes_back(bench, error, gate, why):
    bench.tokens.errors = [error]
    row = bench.carry(bench.rested())
    assert (row.state, row.claimed, row.attempts, row.faults) == (State.STAGED, None, 0, 0)
    assert getattr(bench, gate).why is why
    assert bench.line.admits() is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (StoreUnavailable("x"), Why.STORE_UNREACHABLE),
        (ServiceRefusal("x", reason="store_forbidden"), Why.STORE_FORBIDDEN),
    ],
)
def test_without_the_store_its_gate_closes_and_the_row_comes_back(bench, error, why):
    other = bench.rested("b.wav", call(2))
    bench.stager.errors = [error]
    row = bench.carry(bench.rested())
    assert (row.state, row.claimed) == (State.READY, None)
    assert bench.store_gate.why is why
    other = bench.carry(other)
    assert other.state is State.READY
    assert bench.story.count("stage") == 1


def test_one_recording_probes_the_store_and_its_success_opens_the_gate(bench):
    bench.stager.errors = [StoreUnavailable("x")]
    row = bench.carry(bench.rested())
    bench.after_probe_time(bench.store_gate)
    row = bench.carry(row)
    assert row.state is State.SUBMITTED
    assert bench.store_gate.is_open


def test_a_probe_of_the_store_that_fails_makes_the_next_one_wait_longer(bench):
    bench.stager.errors = [StoreUnavailable("x")] * 20
    row = bench.carry(bench.rested())
    waits = []
    for _ in range(4):
        bench.after_probe_time(bench.store_gate)
        row = bench.carry(row)
        waits.append(bench.store_gate.seconds_to_probe())
    assert all(wait > 0 for wait in waits)
    assert waits[-1] >= 20


def test_when_only_staged_recordings_are_left_one_of_them_probes_the_store(bench):
    """Nothing new may ever come to try it."""
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(2)]
    bench.store_gate.close(Why.STORE_UNREACHABLE)
    assert bench.line.admits() is None
    bench.after_probe_time(bench.store_gate)
    row = bench.carry_admitted(rows[0])
    assert row.state is State.SUBMITTED
    assert bench.store_gate.is_open
    bench.clock.advance(1)
    assert bench.line.admits() is Admission.FREELY


def test_a_staged_recording_that_probes_the_store_in_vain_waits_with_the_others(bench):
    row = bench.staged()
    bench.store_gate.close(Why.STORE_UNREACHABLE)
    bench.after_probe_time(bench.store_gate)
    bench.stager.errors = [StoreUnavailable("x")]
    row = bench.carry_admitted(row)
    assert row.state is State.READY
    assert not bench.store_gate.is_open
    assert not bench.store_gate.is_probing
    assert bench.store_gate.seconds_to_probe() >= 5


def test_a_closed_public_url_is_not_opened_nor_its_probe_taken_by_staging(bench):
    bench.store_gate.close(Why.PUBLIC_URL)
    bench.after_probe_time(bench.store_gate)
    row = bench.carry(bench.rested())
    assert row.state is State.STAGED
    assert bench.store_gate.why is Why.PUBLIC_URL
    assert bench.line.admits() is None
    # the follower's fetch of the test file is what opens it
    assert bench.store_gate.admits_probe()


@pytest.mark.parametrize("code", ["source_changed", "file_vanished"])
def test_a_file_that_changed_while_it_was_staged_is_judged_again(bench, code):
    bench.stager.errors = [RecordingFault("x", code=code)]
    row = bench.carry(bench.rested())
    assert (row.state, due_in(bench, row), row.stamped_at) == (State.DISCOVERED, 2000, bench.now)


def test_any_other_fault_of_staging_quarantines(bench):
    bench.stager.errors = [RecordingFault("why", code="media_unknown")]
    row = bench.carry(bench.rested())
    assert (row.state, row.reason_code, row.reason) == (State.QUARANTINED, "media_unknown", "why")


def test_the_budget_of_the_day_closes_the_gate_until_midnight(tmp_path):
    bench = ServiceBench(tmp_path, per_day=2)
    rows = [bench.carry(bench.rested(f"{n}.wav", call(n))) for n in range(3)]
    assert [row.state for row in rows] == [State.SUBMITTED, State.SUBMITTED, State.STAGED]
    assert bench.submit_gate.why is Why.DAILY_LIMIT
    assert bench.line.seconds_to_place() == pytest.approx(12 * 3600 - 9, abs=20)
    bench.close()


def test_no_more_places_are_given_than_the_day_has_left(tmp_path):
    """Those in the workers' hands have not been counted by the ledger yet."""
    bench = ServiceBench(tmp_path, per_day=3)
    taken = []
    for _ in range(5):
        bench.clock.advance(1)
        taken.append(bench.line.admits())
    assert taken == [Admission.FREELY] * 3 + [None] * 2
    assert bench.submit_gate.is_open
    assert bench.line.seconds_to_place() >= 0.05
    bench.line.give_back(taken[0])
    assert bench.line.admits() is Admission.FREELY
    bench.close()


def test_the_end_of_the_days_budget_goes_to_live_recordings(tmp_path):
    bench = ServiceBench(tmp_path, per_day=100)  # soon after noon two of them are kept
    bench.ledger.recordings.write(lambda db: [count_submission(db, bench.governor.day()) for _ in range(97)])
    first, fill = bench.staged("first.wav", call(1)), bench.staged("fill.wav", call(2))
    bench.kit.force("UPDATE recording SET lane = ?", BACK_FILL)
    assert bench.line.kept_back == ()
    for row, after in ((first, State.SUBMITTED), (fill, State.STAGED)):
        bench.line.carry(replace(bench.kit.claim(row), lane=BACK_FILL), admission=None)
        assert bench.row(row).state is after
        assert bench.line.kept_back == (BACK_FILL,)
    assert bench.carry(bench.staged("live.wav", call(3))).state is State.SUBMITTED
    bench.close()


def test_a_turn_that_is_too_far_off_lets_the_recording_wait_and_closes_no_gate(bench):
    row = bench.staged()
    admission = bench.line.admits()
    bench.governor.saw_submission(
        refused(Cause.RATE_SECOND, retry_at=bench.clock.now() + timedelta(seconds=30)), 99, is_probe=False
    )
    bench.line.carry(bench.kit.claim(row), admission=admission)
    assert bench.row(row).state is State.STAGED
    assert due_in(bench, bench.row(row)) == 2000
    assert bench.service.requests == []
    assert all(gate.is_open for gate in bench.gates.values())


def test_a_day_that_is_used_up_stays_so_though_answers_still_come(tmp_path):
    bench = ServiceBench(tmp_path, per_day=1)
    rows = [bench.staged(f"{n}.wav", call(n)) for n in range(2)]

    def meanwhile():
        assert bench.line.admits() is None
        return accepted("int-9")

    bench.service.manners = [meanwhile]
    assert bench.carry_admitted(rows[0]).state is State.SUBMITTED
    assert bench.line.admits() is None
    assert bench.submit_gate.why is Why.DAILY_LIMIT
    bench.close()


# A probe by sending: one at a time, given back by whoever took it and nobody else.


def half_open(bench):
    rows = bench.close_by_refusals()
    bench.after_probe_time(bench.submit_gate)
    return rows


def test_one_recording_at_a_time_probes_a_half_open_gate(bench):
    half_open(bench)
    assert bench.line.admits() is Admission.PROBE
    assert bench.line.admits() is None


def test_a_probe_that_is_refused_keeps_the_gate_closed_and_waits(bench):
    rows = half_open(bench)
    bench.service.manners = [refused()]
    row = bench.carry_admitted(rows[0])
    assert (row.state, row.faults) == (State.STAGED, 0)
    assert bench.submit_gate.why is Why.EQUAL_REFUSALS
    assert bench.line.admits() is None
    assert bench.line.seconds_to_place() > 1


def test_a_probe_that_is_accepted_opens_the_gate(bench):
    rows = half_open(bench)
    assert bench.carry_admitted(rows[0]).state is State.SUBMITTED
    bench.clock.advance(1)
    assert bench.line.admits() is Admission.FREELY


def test_a_probe_without_a_free_place_is_not_lost(bench):
    half_open(bench)
    wait = bench.clock.now() + timedelta(seconds=30)
    bench.governor.saw_submission(refused(Cause.RATE_SECOND, retry_at=wait), 9, is_probe=False)
    assert bench.line.admits() is None
    bench.clock.advance(31)
    assert bench.line.admits() is Admission.PROBE


def test_a_probe_whose_row_was_not_there_after_all_is_given_back(bench):
    half_open(bench)
    admission = bench.line.admits()
    assert admission is Admission.PROBE
    bench.line.give_back(admission)
    bench.clock.advance(1)
    assert bench.line.admits() is Admission.PROBE


@pytest.mark.parametrize("trouble", ["route", "moved", "token", "source", "fault"])
def test_a_probe_that_comes_to_no_outcome_is_given_back(bench, trouble):
    row = half_open(bench)[0]
    admission = bench.line.admits()
    claimed = bench.kit.claim(row)
    if trouble == "route":
        bench.routed = False
    elif trouble == "moved":
        bench.kit.apply(claimed, Event.DISCARDED)
    elif trouble == "token":
        bench.tokens.errors = [TokenUnavailable("x")]
    elif trouble == "source":
        bench.folder.rename(bench.folder.with_name("away"))
    else:
        bench.path("r0.wav").unlink()
    bench.line.carry(claimed, admission=admission)
    assert not bench.submit_gate.is_probing
    assert bench.submit_gate.why is Why.EQUAL_REFUSALS


def test_a_probe_that_a_worker_took_on_its_way_is_given_back_when_it_fails(bench):
    half_open(bench)
    bench.kit.force("UPDATE recording SET due_at = NULL WHERE state = 'staged'")
    bench.tokens.errors = [TokenUnavailable("x")]
    row = bench.carry(bench.rested("new.wav", call(50)))
    assert row.state is State.STAGED
    assert not bench.submit_gate.is_probing


def test_what_ends_meanwhile_does_not_free_the_place_of_the_probe(bench):
    """A slow request that was under way when the gate closed ends while the probe is out."""
    rows = half_open(bench)
    slow = bench.kit.claim(bench.rested("slow.wav", call(60)))

    def meanwhile():
        # the gate is probed by another while this one waits for its answer
        bench.submit_gate.close(Why.EQUAL_REFUSALS)
        bench.after_probe_time(bench.submit_gate)
        assert bench.line.admits() is Admission.PROBE
        return unknown()

    bench.submit_gate.passed()
    bench.service.manners = [meanwhile]
    bench.line.carry(slow, admission=Admission.FREELY)
    assert bench.submit_gate.is_probing
    assert bench.line.admits() is None
    bench.line.carry(bench.kit.claim(rows[0]), admission=Admission.PROBE)
    assert bench.submit_gate.is_open


def test_a_gate_that_waits_is_asked_about_no_sooner_than_its_probe(bench):
    bench.submit_gate.close(Why.UNREACHABLE)
    wait = bench.submit_gate.seconds_to_probe()
    assert bench.line.seconds_to_place() == pytest.approx(wait)
    bench.token_gate.close(Why.CREDENTIALS)
    assert bench.line.seconds_to_place() >= wait


def test_what_was_staged_in_another_manner_is_staged_anew(tmp_path):
    """`[staging] type` was changed while recordings were staged."""
    from uploader.pipeline.stage import BucketStager, BuiltinStager

    bench = ServiceBench(tmp_path)

    class Signer:
        def sign(self, id_, attempt, extension, *, lifetime_seconds):
            return type("Url", (), {"url": f"http://here/{id_}-{attempt}{extension}"})()

    class Bucket:
        def __init__(self):
            self.removed = []

        def stage(self, **values):
            from uploader.staging.s3 import StagedObject

            return StagedObject(bucket="b", key="k", size_bytes=1, etag="e")

        def url(self, staged, *, lifetime_seconds):
            return type("Url", (), {"url": f"https://{staged.bucket}/{staged.key}"})()

        def remove(self, staged):
            self.removed.append(staged.key)

    builtin = BuiltinStager(Signer(), lifetime_seconds=60)
    bucket = BucketStager(Bucket(), lifetime_seconds=60)
    documents = {builtin: builtin, bucket: bucket}
    for number, (before, now) in enumerate([(builtin, bucket), (bucket, builtin)]):
        row = bench.take_in(bench.rested(f"{number}.wav", call(number), audio=wave(tone=number + 1)))
        row = bench.ledger.recordings.apply(
            row, Event.STAGED, at=bench.now, staged=documents[before].stage(row), due_at=bench.now
        )
        bench.stager = now
        assert bench.carry_admitted(row).state is State.SUBMITTED
        json.loads(bench.row(row).staged)
        now.remove(row)
    assert [request["url"].split(":")[0] for request in bench.service.requests] == ["https", "http"]
    bench.close()


def test_an_error_of_ours_is_not_swallowed(bench):
    bench.stager.errors = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        bench.carry(bench.rested())


def test_the_sidecar_of_the_call_is_what_is_sent(bench):
    bench.carry(bench.rested())
    assert bench.service.requests[0]["body"]["interaction_info"]["to"] == CALL["interaction_info"]["to"]


def test_a_source_that_is_out_of_reach_at_the_last_moment_sends_nothing(bench):
    row = bench.staged()

    class Away:
        def stamp(self, location):
            raise SourceUnavailable("x")

    bench.place = Away()
    row = bench.carry_admitted(row)
    assert (row.state, due_in(bench, row)) == (State.STAGED, 30_000)
    assert bench.service.requests == []


def test_a_token_refused_again_and_again_does_not_go_round_for_ever(bench):
    row = bench.staged()
    for _ in range(50):
        bench.clock.advance(1)
        if bench.line.admits() is None:
            break
        bench.service.manners = [refused(Cause.TOKEN, "no")]
        bench.line.carry(bench.kit.claim(row), admission=Admission.FREELY)
        row = bench.row(row)
    assert bench.submit_gate.why is Why.CREDENTIALS
    assert (row.state, row.faults) == (State.STAGED, 0)


def test_a_probe_of_a_store_that_is_open_again_is_given_back_and_the_row_goes_on(bench, monkeypatch):
    """Two may hold the probe for an instant; the second one staged and unstaged its row for ever."""
    row, moves = bench.kit.claim(bench.staged("a.wav", call(1))), []
    apply = bench.ledger.recordings.apply

    def counting(row, event, **values):
        moves.append(event)
        assert len(moves) < 9
        return apply(row, event, **values)

    monkeypatch.setattr(bench.ledger.recordings, "apply", counting)
    bench.line.carry(row, admission=Admission.STORE_PROBE)
    assert bench.row(row).state is State.SUBMITTED
    assert bench.line._taken == 0
