"""What happens at the worst moment: names that are reused, requests in flight, a person's command between two steps."""

from __future__ import annotations

import json
import os

import pytest

from tests.unit.ledger.kit import accepted
from tests.unit.pipeline.bench import CALL, call, wave
from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.imports import ImportSight
from uploader.ledger.sighting import Arrival, Sight
from uploader.pipeline.case import Case
from uploader.platform.filesystem import stamp_of


def scan(bench, *, came=(), gone=()):
    """Let the ledger know of what came and went, as a scan would."""
    bench.ledger.discovery.record(
        source_n=bench.kit.source_n, directory=os.fsencode(bench.folder), gone=gone, wake=(), at=bench.now,
        sights=[
            Sight(name=os.fsencode(name), stamp=stamp_of(os.stat(bench.path(name))), is_recording=True)
            for name in came
        ],
        arrival=Arrival(due_at=bench.now),
    )  # fmt: skip


def imported(bench, name, sidecar=CALL):
    """Write a recording and enter it into an import."""
    bench.write(name, wave(tone=5))
    bench.write(f"{name}.json", sidecar)
    row = bench.ledger.discovery.begin_import(name="old", source_n=bench.kit.source_n, settings="{}", at=bench.now)
    location = os.fsencode(bench.path(name))
    sight = ImportSight(location=location, stamp=stamp_of(os.stat(location)), due_at=bench.now)
    bench.ledger.imports.add(import_n=row.n, source_n=bench.kit.source_n, sights=[sight], at=bench.now)
    return bench.kit.row(bench.kit.ask("SELECT max(n) FROM recording")[0][0])


def test_another_recording_under_the_old_name_of_one_that_was_renamed_while_it_waited_is_a_recording_of_its_own(bench):
    first = bench.staged("a.wav", CALL)
    os.rename(bench.path("a.wav"), bench.path("b.wav"))
    os.rename(bench.path("a.wav.json"), bench.path("b.wav.json"))
    scan(bench, gone=[b"a.wav"])
    renamed = bench.see("b.wav")
    bench.clock.advance(3)
    assert bench.take_in(renamed).state is State.DUPLICATE
    bench.write("a.wav", wave(tone=33))
    bench.write("a.wav.json", call(7))
    scan(bench, came=["a.wav"])
    bench.clock.advance(3)
    (n,) = bench.kit.ask("SELECT n FROM recording WHERE location = ?", os.fsencode(bench.path("a.wav")))[0]
    assert bench.take_in(bench.kit.row(n)).state is State.READY
    first = bench.row(first)
    assert (first.state, first.location) == (State.STAGED, os.fsencode(bench.path("b.wav")))


def test_of_two_alike_in_an_import_the_other_goes_when_the_first_is_gone(bench):
    first, second = imported(bench, "a.wav"), imported(bench, "b.wav")
    first = bench.take_in(first, is_import=True)
    assert first.state is State.READY
    bench.path("a.wav").unlink()
    assert bench.take_in(second, is_import=True).state is State.DUPLICATE
    first = bench.kit.apply(first, Event.CHANGED, due_at=bench.now)
    assert bench.take_in(first, is_import=True).reason_code == Reason.FILE_VANISHED
    assert bench.take_in(second, is_import=True).state is State.READY


