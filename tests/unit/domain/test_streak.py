"""How fast things come: told by windows, and only while they come without a break."""

from __future__ import annotations

import pytest

from uploader.domain.streak import Streak


def told(streak: Streak, moments) -> list[float]:
    return [pace for moment in moments if (pace := streak.add(moment)) is not None]


def test_the_first_ten_seconds_tell_and_then_every_minute():
    streak = Streak()
    found = told(streak, (100 + n / 4 for n in range(4 * 131)))
    assert found == [pytest.approx(4, rel=0.03)] * 3


def test_what_trickles_in_tells_nothing():
    assert told(Streak(), range(0, 6000, 6)) == []


def test_after_a_break_it_begins_anew():
    streak = Streak()
    told(streak, (n / 4 for n in range(36)))
    assert told(streak, (50 + n / 8 for n in range(8 * 11))) == [pytest.approx(8, rel=0.03)]
