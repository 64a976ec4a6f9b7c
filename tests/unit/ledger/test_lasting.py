"""What must outlast the machine's power, and a ledger that is restored more than once."""

from __future__ import annotations

import shutil

import pytest

from tests.unit.ledger.kit import Kit


class Asked:
    """A writer that remembers whether its last work could be lost."""

    def __init__(self, writer):
        self._writer = writer
        self.redoable = None

    def write(self, work, *, redoable=False):
        self.redoable = redoable
        return self._writer.write(work, redoable=redoable)

    def close(self):
        self._writer.close()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "ledger.db"


def test_that_the_service_fetched_a_recording_is_on_disk_when_it_is_said(place):
    asked = []

    def wrap(writer):
        asked.append(Asked(writer))
        return asked[0]

    kit = Kit(place, wrap=wrap)
    row = kit.unconfirmed()
    (attempt,) = kit.ledger.attempts.of(row.n)
    kit.ledger.attempts.fetched(attempt.n, first=0, last=100, size=101, at=kit.now)
    kit.close()
    assert asked[0].redoable is False


def test_a_ledger_that_is_restored_twice_is_in_doubt_since_the_first_time(place, tmp_path):
    kit = Kit(place)
    kit.discover()
    kit.close()
    shutil.copy(place, tmp_path / "first")
    for _ in range(2):
        Kit(place, sending=True).close()
    shutil.copy(tmp_path / "first", place)
    restored = Kit(place, sending=True)
    since = restored.ledger.doubt[0]
    restored.clock.advance(3600)
    restored.discover(b"b.wav")
    restored.close()
    shutil.copy(place, tmp_path / "second")
    for _ in range(2):
        Kit(place, sending=True).close()
    shutil.copy(tmp_path / "second", place)
    again = Kit(place, sending=True)
    again.close()
    assert again.ledger.doubt[0] == since
