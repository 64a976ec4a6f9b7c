"""`show`: everything of one recording."""

from __future__ import annotations

import os

import pytest

from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_shown_in_both_forms(qm, maker, state):
    row = maker.in_state(state)
    text, document = qm("show", row.id), qm("show", "--json", row.id)
    assert (text.code, document.code) == (0, 0)
    assert document.json["state"] == state
    assert f"{row.id}  {state}" in text.out
    assert "What can be done" in text.out


def test_json_has_the_history_the_requests_and_what_was_sent(qm, maker):
    row = maker.submitted("QMp3e6")
    found = qm("show", "--json", "QMp3e6").json
    assert (found["id"], found["interaction_id"], found["sidecar"]) == (row.id, "QMp3e6", "call.json")
    events = ["discovered", "understood", "staged", "submit_started", "accepted"]
    assert [one["event"] for one in found["history"]] == events
    assert found["history"][0]["at"] == "2026-11-20T04:00:00Z"
    assert [(one["number"], one["outcome"], one["status"]) for one in found["requests"]] == [(1, "accepted", 201)]
    assert found["body"]["start_time"] == "2026-11-20T03:00:00Z"


def test_an_unconfirmed_one_says_how_a_person_settles_it(qm, maker):
    row = maker.unconfirmed()
    out = qm("show", row.id).out
    for command in ("adopt {} INTERACTION_ID", "retry {}", "retry --send-again {}", "discard {} --reason TEXT"):
        assert f"qm-uploader {command.format(row.id)}" in out
    assert "still looked for" in out


def test_a_file_that_may_still_grow_says_what_to_do_about_it(qm, maker):
    row = maker.discovered()
    why = {"reason_code": Reason.MEDIA_INCOMPLETE.value, "reason": "still growing"}
    maker.ledger.recordings.release(row, due_at=maker.at + 1000, **why)
    assert "finish or replace the file" in qm("show", row.id).out


def test_a_mended_file_of_an_import_wants_a_retry(qm, maker):
    watched = maker.quarantined()
    source_n = maker.source("import", "")
    import_n = maker.ledger.discovery.begin_import(name="old", source_n=source_n, settings="{}", at=maker.at).n
    imported = maker.ledger.recordings.apply(
        maker.discovered(import_n=import_n),
        Event.FAULTED,
        at=maker.at,
        reason_code=Reason.MEDIA_UNKNOWN.value,
        reason="text",
    )
    assert "not watched" in qm("show", imported.id).out
    assert "not watched" not in qm("show", watched.id).out


def test_another_file_of_a_known_call_names_the_first(qm, maker):
    first = maker.understood()
    other = maker.understood(content="f" * 64, call=str(first.call_key).removeprefix("id:"))
    assert other.state is State.QUARANTINED
    assert f"qm-uploader show {first.id}" in qm("show", other.id).out


def test_it_is_found_by_its_path(qm, maker):
    row = maker.quarantined(name=b"a \xff.wav")
    assert qm("show", "--json", os.fsdecode(row.location)).json["id"] == row.id


def test_control_characters_from_outside_are_escaped(qm, maker):
    row = maker.quarantined(name=b"\x1b[2J.wav")
    assert "\x1b" not in qm("show", row.id).out


def test_what_is_unknown_or_ambiguous_is_a_usage_error(qm, maker):
    rows = [maker.discovered() for _ in range(33)]
    assert qm("show", "nothing").code == 2
    first = next(a for a in rows if any(a.id[0] == b.id[0] for b in rows if a is not b))
    ran = qm("show", first.id[0])
    assert (ran.code, ran.out) == (2, "")
    assert "several recordings" in ran.err


def test_without_a_ledger_nothing_is_found_and_none_is_made(qm, tmp_path):
    assert qm("show", "abc").code == 2
    assert not (tmp_path / "ledger.db").exists()
