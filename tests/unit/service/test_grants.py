"""What the builtin server may serve, and what being fetched proves."""

from __future__ import annotations

import pytest

from tests.unit.ledger.kit import unknown
from tests.unit.pipeline.bench import call
from tests.unit.service.bench import ServiceBench
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.service.grants import LedgerGrants


@pytest.fixture
def bench(tmp_path):
    bench = ServiceBench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def grants(bench):
    return LedgerGrants(bench.ledger, bench.clock)


def fetch(grants, row, first, last, attempt=1):
    grants.fetched(row.id, attempt, first_byte=first, last_byte=last, complete=True, status=206, agent="any")


def test_an_attempt_that_was_written_is_served(bench, grants):
    row = bench.send(bench.staged(), "lost")
    grant = grants.grant(row.id, 1)
    assert (grant.path, grant.stamp, grant.revoked) == (row.location, row.stamp, False)
    assert grant.content_type == "audio/wav"


def test_during_the_request_itself_it_is_served(bench, grants):
    """The service may fetch before it has answered."""
    row, seen = bench.staged(), []
    bench.service.before_answer = lambda: seen.append(grants.grant(row.id, 1))
    bench.send(row)
    assert seen[0] is not None
    assert not seen[0].revoked


@pytest.mark.parametrize("attempt", [0, 2, 999_999_999])
def test_an_attempt_that_never_was_is_not_served(bench, grants, attempt):
    row = bench.send(bench.staged())
    assert grants.grant(row.id, attempt) is None


def test_a_recording_that_is_not_known_is_not_served(bench, grants):
    assert grants.grant("zzzzzzzzzz", 1) is None
    bench.staged()
    row = bench.kit.row(1)
    assert grants.grant(row.id, 1) is None


@pytest.mark.parametrize("event", [Event.CLEARED, Event.SEND_AGAIN, Event.DISCARDED])
def test_a_revoked_url_says_so(bench, grants, event):
    row = bench.send(bench.staged(), "lost")
    bench.kit.apply(row, event)
    assert grants.grant(row.id, 1).revoked


def test_of_a_repeat_the_newer_url_serves_and_the_older_one_does_not(bench, grants):
    row = bench.kit.clear(bench.send(bench.staged(), "nothing"))
    bench.send(row)
    assert grants.grant(row.id, 1).revoked
    assert not grants.grant(row.id, 2).revoked


def test_fetched_to_the_end_is_evidence_whatever_the_pieces(bench, grants):
    row = bench.send(bench.staged(), "lost")
    size = row.size_bytes
    fetch(grants, row, size // 2, size - 1)
    assert bench.attempts_of(row)[0].fetched_at is None
    fetch(grants, row, 0, size // 2)
    assert bench.attempts_of(row)[0].fetched_at == bench.now


def test_what_is_fetched_counts_for_its_own_attempt(bench, grants):
    row = bench.kit.clear(bench.send(bench.staged(), "nothing"))
    row = bench.send(row, unknown())
    fetch(grants, row, 0, row.size_bytes - 1, attempt=2)
    assert [one.fetched_at is not None for one in bench.attempts_of(row)] == [False, True]


def test_nothing_delivered_is_no_evidence(bench, grants):
    row = bench.send(bench.staged(), "lost")
    fetch(grants, row, 0, -1)
    fetch(grants, row, 5, 4)
    grants.fetched("zzzzzzzzzz", 1, first_byte=0, last_byte=9, complete=True, status=200, agent="")
    grants.fetched(row.id, 7, first_byte=0, last_byte=9, complete=True, status=200, agent="")
    assert bench.attempts_of(row)[0].fetched is None


def test_a_changed_file_that_waits_is_judged_again(bench, grants):
    row = bench.staged()
    grants.source_changed(row.id)
    assert (bench.row(row).state, bench.row(row).due_at) == (State.DISCOVERED, bench.now)


@pytest.mark.parametrize("manner", ["ok", "lost"])
def test_a_changed_file_that_was_sent_moves_nothing(bench, grants, manner):
    row = bench.send(bench.staged("a.wav", call(1)), manner)
    grants.source_changed(row.id)
    assert bench.row(row) == row
    grants.source_changed("zzzzzzzzzz")
