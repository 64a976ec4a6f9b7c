"""Requests of unknown outcome, against a service that lists late, by another axis, or less than was sent."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from tests.unit.ledger.kit import HOUR_MS, refused, unknown
from tests.unit.pipeline.bench import CALL, call, wave
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.domain.walk import Window
from uploader.errors import ApiUnavailable
from uploader.ledger.rows import to_ms
from uploader.pipeline.listing import Stopped


def look_until_quiet(bench, row, *, seconds=200):
    """Look whenever something is due, for so long; return the row as it is then."""
    end = bench.clock.monotonic() + seconds
    while bench.row(row).state is State.UNCONFIRMED and bench.clock.monotonic() < end:
        wait = bench.reconciler.seconds_to_next()
        bench.clock.advance(min(max(wait or 0, 0.05), end - bench.clock.monotonic() + 0.01))
        bench.reconciler.run_once()
    return bench.row(row)


def accepted_count(bench, row):
    """How many interactions the service has of this very recording."""
    return sum(row.id in one.url for one in bench.service.interactions.values())


def test_with_nothing_open_nothing_is_asked(bench):
    bench.send(bench.staged())
    assert bench.reconciler.seconds_to_next() is None
    assert bench.look() == 0
    assert bench.service.reads == 0


def test_a_lost_answer_is_found_and_adopted_at_the_first_look(bench):
    bench.learn()
    row = bench.send(bench.staged(), "lost")
    assert bench.reconciler.seconds_to_next() == 0
    assert bench.look() == 1
    row = bench.row(row)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, "int-2")
    assert bench.attempts_of(row)[0].open == 0
    assert accepted_count(bench, row) == 1


def test_since_when_an_attempt_was_known_is_forgotten_with_it(bench):
    bench.learn()
    row = bench.send(bench.staged(), "lost")
    bench.reconciler.seconds_to_next()
    assert list(bench.reconciler._known_since) == [one.n for one in bench.attempts_of(row)]
    assert bench.look() == 1
    bench.reconciler.seconds_to_next()
    assert bench.reconciler._known_since == {}


def test_one_that_was_not_accepted_is_sent_again_only_after_the_wait_and_with_proof(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    assert bench.row(row).reason_code == "looking"
    bench.look(after=58)
    assert bench.row(row).state is State.UNCONFIRMED
    bench.look(after=3)
    row = bench.row(row)
    assert (row.state, row.cleared) == (State.STAGED, 1)
    row = bench.send(row)
    assert row.state is State.SUBMITTED
    assert bench.ledger.books.counter("resent_after_unknown") == 1
    assert accepted_count(bench, row) == 1


def test_without_a_control_of_ours_nothing_is_sent_again(bench):
    row = bench.send(bench.staged(), "nothing")
    row = look_until_quiet(bench, row, seconds=24 * 3600)
    assert (row.state, row.held, row.reason_code) == (State.UNCONFIRMED, "no_proof", "no_proof")
    assert len(bench.service.requests) == 1
    assert bench.ledger.recordings.held() == {"no_proof": 1}


def test_a_hold_is_judged_again_after_a_minute_five_then_hourly(bench):
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.look(after=61)
    assert bench.row(row).held == "no_proof"
    waits = []
    for _ in range(4):
        waits.append(bench.reconciler.seconds_to_next())
        bench.look(after=waits[-1])
    assert waits == [60, 300, 3600, 3600]


def test_a_hold_is_judged_again_as_soon_as_something_was_learned(bench):
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.look(after=61)
    assert bench.row(row).held == "no_proof"
    bench.learn()
    bench.look()
    row = bench.row(row)
    assert (row.state, row.held) == (State.STAGED, None)


def test_the_wait_is_run_time_not_the_wall_clocks(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.clock.step(3600)
    bench.look()
    assert bench.row(row).state is State.UNCONFIRMED


def test_a_new_process_waits_anew(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.clock.advance(50)
    bench.start()
    bench.look(after=15)
    assert bench.row(row).state is State.UNCONFIRMED
    bench.look(after=61)
    assert bench.row(row).state is State.STAGED


def test_the_wait_is_three_times_the_longest_lag_that_was_seen(bench):
    bench.service.lag_seconds = 100
    control = bench.send(bench.staged("c.wav", call(1)))
    for _ in range(12):
        bench.kit.force("UPDATE recording SET due_at = 0 WHERE n = ?", control.n)
        bench.follow(after=9)
    assert 80 <= max(bench.listing.learned.lags_seconds) <= 100
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.look(after=200)
    assert bench.row(row).state is State.UNCONFIRMED
    bench.look(after=130)
    assert bench.row(row).state is State.STAGED


@pytest.mark.parametrize("lag", [0, 20, 45])
def test_an_interaction_that_is_listed_late_is_still_found(bench, lag):
    bench.learn()
    bench.service.lag_seconds = lag
    row = look_until_quiet(bench, bench.send(bench.staged(), "lost"))
    assert row.state is State.SUBMITTED
    assert accepted_count(bench, row) == 1


@pytest.mark.parametrize("axis", ["start", "created"])
@pytest.mark.parametrize("days", [0, 1, 5, 40])
def test_whichever_time_the_service_filters_by_it_is_found(bench, axis, days):
    bench.service.axis = axis
    start = (bench.clock.now() - timedelta(days=days, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for n in range(2):
        bench.send(bench.staged(f"c{n}.wav", call(n, start_time=start)))
    bench.kit.force("UPDATE recording SET due_at = 0 WHERE state = 'submitted'")
    bench.follow()
    row = bench.send(bench.staged("a.wav", call(9, start_time=start)), "lost")
    row = look_until_quiet(bench, row)
    assert row.state is State.SUBMITTED
    assert accepted_count(bench, row) == 1


@pytest.mark.parametrize("axis", ["start", "created"])
def test_an_axis_that_never_showed_ours_proves_nothing(bench, axis):
    """The controls are of today; the recording's call was weeks ago."""
    bench.service.axis = axis
    bench.learn()
    old = (bench.clock.now() - timedelta(days=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = bench.send(bench.staged("old.wav", call(9, start_time=old)), "nothing")
    row = look_until_quiet(bench, row, seconds=7200)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "no_proof")


def test_with_resubmit_what_cannot_be_proved_is_sent_again_once_the_wait_is_over(bench):
    bench.reconciler = bench.new_reconciler(resubmit=True)
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    assert bench.row(row).state is State.UNCONFIRMED
    bench.look(after=61)
    assert bench.row(row).state is State.STAGED


def test_with_resubmit_what_resembles_is_still_held(bench):
    bench.reconciler = bench.new_reconciler(resubmit=True)
    row = bench.send(bench.staged(), "lost")
    row = look_until_quiet(bench, row, seconds=600)
    assert row.state in {State.UNCONFIRMED, State.SUBMITTED}
    assert accepted_count(bench, row) == 1
    assert len(bench.service.requests) == 1


def test_with_resubmit_what_resembles_an_older_body_is_held_too(bench):
    """The sidecar was mended between two requests; the first may have arrived."""
    bench.service.drops = {"from_", "to"}
    bench.learn()
    bench.reconciler = bench.new_reconciler(resubmit=True)
    row = bench.send(bench.staged("a.wav", call(1)), "lost")
    old = (bench.clock.now() - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = bench.kit.apply(row, Event.SEND_AGAIN, due_at=bench.now, cleared=1)
    bench.kit.apply(row, Event.CHANGED, due_at=bench.now)
    bench.write("a.wav.json", call(1, start_time=old))
    row = bench.send(bench.stage(bench.take_in(row)), "nothing")
    requests = len(bench.service.requests)
    row = look_until_quiet(bench, row, seconds=7200)
    assert row.state is State.UNCONFIRMED
    assert row.held == "resembles"
    assert len(bench.service.requests) == requests


@pytest.mark.parametrize("drop", ["start_time", "from_", "to", "channel_type", "consumer_name"])
def test_what_the_listing_leaves_out_makes_no_second_interaction(bench, drop):
    bench.service.drops = {drop}
    bench.learn()
    row = look_until_quiet(bench, bench.send(bench.staged(), "lost"), seconds=7200)
    assert accepted_count(bench, row) == 1
    assert len(bench.service.requests) == 2


def test_interactions_of_others_are_not_taken_for_ours(bench):
    bench.learn()
    bench.service.accept({"start_time": "2026-11-20T04:00:00Z", "interaction_info": CALL["interaction_info"]})
    now = bench.clock.now()
    bench.listing.read(Window(start=now - timedelta(days=1), end=now + timedelta(days=1)))
    bench.clock.advance(1)
    row = bench.send(bench.staged(), "nothing")
    row = look_until_quiet(bench, row)
    assert row.interaction_id is None
    assert row.state is State.STAGED


def test_one_that_appeared_after_the_attempt_and_fits_less_is_for_a_person(bench):
    bench.service.drops = {"from_", "to"}
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.service.accept({"start_time": "2026-11-20T04:00:00Z"})
    row = look_until_quiet(bench, row, seconds=4000)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "resembles")
    assert "int-2" in (row.reason or "")


def test_two_that_fit_are_for_a_person(bench):
    bench.learn()
    row = bench.send(bench.staged(), "lost")
    bench.service.accept(dict(CALL, interaction_info=CALL["interaction_info"] | {"channel_type": "voice"}))
    row = look_until_quiet(bench, row, seconds=4000)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "several_candidates")


