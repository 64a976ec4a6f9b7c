"""Looking at a ledger without changing a byte of it, whatever state it is in; knows no rules of its own."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from uploader.errors import LedgerError
from uploader.ledger.books import WATCH_NOTE, KeyRow
from uploader.ledger.connection import Database, check_place, connect, opening_alone, unusable
from uploader.ledger.schema import standing

_OPCODES_BETWEEN_LOOKS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found. `sound` is None when the check was given up for lack of time."""

    sound: bool | None
    pending_upgrades: int
    account_id: str | None
    api_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a ledger may not know of: attempts made from `since` until `found`, in milliseconds since the epoch.

    `since` is 0 for one that knows of nothing at all. Both are None while no sender has opened it.
    """

    since: int | None
    found: int | None


def gap(path: Path) -> Gap | None:
    """Return what the ledger at `path`, which need not exist, may not know of: after a restore or a loss."""
    notes: dict[str, str] = {}
    if path.exists():
        db = _opened(path)
        try:
            wanted = "'generation', 'doubt_since', 'doubt_found'"
            notes = dict(db.execute(f"SELECT key, value FROM note WHERE key IN ({wanted})").fetchall())
        except sqlite3.Error:
            notes = {}  # has no tables yet, or not ours: another check says so
        finally:
            db.close()
    try:
        is_behind = int(notes.get("generation") or 0) < int(path.with_name(path.name + ".generation").read_text() or 0)
    except (OSError, ValueError):
        is_behind = False
    if is_behind:
        return Gap(since=None if notes.get("generation") else 0, found=None)
    since, found = notes.get("doubt_since"), notes.get("doubt_found")
    return Gap(since=int(since), found=int(found)) if since and found else None


def check_rights(path: Path) -> bool:
    """Say whether the ledger is there. Raises LedgerError when it cannot be, or could not be made."""
    check_place(path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LedgerError(
            "the folder of the ledger cannot be written", hint="check its owner; run this as the user of the service"
        )
    if not path.exists():
        return False
    if not os.access(path, os.R_OK | os.W_OK):
        raise LedgerError("the ledger cannot be written", hint="check its owner; run this as the user of the service")
    return True


def inspect(path: Path, *, within_seconds: float) -> Inspection:
    """Look at an existing ledger. Raises LedgerError when it cannot be used."""
    db = _opened(path)
    try:
        found = standing(db)
        if found.newer:
            raise LedgerError(
                "the ledger was written by a newer version of this program", hint="install that version again"
            )
        whole = not found.pending
        return Inspection(
            sound=_quick_check(db, within_seconds),
            pending_upgrades=len(found.pending),
            account_id=_note(db, "account_id") if whole else None,
            api_url=_note(db, "api_url") if whole else None,
        )
    except sqlite3.Error as error:
        raise unusable(error) from error
    finally:
        db.close()


def signing_keys(path: Path) -> tuple[KeyRow, ...]:
    """Return the signing keys of an existing ledger, newest first. Raises LedgerError."""
    db = _opened(path)
    try:
        rows = db.execute("SELECT id, secret, created_at FROM signing_key ORDER BY created_at DESC, id").fetchall()
    except sqlite3.Error as error:
        raise unusable(error) from error
    finally:
        db.close()
    return tuple(KeyRow(id=id_, secret=bytes(secret), created_at=at) for id_, secret, at in rows)


def polled_sources(path: Path) -> dict[str, str]:
    """Return why sources are only scanned, by their names, as the daemon wrote it. Raises LedgerError."""
    db = _opened(path)
    try:
        rows = db.execute(
            "SELECT key, value FROM note WHERE key GLOB ? AND value <> ''", (f"{WATCH_NOTE}*",)
        ).fetchall()
    except sqlite3.Error as error:
        raise unusable(error) from error
    finally:
        db.close()
    return {str(key).removeprefix(WATCH_NOTE): str(value) for key, value in rows}


def note(path: Path, key: str) -> str | None:
    """Return one note of an existing ledger. Raises LedgerError."""
    db = _opened(path)
    try:
        return _note(db, key)
    except sqlite3.Error as error:
        raise unusable(error) from error
    finally:
        db.close()


def _opened(path: Path) -> Database:
    """Open a ledger that a sender may just now be opening for the first time since it was restored."""
    with opening_alone(path):
        return connect(path, query_only=True)


def _quick_check(db: Database, within_seconds: float) -> bool | None:
    deadline = time.monotonic() + within_seconds
    db.conn.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES_BETWEEN_LOOKS)
    try:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None
        raise
    finally:
        db.conn.set_progress_handler(None, 0)


def _note(db: Database, key: str) -> str | None:
    found = db.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
    return None if found is None else str(found[0])
