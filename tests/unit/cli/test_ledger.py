"""`ledger backup` and `ledger prune`: what they say, and when they ask."""

from __future__ import annotations

import sqlite3

import pytest

from uploader.cli import ledger as command
from uploader.ledger.connection import SenderRole


@pytest.fixture
def maker(maker):
    """What it makes happened long before the day that pruning leaves alone."""
    maker.pass_time(days=-30)
    return maker


def in_backups(tmp_path) -> list:
    return sorted((tmp_path / "backups").iterdir())


def test_a_backup_goes_beside_the_ledger_and_says_where(qm, maker, tmp_path):
    maker.analyzed()
    ran = qm("ledger", "backup")
    (made,) = in_backups(tmp_path)
    assert ran.code == 0
    assert ran.out.startswith(f"Backed up to {made} (")
    with sqlite3.connect(made) as db:
        assert db.execute("SELECT state FROM recording").fetchall() == [("analyzed",)]
    db.close()


def test_as_json_it_is_one_document(qm, maker, tmp_path):
    found = qm("ledger", "backup", "--json", "--to", str(tmp_path / "mine.db")).json
    assert found["path"] == str(tmp_path / "mine.db")
    assert (found["size_bytes"], found["removed"]) == ((tmp_path / "mine.db").stat().st_size, 0)
    assert found["made_at"].endswith("Z")


def test_a_directory_gets_a_file_named_after_the_second(qm, maker, tmp_path):
    (tmp_path / "usb").mkdir()
    assert qm("ledger", "backup", "--to", str(tmp_path / "usb")).code == 0
    (made,) = (tmp_path / "usb").iterdir()
    assert made.name.startswith("ledger-2")


@pytest.mark.parametrize("target", ["ledger.db", "ledger.db-wal", "none/x.db", "none/", "config.toml"])
def test_a_place_that_cannot_be_is_a_usage_error_with_a_hint(qm, maker, tmp_path, target):
    before = sorted(tmp_path.iterdir())
    ran = qm("ledger", "backup", "--to", f"{tmp_path}/{target}")
    assert (ran.code, ran.out) == (2, "")
    assert "hint: " in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_of_ones_own_gets_plain_words(qm, maker, tmp_path):
    (tmp_path / "mine.db").touch()
    taken, missing = (qm("ledger", "backup", "--to", f"{tmp_path}/{name}").err for name in ("mine.db", "none/x.db"))
    assert "is there already" in taken
    assert "is not there" in missing
    assert "service" not in missing
    assert "--to is empty" in qm("ledger", "backup", "--to", "").err


@pytest.mark.parametrize("target", ["branch", "branch/x.db", "branch/deep/x.db", "link", "link/x.db"])
def test_a_backup_never_lies_in_a_source_whatever_the_way_there(qm, maker, tmp_path, target):
    (tmp_path / "branch" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "branch" / "deep")
    ran = qm("ledger", "backup", "--to", f"{tmp_path}/{target}")
    assert (ran.code, "in a source" in ran.err) == (2, True)
    assert list((tmp_path / "branch" / "deep").iterdir()) == []


def test_one_elsewhere_neither_counts_nor_hides_that_the_daemons_failed(qm, maker, tmp_path):
    (tmp_path / "backups").touch()
    assert qm("ledger", "backup").code == 2
    before = qm("status", "--json").json["backup"]
    ran = qm("ledger", "backup", "--to", str(tmp_path / "mine.db"))
    assert "`status` does not count it" in ran.out
    assert qm("status", "--json").json["backup"] == before
    assert before["problem"]


def test_the_directory_of_the_backups_may_be_named(qm, maker, tmp_path):
    (tmp_path / "backups").mkdir()
    assert qm("ledger", "backup", "--to", str(tmp_path / "backups")).code == 0
    assert qm("status", "--json").json["backup"]["made_at"] is not None


def test_without_a_ledger_there_is_nothing_to_back_up(qm, tmp_path):
    ran = qm("ledger", "backup")
    assert ran.code == 2
    assert "no ledger yet" in ran.err
    assert not (tmp_path / "backups").exists()


def test_status_tells_the_last_backup_and_why_there_is_none(qm, maker, tmp_path):
    assert qm("status", "--json").json["backup"] == {"made_at": None, "failed_at": None, "problem": ""}
    (tmp_path / "backups").touch()
    assert qm("ledger", "backup").code == 2
    assert "is a file" in qm("status", "--json").json["backup"]["problem"]
    assert "Backup" in qm("status").out
    (tmp_path / "backups").unlink()
    assert qm("ledger", "backup").code == 0
    assert qm("status", "--json").json["backup"]["problem"] == ""
    assert "ago" in next(line for line in qm("status").out.splitlines() if line.startswith("Backup"))


