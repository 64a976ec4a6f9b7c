"""Taking out of the ledger what is old: the particulars of what is done, and what no decision needs any more.

What a recording is known by stays, so that nothing is sent again that was sent: content, call, location,
claim, copy, interaction ids, stamp; so do state, reason code and times. Works in windows of row numbers,
each a short transaction, so that a daemon goes on beside it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uploader.domain.lifecycle import FINAL
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.ledger.connection import Database, ReaderPool, connect, unusable
from uploader.ledger.entries import GONE
from uploader.ledger.finding import keep_place
from uploader.ledger.words import NUMBERS, PRUNED
from uploader.ledger.writer import Writer

COMPACTABLE = "pruned"
"""The note that says that the file would become smaller by rewriting it."""
_DONE = ", ".join(f"'{state}'" for state in sorted(FINAL))
_PRUNABLE = (
    f"r.n > :low AND r.n <= :high AND r.state IN ({_DONE}) "
    "AND r.claimed IS NULL AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.recording_n = r.n AND a.open = 1) "
    "AND (SELECT at FROM step WHERE recording_n = r.n ORDER BY n DESC LIMIT 1) <= :before "
    f"AND (SELECT event FROM step WHERE recording_n = r.n ORDER BY n DESC LIMIT 1) <> {NUMBERS[PRUNED]}"
)
_SEEN = "SELECT interaction_id FROM seen WHERE interaction_id > ? ORDER BY 1 LIMIT ?"
_MARGIN_MS = 3 * 24 * 60 * 60 * 1000
"""By so much a listing's windows reach beyond a call or a request, time zones included."""
_SEEN_OF_OLD = (
    "FROM seen WHERE interaction_id > :after AND interaction_id <= :last AND ("
    "first_seen <= :before AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.open = 1 AND "
    f"min(a.started_at, coalesce(a.call_start, 0)) <= :before + {_MARGIN_MS}) OR "
    "EXISTS (SELECT 1 FROM attempt a WHERE a.interaction_id = seen.interaction_id))"
)


