"""How many connections are served, by how many files may be open."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from uploader.errors import UsageError
from uploader.platform import open_files
from uploader.platform.open_files import judge, provide


@pytest.fixture
def limits(monkeypatch):
    """Return a list whose one entry is the process's limits, as set last."""
    now = [(1024, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda which, both: now.__setitem__(0, both))
    return now


@given(limit=st.integers(0, 5000), workers=st.integers(1, 100), most=st.integers(8, 400))
def test_no_server_gets_more_than_it_asks_for_and_all_together_fit(limit, workers, most):
    found = judge(limit=limit, workers=workers, connections=2 * most)
    got = found.connections(most)
    assert 8 <= got <= most
    assert found.suffice == (limit >= found.wanted)
    if got > 8:
        assert found.base + 6 * 2 * got <= max(limit, found.wanted)
        assert found.suffice or found.base + 6 * 2 * got <= limit


def test_without_a_limit_all_is_served():
    assert judge(limit=resource.RLIM_INFINITY, workers=8, connections=320).connections(256) == 256


def test_the_limit_is_raised_as_far_as_it_is_needed_and_nothing_is_said(limits):
    limits[0] = (1024, 524288)
    with capture_logs() as logs:
        found = provide(workers=8, connections=320)
    assert limits[0] == (found.wanted, 524288)
    assert found.suffice
    assert logs == []


def test_a_higher_limit_stays(limits):
    limits[0] = (100_000, 524288)
    provide(workers=8, connections=320)
    assert limits[0] == (100_000, 524288)


def test_too_low_a_limit_is_said_once_with_the_line_and_fewer_are_served(limits):
    limits[0] = (256, 512)
    with capture_logs() as logs:
        found = provide(workers=8, connections=320)
    assert limits[0] == (512, 512)
    assert [(one["event"], one["log_level"]) for one in logs] == [("open_files.few", "warning")]
    assert f"LimitNOFILE={found.wanted}" in logs[0]["hint"]
    assert found.connections(256) < 256


def test_with_next_to_nothing_it_does_not_start_and_says_what_to_set(limits):
    limits[0] = (100, 200)
    with pytest.raises(UsageError, match="200 files") as raised:
        open_files.provide(workers=8, connections=320)
    assert "LimitNOFILE=" in raised.value.hint