def test_twins_go_one_at_a_time_and_both_arrive_once(bench):
    bench.learn()
    rows = []
    for n in range(2):
        taken = bench.take_in(bench.rested(f"{n}.wav", CALL, audio=wave(tone=n + 7)), same_call="send")
        rows.append(bench.stage(taken))
    first = bench.send(rows[0], "lost")
    assert bench.send(rows[1]).reason_code == "twin"
    assert look_until_quiet(bench, first).state is State.SUBMITTED
    assert bench.send(rows[1]).state is State.SUBMITTED
    assert [accepted_count(bench, row) for row in rows] == [1, 1]


def test_a_listing_that_does_not_add_up_proves_nothing(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.service.miscounts = 99
    bench.look(after=61)
    assert bench.row(row).state is State.UNCONFIRMED
    bench.service.miscounts = 0
    assert look_until_quiet(bench, row).state is State.STAGED


def test_a_long_listing_is_read_page_by_page(bench):
    bench.learn()
    for _ in range(25):
        bench.service.accept(call(77))
    bench.service.page_limit = 10
    row = bench.send(bench.staged(), "lost")
    assert look_until_quiet(bench, row).state is State.SUBMITTED


def test_a_control_that_is_missing_spoils_the_proof(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    hidden = bench.service.interactions.pop("int-1")
    bench.look(after=61)
    assert (bench.row(row).state, bench.row(row).held) == (State.UNCONFIRMED, "no_proof")
    bench.service.interactions["int-1"] = hidden
    assert look_until_quiet(bench, row).state is State.STAGED


def test_what_was_fetched_to_its_end_is_never_sent_again(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    (attempt,) = bench.attempts_of(row)
    bench.ledger.attempts.fetched(attempt.n, first=0, last=row.size_bytes - 1, size=row.size_bytes, at=bench.now)
    row = look_until_quiet(bench, row, seconds=24 * 3600)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "fetched_unlisted")
    assert len(bench.service.requests) == 2


def test_one_reading_serves_all_of_a_window(bench):
    bench.learn()
    rows = [bench.send(bench.staged(f"{n}.wav", call(n)), "lost") for n in range(10)]
    before = bench.service.reads
    assert bench.look() == 10
    assert bench.service.reads - before == 2
    assert {bench.row(row).state for row in rows} == {State.SUBMITTED}


def test_a_failure_of_the_listing_settles_nothing_and_is_passed_on(bench):
    row = bench.send(bench.staged(), "lost")
    bench.service.errors = [ApiUnavailable("x")]
    with pytest.raises(ApiUnavailable):
        bench.look()
    assert bench.row(row).state is State.UNCONFIRMED


def test_a_stop_in_the_middle_settles_nothing(bench):
    bench.learn()
    rows = [bench.send(bench.staged(f"{n}.wav", call(n)), "lost") for n in range(2)]
    stop = threading.Event()
    lists = bench.service.list_interactions

    def stopping(**options):
        bench.stop.set()
        return lists(**options)

    bench.service.list_interactions = stopping
    with pytest.raises(Stopped):
        bench.look()
    assert {bench.row(row).state for row in rows} == {State.UNCONFIRMED}
    bench.stop.clear()
    assert not stop.is_set()
    bench.service.list_interactions = lists
    assert bench.look() == 2


def test_an_answer_that_comes_while_the_listing_is_read_wins(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    lists = bench.service.list_interactions

    def answering(**options):
        if bench.row(row).state is State.UNCONFIRMED:
            bench.ledger.attempts.adopt(bench.row(row), "late", at=bench.now)
        return lists(**options)

    bench.service.list_interactions = answering
    bench.look(after=61)
    assert (bench.row(row).state, bench.row(row).interaction_id) == (State.SUBMITTED, "late")


def test_after_the_clock_stepped_back_our_own_is_not_taken_for_an_older_one(bench):
    bench.learn()
    row = bench.send(bench.staged(), "lost")
    bench.clock.step(-900)
    row = look_until_quiet(bench, row)
    assert row.state is not State.STAGED
    assert accepted_count(bench, row) == 1


# Open attempts of what is settled: looked for again after an hour, a day, a week.


def resent(bench, *, late=False):
    """A recording that was sent twice: the first request of unknown outcome, the second accepted."""
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    row = look_until_quiet(bench, row)
    assert row.state is State.STAGED
    row = bench.send(row)
    assert row.state is State.SUBMITTED
    if late:
        bench.service.accept(bench.service.requests[1]["body"], "late " + row.id)
    return row


def test_an_old_attempt_is_looked_for_three_times_then_closed(bench):
    row = resent(bench)
    started = bench.attempts_of(row)[0].started_at
    looked = []
    for _ in range(3):
        wait = bench.reconciler.seconds_to_next()
        bench.look(after=wait)
        looked.append(bench.attempts_of(row)[0].rechecks)
    assert looked == [1, 2, 3]
    assert bench.attempts_of(row)[0].open == 0
    assert bench.now - started == pytest.approx(7 * 24 * HOUR_MS, abs=HOUR_MS)
    assert bench.reconciler.seconds_to_next() is None
    assert bench.ledger.books.counter("doubles") == 0


def test_a_second_interaction_that_turns_up_is_reported(bench):
    row = resent(bench, late=True)
    bench.look(after=bench.reconciler.seconds_to_next())
    assert bench.ledger.books.counter("doubles") == 1
    assert bench.kit.history(row)[-1] == "double"
    assert bench.attempts_of(row)[0].interaction_id == "int-3"
    assert bench.row(row).interaction_id == "int-2"


def test_a_request_of_a_refused_recording_that_had_arrived_settles_it(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    row = look_until_quiet(bench, row)
    body = bench.service.requests[-1]["body"]
    for _ in range(5):
        row = bench.kit.apply(bench.row(row), Event.CLEARED, cleared=1, due_at=bench.now) \
            if bench.row(row).state is State.UNCONFIRMED else bench.row(row)  # fmt: skip
        row = bench.send(row, refused())
        if row.state is State.UNCONFIRMED:
            row = bench.kit.clear(row)
            row = bench.send(row, refused())
        if row.state is State.REFUSED:
            break
    assert row.state is State.REFUSED
    bench.service.accept(body, "late " + row.id)
    bench.look(after=3700)
    assert (bench.row(row).state, bench.row(row).interaction_id) == (State.SUBMITTED, "int-2")
    assert bench.ledger.books.counter("doubles") == 0


def test_a_watched_attempt_of_what_is_looked_for_again_is_not_asked_for_without_end(bench):
    row = resent(bench)
    row = bench.kit.apply(row, Event.NEW_INTERACTION, due_at=bench.now, copy=row.n, interaction_id=None)
    row = bench.send(bench.stage(bench.take_in(row)))
    assert row.state is State.UNCONFIRMED
    bench.service.miscounts = 10**6
    bench.clock.advance(2 * 3600)
    bench.look()
    reads = bench.service.reads
    assert bench.reconciler.seconds_to_next() > 1
    bench.look()
    assert bench.service.reads == reads


def test_a_watched_attempt_of_what_is_being_sent_does_not_end_the_thread(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    row = bench.kit.clear(row)
    row = bench.send(row, refused())
    row = bench.kit.clear(row) if row.state is State.UNCONFIRMED else row
    bench.kit.force("UPDATE attempt SET recheck_at = 1 WHERE open = 1")
    bench.kit.force("UPDATE recording SET cleared = 1 WHERE n = ?", row.n)
    bench.service.accept(bench.service.requests[-1]["body"], "late " + row.id)
    seen = []

    def during():
        seen.append(bench.row(row).state)
        bench.look(after=3700)
        return refused()

    row = bench.send(row, during)
    assert seen == [State.SUBMITTING]
    assert bench.row(row).state in {State.SUBMITTED, State.STAGED, State.UNCONFIRMED}


def test_a_doubt_is_looked_for_over_all_its_days(bench):
    """The ledger was restored from a copy of three days ago; what was sent since is not in it."""
    bench.learn()
    body = None
    row = bench.staged("a.wav", call(5))
    sent_at = bench.clock.now() + timedelta(days=1)
    since = bench.clock.now()
    bench.clock.advance(3 * 24 * 3600)
    import json

    body = json.loads(row.body)
    made = bench.service.accept(body, "before the restore")
    made.created, made.listed_from = sent_at, sent_at
    bench.ledger._doubt = (to_ms(since), bench.now)
    bench.clock.advance(60)
    row = bench.send(row)
    assert (row.state, row.reason_code) == (State.UNCONFIRMED, "in_doubt")
    row = look_until_quiet(bench, row, seconds=600)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, made.id)
    assert len(bench.service.requests) == 1


def test_an_unknown_outcome_of_the_repeat_is_looked_for_again(bench):
    bench.learn()
    row = look_until_quiet(bench, bench.send(bench.staged(), "nothing"))
    row = bench.send(row, "lost")
    assert row.state is State.UNCONFIRMED
    row = look_until_quiet(bench, row)
    assert row.state is State.SUBMITTED
    assert accepted_count(bench, row) == 1
    row = bench.send(bench.staged("b.wav", call(8)), unknown())
    assert row.state is State.UNCONFIRMED


def test_one_that_was_held_for_what_another_one_takes_is_judged_again_at_once(bench):
    bench.learn()
    absent = bench.send(bench.staged("absent.wav", call(1)), "nothing")
    bench.look()
    bench.clock.advance(70)
    lost = bench.send(bench.staged("lost.wav", call(1) | {"start_time": "2026-11-20T04:00:30Z"}), "lost")
    bench.look()
    assert bench.row(lost).state is State.SUBMITTED
    assert bench.row(absent).held == "resembles"
    bench.look(after=1)
    assert bench.row(absent).state is State.STAGED, "nothing is listed any more that could be this one"
