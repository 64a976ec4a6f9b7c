"""Opening the ledger: whose it is, what is refused, and what a restored one is doubted for."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import threading

import pytest

from tests.unit.ledger.kit import Kit
from uploader.errors import LedgerBusy, LedgerDamaged, LedgerError, WrongAccount
from uploader.ledger import connection, inspection
from uploader.ledger.connection import ReaderPool, SenderRole, connect
from uploader.ledger.ledger import Ledger

HERE = {"account_id": "acc", "api_url": "https://api.zoom.us/v2"}


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "ledger.db"
    for reserve in tmp_path.rglob("*.reserve"):
        reserve.unlink()


def opened(path) -> Ledger:
    return Ledger.open_for_sending(path)


def test_everything_it_makes_is_for_its_owner_alone(path):
    before = os.umask(0o022)
    try:
        ledger = opened(path)
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
        ledger.close()
    finally:
        os.umask(before)
    held = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"}
    assert held <= set(modes)
    assert {modes[name] for name in held} == {0o600}


def test_a_second_sender_is_refused_and_the_first_goes_on(path):
    first = opened(path)
    try:
        with pytest.raises(LedgerBusy):
            opened(path)
        assert first.is_sender_running()
        first.books.set_notes({"x": "1"})
    finally:
        first.close()
    second = opened(path)
    assert second.books.note("x") == "1"
    second.close()


def test_a_command_beside_a_sender_reads_and_writes(path):
    first, beside = opened(path), Ledger.open_beside(path)
    try:
        beside.books.set_notes({"x": "1"})
        assert first.books.note("x") == "1"
        assert beside.is_sender_running()
    finally:
        beside.close()
        assert first.is_sender_running()
        first.close()
    assert not SenderRole(path).is_held()


def test_a_command_that_asks_whether_a_sender_runs_does_not_keep_one_from_starting(path):
    """`status` holds the lock shared for an instant; the daemon that starts just then must not give up."""
    opened(path).close()
    asking = os.open(path.with_name(path.name + ".lock"), os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)
    timer = threading.Timer(0.1, os.close, [asking])
    timer.start()
    try:
        opened(path).close()
    finally:
        timer.join()


def test_the_role_is_given_back_when_opening_fails(path):
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(LedgerError):
        opened(path)
    path.unlink()
    opened(path).close()


def test_a_ledger_whose_own_notes_make_no_sense_leaves_no_thread_and_no_role_behind(path):
    ledger = opened(path)
    ledger.books.set_notes({"doubt_since": "yesterday", "doubt_found": "today"})
    ledger.close()
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="yesterday"):
        opened(path)
    assert set(threading.enumerate()) == before
    assert not SenderRole(path).is_held()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 4096])
@pytest.mark.parametrize("way", [Ledger.open_for_sending, Ledger.open_beside])
def test_a_damaged_file_is_refused_with_a_sentence_and_left_as_it_is(path, content, way):
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged") as refusal:
        way(path)
    assert refusal.value.hint
    assert path.read_bytes() == content


def test_a_page_damaged_while_the_program_was_not_stopped_cleanly_is_found_at_the_start(path):
    kit = Kit(path, sending=True)
    for n in range(300):
        kit.record(b"%04d.wav" % n)
    kit.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xaa" * 4096
    path.write_bytes(content)
    with pytest.raises(LedgerDamaged, match=r"set aside as ledger\.db\.damaged-") as refusal:
        opened(path)
    aside = path.with_name(str(refusal.value).rpartition(" ")[2])
    assert aside.read_bytes() == content
    fresh = opened(path)
    assert fresh.doubt[0] is not None, "what the damaged one knew may have been sent"
    fresh.close()


def test_an_empty_file_becomes_a_ledger(path):
    path.touch(0o600)
    opened(path).close()


def test_a_newer_schema_is_refused_and_not_touched(path):
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE _sqlite_migrations SET name = 'm999_new' WHERE name = 'm002_surroundings'")
    db.close()
    for way in (Ledger.open_for_sending, Ledger.open_beside):
        with pytest.raises(LedgerError, match="newer version"):
            way(path)


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(LedgerError, match="folder of the ledger does not exist"):
        Ledger.open_beside(tmp_path / "none" / "ledger.db")


def test_a_folder_in_its_place_is_a_sentence(tmp_path):
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(LedgerError) as refusal:
        Ledger.open_beside(tmp_path / "ledger.db")
    assert refusal.value.exit_code == 3


def test_a_network_file_system_is_refused(path, monkeypatch):
    # the one thing of the system that a test cannot make: a mount
    monkeypatch.setattr(connection, "is_network", lambda _: True)
    with pytest.raises(LedgerError, match="network file system"):
        opened(path)
    assert not path.exists()


def test_the_account_of_the_first_submission_is_remembered(path):
    ledger = opened(path)
    ledger.belongs_to(**HERE)
    ledger.remember_account(**HERE)
    ledger.remember_account(account_id="later", api_url="https://later")
    ledger.belongs_to(**HERE)
    for other in ({"account_id": "b"}, {"api_url": "https://api.other/v2"}):
        with pytest.raises(WrongAccount) as refusal:
            ledger.belongs_to(**HERE | other)
        assert refusal.value.exit_code == 2
        assert all(value in str(refusal.value) for value in (HERE | other).values())
        assert "acc" in str(refusal.value)
    ledger.close()


def test_a_ledger_that_goes_on_is_not_in_doubt(path):
    for _ in range(3):
        ledger = opened(path)
        assert ledger.doubt == (None, None)
        ledger.advance_generation()
        ledger.close()


def test_a_crash_between_ledger_and_file_beside_it_is_no_doubt(path):
    ledger = opened(path)
    ledger.books.set_notes({"generation": "50"})
    ledger.close()
    again = opened(path)
    assert again.doubt == (None, None)
    again.close()


def copy(path, to):
    db, target = sqlite3.connect(path), sqlite3.connect(to)
    db.backup(target)
    target.close()
    db.close()


def test_a_restored_copy_is_in_doubt_since_its_last_word(path, tmp_path):
    kit = Kit(path, sending=True)
    kit.discover()
    last = kit.now
    copy(path, tmp_path / "backup")
    kit.clock.advance(3600)
    kit.submitted(b"b.wav")
    kit.ledger.advance_generation()
    kit.close()
    for leftover in (path, path.with_name("ledger.db-wal"), path.with_name("ledger.db-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup", path)
    restored = opened(path)
    since, found = restored.doubt
    assert since == last
    assert found is not None
    restored.close()
    # and it stays in doubt, for as long as something older is to be sent
    again = opened(path)
    assert again.doubt == (since, found)
    again.close()


def test_a_ledger_that_was_lost_is_in_doubt_from_the_beginning(path):
    opened(path).close()
    path.unlink()
    ledger = opened(path)
    assert ledger.doubt[0] == 0
    ledger.close()


def test_the_file_beside_it_that_is_lost_or_garbage_is_made_anew(path):
    opened(path).close()
    beside = path.with_name(path.name + ".generation")
    for content in (None, b"", b"\xff\xfe", b"many"):
        beside.unlink()
        if content is not None:
            beside.write_bytes(content)
        ledger = opened(path)
        assert ledger.doubt == (None, None)
        ledger.close()
        assert int(beside.read_text()) > 0


def test_a_reader_that_fails_for_its_own_reason_gives_its_connection_back(path):
    opened(path).close()
    made = []
    pool = ReaderPool(path)
    for _ in range(3):
        with pytest.raises(KeyError), pool.lend() as db:
            made.append(db.conn)
            raise KeyError("not the ledger's fault")
    assert len({id(one) for one in made}) == 1
    pool.close()


def test_a_reader_sees_one_moment(path):
    opened(path).close()
    ledger = Ledger.open_beside(path)
    pool = ReaderPool(path)
    with pool.lend() as db:
        before = db.execute("SELECT count(*) FROM note").fetchone()
        ledger.books.set_notes({"new": "1"})
        assert db.execute("SELECT count(*) FROM note").fetchone() == before
    pool.close()
    ledger.close()


def test_readers_cannot_write(path):
    opened(path).close()
    pool = ReaderPool(path)
    with pytest.raises(LedgerError), pool.lend() as db:
        db.execute("INSERT INTO note VALUES ('a', 'b')")
    pool.close()


def test_many_readers_at_once_do_not_wait_for_one_another(path):
    opened(path).close()
    pool = ReaderPool(path, limit=2)
    barrier = threading.Barrier(6)

    def read() -> None:
        with pool.lend() as db:
            barrier.wait(10)
            db.execute("SELECT 1 FROM note").fetchall()

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not barrier.broken
    pool.close()


def test_every_commit_is_on_disk_before_it_is_told(path):
    db = connect(path)
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()


@pytest.mark.parametrize(
    "look",
    [
        lambda path: inspection.inspect(path, within_seconds=5),
        inspection.signing_keys,
        inspection.polled_sources,
        lambda path: inspection.note(path, "x"),
    ],
)
def test_a_look_at_a_ledger_takes_turns_with_who_opens_it(path, monkeypatch, look):
    """Between seeing a replaced log and renaming it, a sender could have begun its own log under that name."""
    opened(path).close()
    alone, connect = [], inspection.connect

    def connecting(*arguments, **options):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone.append(True)
        finally:
            os.close(descriptor)
        return connect(*arguments, **options)

    monkeypatch.setattr(inspection, "connect", connecting)
    look(path)
    assert alone == [True]
