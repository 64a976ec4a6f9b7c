"""Finding recordings by what a person or another recording knows of them. Functions on an open transaction."""

from __future__ import annotations

import json
import zlib
from typing import Any

from uploader.domain.recording import State
from uploader.ledger.connection import Database
from uploader.ledger.ids import LENGTH, numbers
from uploader.ledger.packing import content_key, unpack
from uploader.ledger.rows import (
    RECORDING_COLUMNS,
    RECORDING_FROM,
    SAME_CONTENT,
    SELECT_RECORDING,
    RecordingRow,
    recording,
)

SHOWN = 11
"""So many are found at most: ten can be named, and one more says that there are others."""


def by_id(db: Database, id_: str) -> RecordingRow | None:
    """Return the recording with exactly this ledger id."""
    found = _beginning_with(db, id_) if len(id_) == LENGTH else []
    return recording(found[0]) if found else None


def find(db: Database, text: str) -> list[RecordingRow]:
    """Return what `text` may mean: a ledger id or its beginning, an interaction id, a location."""
    location = text.encode("utf-8", "surrogateescape")
    text = location.decode("utf-8", "replace")  # bytes that are no UTF-8 are in no id
    folder, _, name = location.rpartition(b"/")
    found = db.execute(
        f"{SELECT_RECORDING} WHERE r.n IN (SELECT recording_n FROM attempt WHERE interaction_id = ? UNION "
        "SELECT recording_n FROM source z CROSS JOIN directory d ON d.source_n = z.n AND d.path = ? "
        "CROSS JOIN entry e ON e.directory_n = d.n AND e.name = ?) LIMIT 2",
        (text, folder, name),
    ).fetchall()
    if not found:
        found = _beginning_with(db, text)
    if not found and b"/" in location:
        found = db.execute(
            f"{SELECT_RECORDING} WHERE r.n IN (SELECT n FROM recording WHERE place = :place AND location = :location "
            "UNION SELECT o.n FROM import z CROSS JOIN recording o ON o.import_n = z.n AND o.import_n > 0 AND "
            "o.location = :location) LIMIT :shown",
            {"place": zlib.crc32(location), "location": location, "shown": SHOWN},
        ).fetchall()
    return [recording(values) for values in found]


def keep_place(db: Database, n: int) -> None:
    """Let recording `n` be found by its location though the scan cache will not have it any more."""
    found = db.execute("SELECT location FROM recording WHERE n = ?", (n,)).fetchone()
    if found is not None:
        db.execute("UPDATE recording SET place = ? WHERE n = ?", (zlib.crc32(found[0]), n))


def shares_staged(db: Database, row: RecordingRow) -> bool:
    """Say whether another recording that is on its way needs what is staged for `row`, or may be about to."""
    others = db.execute(
        f"SELECT state, staged FROM recording WHERE {SAME_CONTENT} AND n <> :n AND "
        "state IN ('ready', 'staged', 'submitting', 'unconfirmed', 'submitted')",
        {"content": content_key(row.content_id or ""), "n": row.n},
    ).fetchall()
    key = _staged_key(row.staged)
    return any(state == State.READY or (key and _staged_key(unpack(staged)) == key) for state, staged in others)


def _beginning_with(db: Database, beginning: str) -> list[Any]:
    """Return rows whose ledger id begins so: looked up by the numbers that it may belong to."""
    may = numbers(beginning)
    if may is None:
        return []
    return db.execute(
        "WITH RECURSIVE may(n) AS (SELECT :first UNION ALL SELECT n + :step FROM may WHERE n + :step <= "
        f"(SELECT max(n) FROM recording)) SELECT {RECORDING_COLUMNS} FROM may CROSS JOIN {RECORDING_FROM} "
        "WHERE r.n = may.n AND r.id >= :from AND r.id < :from || '~' LIMIT :shown",
        {"first": may[0], "step": may[1], "from": beginning, "shown": SHOWN},
    ).fetchall()


def _staged_key(document: str | None) -> str | None:
    key: str | None = json.loads(document or "{}").get("key")
    return key
