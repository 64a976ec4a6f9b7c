"""The ledger's tables, as migrations: one function a step, each in one transaction.

Times are integer milliseconds since the epoch, UTC. Locations and file names are bytes, because
file names need not be UTF-8. Counts per source, import and state are kept by triggers, so that
every transaction keeps them right whoever writes.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from uploader.errors import LedgerError

migrations = Migrations("qm-uploader")


@migrations()
def m001_recordings(db: Database) -> None:
    """Create recordings, their attempts and history."""
    for statement in _RECORDINGS:
        db.execute(statement)


@migrations()
def m002_surroundings(db: Database) -> None:
    """Create what stands around them: sources, imports, scan cache, gates, budget, what was seen."""
    for statement in _SURROUNDINGS:
        db.execute(statement)


def upgrade(db: Database) -> None:
    """Bring the schema up to date. Raises LedgerError when a newer version has written it."""
    known = {m.name for m in migrations.pending(db)} | {m.name for m in migrations.applied(db)}
    ours = {m.name for m in migrations._migrations}
    newer = known - ours
    if newer:
        raise LedgerError(
            "the ledger was written by a newer version of this program",
            hint="install that version again, or restore the backup made before the upgrade",
        )
    if migrations.pending(db):
        # Two commands may open a new ledger at once: the second waits, and finds nothing left to do.
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            migrations.apply(db)
        except BaseException:
            db.conn.rollback()
            raise
        db.conn.commit()


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
        id TEXT NOT NULL UNIQUE,
        source_n INTEGER NOT NULL,
        import_n INTEGER NOT NULL DEFAULT 0,
        location BLOB NOT NULL,
        state TEXT NOT NULL,
        reason_code TEXT,
        reason TEXT,
        held TEXT,
        lane INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER,
        claimed INTEGER,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        etag TEXT,
        stamped_at INTEGER NOT NULL,
        sidecar BLOB,
        sha256 BLOB,
        content_id TEXT,
        call_key TEXT,
        claims INTEGER NOT NULL DEFAULT 0,
        copy INTEGER NOT NULL DEFAULT 0,
        duplicate_of INTEGER,
        same_call_ok INTEGER NOT NULL DEFAULT 0,
        match_key TEXT,
        body TEXT,
        media TEXT,
        staged TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        faults INTEGER NOT NULL DEFAULT 0,
        cleared INTEGER NOT NULL DEFAULT 0,
        looks INTEGER NOT NULL DEFAULT 0,
        stale INTEGER NOT NULL DEFAULT 0,
        interaction_id TEXT,
        discovered_at INTEGER NOT NULL,
        submitted_at INTEGER,
        analyzed_at INTEGER,
        evidence TEXT
    )
    """,
    """
    CREATE INDEX recording_due ON recording (state, lane, due_at) WHERE due_at IS NOT NULL
    """,
    """
    CREATE INDEX recording_claimed ON recording (claimed) WHERE claimed IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX recording_identity ON recording (content_id, call_key, copy) WHERE claims = 1
    """,
    """
    CREATE INDEX recording_call ON recording (call_key) WHERE claims = 1
    """,
    """
    CREATE INDEX recording_twin ON recording (match_key) WHERE state IN ('submitting', 'unconfirmed')
    """,
    """
    CREATE INDEX recording_waiting_twin ON recording (match_key) WHERE reason_code = 'twin'
    """,
    """
    CREATE INDEX recording_same ON recording (duplicate_of) WHERE duplicate_of IS NOT NULL
    """,
    """
    CREATE INDEX recording_interaction ON recording (interaction_id) WHERE interaction_id IS NOT NULL
    """,
    """
    CREATE INDEX recording_import ON recording (import_n, n) WHERE import_n > 0
    """,
    """
    CREATE UNIQUE INDEX recording_imported ON recording (import_n, location) WHERE import_n > 0
    """,
    """
    CREATE INDEX recording_attention ON recording (state, n)
        WHERE state IN ('quarantined', 'refused', 'unconfirmed', 'submitting')
    """,
    """
    CREATE INDEX recording_open ON recording (state, discovered_at)
        WHERE state IN ('discovered', 'ready', 'staged')
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
        sent TEXT,
        staged_key TEXT,
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
    CREATE INDEX attempt_unlisted ON attempt (started_at) WHERE outcome = 'accepted' AND listed_at IS NULL
    """,
    """
    CREATE INDEX attempt_call ON attempt (call_start) WHERE interaction_id IS NOT NULL
    """,
    """
    CREATE INDEX attempt_ended ON attempt (ended_at) WHERE interaction_id IS NOT NULL
    """,
    """
    CREATE TABLE history (
        n INTEGER PRIMARY KEY,
        recording_n INTEGER NOT NULL,
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        state TEXT NOT NULL,
        detail TEXT
    )
    """,
    """
    CREATE INDEX history_recording ON history (recording_n, n)
    """,
    """
    CREATE TABLE tally (
        source_n INTEGER NOT NULL,
        import_n INTEGER NOT NULL,
        state TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (source_n, import_n, state)
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER tally_insert AFTER INSERT ON recording BEGIN
        INSERT INTO tally VALUES (NEW.source_n, NEW.import_n, NEW.state, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END
    """,
    """
    CREATE TRIGGER tally_update AFTER UPDATE OF state ON recording WHEN OLD.state <> NEW.state BEGIN
        UPDATE tally SET count = count - 1
            WHERE source_n = OLD.source_n AND import_n = OLD.import_n AND state = OLD.state;
        INSERT INTO tally VALUES (NEW.source_n, NEW.import_n, NEW.state, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END
    """,
)

_SURROUNDINGS = (
    """
    CREATE TABLE directory (
        n INTEGER PRIMARY KEY,
        source_n INTEGER NOT NULL,
        path BLOB NOT NULL,
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
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (directory_n, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX entry_recording ON entry (recording_n) WHERE recording_n IS NOT NULL
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
