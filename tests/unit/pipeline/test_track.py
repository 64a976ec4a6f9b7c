"""Following what was submitted until its analysis is seen: the list for many, the detail for few."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.bench import call
from uploader.domain.recording import State
from uploader.errors import ApiUnavailable, RateLimited
from uploader.pipeline.listing import Stopped


def sent(bench, count, **options):
    return [bench.send(bench.staged(f"{n}.wav", call(n, **options))) for n in range(count)]


def of(bench, row):
    return bench.service.interactions[row.interaction_id]


def test_nothing_is_asked_before_it_is_due(bench):
    sent(bench, 3)
    assert bench.follow() == 0
    assert (bench.service.reads, bench.service.details) == (0, 0)


def test_few_are_asked_for_one_by_one_once_the_listing_is_known(bench):
    rows = sent(bench, 3)
    bench.learn()
    of(bench, rows[0]).evidence = "detail.transcript"
    bench.clock.advance(601)
    reads = bench.service.reads
    assert bench.follow() == 1
    assert bench.service.reads == reads
    assert bench.row(rows[0]).state is State.ANALYZED


def test_many_are_asked_for_by_the_list(bench):
    rows = sent(bench, 20)
    for row in rows[:12]:
        of(bench, row).scored = True
    assert bench.follow(after=301) == 12
    assert (bench.service.reads, bench.service.details) == (1, 0)
    assert [bench.row(row).state for row in rows].count(State.ANALYZED) == 12


@pytest.mark.parametrize("count", [2, 20])
def test_the_evidence_is_kept(bench, count):
    rows = sent(bench, count)
    for row in rows:
        of(bench, row).scored = True
    bench.follow(after=301)
    row = bench.row(rows[0])
    assert (row.state, row.evidence, row.analyzed_at) == (State.ANALYZED, "list.score", bench.now)
    assert row.due_at is None
    assert bench.ledger.recordings.history(row.n)[-1].detail == "list.score"


def test_being_listed_is_no_evidence(bench):
    rows = sent(bench, 20)
    bench.follow(after=301)
    assert {bench.row(row).state for row in rows} == {State.SUBMITTED}


def test_what_is_not_analyzed_yet_is_asked_for_less_and_less_often(bench):
    (row,) = sent(bench, 1)
    waits = []
    for _ in range(15):
        row = bench.row(row)
        waits.append((row.due_at - bench.now) / 1000)
        bench.follow(after=waits[-1])
    assert waits[:4] == [300, 300, 600, 900]
    assert waits == sorted(waits)
    assert waits[-1] == 3600


def test_of_many_some_details_are_asked_for_too_in_time(bench):
    """The transcript shows in the detail only."""
    rows = sent(bench, 10)
    for row in rows:
        of(bench, row).evidence = "detail.transcript"
    for _ in range(5):
        bench.follow(after=3601)
    assert {bench.row(row).state for row in rows} == {State.ANALYZED}
    assert bench.row(rows[0]).evidence == "detail.transcript"


@pytest.mark.parametrize("error", [ApiUnavailable("x"), RateLimited("x")])
@pytest.mark.parametrize("count", [1, 20])
def test_a_failure_gives_every_row_back_and_is_passed_on(bench, error, count):
    rows = sent(bench, count)
    bench.service.errors = [error]
    with pytest.raises(type(error)):
        bench.follow(after=301)
    for row in rows:
        after = bench.row(row)
        assert (after.state, after.claimed) == (State.SUBMITTED, None)
        assert after.due_at > bench.now


def test_a_stop_gives_every_row_back(bench):
    rows = sent(bench, 2)
    bench.learn()
    bench.stop.set()
    with pytest.raises(Stopped):
        bench.follow(after=1000)
    assert all(bench.row(row).claimed is None for row in rows)


def test_an_interaction_that_the_service_no_longer_knows_is_not_analyzed(bench):
    (row,) = sent(bench, 1)
    bench.learn()
    del bench.service.interactions[row.interaction_id]
    bench.follow(after=1000)
    assert bench.row(row).state is State.SUBMITTED


def test_those_that_are_analyzed_are_told_of_once(bench):
    rows = sent(bench, 6)
    for row in rows:
        of(bench, row).scored = True
    bench.follow(after=301)
    bench.follow(after=3601)
    assert sorted(bench.analyzed) == [row.n for row in rows]


def test_what_a_person_changed_meanwhile_is_left_alone(bench):
    rows = sent(bench, 6)
    for row in rows:
        of(bench, row).scored = True
    lists = bench.service.list_interactions

    def meanwhile(**options):
        from uploader.domain.lifecycle import Event

        if bench.row(rows[0]).state is State.SUBMITTED:
            bench.kit.apply(rows[0], Event.NEW_INTERACTION, due_at=bench.now)
        return lists(**options)

    bench.service.list_interactions = meanwhile
    assert bench.follow(after=301) == 5
    assert bench.row(rows[0]).state is State.DISCOVERED


def test_calls_of_many_days_are_followed_a_few_windows_at_a_time(bench):
    from datetime import timedelta

    rows = []
    for n in range(30):
        start = (bench.clock.now() - timedelta(days=40 * n + 5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append(bench.send(bench.staged(f"{n}.wav", call(n, start_time=start))))
        of(bench, rows[-1]).scored = True
    bench.follow(after=301)
    assert bench.service.reads <= 6
    for _ in range(40):
        bench.follow(after=3601)
    assert {bench.row(row).state for row in rows} == {State.ANALYZED}


# Whether a staged copy is still needed by another.


@pytest.mark.parametrize(
    ("state", "shared"),
    [(State.STAGED, True), (State.SUBMITTED, True), (State.UNCONFIRMED, True), (State.ANALYZED, False)],
)
def test_a_copy_is_shared_while_another_of_the_same_content_is_on_its_way(bench, state, shared):
    from tests.unit.pipeline.bench import wave

    row = bench.send(bench.staged("a.wav", call(1), audio=wave()))
    other = bench.staged("b.wav", call(2), audio=wave())
    if state is not State.STAGED:
        other = bench.send(other, "lost" if state is State.UNCONFIRMED else "ok")
    if state is State.ANALYZED:
        from uploader.domain.lifecycle import Event

        other = bench.kit.apply(other, Event.ANALYZED, analyzed_at=bench.now)
    assert bench.row(other).state is state
    assert bench.ledger.recordings.shares_staged(bench.row(row)) is shared


def test_a_copy_of_other_content_or_under_another_key_is_not_shared(bench):
    row = bench.send(bench.staged("a.wav", call(1)))
    bench.staged("b.wav", call(2))
    assert not bench.ledger.recordings.shares_staged(bench.row(row))
