"""The ledger's tables, as migrations: one function a step, each in one transaction.

Times are integer milliseconds since the epoch, UTC. Locations and file names are bytes, because
file names need not be UTF-8. What can be long is kept small: documents are packed, hashes are bytes (`packing`), the
steps of histories are numbers (`words`), which the view `history` spells out; a detail that is a number is that
of the attempt whose interaction is meant. Indexes of hashes hold their first bytes: who asks compares the rest.
A location is looked up in the scan cache; `place` is the hash of one that is no longer there.
Counts per source, import and state are kept by triggers, so that every transaction
keeps them right whoever writes: `count` are there now, `entered` ever came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.errors import LedgerError
from uploader.ledger.connection import Database
from uploader.ledger.words import WORDS

if TYPE_CHECKING:
    import sqlite_utils

_SET = "qm-uploader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Which steps a ledger has not gone yet, and which it has that this version does not know."""

    pending: tuple[str, ...]
    newer: tuple[str, ...]


def m001_recordings(db: sqlite_utils.Database) -> None:
    """Create recordings, their attempts and history."""
    for statement in _RECORDINGS:
        db.execute(statement)
    for number, word in enumerate(WORDS, start=1):
        db.execute("INSERT INTO word VALUES (?, ?)", (number, word))


def m002_surroundings(db: sqlite_utils.Database) -> None:
    """Create what stands around them: sources, imports, scan cache, gates, budget, what was seen."""
    for statement in _SURROUNDINGS:
        db.execute(statement)


_STEPS = {step.__name__: step for step in (m001_recordings, m002_surroundings)}


def standing(db: Database) -> Standing:
    """Return where a ledger stands; nothing is written. Raises sqlite3.Error."""
    applied: list[str] = []
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (_SET,))
        applied = [name for (name,) in rows]
    return Standing(
        pending=tuple(name for name in _STEPS if name not in applied),
        newer=tuple(name for name in applied if name not in _STEPS),
    )


def upgrade(db: Database) -> None:
    """Bring the schema up to date. Raises LedgerError when a newer version has written it."""
    found = standing(db)
    if found.newer:
        raise LedgerError(
            "the ledger was written by a newer version of this program",
            hint="install that version again, or restore the backup made before the upgrade",
        )
    if found.pending:
        # Two commands may open a new ledger at once: the second waits, and finds nothing left to do.
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            _apply_all(db)
        except BaseException:
            db.conn.rollback()
            raise
        db.conn.commit()


def _apply_all(db: Database) -> None:
    # Every command opens the ledger, and hardly any finds a step to go: they do without this library.
    from sqlite_utils import Database as Upgradable
    from sqlite_utils import Migrations

    migrations = Migrations(_SET)
    for name, step in _STEPS.items():
        migrations(name=name)(step)
    migrations.apply(Upgradable(db.conn, execute_plugins=False))


