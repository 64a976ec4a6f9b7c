"""What the doctor's checks make of what they find."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.ledger.ledger import Ledger
from uploader.platform.clock import SystemClock
from uploader.service.doctor.api import judge_scopes, judge_skew, skew_between
from uploader.service.doctor.folders import (
    Folder,
    Survey,
    check_watches,
    judge_folder,
    judge_watches,
    survey,
)
from uploader.service.doctor.machine import LedgerChecks, check_files, check_sqlite, judge_free
from uploader.service.doctor.report import Status
from uploader.service.doctor.store import is_loopback
from uploader.service.listener import NETWORK
from uploader.sources.folder.inotify import WatchLimits
from uploader.sources.folder.rules import Rules
from uploader.zoom.auth import Token

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULES = Rules(include=("*.wav",), exclude=("skip/*",))
WHOLE = {"folders": 1, "closed_folders": 0, "recordings": 0, "closed_recordings": 0, "whole": True}
WRITE, READ = "zoom_quality_management:write:interactions", "zoom_quality_management:read:interactions"


def token(*scopes: str) -> Token:
    return Token(value="t", scopes=frozenset(scopes), obtained_at_monotonic=0, expires_at_monotonic=1)


def folder(root: bytes = b"/r", **more) -> Folder:
    return Folder(**{"name": "hq", "root": root, "rules": RULES, "events": True, "enabled": True, **more})


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        (0, "ok"),
        (-1, "ok"),
        (59, "ok"),
        (60, "ok"),
        (61, "warn"),
        (-61, "warn"),
        (300, "warn"),
        (301, "fail"),
        (-4000, "fail"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off(seconds, status):
    finding = judge_skew(timedelta(seconds=seconds))
    assert finding.status.value == status
    assert bool(finding.hint) == (status != "ok")


@given(st.floats(-4000, 4000), st.floats(0, 30), st.floats(0, 1), st.integers(0, 999_999))
def test_a_skew_is_never_called_larger_than_it_is_and_found_but_for_what_cannot_be_known(skew, took, at, fraction):
    asked = NOON + timedelta(microseconds=fraction)
    looked = asked + timedelta(seconds=took * at) - timedelta(seconds=skew)
    found = skew_between(
        asked_at=asked, answered_at=asked + timedelta(seconds=took), theirs=looked.replace(microsecond=0)
    ).total_seconds()
    assert abs(found) <= abs(skew) + 1e-5
    assert found * skew >= 0
    assert abs(found - skew) <= took + 1.00001


def test_scopes_missing_unknown_and_there():
    assert judge_scopes(token(WRITE, READ)).status is Status.OK
    assert judge_scopes(token("qm_interactions:write:admin", f"{READ}:admin")).status is Status.OK
    assert judge_scopes(token()).status is Status.WARN
    lacking = judge_scopes(token(READ))
    assert (lacking.status, lacking.exit_code) == (Status.FAIL, 4)
    assert WRITE in lacking.message
    assert READ not in lacking.message


def test_a_survey_counts_what_a_scan_would_take(tmp_path):
    for name in ("a.wav", "b.WAV", "a.json", ".hidden.wav", "sub/c.wav", "skip/d.wav", ".git/e.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = survey(os.fsencode(tmp_path), RULES, SystemClock(), files=True)
    assert found == Survey(folders=3, closed_folders=0, recordings=3, closed_recordings=0, whole=True)
    assert survey(os.fsencode(tmp_path), RULES, SystemClock(), files=False).recordings == 0


def test_a_survey_without_time_says_that_it_is_not_whole(tmp_path):
    assert not survey(os.fsencode(tmp_path), RULES, SystemClock(), files=True, within_seconds=-1).whole


@pytest.mark.parametrize(
    ("what", "said"), [("closed_folders", "2 folders cannot"), ("closed_recordings", "2 recordings cannot")]
)
def test_closed_files_and_folders_fail_and_are_counted(what, said):
    finding = judge_folder(folder(), Survey(**(WHOLE | {what: 2})), kind="ext4")
    assert finding.status is Status.FAIL
    assert said in finding.message


def test_a_network_file_system_is_polled_and_said_so():
    finding = judge_folder(folder(), Survey(**WHOLE), kind="nfs4")
    assert finding.status is Status.OK
    assert "nfs4" in finding.message


def test_more_folders_than_watches_warn_with_the_line_that_raises_them():
    limits = WatchLimits(watches=100, instances=128, queued_events=16384)
    assert judge_watches(80, sources=1, limits=limits).status is Status.OK
    finding = judge_watches(81, sources=1, limits=limits)
    assert finding.status is Status.WARN
    assert "fs.inotify.max_user_watches" in finding.hint
    assert "max_user_instances" in judge_watches(1, sources=120, limits=limits).hint
    few = WatchLimits(watches=100, instances=128, queued_events=100)
    assert "max_queued_events" in judge_watches(1, sources=1, limits=few).hint


def test_what_a_running_daemon_says_of_its_watches_is_a_warning_unless_the_place_itself_tells_it(tmp_path):
    limits = WatchLimits(watches=100, instances=128, queued_events=16384)
    folder = Folder(name="hq", root=os.fsencode(tmp_path), rules=RULES, events=True, enabled=True)

    def finding(**said):
        return check_watches([folder], SystemClock(), limits, lambda: said)

    assert finding().status is Status.OK
    assert finding(hq=NETWORK).status is Status.OK
    assert finding(hq="too many folders to watch").status is Status.WARN
    assert finding(hq="too many folders to watch").message == "hq: too many folders to watch"


def test_limits_are_read_from_the_kernel_and_unknown_where_it_is_silent(tmp_path):
    (tmp_path / "fs" / "inotify").mkdir(parents=True)
    (tmp_path / "fs" / "inotify" / "max_user_watches").write_text("65536\n")
    assert WatchLimits.read(tmp_path) == WatchLimits(watches=65536, instances=None, queued_events=None)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_inotify_watches").write_text("65536\n")
    assert WatchLimits.read(tmp_path).watches_key == "fs.inotify.max_user_watches"
    (tmp_path / "user" / "max_inotify_watches").write_text("100\n")
    limits = WatchLimits.read(tmp_path)
    assert (limits.watches, limits.watches_key) == (100, "user.max_inotify_watches")
    assert judge_watches(1, sources=1, limits=WatchLimits.read(tmp_path / "none")).status is Status.WARN


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 30, "ok"), ((1 << 30) - 1, "warn"), (64 << 20, "warn"), ((64 << 20) - 1, "fail")]
)
def test_free_disk_is_judged(free, status):
    assert judge_free(free, files=None).status.value == status
    assert judge_free(free, files=1000).status.value == status


@pytest.mark.parametrize(("files", "status"), [(1000, "ok"), (999, "warn"), (16, "warn"), (15, "fail"), (0, "fail")])
def test_room_for_few_files_is_judged(files, status):
    found = judge_free(1 << 40, files=files)
    assert found.status.value == status
    assert ("inodes" in found.message) == (status != "ok")


def test_few_open_files_warn():
    enough = 96 + 8 * 8 + 6 * 320
    assert check_files(enough, workers=8, connections=320).status is Status.OK
    assert check_files(enough - 1, workers=8, connections=320).status is Status.WARN
    assert f"LimitNOFILE={enough}" in check_files(1024, workers=8, connections=320).hint
    assert check_files(-1, workers=64, connections=320).status is Status.OK


def test_an_old_sqlite_is_said_but_is_no_fault():
    assert "3.51.3" in check_sqlite((3, 40, 1)).message
    assert check_sqlite((3, 40, 1)).status is Status.OK
    assert check_sqlite((3, 51, 3)).message == "3.51.3"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]/x", True),
        ("http://localhost", True),
        ("https://calls.example.com", False),
        ("https://127.0.0.1.example.com", False),
    ],
)
def test_loopback_addresses_are_told(url, is_one):
    assert is_loopback(url) is is_one


def test_a_ledger_that_was_lost_or_restored_is_warned_of(tmp_path):
    path = tmp_path / "ledger.db"
    checks = LedgerChecks(path=path, account_id="a", api_url="u")
    Ledger.open_for_sending(path).close()
    assert checks.ledger().status is Status.OK
    for left in (None, b"", b"x"):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        found = checks.ledger()
        assert (found.status, found.message) == (Status.WARN, "is empty or not there, though there was one")
        with closing(Ledger.open_for_sending(path)) as ledger:
            assert checks.ledger().message == "is new, though there was one before"
            ledger.books.set_notes({"doubt_since": "1000"})
            assert checks.ledger().message.startswith("was restored")
