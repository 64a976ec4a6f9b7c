"""What the ledger keeps beside recordings: notes, gates, the day's budget, keys, what was seen listed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.writer import Writer

WATCH_NOTE = "watch/"
"""With a source's name after it, the note why that source is only scanned; empty while events tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """A gate as last written: closed when `reason` is set. Times in milliseconds."""

    name: str
    reason: str | None
    message: str
    hint: str
    closed_at: int | None
    probe_at: int | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key that signs URLs of the builtin staging."""

    id: str
    secret: bytes
    created_at: int


def bump(db: Database, counter: str, by: int = 1) -> None:
    """Add to a counter among the notes."""
    db.execute(
        "INSERT INTO note VALUES (?, ?) ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + ?",
        (counter, str(by), by),
    )


def count_submission(db: Database, day: str) -> None:
    """Count one submission of the UTC day `day` (`2026-11-20`)."""
    db.execute("INSERT INTO budget VALUES (?, 1) ON CONFLICT DO UPDATE SET submissions = submissions + 1", (day,))


def set_note(db: Database, key: str, value: str) -> None:
    """Write one note."""
    db.execute("INSERT INTO note VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))


class Books:
    """Small tables: each a few rows."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer
        self._keys: list[KeyRow] | None = None

    def note(self, key: str) -> str | None:
        """Return the note under `key`."""
        with self._readers.lend() as db:
            found = db.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def counter(self, key: str) -> int:
        """Return a counter; one never bumped is 0."""
        return int(self.note(key) or 0)

    def set_notes(self, notes: dict[str, str]) -> None:
        """Write notes in one transaction."""

        def work(db: Database) -> None:
            for key, value in notes.items():
                set_note(db, key, value)

        self._writer.write(work)

    def ring(self) -> None:
        """Tell a daemon that a command has changed something."""
        self._writer.write(lambda db: bump(db, "wake"))

    def probe_gates(self, *, at: int) -> None:
        """Let closed gates be tried at once: a person says that it is mended. A daemon hears of it."""

        def work(db: Database) -> None:
            db.execute("UPDATE gate SET probe_at = ?, failures = 0 WHERE reason IS NOT NULL", (at,))
            bump(db, "probe_gates")
            bump(db, "wake")

        self._writer.write(work)

    def gates(self) -> list[GateRow]:
        """Return every gate that was ever closed."""
        with self._readers.lend() as db:
            rows = db.execute(
                "SELECT name, reason, message, hint, closed_at, probe_at, failures FROM gate ORDER BY name"
            ).fetchall()
        names = ("name", "reason", "message", "hint", "closed_at", "probe_at", "failures")
        return [GateRow(**dict(zip(names, row, strict=True))) for row in rows]

    def put_gate(self, gate: GateRow) -> None:
        """Write how a gate stands."""
        self._writer.write(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO gate VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    gate.name, gate.reason, gate.message, gate.hint, gate.closed_at, gate.probe_at, gate.failures,
                ),
            )
        )  # fmt: skip

    def submissions(self, day: str) -> int:
        """Return how many submissions were begun on the UTC day `day`."""
        with self._readers.lend() as db:
            found = db.execute("SELECT submissions FROM budget WHERE day = ?", (day,)).fetchone()
        return 0 if found is None else int(found[0])

    def signing_keys(self) -> list[KeyRow]:
        """Return the signing keys, newest first. Only who sends makes new ones, so they are read once."""
        if self._keys is not None:
            return self._keys
        with self._readers.lend() as db:
            rows = db.execute("SELECT id, secret, created_at FROM signing_key ORDER BY created_at DESC, id").fetchall()
        self._keys = [KeyRow(id=id_, secret=bytes(secret), created_at=at) for id_, secret, at in rows] or None
        return self._keys or []

    def rotate_keys(self, *, at: int, keep_since: int) -> None:
        """Add a new signing key; forget those made before `keep_since`."""

        def work(db: Database) -> None:
            db.execute("DELETE FROM signing_key WHERE created_at < ?", (keep_since,))
            db.execute("INSERT INTO signing_key VALUES (?, ?, ?)", (secrets.token_hex(4), secrets.token_bytes(32), at))

        self._writer.write(work)
        self._keys = None

    def note_seen(self, interaction_ids: Iterable[str], *, at: int) -> None:
        """Write that a listing showed these interactions, of others or not known to be ours; the first time counts.

        Never earlier than an open attempt: after a clock stepped back, our own interaction would
        look as if it had been there before.
        """
        ids = list(interaction_ids)

        def work(db: Database) -> None:
            latest = db.execute("SELECT max(started_at) FROM attempt WHERE open = 1").fetchone()[0]
            first = max(at, latest or 0)
            # Our own are known by their attempts, for ever.
            db.conn.executemany(
                "INSERT OR IGNORE INTO seen SELECT ?1, ?2 WHERE NOT EXISTS "
                "(SELECT 1 FROM attempt WHERE interaction_id = ?1)",
                [(id_, first) for id_ in ids],
            )

        if ids:
            self._writer.write(work)

    def first_seen(self, interaction_ids: Iterable[str]) -> dict[str, int]:
        """Return when each of these interactions was first listed, as far as it was."""
        wanted, found = list(interaction_ids), dict[str, int]()
        with self._readers.lend() as db:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ", ".join("?" * len(part))
                found |= dict(
                    db.execute(
                        f"SELECT interaction_id, first_seen FROM seen WHERE interaction_id IN ({marks})", part
                    ).fetchall()
                )
        return found