def test_more_than_a_hundred_are_asked_for_and_a_backup_is_suggested(qm, maker, tmp_path):
    row = maker.discarded()
    for _ in range(100):
        maker.discarded()
    ran = qm("ledger", "prune", "--older-than", "1d")
    assert ran.code == 2
    assert "101 recordings" in ran.err
    assert "ledger backup" in ran.err
    assert "--yes" in ran.err
    assert len(maker.ledger.recordings.history(row.n)) > 2
    assert qm("ledger", "prune", "--older-than", "1d", answer=False).code == 1
    assert qm("ledger", "prune", "--older-than", "1d", "--yes", "--json").json["recordings"] == 101
    assert len(maker.ledger.recordings.history(row.n)) == 2


def test_a_dry_run_counts_and_changes_nothing(qm, maker):
    row, waits = maker.analyzed(), maker.quarantined()
    maker.ledger.books.note_seen(["other"], at=maker.at)
    ran = qm("ledger", "prune", "--older-than", "1d", "--dry-run")
    assert "1 recording untouched for 1 d would be pruned.\n  1 analyzed\n1 entry of what" in ran.out
    assert (maker.get(row).body, maker.get(waits)) == (row.body, waits)
    found = qm("ledger", "prune", "--older-than", "1d", "--dry-run", "--json").json
    assert found == {
        "dry_run": True, "recordings": 1, "states": {"analyzed": 1}, "seen": 1, "compacted": False,
        "bytes_before": found["bytes_before"], "bytes_after": found["bytes_before"],
    }  # fmt: skip


def test_what_is_pruned_is_still_shown_listed_and_verified(qm, maker):
    row = maker.analyzed()
    maker.ledger.recordings.write(lambda db: db.execute("UPDATE recording SET body = randomblob(200000)"))
    ran = qm("ledger", "prune", "--older-than", "1d")
    assert ran.code == 0
    assert ran.out.startswith("1 recording untouched for 1 d pruned.\n  1 analyzed\nThe ledger went from ")
    shown = qm("show", "--json", row.id).json
    assert (shown["state"], shown["interaction_id"], shown["body"]) == ("analyzed", row.interaction_id, None)
    assert [one["event"] for one in shown["history"]] == ["analyzed", "pruned"]
    assert shown["history"][0]["at"] < shown["history"][1]["at"]
    assert [one["state"] for one in shown["history"]] == ["analyzed", "analyzed"]
    assert "its particulars were taken out" in qm("show", row.id).out
    assert qm("verify").code == 0
    assert qm("status", "--json").json["counts"]["analyzed"] == 1


def test_beside_a_daemon_the_file_keeps_its_size_and_it_says_so(qm, maker, tmp_path):
    maker.analyzed()
    role = SenderRole(tmp_path / "ledger.db")
    role.acquire()
    try:
        ran = qm("ledger", "prune", "--older-than", "1d")
    finally:
        role.release()
    assert ran.code == 0
    assert "keeps its size while a daemon runs" in ran.err
    later = qm("ledger", "prune", "--older-than", "1d", "--json").json
    assert (later["recordings"], later["compacted"]) == (0, True)
    assert not qm("ledger", "prune", "--older-than", "1d", "--json").json["compacted"], "there is nothing to gain"


@pytest.mark.parametrize("age", ["", "x", "365", "-1d", "1y"])
def test_what_is_no_duration_is_a_usage_error(qm, maker, age):
    ran = qm("ledger", "prune", "--older-than", age)
    assert ran.code == 2
    assert "must be a duration" in ran.err


@pytest.mark.parametrize("age", ["0", "1s", "12m", "23h"])
def test_less_than_a_day_is_refused_and_the_units_are_told(qm, maker, age):
    maker.analyzed()
    ran = qm("ledger", "prune", "--older-than", age)
    assert ran.code == 2
    assert "at least 1d" in ran.err
    assert "m minutes" in ran.err


def test_without_a_ledger_there_is_nothing_to_prune(qm, tmp_path):
    ran = qm("ledger", "prune", "--older-than", "1d")
    assert (ran.code, ran.out) == (2, "")
    assert "no ledger yet" in ran.err


def test_what_came_to_nothing_is_said_in_one_line(qm, maker, tmp_path):
    maker.analyzed()
    role = SenderRole(tmp_path / "ledger.db")
    role.acquire()
    try:
        qm("ledger", "prune", "--older-than", "1d")
        ran = qm("ledger", "prune", "--older-than", "1d")
    finally:
        role.release()
    assert (ran.out, ran.err) == ("0 recordings untouched for 1 d pruned.\n", "")


def test_an_age_is_needed(qm, maker):
    ran = qm("ledger", "prune")
    assert ran.code == 2
    assert "--older-than" in ran.err


def test_the_longest_age_reaches_back_before_the_ledger(qm, maker):
    maker.analyzed()
    assert qm("ledger", "prune", "--older-than", "36500d", "--json").json["recordings"] == 0


def test_the_group_tells_its_commands(qm):
    ran = qm("ledger", "--help", config=None)
    assert ran.code == 0
    assert set(command.command.commands) == {"backup", "prune"}
    assert all(name in ran.out for name in command.command.commands)
