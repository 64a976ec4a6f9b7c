"""What is remembered of the account's limits, and for how long."""

from __future__ import annotations

import json

import pytest

from uploader.domain.allowance import DAY_MS, Learned

ALL = Learned(
    per_second=20, per_second_at=1000, day="2026-11-20", per_day=30_000, ends_at=120, factor=0.5, factor_at=2000,
    pace=3.25, pace_at=3000,
)  # fmt: skip


def test_what_is_written_down_comes_back():
    assert Learned.from_json(json.loads(json.dumps(ALL.to_json()))) == ALL


@pytest.mark.parametrize("document", [None, [], "x", 7, {}])
def test_what_is_not_ours_is_as_good_as_nothing(document):
    assert Learned.from_json(document) == Learned()


@pytest.mark.parametrize("wrong", ["x", -1, True, None, [], 1e300])
def test_a_value_that_makes_no_sense_is_left_out(wrong):
    found = Learned.from_json(
        ALL.to_json() | dict.fromkeys(("per_second", "per_day", "ends_at", "factor", "pace"), wrong)
    )
    assert (found.per_second, found.per_day, found.ends_at, found.factor, found.pace) == (None, None, None, 1.0, None)


def test_a_limit_a_second_holds_for_a_day_and_one_of_a_day_on_it():
    assert ALL.on(day="2026-11-20", now=1000 + DAY_MS - 1) == ALL
    later = ALL.on(day="2026-11-21", now=1000 + DAY_MS)
    assert (later.per_second, later.per_day, later.ends_at, later.factor) == (None, None, None, 0.5)
