"""Who writes: many threads in one commit, commands beside them, and what a failure takes back."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.unit.ledger.kit import Kit
from uploader.errors import LedgerError, LedgerFull, RowMoved
from uploader.ledger.connection import connect
from uploader.ledger.writer import BATCH, DirectWriter, GroupWriter, _Piece


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.db"
    db = connect(path)
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, who TEXT)")
    db.close()
    yield path
    path.with_name(path.name + ".reserve").unlink(missing_ok=True)


@pytest.fixture
def group(path):
    writer = GroupWriter(path)
    yield writer
    writer.close()


@pytest.fixture(params=[GroupWriter, DirectWriter])
def writer(request, path):
    writer = request.param(path)
    yield writer
    writer.close()


def insert(who: str):
    return lambda db: db.execute("INSERT INTO t (who) VALUES (?)", (who,)).lastrowid


def rows(path):
    db = sqlite3.connect(path)
    try:
        return [who for (who,) in db.execute("SELECT who FROM t ORDER BY n").fetchall()]
    finally:
        db.close()


def test_what_write_returns_is_on_disk_and_seen_by_others(writer, path):
    assert writer.write(insert("a")) == 1
    assert rows(path) == ["a"]


def test_many_threads_write_each_once(group, path):
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda n: group.write(insert(str(n))), range(400)))
    assert len(set(numbers)) == 400
    assert sorted(rows(path)) == sorted(map(str, range(400)))


def test_what_waits_while_a_commit_runs_is_committed_together(group, path):
    """The group commit: one transaction for all that came while the writer was busy."""
    commits: list[str] = []
    running, go = threading.Event(), threading.Event()

    def first(db):
        running.set()
        assert go.wait(10)
        db.conn.set_trace_callback(commits.append)

    with ThreadPoolExecutor(21) as pool:
        blocker = pool.submit(group.write, first)
        assert running.wait(10)
        others = [pool.submit(group.write, insert(str(n))) for n in range(20)]
        while group.waiting < 20:
            pass
        go.set()
        for one in [blocker, *others]:
            one.result(10)
    assert len(rows(path)) == 20
    assert sum(statement.startswith("BEGIN") for statement in commits) == 1


def test_what_is_written_behind_is_on_disk_at_once_when_nobody_else_writes(writer, path):
    told = []
    writer.write_behind(insert("a"), told.append)
    assert (told, rows(path)) == ([1], ["a"])


@contextmanager
def long_write(group):
    """While this lasts another thread is writing."""
    running, go = threading.Event(), threading.Event()

    def work(_db):
        running.set()
        assert go.wait(10)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(group.write, work)
        assert running.wait(10)
        try:
            yield
        finally:
            go.set()
            done.result(10)


def test_what_is_written_behind_waits_for_no_commit_of_others_and_is_done_by_who_committed(group, path):
    told = []
    with long_write(group):
        for n in range(BATCH + 5):
            group.write_behind(insert(str(n)), told.append)
        assert (told, rows(path)) == ([], [])
    assert rows(path) == [str(n) for n in range(BATCH + 5)]
    assert told == list(range(1, BATCH + 6))


def test_who_waits_comes_after_what_is_written_behind_before_it(group, path):
    with ThreadPoolExecutor(1) as pool, long_write(group):
        for _ in range(BATCH + 5):
            group.write_behind(insert("behind"), lambda _: None)
        waiting = pool.submit(group.write, insert("waits"))
        while group.waiting < BATCH + 6:
            pass
    assert waiting.result(10) == BATCH + 6
    assert rows(path) == ["behind"] * (BATCH + 5) + ["waits"]


def test_what_is_written_behind_is_on_disk_before_it_closes(group, path):
    with ThreadPoolExecutor(1) as pool:
        with long_write(group):
            group.write_behind(insert("a"), lambda _: None)
            closing = pool.submit(group.close)
        closing.result(10)
    assert rows(path) == ["a"]
    with pytest.raises(LedgerError):
        group.write_behind(insert("b"), lambda _: None)


def test_threads_that_write_both_ways_lose_nothing_and_stand_still_never(group, path):
    """However they meet: somebody commits what nobody waits for."""
    told = []

    def both(n):
        group.write_behind(insert(f"behind {n}"), told.append)
        if n % 3:
            group.write(insert(f"waits {n}"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(both, range(600)))
    group.close()
    assert sorted(rows(path)) == sorted(
        [f"behind {n}" for n in range(600)] + [f"waits {n}" for n in range(600) if n % 3]
    )
    assert len(told) == 600


def fail(_):
    raise ValueError("x")


def test_what_nobody_waited_for_and_failed_is_told_and_takes_nothing_with_it(group, path):
    told, lost = [], []
    group.when_lost = lost.append
    with ThreadPoolExecutor(1) as pool, long_write(group):
        group.write_behind(fail, told.append)
        group.write_behind(insert("a"), fail)
        group.write_behind(insert("b"), told.append)
        waiting = pool.submit(group.write, insert("waits"))
        while group.waiting < 4:
            pass
    assert waiting.result(10) == 3
    assert (told, rows(path)) == ([2], ["a", "b", "waits"])
    assert [str(error) for error in lost] == ["x", "x"]


def test_a_full_disk_that_nobody_waited_for_is_told_as_what_it_is(group, path):
    lost = []
    group.when_lost = lost.append
    group._reserve.unlink()
    limit_pages(group, path, 2)
    with long_write(group):
        group.write_behind(fat, lambda _: pytest.fail("it was not written"))
    assert [type(error) for error in lost] == [LedgerFull]
    group.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    group.write(insert("after"))
    assert rows(path) == ["after"]


def test_the_sender_s_ledger_tells_of_what_was_lost(sender: Kit):
    lost = []
    sender.ledger.when_lost(lost.append)
    with long_write(sender.ledger._writer):
        sender.ledger._writer.write_behind(fail, lambda _: None)
    assert [str(error) for error in lost] == ["x"]


@pytest.mark.parametrize(("work", "then"), [(fail, lambda _: None), (insert("a"), fail)])
def test_who_writes_behind_and_commits_it_himself_hears_of_its_failure(writer, work, then):
    with pytest.raises(ValueError, match="x"):
        writer.write_behind(work, then)


def test_more_than_a_batch_is_written_in_several_commits(group, path):
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda n: group.write(insert(str(n))), range(3 * BATCH)))
    assert len(rows(path)) == 3 * BATCH


@pytest.mark.parametrize("error", [RowMoved("moved"), ValueError("a bug"), KeyError("k")])
def test_a_piece_that_raises_takes_only_itself_back(writer, path, error):
    def fails(db):
        insert("lost")(db)
        raise error

    writer.write(insert("before"))
    with pytest.raises(type(error)):
        writer.write(fails)
    writer.write(insert("after"))
    assert rows(path) == ["before", "after"]


def test_pieces_of_one_commit_fail_apart(group, path):
    def piece(n: int):
        def work(db):
            insert(str(n))(db)
            if n % 3 == 0:
                raise RowMoved(str(n))
            return n

        return work

    def tried(n: int):
        try:
            return group.write(piece(n))
        except RowMoved as error:
            return f"moved {error}"

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(tried, range(90)))
    assert answers == [n if n % 3 else f"moved {n}" for n in range(90)]
    assert sorted(map(int, rows(path))) == [n for n in range(90) if n % 3]


def test_a_broken_rule_of_the_tables_is_a_ledger_error_of_its_own_piece(writer, path):
    writer.write(lambda db: db.execute("INSERT INTO t VALUES (1, 'a')"))
    with pytest.raises(LedgerError):
        writer.write(lambda db: db.execute("INSERT INTO t VALUES (1, 'b')"))
    writer.write(insert("c"))
    assert rows(path) == ["a", "c"]


def test_what_was_queued_is_written_before_it_closes(path):
    writer = GroupWriter(path)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(writer.write, insert(str(n))) for n in range(8)]
        for one in done:
            one.result(10)
        writer.close()
    assert len(rows(path)) == 8


def test_a_closed_writer_says_so_and_may_be_closed_again(path):
    writer = GroupWriter(path)
    writer.close()
    writer.close()
    with pytest.raises(LedgerError, match="closed"):
        writer.write(insert("late"))


def test_daemon_and_commands_both_progress(group, path):
    beside = [DirectWriter(path) for _ in range(3)]
    try:
        with ThreadPoolExecutor(7) as pool:
            ours = [pool.submit(lambda n=n: [group.write(insert(f"g{n}-{i}")) for i in range(25)]) for n in range(4)]
            theirs = [pool.submit(lambda w=w: [w.write(insert("d")) for _ in range(25)]) for w in beside]
            for one in ours + theirs:
                one.result(60)
    finally:
        for one in beside:
            one.close()
    found = rows(path)
    assert (len(found), found.count("d")) == (175, 75)


def test_a_command_waits_for_a_long_transaction_rather_than_fail(path):
    holder = connect(path)
    holder.conn.execute("BEGIN IMMEDIATE")
    writer = DirectWriter(path)
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(writer.write, insert("late"))
            holder.execute("INSERT INTO t (who) VALUES ('first')")
            holder.conn.commit()
            waiting.result(20)
    finally:
        writer.close()
        holder.close()
    assert rows(path) == ["first", "late"]


def test_a_commit_that_fails_leaves_no_transaction_behind(writer, path):
    writer.write(lambda db: db.execute(
        "CREATE TABLE child (t INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)"))  # fmt: skip
    writer._db.conn.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(LedgerError):
        writer.write(lambda db: db.execute("INSERT INTO child VALUES (99)"))
    writer.write(insert("after"))
    assert rows(path) == ["after"]


def limit_pages(writer, path, more: int) -> None:
    """Let the file grow by `more` pages, as on a full disk."""
    pages = writer.write(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    # a pragma inside a transaction holds for the connection
    writer.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages + more}").fetchone())


def fat(db):
    db.execute("INSERT INTO t (who) VALUES (?)", ("x" * 20_000,))


def test_a_full_disk_is_a_ledger_error_with_nothing_half_written(writer, path):
    writer.write(insert("a"))
    reserve = path.with_name(path.name + ".reserve")
    limit_pages(writer, path, 2)
    with pytest.raises(LedgerError, match="full"):
        writer.write(fat)
    assert rows(path) == ["a"]
    assert not reserve.exists()
    writer.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    writer.write(insert("b"))
    assert rows(path) == ["a", "b"]


def test_a_full_disk_gives_up_the_reserve_and_writes_after_all(group, path):
    reserve = path.with_name(path.name + ".reserve")
    assert reserve.stat().st_size == 16 * 1024 * 1024
    limit_pages(group, path, 2)
    tries: list[bool] = []

    def work(db):
        if not reserve.exists():
            # what giving it up does for the disk
            db.execute("PRAGMA max_page_count = 100000").fetchone()
        tries.append(reserve.exists())
        fat(db)
        return "written"

    assert group.write(work) == "written"
    assert tries == [True, False]
    assert len(rows(path)) == 1
    group.keep_reserve()
    assert reserve.stat().st_size == 16 * 1024 * 1024


def test_a_commit_that_fails_fails_every_piece_of_it(group, path):
    running, go = threading.Event(), threading.Event()
    limit_pages(group, path, 2)

    def first(db):
        running.set()
        assert go.wait(10)

    with ThreadPoolExecutor(4) as pool:
        blocker = pool.submit(group.write, first)
        assert running.wait(10)
        pieces = [pool.submit(group.write, insert("small")), pool.submit(group.write, fat)]
        while group.waiting < 2:
            pass
        go.set()
        blocker.result(10)
        failures = [one.exception(10) for one in pieces]
    assert all(isinstance(failure, LedgerError) for failure in failures)
    assert rows(path) == []


def test_claims_of_two_threads_never_overlap(sender: Kit):
    for n in range(60):
        sender.record(b"%03d.wav" % n)
    from uploader.domain.recording import State

    def claim(_):
        return [row.n for row in sender.ledger.recordings.claim([State.DISCOVERED], limit=3, now=sender.now)]

    with ThreadPoolExecutor(8) as pool:
        found = [n for part in pool.map(claim, range(40)) for n in part]
    assert sorted(found) == sorted(sender.states())


def test_a_piece_that_failed_before_room_was_made_is_judged_by_what_came_of_it_then(group, path, monkeypatch):
    """Its thread was told of the first failure, though the second run was committed: an intent that nobody sends."""
    left = [RowMoved("once"), None]

    def first(db):
        raise ValueError("always")

    def second(db):
        error = left.pop(0)
        if error is not None:
            raise error
        return insert("b")(db)

    class FullOnce:
        """The disk is full at the first commit."""

        def __init__(self, conn):
            self.conn, self.is_full = conn, True

        def __getattr__(self, name):
            return getattr(self.conn, name)

        def commit(self):
            if self.is_full:
                self.is_full = False
                raise sqlite3.OperationalError("database or disk is full")
            self.conn.commit()

    monkeypatch.setattr(group._db, "conn", FullOnce(group._db.conn))
    batch = [_Piece(first, redoable=False), _Piece(second, redoable=False)]
    group._commit(batch)
    with pytest.raises(ValueError, match="always"):
        batch[0].outcome()
    assert batch[1].outcome() == 1
    assert rows(path) == ["b"]
