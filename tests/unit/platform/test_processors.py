"""Threads gather on one processor, spread out for long work, and leave the process as it was."""

from __future__ import annotations

import os

import pytest

from tests.conftest import missing
from uploader.platform.processors import Processors


@pytest.fixture
def two_processors():
    if len(os.sched_getaffinity(0)) < 2:
        missing("this process may use one processor only")


@pytest.mark.usefixtures("two_processors")
def test_those_that_gather_share_one_processor_and_spread_out_for_what_takes_long():
    before, processors = os.sched_getaffinity(0), Processors()
    with processors.gathered():
        home = os.sched_getaffinity(0)
        assert len(home) == 1
        with processors.spread():
            assert os.sched_getaffinity(0) == before
        assert os.sched_getaffinity(0) == home
    assert os.sched_getaffinity(0) == before


def test_where_the_system_forbids_a_choice_all_goes_on(monkeypatch):
    def refuse(pid, processors):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    processors, before = Processors(), os.sched_getaffinity(0)
    with processors.gathered(), processors.spread():
        assert os.sched_getaffinity(0) == before