def test_what_is_listed_may_be_that_of_a_request_in_flight_and_is_not_taken_for_an_older_ones(bench):
    for n in range(2):
        bench.send(bench.staged(f"c{n}.wav", call(n) | {"interaction_info": {"from": f"+1415555020{n}"}}))
    bench.kit.force("UPDATE recording SET due_at = 0 WHERE state = 'submitted'")
    bench.follow(after=1)  # `to` was never shown
    start = {"start_time": "2026-11-20T09:00:00Z"}
    lost = bench.send(bench.staged("lost.wav", start | {"interaction_info": CALL["interaction_info"]}), "nothing")
    flying = bench.staged("flying.wav", start | {"interaction_info": {"from": CALL["interaction_info"]["from"]}})

    def listed_before_it_answers():
        made = bench.service.accept(json.loads(flying.body))
        bench.look(after=1)
        return accepted(made.id)

    flying = bench.send(flying, listed_before_it_answers)
    assert (flying.state, flying.interaction_id) == (State.SUBMITTED, "int-3")
    lost = bench.row(lost)
    assert (lost.state, lost.interaction_id, lost.held) == (State.UNCONFIRMED, None, None)
    assert lost.due_at <= bench.now + 1000, "what contends is answered in a moment: it is looked for again soon"


def test_a_repeat_that_was_allowed_is_looked_for_anew_when_the_recording_goes_round_again_before_it(bench):
    bench.learn()
    row = bench.send(bench.staged(), "lost")
    made = list(bench.service.interactions.values())[-1]
    made.listed_from = bench.clock.now().replace(year=2030)
    bench.look()
    bench.look(after=61)
    assert bench.row(row).state is State.STAGED
    row = bench.kit.apply(row, Event.FAULTED, **changes.reason_of(Reason.FILE_UNREADABLE))
    bench.clock.advance(7200)
    made.listed_from = bench.clock.now()
    row = bench.kit.apply(row, Event.RETRIED, due_at=bench.now)
    row = bench.send(bench.stage(bench.take_in(row)))
    assert row.state is State.UNCONFIRMED
    bench.look()
    row = bench.row(row)
    assert (row.state, row.interaction_id) == (State.SUBMITTED, made.id)


def test_a_repeat_is_not_allowed_for_a_request_that_was_sent_while_the_decision_was_made(bench):
    bench.learn()
    row = bench.send(bench.staged(), "nothing")
    bench.look()
    bench.clock.advance(61)
    find_own = bench.ledger.attempts.own_ids

    def own_ids(ids):
        bench.ledger.attempts.own_ids = find_own
        bench.send(bench.kit.apply(row, Event.SEND_AGAIN, due_at=bench.now, cleared=1), "lost")
        return find_own(ids)

    read = bench.reconciler._look

    def look(*parts):
        bench.ledger.attempts.own_ids = own_ids
        return read(*parts)

    bench.reconciler._look = look
    bench.look()
    assert bench.row(row).state is State.UNCONFIRMED
    assert len(bench.attempts_of(row)) == 2


def test_an_attempt_that_a_person_has_tied_is_not_tied_again(bench):
    row = bench.send(bench.staged(), "lost")
    (attempt,) = bench.attempts_of(row)
    row = bench.ledger.attempts.adopt(row, "int-by-hand", at=bench.now)
    row = bench.kit.apply(row, Event.NEW_INTERACTION, due_at=bench.now, copy=row.n, interaction_id=None)
    with pytest.raises(RowMoved):
        bench.ledger.attempts.tie(attempt.n, "int-1", at=bench.now, event=Event.LATE_ACCEPTED, track_at=bench.now)
    assert bench.attempts_of(row)[0].interaction_id == "int-by-hand"


def test_a_copy_that_another_of_the_same_content_is_just_being_staged_on_is_not_taken_away(bench):
    row = bench.send(bench.staged("a.wav", call(1), audio=wave()))
    other = bench.take_in(bench.rested("b.wav", call(2), audio=wave()))
    assert other.state is State.READY
    assert bench.ledger.recordings.shares_staged(bench.row(row))


def test_the_doubt_of_a_ledger_that_was_lost_altogether_reaches_back_no_further_than_the_call(bench):
    row = bench.staged()
    bench.ledger.attempts.doubt(bench.kit.claim(row), since=0, at=bench.now)
    (attempt,) = bench.attempts_of(row)
    assert attempt.call_start - 86_400_000 == attempt.started_at
    assert len(Case(row=bench.row(row), attempts=(attempt,)).windows) < 5
