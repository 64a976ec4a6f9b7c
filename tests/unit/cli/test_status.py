"""`status`: what scripts read, and what people see."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from uploader.domain.allowance import Learned
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger.books import GateRow
from uploader.ledger.connection import SenderRole
from uploader.ledger.ledger import Ledger


def test_json_has_what_scripts_read(qm, maker):
    maker.discovered(held=Reason.BACKLOG)
    maker.discovered()
    found = qm("status", "--json").json
    assert found["counts"] == dict.fromkeys(State, 0) | {"discovered": 2}
    assert found["submission"] == "open"
    assert found["oldest_waiting_seconds"] is not None
    assert (found["overdue"], found["held"], found["resent_after_unknown"]) == (0, {"backlog": 1}, 0)
    assert found["daemon"] == "stopped"


def test_the_daemon_runs_while_somebody_has_the_role_of_sender(qm, maker, tmp_path):
    role = SenderRole(tmp_path / "ledger.db")
    role.acquire()
    try:
        assert qm("status", "--json").json["daemon"] == "running"
        assert "running" in qm("status").out
    finally:
        role.release()
    assert qm("status", "--json").json["daemon"] == "stopped"


def test_a_closed_gate_says_why_and_what_to_do(qm, maker):
    maker.ledger.books.put_gate(
        GateRow(
            name="token",
            reason="credentials",
            message="Zoom refuses the app's credentials",
            hint="check the secret",
            closed_at=maker.at,
            probe_at=maker.at,
            failures=1,
        )
    )
    assert qm("status", "--json").json["submission"] == "closed: credentials"
    out = qm("status").out
    assert "closed: Zoom refuses the app's credentials (credentials)" in out
    assert "check the secret" in out


def test_a_pause_shows_as_closed(qm, maker):
    qm("pause")
    assert qm("status", "--json").json["submission"] == "closed: paused"
    out = qm("status").out
    assert "closed: paused since" in out
    assert "qm-uploader resume" in out


def test_sources_say_what_keeps_them(qm, maker):
    n = maker.source("hq")
    maker.discovered(held=Reason.BACKLOG)
    maker.sidecar(b"left.json")
    maker.ledger.discovery.update_source(n, available=0, detail="the folder does not exist")
    qm("pause", "hq")
    out = qm("status").out
    assert "unavailable: the folder does not exist" in out
    assert "1 found at first are held: qm-uploader resume hq" in out
    assert "paused: qm-uploader resume hq" in out
    assert "1 sidecar without a recording" in out
    assert "not scanned yet" in out  # the other source
    assert "bucket" not in out  # is not enabled


def test_a_source_says_why_it_is_only_scanned(qm, maker):
    maker.source("hq")
    maker.ledger.books.set_notes({"watch/hq": "too many folders to watch: set `x=1` in /etc/sysctl.d"})
    assert "scanned only: too many folders to watch: set `x=1`" in qm("status").out
    [found] = [one for one in qm("status", "--json").json["sources"] if one["name"] == "hq"]
    assert found["polled"].startswith("too many folders")
    maker.ledger.books.set_notes({"watch/hq": ""})
    assert "scanned only" not in qm("status").out


def test_everything_that_needs_attention_is_on_the_page(qm, maker):
    maker.quarantined()
    maker.submitted()
    maker.submitted("second", maker._apply(maker.unconfirmed(), "send_again", cleared=1))
    maker.ledger.books.set_notes({"doubles": "2", "tracking_problem": "the API cannot be reached"})
    out = qm("status").out
    for text in (
        "sidecar_missing",
        "2 recordings got a second",
        "the API cannot be reached",
        "Sent again",
        "submitted",
    ):
        assert text in out


def test_imports_under_way_are_shown(qm, maker):
    made = maker.ledger.discovery.begin_import(name="old", source_n=maker.source(), settings="{}", at=maker.at)
    maker.discovered(b"i.wav", import_n=made.n)
    assert "being planned, 1 so far" in qm("status").out
    maker.ledger.discovery.import_planned(made.n, at=maker.at)
    qm("pause", "--import", "old")
    out = qm("status").out
    assert "0 of 1 submitted or settled" in out
    assert "qm-uploader resume --import old" in out


def test_without_a_ledger_it_says_so_and_makes_none(qm, tmp_path):
    ran = qm("status")
    assert ran.code == 0
    assert "no ledger yet" in ran.out
    assert qm("status", "--json").json["counts"] == dict.fromkeys(State, 0)
    assert not (tmp_path / "ledger.db").exists()


def test_a_pipe_gets_no_colours(qm, maker):
    maker.quarantined()
    assert "\x1b" not in qm("status").out


def test_folders_that_are_only_scanned_are_said_once(qm, maker):
    maker.source("hq")
    maker.ledger.books.set_notes({"watch/hq": "some folders are only scanned: too many folders"})
    assert qm("status").out.count("only") == 1


def test_without_a_daemon_nothing_is_tried_again_by_itself(qm, maker):
    maker.ledger.books.put_gate(
        GateRow(name="submit", reason="scope", message="m", hint="h", closed_at=maker.at, probe_at=maker.at, failures=1)
    )
    assert "tried again when the daemon runs" in qm("status").out


def test_an_import_says_until_when_it_waits_and_why(qm, maker):
    made = maker.ledger.discovery.begin_import(name="old", source_n=maker.source(), settings="{}", at=maker.at)
    maker.discovered(b"i.wav", import_n=made.n)
    maker.ledger.discovery.import_planned(made.n, at=maker.at)
    today = datetime.now(UTC).date().isoformat()
    maker.ledger.books.set_notes({"limits": json.dumps(Learned(day=today, ends_at=0).to_json())})
    assert "wait until 00:00 UTC: nothing is left of today's submissions" in qm("status").out


@pytest.mark.parametrize("size_bytes", [None, 0, 1])
def test_a_ledger_that_was_lost_is_said_before_and_after_a_sender_makes_it_anew(qm, tmp_path, size_bytes):
    path = tmp_path / "ledger.db"
    Ledger.open_for_sending(path).close()
    assert qm("status", "--json").json["doubt"] is None
    path.unlink()
    if size_bytes is not None:
        path.write_bytes(b"x" * size_bytes)
    assert "new, though there was one before: " in qm("status").out
    assert qm("status", "--json").json["doubt"] == {"is_new": True, "since": None, "found": None}
    Ledger.open_for_sending(path).close()
    assert "waits for a person" in qm("status").out
    assert qm("status", "--json").json["doubt"]["found"] is not None


def test_a_restored_ledger_is_said_with_its_time_until_nothing_is_looked_for(qm, maker):
    now = round(time.time()) * 1000
    maker.ledger.books.set_notes({"doubt_since": str(maker.at), "doubt_found": str(now)})
    out = qm("status").out
    assert "restored, as of 2026-11-20" in out
    assert qm("status", "--json").json["doubt"]["since"] == "2026-11-20T04:00:00Z"
    week = 8 * 24 * 3600 * 1000
    maker.ledger.books.set_notes({"doubt_found": str(now - week)})
    assert qm("status", "--json").json["doubt"] is None
    maker.ledger.attempts.doubt(maker.staged(), since=maker.at, at=maker.at)
    assert qm("status", "--json").json["doubt"] is not None