class Pruning:
    """What is old, window by window. Times in milliseconds."""

    def __init__(self, path: Path, readers: ReaderPool, writer: Writer) -> None:
        self._path = path
        self._readers = readers
        self._writer = writer

    def size_bytes(self) -> int:
        """Return how large the ledger is, what is still in its log included."""
        with self._readers.lend() as db:
            pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages) * int(size)

    def highest(self) -> int:
        """Return the number of the last recording."""
        with self._readers.lend() as db:
            return int(db.execute("SELECT coalesce(max(n), 0) FROM recording").fetchone()[0])

    def count(self, *, low: int, high: int, before: int) -> Counter[State]:
        """Count what can be pruned among recordings above `low` up to `high`, untouched since `before`."""
        query = f"SELECT r.state, count(*) FROM recording r WHERE {_PRUNABLE} GROUP BY 1"
        with self._readers.lend() as db:
            found = db.execute(query, {"low": low, "high": high, "before": before}).fetchall()
        return Counter({State(state): count for state, count in found})

    def prune(self, *, low: int, high: int, before: int, at: int) -> Counter[State]:
        """Take out the particulars of the same; return how many, by state. They are judged anew as they are now."""

        def work(db: Database) -> Counter[State]:
            rows = db.execute(
                f"SELECT r.n, r.state, r.reason_code, r.source_n, r.location FROM recording r WHERE {_PRUNABLE}",
                {"low": low, "high": high, "before": before},
            ).fetchall()
            _take_out(db, rows, at)
            return Counter(State(row[1]) for row in rows)

        return self._writer.write(work)

    def count_seen(self, *, after: str, limit: int, before: int) -> tuple[str | None, int]:
        """Count what `forget_seen` would drop."""
        with self._readers.lend() as db:
            last = _last_of(db, after, limit)
            if last is None:
                return None, 0
            return last, int(db.execute(f"SELECT count(*) {_SEEN_OF_OLD}", _span(after, last, before)).fetchone()[0])

    def forget_seen(self, *, after: str, limit: int, before: int) -> tuple[str | None, int]:
        """Drop of the next `limit` listed ids after `after` our own, and those first listed up to `before`.

        Our own are known by their attempts. An old one of others could only be taken for ours if a call
        from before then were still to be sent, and its answer lost; while a request for such a call is open,
        those of others stay. Return where it came to, None at the end, and how many were dropped.
        """

        def work(db: Database) -> tuple[str | None, int]:
            last = _last_of(db, after, limit)
            if last is None:
                return None, 0
            return last, db.execute(f"DELETE {_SEEN_OF_OLD}", _span(after, last, before)).rowcount

        return self._writer.write(work)

    def forget_rest(self, *, day: str) -> None:
        """Drop the counts of days before `day`, and directories that hold nothing any more."""

        def work(db: Database) -> None:
            db.execute("DELETE FROM budget WHERE day < ?", (day,))
            db.execute("DELETE FROM directory WHERE NOT EXISTS (SELECT 1 FROM entry WHERE directory_n = directory.n)")

        self._writer.write(work)

    def is_compactable(self) -> bool:
        """Say whether anything was pruned since the file was last rewritten."""
        with self._readers.lend() as db:
            return db.execute("SELECT 1 FROM note WHERE key = ?", (COMPACTABLE,)).fetchone() is not None

    def compact(self) -> None:
        """Rewrite the file without what is free in it; nobody can write meanwhile. Raises LedgerError."""
        connection = connect(self._path)
        try:
            connection.execute("VACUUM")
            connection.execute("DELETE FROM note WHERE key = ?", (COMPACTABLE,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise unusable(error) from error
        finally:
            connection.close()


def _span(after: str, last: str, before: int) -> dict[str, str | int]:
    return {"after": after, "last": last, "before": before}


def _last_of(db: Database, after: str, limit: int) -> str | None:
    found = db.execute(f"SELECT max(interaction_id) FROM ({_SEEN})", (after, limit)).fetchone()[0]
    return None if found is None else str(found)


def _take_out(db: Database, rows: Sequence[tuple[Any, ...]], at: int) -> None:
    if not rows:
        return
    db.conn.executemany(
        "UPDATE recording SET body = NULL, media = NULL, sidecar = NULL, staged = NULL, match_key = NULL, reason = ? "
        "WHERE n = ?",
        [(_sentence(code), n) for n, _, code, _, _ in rows],
    )
    numbers = [(n,) for n, *_ in rows]
    db.conn.executemany("UPDATE attempt SET sent = NULL, message = NULL, fetched = NULL WHERE recording_n = ?", numbers)
    for (n,) in numbers:
        _shorten_history(db, n, at)
    # The tie of a file that is gone; one that comes back is judged as a new one, and known by its content.
    for n, _, _, source_n, location in rows:
        untied = db.execute(
            "DELETE FROM entry WHERE name = ? AND size_bytes = ? AND recording_n = ? AND directory_n = "
            "(SELECT n FROM directory WHERE source_n = ? AND path = ?)",
            _tie(n, source_n, bytes(location)),
        )
        if untied.rowcount:
            keep_place(db, n)
    db.execute("INSERT OR REPLACE INTO note VALUES (?, '1')", (COMPACTABLE,))


def _shorten_history(db: Database, n: int, at: int) -> None:
    """Keep the last line without its detail, and add one that says so."""
    last, state = db.execute("SELECT n, state FROM step WHERE recording_n = ? ORDER BY n DESC LIMIT 1", (n,)).fetchone()
    db.execute("DELETE FROM step WHERE recording_n = ? AND n < ?", (n, last))
    db.execute("UPDATE step SET detail = NULL WHERE recording_n = ? AND n = ?", (n, last))
    db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?, NULL)", (n, last + 1, at, NUMBERS[PRUNED], state))


def _sentence(code: str | None) -> str | None:
    """Return a reason code's own sentence: what stands there may be a person's, or the service's."""
    return REASONS[Reason(code)][0] if code in set(Reason) else None


def _tie(n: int, source_n: int, location: bytes) -> tuple[Any, ...]:
    folder, _, name = location.rpartition(b"/")
    return name, GONE.size_bytes, n, source_n, folder
