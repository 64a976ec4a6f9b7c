"""Ledgers with any number of recordings, made in seconds: one goes its way by the ledger's calls, and is multiplied."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.ledger_maker import LedgerMaker
from uploader.app.values import fingerprint
from uploader.domain.recording import State
from uploader.ledger.ids import new_id
from uploader.settings.model import SourceSettings

_OWN = {
    "n": "k.n",
    "id": "new_id(k.n)",
    "location": "CAST(printf('%s/call-%08d.wav', :root, k.n) AS BLOB)",
    "inode": "k.n",
    "content": "randomblob(32)",
    "call_key": "CAST(x'00' || randomblob(16) AS BLOB)",
    "match_key": "randomblob(16)",
}
"""What every recording has for itself."""
_OWN_IF_ANY = {"interaction_id": "CASE WHEN t.interaction_id IS NULL THEN NULL ELSE printf('many-%d', k.n) END"}
_MULTIPLY = """
WITH RECURSIVE k(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM k WHERE n < :last)
INSERT INTO {table} ({columns}) SELECT {values} FROM k, {table} t WHERE t.{key} = :template
"""


def make_backlog(path: Path, counts: Mapping[State, int], *, root: str, source: str = "hq") -> None:
    """Make a ledger with so many recordings in each state, whose files are said to be in `root`.

    The source has the settings that are the default. What waits in `discovered` waits for its sidecar, an hour
    from now; all else is due.
    """
    maker = LedgerMaker(path)
    maker.now = datetime.now(UTC).replace(microsecond=0)
    settings = fingerprint(SourceSettings(name=source, type="folder", path=root))
    maker.source(source, root)
    make = {
        State.DISCOVERED: maker.discovered,
        State.STAGED: maker.staged,
        State.SUBMITTED: maker.submitted,
        State.UNCONFIRMED: maker.unconfirmed,
        State.QUARANTINED: maker.quarantined,
        State.ANALYZED: maker.analyzed,
    }
    templates = {state: make[state]().n for state in counts}
    later = maker.at + 3_600_000
    maker.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.create_function("new_id", 1, new_id)
        db.execute("BEGIN")
        db.execute("DELETE FROM entry")
        db.execute("DELETE FROM directory")
        for state, count in counts.items():
            first = db.execute("SELECT max(n) + 1 FROM recording").fetchone()[0]
            _multiply(db, templates[state], first=first, last=first + count - 2, root=root)
        db.execute("UPDATE recording SET due_at = ? WHERE state = 'discovered'", (later,))
        # The maker's own calls say that it has other settings: then all of it would be judged again.
        db.execute("UPDATE source SET settings = ?, root = ? WHERE name = ?", (settings, root.encode(), source))
        db.execute("COMMIT")
        db.execute("ANALYZE")


def _multiply(db: sqlite3.Connection, template: int, *, first: int, last: int, root: str) -> None:
    names = {"first": first, "last": last, "template": template, "root": root}
    for table, key, own in (
        ("recording", "n", _OWN | _OWN_IF_ANY),
        ("attempt", "recording_n", {"n": "NULL", "recording_n": "k.n"} | _OWN_IF_ANY),
        ("step", "recording_n", {"recording_n": "k.n"}),
    ):
        columns = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
        values = [own.get(name, f"t.{name}") for name in columns]
        statement = _MULTIPLY.format(table=table, key=key, columns=", ".join(columns), values=", ".join(values))
        db.execute(statement, names)
