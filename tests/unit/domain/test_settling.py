from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from uploader.domain.recording import Stamp
from uploader.domain.settling import age_seconds, judge

STAMP = Stamp(size_bytes=100, mtime_ns=1_000_000_000, inode=7)


@pytest.mark.parametrize(("rested", "wait"), [(0, 2), (1.5, 0.5), (2, 0), (9, 0), (-100, 2)], ids=str)
def test_file_that_held_its_stamp_rests_after_settle(rested, wait):
    rest = judge(STAMP, STAMP, rested_seconds=rested, settle_seconds=2)
    assert rest.wait_seconds == wait
    assert rest.rests is (wait == 0)


@pytest.mark.parametrize(
    "previous",
    [None, *(replace(STAMP, **{f: 1}) for f in ("size_bytes", "mtime_ns", "inode"))],
    ids=["new", "size", "mtime", "inode"],
)
def test_new_or_changed_file_starts_anew_however_old_its_mtime(previous):
    assert judge(previous, STAMP, rested_seconds=99, settle_seconds=2).wait_seconds == 2


def test_without_settle_a_file_rests_at_once():
    assert judge(None, STAMP, rested_seconds=0, settle_seconds=0).rests


def test_age_is_counted_from_the_last_change():
    assert age_seconds(STAMP, datetime.fromtimestamp(11, UTC)) == 10
    assert age_seconds(STAMP, datetime.fromtimestamp(0.5, UTC)) == -0.5
