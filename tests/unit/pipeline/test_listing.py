"""Reading the listing, and what every walk leaves behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.pipeline.bench import call
from uploader.domain.visibility import Axis
from uploader.domain.walk import Window
from uploader.errors import ApiUnavailable


def window(bench, *, days=1):
    now = bench.clock.now()
    return Window(start=now - timedelta(days=days), end=now + timedelta(days=days))


def sent(bench, name="a.wav", **fields):
    return bench.send(bench.staged(name, call(1, **fields)))


def test_every_interaction_on_every_page_is_seen_with_the_time(bench):
    for n in range(25):
        bench.service.accept(call(n))
    bench.service.page_limit = 10
    reading = bench.listing.read(window(bench))
    assert reading.survey.complete
    assert len(reading.survey.listed) == 25
    seen = bench.ledger.books.first_seen([f"int-{n}" for n in range(1, 26)])
    assert len(seen) == 25
    assert set(seen.values()) == {bench.now}


def test_what_was_seen_before_a_walk_broke_off_stays_seen(bench):
    for n in range(25):
        bench.service.accept(call(n))
    bench.service.page_limit = 10
    lists = bench.service.list_interactions

    def breaking(**options):
        if options["page_token"]:
            raise ApiUnavailable("x")
        return lists(**options)

    bench.service.list_interactions = breaking
    with pytest.raises(ApiUnavailable):
        bench.listing.read(window(bench))
    assert len(bench.ledger.books.first_seen([f"int-{n}" for n in range(1, 26)])) == 10


def test_a_complete_walk_that_shows_ours_teaches_axis_lag_and_fields_once(bench):
    sent(bench)
    bench.clock.advance(5)
    for _ in range(3):
        bench.listing.read(window(bench))
    learned = bench.listing.learned
    assert learned.shown == {Axis.JOINT: 1}
    assert learned.lags_seconds == (0.0,)
    assert learned.echo.proven("start_time")
    assert learned.echo.proven("to")
    assert learned.echo.stats("to").equal == 1


def test_an_incomplete_walk_teaches_nothing(bench):
    sent(bench)
    bench.service.miscounts = 1
    bench.listing.read(window(bench))
    assert bench.listing.learned.shown == {}


def test_what_was_learned_is_there_for_the_next_process(bench):
    sent(bench)
    bench.listing.read(window(bench))
    before = bench.listing.learned
    bench.start()
    assert bench.listing.learned == before


@pytest.mark.parametrize("note", ["", "{", "[]", '{"shown": {"start": -1}}', '{"shown": 5}'])
def test_what_cannot_be_read_of_it_is_learned_anew(bench, note):
    bench.ledger.books.set_notes({"learned": note})
    bench.start()
    assert bench.listing.learned.shown == {}


def test_the_lag_is_how_long_it_was_surely_missing(bench):
    bench.service.lag_seconds = 50
    sent(bench)
    for _ in range(7):
        bench.clock.advance(10)
        bench.listing.read(window(bench))
    (lag,) = bench.listing.learned.lags_seconds
    assert 30 <= lag <= 50


def test_interactions_of_others_teach_nothing(bench):
    bench.service.accept(call(1))
    bench.listing.read(window(bench))
    assert bench.listing.learned.shown == {}


def test_one_that_was_adopted_by_resemblance_is_no_control(bench):
    row = bench.send(bench.staged(), "lost")
    bench.ledger.attempts.adopt(row, "int-1", at=bench.now)
    bench.listing.read(window(bench))
    assert bench.listing.learned.shown == {}
    assert bench.listing.learned.lags_seconds == ()


def test_the_pace_of_reads_is_kept_between_pages(bench):
    waits = []

    class Slow:
        def read_wait(self):
            waits.append(1)
            return 0.0

        def saw_read(self, error):
            waits.append(error)

    bench.listing._governor = Slow()
    for n in range(25):
        bench.service.accept(call(n))
    bench.service.page_limit = 10
    bench.listing.read(window(bench))
    assert waits == [1, None] * 3
