"""`verify`: the books."""

from __future__ import annotations

import sqlite3

import pytest

from uploader.domain.recording import State


def test_right_books_end_with_0(qm, maker):
    for state in State:
        maker.in_state(state)
    ran = qm("verify")
    assert ran.code == 0
    assert "13 recordings" in ran.out
    found = qm("verify", "--json").json
    assert found["ok"]
    assert all(check["ok"] for check in found["checks"])


def test_wrong_books_end_with_1_and_name_the_recording(qm, maker, tmp_path):
    row = maker.submitted()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("UPDATE recording SET interaction_id = NULL")
    db.close()
    ran = qm("verify")
    assert ran.code == 1
    assert row.id in ran.out
    found = qm("verify", "--json")
    assert (found.code, found.json["ok"]) == (1, False)


@pytest.mark.parametrize("flag", ["--remote", "--staging"])
def test_what_this_version_does_not_do_is_refused_with_a_sentence(qm, maker, flag):
    ran = qm("verify", flag)
    assert ran.code == 2
    assert "not supported in this version" in ran.err
    assert flag not in qm("verify", "--help").out


def test_a_damaged_ledger_ends_with_3(qm, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"no ledger at all, but long enough to be read as one" * 100)
    assert qm("verify").code == 3


def test_without_a_ledger_there_is_nothing_wrong(qm, tmp_path):
    ran = qm("verify")
    assert ran.code == 0
    assert "no ledger yet" in ran.out
    assert not (tmp_path / "ledger.db").exists()