_RECORDINGS = (
    """
    CREATE TABLE source (
        n INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,
        root BLOB NOT NULL,
        settings TEXT NOT NULL DEFAULT '',
        available INTEGER NOT NULL DEFAULT 1,
        detail TEXT NOT NULL DEFAULT '',
        paused INTEGER NOT NULL DEFAULT 0,
        scanned_at INTEGER,
        backlog TEXT NOT NULL DEFAULT 'open',
        cursor TEXT
    )
    """,
    """
    CREATE TABLE import (
        n INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        source_n INTEGER NOT NULL,
        settings TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        planned_at INTEGER,
        paused INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE recording (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        source_n INTEGER NOT NULL,
        import_n INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        lane INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER,
        claimed INTEGER,
        held TEXT,
        reason_code TEXT,
        reason TEXT,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        etag TEXT,
        stamped_at INTEGER NOT NULL,
        discovered_at INTEGER NOT NULL,
        submitted_at INTEGER,
        analyzed_at INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        faults INTEGER NOT NULL DEFAULT 0,
        cleared INTEGER NOT NULL DEFAULT 0,
        looks INTEGER NOT NULL DEFAULT 0,
        stale INTEGER NOT NULL DEFAULT 0,
        claims INTEGER NOT NULL DEFAULT 0,
        copy INTEGER NOT NULL DEFAULT 0,
        same_call_ok INTEGER NOT NULL DEFAULT 0,
        duplicate_of INTEGER,
        interaction_id TEXT,
        evidence TEXT,
        content BLOB,
        content_id TEXT,
        call_key BLOB,
        match_key BLOB,
        location BLOB NOT NULL,
        place INTEGER,
        sidecar BLOB,
        media BLOB,
        staged BLOB,
        body BLOB
    )
    """,
    """
    CREATE INDEX recording_due ON recording (state, lane, due_at) WHERE due_at IS NOT NULL
    """,
    """
    CREATE INDEX recording_reason ON recording (state, reason_code, discovered_at) WHERE reason_code IS NOT NULL
    """,
    """
    CREATE INDEX recording_place ON recording (place) WHERE place IS NOT NULL
    """,
    """
    CREATE INDEX recording_claimed ON recording (claimed) WHERE claimed IS NOT NULL
    """,
    """
    CREATE INDEX recording_content ON recording (substr(content, 1, 8)) WHERE claims = 1
    """,
    """
    CREATE INDEX recording_call ON recording (substr(call_key, 2, 8)) WHERE claims = 1
    """,
    """
    CREATE INDEX recording_twin ON recording (match_key) WHERE (state = 'submitting' OR state = 'unconfirmed')
    """,
    """
    CREATE INDEX recording_waiting_twin ON recording (match_key) WHERE reason_code = 'twin'
    """,
    """
    CREATE INDEX recording_same ON recording (duplicate_of) WHERE duplicate_of IS NOT NULL
    """,
    """
    CREATE INDEX recording_import ON recording (import_n, state, discovered_at) WHERE import_n > 0
    """,
    """
    CREATE UNIQUE INDEX recording_imported ON recording (import_n, location) WHERE import_n > 0
    """,
    """
    CREATE INDEX recording_state ON recording (source_n, state, discovered_at)
    """,
    """
    CREATE INDEX recording_open ON recording (held, discovered_at)
        WHERE (state = 'discovered' OR state = 'ready' OR state = 'staged')
    """,
    """
    CREATE INDEX recording_submitted ON recording (submitted_at) WHERE state = 'submitted'
    """,
    """
    CREATE INDEX recording_held ON recording (held) WHERE held IS NOT NULL
    """,
    """
    CREATE TABLE attempt (
        n INTEGER PRIMARY KEY,
        recording_n INTEGER NOT NULL,
        number INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        outcome TEXT,
        cause TEXT,
        status INTEGER,
        code INTEGER,
        message TEXT,
        interaction_id TEXT UNIQUE,
        open INTEGER NOT NULL DEFAULT 1,
        service_date INTEGER,
        call_start INTEGER,
        sent BLOB,
        fetched TEXT,
        fetched_at INTEGER,
        revoked_at INTEGER,
        listed_at INTEGER,
        lacked_at INTEGER,
        recheck_at INTEGER,
        rechecks INTEGER NOT NULL DEFAULT 0,
        repeat INTEGER NOT NULL DEFAULT 0,
        UNIQUE (recording_n, number)
    )
    """,
    """
    CREATE INDEX attempt_open ON attempt (recording_n) WHERE open = 1
    """,
    """
    CREATE INDEX attempt_recheck ON attempt (recheck_at) WHERE recheck_at IS NOT NULL
    """,
    """
    CREATE INDEX attempt_call ON attempt (call_start) WHERE interaction_id IS NOT NULL
    """,
    """
    CREATE INDEX attempt_ended ON attempt (ended_at) WHERE interaction_id IS NOT NULL
    """,
    """
    CREATE TABLE word (
        n INTEGER PRIMARY KEY,
        word TEXT NOT NULL UNIQUE
    )
    """,
    """
    CREATE TABLE step (
        recording_n INTEGER NOT NULL,
        n INTEGER NOT NULL,
        at INTEGER NOT NULL,
        event INTEGER NOT NULL,
        state INTEGER NOT NULL,
        detail,
        PRIMARY KEY (recording_n, n)
    ) WITHOUT ROWID
    """,
    """
    CREATE VIEW history AS SELECT
        recording_n,
        n,
        at,
        coalesce((SELECT word FROM word w WHERE w.n = event), CAST(event AS TEXT)) AS event,
        coalesce((SELECT word FROM word w WHERE w.n = state), CAST(state AS TEXT)) AS state,
        CASE typeof(detail) WHEN 'integer' THEN
            (SELECT interaction_id FROM attempt a WHERE a.recording_n = step.recording_n AND a.number = detail)
            ELSE detail END AS detail
    FROM step
    """,
    """
    CREATE TABLE tally (
        source_n INTEGER NOT NULL,
        import_n INTEGER NOT NULL,
        state TEXT NOT NULL,
        count INTEGER NOT NULL,
        entered INTEGER NOT NULL,
        PRIMARY KEY (source_n, import_n, state)
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER tally_insert AFTER INSERT ON recording BEGIN
        INSERT INTO tally VALUES (NEW.source_n, NEW.import_n, NEW.state, 1, 1)
            ON CONFLICT DO UPDATE SET count = count + 1, entered = entered + 1;
    END
    """,
    """
    CREATE TRIGGER tally_update AFTER UPDATE OF state ON recording WHEN OLD.state <> NEW.state BEGIN
        INSERT INTO tally VALUES
            (OLD.source_n, OLD.import_n, OLD.state, -1, 0), (NEW.source_n, NEW.import_n, NEW.state, 1, 1)
            ON CONFLICT DO UPDATE SET count = count + excluded.count, entered = entered + excluded.entered;
    END
    """,
)

_SURROUNDINGS = (
    """
    CREATE TABLE directory (
        n INTEGER PRIMARY KEY,
        source_n INTEGER NOT NULL,
        path BLOB NOT NULL,
        count INTEGER NOT NULL DEFAULT 0,
        checksum INTEGER NOT NULL DEFAULT 0,
        trusted INTEGER,
        UNIQUE (source_n, path)
    )
    """,
    """
    CREATE TABLE entry (
        directory_n INTEGER NOT NULL,
        name BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        recording_n INTEGER,
        PRIMARY KEY (directory_n, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE seen (
        interaction_id TEXT PRIMARY KEY,
        first_seen INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE gate (
        name TEXT PRIMARY KEY,
        reason TEXT,
        message TEXT NOT NULL DEFAULT '',
        hint TEXT NOT NULL DEFAULT '',
        closed_at INTEGER,
        probe_at INTEGER,
        failures INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE budget (
        day TEXT PRIMARY KEY,
        submissions INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE signing_key (
        id TEXT PRIMARY KEY,
        secret BLOB NOT NULL,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE note (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
