"""What reads or changes many rows has a few of them in memory at a time."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.backlog_maker import make_backlog
from uploader.domain.recording import State
from uploader.ledger.ledger import Ledger

COUNT = 1_200
ROOT = "/srv/rec"
MOST_BYTES = 128 * 1024


@pytest.fixture
def many(tmp_path):
    """A ledger with so many recordings that are staged, and as many that are submitted."""
    path = tmp_path / "ledger.db"
    make_backlog(path, {State.STAGED: COUNT, State.SUBMITTED: COUNT}, root=ROOT)
    ledger = Ledger.open_beside(path)
    yield ledger
    ledger.close()


def test_all_that_waits_is_judged_again_when_the_settings_of_its_source_change(many):
    many.discovery.register(name="hq", type_="folder", root=ROOT.encode(), settings="others", at=1)
    counts = many.recordings.counts()
    assert (counts[State.STAGED], counts[State.DISCOVERED], counts[State.SUBMITTED]) == (0, COUNT, COUNT)


def test_acceptances_in_a_window_are_read_one_at_a_time(many):
    tracemalloc.start()
    try:
        found = sum(1 for _ in many.attempts.in_window(start=0, end=2**60))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == COUNT
    assert peak < MOST_BYTES
