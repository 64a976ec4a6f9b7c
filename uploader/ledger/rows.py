"""The ledger's rows as values, and how they are read; no statement that writes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from uploader.domain.recording import Stamp, State

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Return `moment` as the ledger keeps it: milliseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """Return the aware UTC time of a ledger's value."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def new_id() -> str:
    """Return a fresh ledger id: ten characters without look-alikes, so that a prefix can stand for it."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRow:
    """One recording as the ledger has it; times in milliseconds, see `to_ms`."""

    n: int
    id: str
    source_n: int
    source: str
    import_n: int
    import_name: str | None
    location: bytes
    state: State
    reason_code: str | None
    reason: str | None
    held: str | None
    lane: int
    due_at: int | None
    claimed: int | None
    size_bytes: int
    mtime_ns: int
    inode: int
    etag: str | None
    stamped_at: int
    sidecar: bytes | None
    sha256: bytes | None
    content_id: str | None
    call_key: str | None
    copy: int
    duplicate_of: int | None
    same_call_ok: int
    match_key: str | None
    body: str | None
    media: str | None
    staged: str | None
    attempts: int
    faults: int
    cleared: int
    looks: int
    interaction_id: str | None
    discovered_at: int
    submitted_at: int | None
    analyzed_at: int | None
    evidence: str | None

    @property
    def stamp(self) -> Stamp:
        """By which the file is known to be the one that was understood."""
        return Stamp(size_bytes=self.size_bytes, mtime_ns=self.mtime_ns, inode=self.inode)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One request, or the doubt of one. `open` until tied to an id, settled, or seven days old."""

    n: int
    recording_n: int
    number: int
    started_at: int
    ended_at: int | None
    outcome: str | None
    cause: str | None
    status: int | None
    code: int | None
    message: str | None
    interaction_id: str | None
    open: int
    service_date: int | None
    call_start: int | None
    """The call's start, if it was sent."""
    sent: str | None
    """The body as it was sent, of attempts whose outcome is unknown."""
    staged_key: str | None
    fetched: str | None
    fetched_at: int | None
    revoked_at: int | None
    listed_at: int | None
    lacked_at: int | None
    recheck_at: int | None
    rechecks: int
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One thing that happened to a recording."""

    at: int
    event: str
    state: str
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file as the last scan saw it."""

    stamp: Stamp
    recording_n: int | None


_FOREIGN = {"source": "s.name", "import_name": "i.name"}
RECORDING_COLUMNS = ", ".join(f"{_FOREIGN.get(f.name, 'r.' + f.name)} AS {f.name}" for f in fields(RecordingRow))
RECORDING_FROM = (
    "recording r JOIN source s ON s.n = r.source_n LEFT JOIN import i ON i.n = r.import_n AND r.import_n > 0"
)
SELECT_RECORDING = f"SELECT {RECORDING_COLUMNS} FROM {RECORDING_FROM}"
ATTEMPT_COLUMNS = ", ".join(f.name for f in fields(AttemptRow))
SELECT_ATTEMPT = f"SELECT {ATTEMPT_COLUMNS} FROM attempt"

_Row = TypeVar("_Row", AttemptRow, HistoryRow)
_RECORDING_FIELDS = tuple(f.name for f in fields(RecordingRow))


def recording(values: Iterable[Any]) -> RecordingRow:
    """Make a row of SELECT_RECORDING a value."""
    named = dict(zip(_RECORDING_FIELDS, values, strict=True))
    named["state"] = State(named["state"])
    return RecordingRow(**named)


def attempt(values: Iterable[Any]) -> AttemptRow:
    """Make a row of SELECT_ATTEMPT a value."""
    return AttemptRow(**dict(zip((f.name for f in fields(AttemptRow)), values, strict=True)))
