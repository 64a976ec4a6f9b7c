"""Copies of the ledger: made beside a writer, checked, never in anything's place, and known as copies when put back."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.unit.ledger.kit import NOON, Kit
from uploader.errors import LedgerDamaged, UploaderError, UsageError
from uploader.ledger import backup
from uploader.ledger.connection import connect
from uploader.ledger.ledger import Ledger


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def ask(path: Path, query: str) -> list:
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def notes(path: Path) -> dict[str, str]:
    return dict(ask(path, "SELECT key, value FROM note"))


def put_back(copy: Path, path: Path) -> None:
    """Restore as README says: stop, copy, start."""
    shutil.copy(copy, path)


def test_a_backup_is_the_whole_ledger_in_one_private_stamped_file(sender, place):
    for number in range(5):
        sender.submitted(b"%d.wav" % number, f"i-{number}")
    target = place / backup.name_of(sender.path, NOON)
    made = sender.ledger.backup(target, at=NOON)
    assert target.name == "sender-20261120T120000Z.db"
    assert [path.name for path in place.iterdir()] == [target.name]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert made.size_bytes == target.stat().st_size
    assert ask(target, "SELECT n, state, interaction_id FROM recording") == sender.ask(
        "SELECT n, state, interaction_id FROM recording"
    )
    assert notes(target)[backup.MADE_AT] == "2026-11-20T12:00:00+00:00"
    assert int(notes(target)["generation"]) == made.generation < sender.ledger.books.counter("generation")
    assert backup.MADE_AT not in notes(sender.path)
    assert [path.name for path in place.iterdir()] == [target.name], "to read it leaves nothing beside it"


def test_a_backup_made_while_another_writes_is_of_one_moment(sender, place, monkeypatch):
    monkeypatch.setattr(backup, "_PAGES", 4)
    sender.discover(b"0.wav")
    sender.force("CREATE TABLE ballast (a, b)")
    sender.force(
        "INSERT INTO ballast WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400) "
        "SELECT i, randomblob(2000) FROM c"
    )
    steps = 0

    def writes() -> bool:
        nonlocal steps
        steps += 1
        sender.force("UPDATE ballast SET b = randomblob(2000)")
        sender.record(b"%d.wav" % steps)
        return False

    pages = ask(sender.path, "PRAGMA page_count")[0][0]
    sender.ledger.backup(place / "copy.db", at=NOON, stopped=writes)
    assert steps < pages, "it went through once, and did not begin anew at every write"
    assert ask(place / "copy.db", "SELECT count(*) FROM recording") == [(1,)]
    assert ask(place / "copy.db", "PRAGMA integrity_check") == [("ok",)]
    assert sender.ask("SELECT count(*) FROM recording")[0][0] > 10


def test_one_that_is_stopped_leaves_nothing(sender, place):
    with pytest.raises(backup.Interrupted):
        sender.ledger.backup(place / "copy.db", at=NOON, stopped=lambda: True)
    assert list(place.iterdir()) == []


def test_what_a_killed_backup_left_is_removed_and_what_another_one_writes_is_not(sender, place):
    (place / ".sender-20261119T120000Z.db.0123.part").write_bytes(b"half")
    (place / ".other-20261119T120000Z.db.0123.part").write_bytes(b"not ours")
    seen = []

    def look() -> bool:
        seen.extend(path.name for path in place.glob("*.part"))
        backup._remove_leftovers(sender.path, place)
        return False

    sender.ledger.backup(place / backup.name_of(sender.path, NOON), at=NOON, stopped=look)
    assert len(set(seen)) == 2, seen
    assert sorted(path.name for path in place.iterdir()) == [
        ".other-20261119T120000Z.db.0123.part", "sender-20261120T120000Z.db",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sender.db", "sender.db-wal", "sender.db-shm", "sender.db.generation"])
def test_a_backup_never_takes_the_place_of_the_ledger_or_what_belongs_to_it(sender, name):
    with pytest.raises(UsageError, match="place of the ledger"):
        sender.ledger.backup(sender.path.with_name(name), at=NOON)


def test_a_backup_never_takes_the_place_of_the_ledger_by_another_way(sender, place):
    (place / "link").symlink_to(sender.path.parent)
    with pytest.raises(UsageError, match="place of the ledger"):
        sender.ledger.backup(place / "link" / "sender.db-wal", at=NOON)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_overwritten(sender, place, make):
    make(place / "copy.db")
    before = os.lstat(place / "copy.db")
    with pytest.raises(UsageError, match="ever overwritten"):
        sender.ledger.backup(place / "copy.db", at=NOON)
    assert os.lstat(place / "copy.db").st_ino == before.st_ino


def test_a_name_that_is_taken_while_it_is_copied_stays_taken(sender, place):
    target = place / "copy.db"

    def taken() -> bool:
        target.write_text("another's")
        return False

    with pytest.raises(UsageError, match="ever overwritten"):
        sender.ledger.backup(target, at=NOON, stopped=taken)
    assert target.read_text() == "another's"
    assert [path.name for path in place.iterdir()] == ["copy.db"]


def test_a_directory_that_is_not_there_or_no_directory_is_a_sentence_with_a_hint(sender, place):
    (place / "file").touch()
    for target in (place / "none" / "a.db", place / "file" / "a.db"):
        with pytest.raises(UsageError, match="directory") as refusal:
            sender.ledger.backup(target, at=NOON)
        assert refusal.value.hint
        assert str(place) not in str(refusal.value)


def test_a_disk_without_room_is_said_before_anything_is_written(sender, small_disk):
    disk = small_disk(100)
    with pytest.raises(UploaderError, match=r"no room for a backup: \d+ MiB are free, and \d+ MiB are needed"):
        sender.ledger.backup(disk / "copy.db", at=NOON)
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOENT])
def test_where_nothing_can_be_written_that_is_said_and_not_that_nothing_is_free(sender, place, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, "no")

    monkeypatch.setattr(backup, "open_private", refuse)
    monkeypatch.setattr(backup, "free_bytes", lambda _: 0)
    with pytest.raises(UsageError, match="cannot be written") as refusal:
        sender.ledger.backup(place / "copy.db", at=NOON)
    assert "ReadWritePaths" not in refusal.value.hint


def test_a_disk_that_becomes_full_meanwhile_is_a_sentence_and_leaves_nothing(sender, small_disk, monkeypatch):
    monkeypatch.setattr(backup, "SPARE_BYTES", 0)
    disk = small_disk(4)
    sender.force("CREATE TABLE ballast (a)")
    sender.force("INSERT INTO ballast VALUES (zeroblob(3500000))")
    monkeypatch.setattr(backup, "free_bytes", lambda _: 1 << 40)
    (disk / "other").write_bytes(b"\0" * 3_000_000)
    with pytest.raises(UploaderError, match="full meanwhile"):
        sender.ledger.backup(disk / "copy.db", at=NOON)
    assert [path.name for path in disk.iterdir()] == ["other"]


def test_a_copy_that_is_not_sound_is_thrown_away(kit, place):
    for number in range(300):
        kit.discover(b"%d.wav" % number)
    kit.close()
    page = ask(kit.path, "PRAGMA page_size")[0][0]
    root = ask(kit.path, "SELECT rootpage FROM sqlite_master WHERE name = 'entry'")[0][0]
    ask(kit.path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with kit.path.open("r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * 200)
    ledger = Ledger.open_beside(kit.path)
    try:
        with pytest.raises(LedgerDamaged):
            ledger.backup(place / "copy.db", at=NOON)
    finally:
        ledger.close()
    assert list(place.iterdir()) == []


def stamped(kit: Kit, place: Path, *days: int) -> list[Path]:
    paths = []
    for day in days:
        at = datetime(2026, 11, day, 4, tzinfo=UTC)
        paths.append(kit.ledger.backup(place / backup.name_of(kit.path, at), at=at).path)
    return paths


def test_the_oldest_backups_are_removed_and_only_those_of_this_ledger(kit, place, tmp_path):
    old, older, new = stamped(kit, place, 11, 10, 12)
    (tmp_path / "elsewhere").mkdir()
    other = Kit(tmp_path / "elsewhere" / "ledger.db")
    (others,) = stamped(other, place, 9)
    other.close()
    strangers = [place / name for name in ("ledger-20261101T000000Z.db", "ledger-20261301T000000Z.db", "ledger-old.db")]
    for path in strangers:
        path.write_bytes(b"no ledger")
    assert backup.remove_oldest(kit.path, place, keep=2, made=new) == 1
    assert sorted(place.iterdir()) == sorted([old, new, others, *strangers])
    assert not older.exists()


def test_the_backup_that_was_just_made_stays_whatever_the_clock_says(kit, place):
    future, just_made = stamped(kit, place, 29, 3)
    assert backup.remove_oldest(kit.path, place, keep=1, made=just_made) == 1
    assert (future.exists(), just_made.exists()) == (False, True)


def test_backups_are_listed_by_their_stamp(kit, place):
    second, first = stamped(kit, place, 12, 10)
    assert [path for _, path in backup.existing(kit.path, place)] == [first, second]
    assert backup.existing(kit.path, place)[0][0] == datetime(2026, 11, 10, 4, tzinfo=UTC)


def test_a_backup_put_back_is_in_doubt_though_nothing_was_sent_since(sender, place):
    sender.discover()
    last = sender.now
    made = sender.ledger.backup(place / "copy.db", at=NOON)
    sender.close()
    put_back(made.path, sender.path)
    restored = Ledger.open_for_sending(sender.path)
    since, found = restored.doubt
    assert since == last
    assert found is not None
    assert restored.books.note(backup.MADE_AT) is None, "it is a ledger again"
    restored.close()


def test_a_backup_put_on_a_new_machine_is_in_doubt_too(sender, place, tmp_path):
    sender.discover()
    made = sender.ledger.backup(place / "copy.db", at=NOON)
    (tmp_path / "new").mkdir()
    path = tmp_path / "new" / "ledger.db"
    put_back(made.path, path)
    Ledger.open_beside(path).close()  # somebody looks first
    for _ in range(2):
        restored = Ledger.open_for_sending(path)
        assert restored.doubt == (sender.now, restored.doubt[1])
        restored.close()
    path.with_name("ledger.db.reserve").unlink()


def test_the_log_of_the_ledger_that_was_replaced_is_not_taken_for_the_backups(sender, place):
    sender.discover(b"before.wav")
    made = sender.ledger.backup(place / "copy.db", at=NOON)
    sender.discover(b"after.wav")
    # as a SIGKILL leaves it: a log that was not written back
    log = sender.path.with_name("sender.db-wal").read_bytes()
    sender.close()
    put_back(made.path, sender.path)
    sender.path.with_name("sender.db-wal").write_bytes(log)
    restored = Ledger.open_for_sending(sender.path)
    assert [row.location for row in restored.recordings.find("/srv/recordings/before.wav")]
    assert restored.recordings.find("/srv/recordings/after.wav") == []
    restored.audit.integrity()
    restored.close()
    assert len(list(sender.path.parent.glob("sender.db.replaced-*-wal"))) == 1


def test_to_look_for_such_a_log_takes_no_lock_from_the_connections_that_are_open(sender):
    """Another process would take itself for the last one, and remove the log that is in use."""
    sender.discover()
    connect(sender.path).close()
    other = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT 1 FROM note'); db.close()"
    subprocess.run([sys.executable, "-c", other, str(sender.path)], check=True)
    assert sender.path.with_name("sender.db-wal").exists()


def test_two_that_raise_the_generation_at_once_leave_the_higher_number_beside(sender):
    other = Ledger.open_beside(sender.path)
    threads = [
        threading.Thread(target=lambda ledger=ledger: [ledger.advance_generation() for _ in range(15)])
        for ledger in (sender.ledger, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    beside = int(sender.path.with_name("sender.db.generation").read_text())
    assert beside == sender.ledger.books.counter("generation") == 31
    other.close()


def test_a_name_is_of_the_second_in_utc(kit):
    at = datetime(2026, 11, 20, 5, tzinfo=timezone(timedelta(hours=1)))
    assert backup.name_of(kit.path, at) == "ledger-20261120T040000Z.db"


def test_a_copy_that_somebody_takes_away_fails_as_a_backup_and_not_as_a_bug(sender, place):
    """On a disk without locks another one may take it for a leftover: what SQLite says of that ended the daemon."""
    sender.submitted(b"a.wav", "i-1")

    def take_away():
        for part in place.iterdir():
            part.unlink()
        return False

    with pytest.raises(UploaderError):
        sender.ledger.backup(place / "b.db", at=NOON, stopped=take_away)
    assert list(place.iterdir()) == []


def test_a_place_whose_room_cannot_be_asked_for_fails_as_a_backup(sender, place, monkeypatch):
    def stale(path):
        raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(backup, "free_bytes", stale)
    with pytest.raises(UploaderError):
        sender.ledger.backup(place / "b.db", at=NOON)
