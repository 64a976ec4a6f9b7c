"""The ledger's rows as values, how they are read, and which of them are kept packed; no statement that writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from uploader.domain.recording import Stamp, State
from uploader.ledger.packing import content_key, pack, pack_hash, pack_key, unpack, unpack_hash, unpack_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 24 * 60 * 60 * 1000


def to_ms(moment: datetime) -> int:
    """Return `moment` as the ledger keeps it: milliseconds since the epoch."""
    since = moment - _EPOCH
    return since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def from_ms(milliseconds: int) -> datetime:
    """Return the aware UTC time of a ledger's value."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


@dataclass(frozen=True, kw_only=True)
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

    def evolved(self, **values: Any) -> RecordingRow:
        """Return it with other values."""
        return _made(self.__dict__ | values)


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


_ELSEWHERE = {"source": "s.name", "import_name": "i.name", "sha256": "r.content"}
_FIELDS = tuple(f.name for f in fields(RecordingRow))
_NAMES = frozenset(_FIELDS)
_ATTEMPT_FIELDS = tuple(f.name for f in fields(AttemptRow))
_DOCUMENTS = ("media", "staged", "body")
_STATES = {state.value: state for state in State}

RECORDING_COLUMNS = ", ".join(_ELSEWHERE.get(name, "r." + name) for name in _FIELDS)
RECORDING_FROM = (
    "recording r JOIN source s ON s.n = r.source_n LEFT JOIN import i ON i.n = r.import_n AND r.import_n > 0"
)
SELECT_RECORDING = f"SELECT {RECORDING_COLUMNS} FROM {RECORDING_FROM}"
ATTEMPT_COLUMNS = ", ".join(_ATTEMPT_FIELDS)
SELECT_ATTEMPT = f"SELECT {ATTEMPT_COLUMNS} FROM attempt"
WAITING = "(state = 'discovered' OR state = 'ready' OR state = 'staged')"
"""The condition of an index, word for word: only then it is used. Or: a list would be built anew at every change."""
IN_FLIGHT = "(state = 'submitting' OR state = 'unconfirmed')"
"""Likewise."""
SAME_CONTENT = "substr(content, 1, 8) = substr(:content, 1, 8) AND content = :content AND claims = 1"
"""The condition for a content's claim (`content_key`); its first bytes are what the index has."""
SAME_CALL = "substr(call_key, 2, 8) = substr(:call, 2, 8) AND call_key = :call AND claims = 1"
"""The same for a call's (`pack_key`)."""


def recording(values: Sequence[Any]) -> RecordingRow:
    """Make a row of SELECT_RECORDING a value."""
    named = dict(zip(_FIELDS, values, strict=True))
    named["state"] = _STATES[named["state"]]
    if named["content_id"] is not None:
        named["sha256"] = None  # known by what its store says of it: it was never read
    elif named["sha256"] is not None:
        named["content_id"] = f"sha256:{named['sha256'].hex()}"
    named["call_key"] = unpack_key(named["call_key"])
    named["match_key"] = unpack_hash(named["match_key"])
    for field in _DOCUMENTS:
        named[field] = unpack(named[field])
    return _made(named)


def _made(named: Mapping[str, Any]) -> RecordingRow:
    """Make a row of its fields. There are some forty: assigning each by itself was a tenth of a recording's cost."""
    row = object.__new__(RecordingRow)
    row.__dict__.update(named)
    return row


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a RecordingRow as the columns that keep them. `sha256` and `content_id` come together."""
    kept = dict(values)
    if "content_id" in kept:
        name, digest = kept["content_id"], kept.pop("sha256")
        kept["content"] = None if name is None else content_key(name)
        if digest is not None:
            if digest != kept["content"]:
                raise ValueError("a content that was read is known by its SHA-256")
            kept["content_id"] = None
    for field in _PACKED.keys() & kept.keys():
        kept[field] = _PACKED[field](kept[field])
    return kept


def changed(row: RecordingRow, values: Mapping[str, Any]) -> RecordingRow:
    """Return `row` with these values; those that only its columns have are left out."""
    return _made(row.__dict__ | {name: value for name, value in values.items() if name in _NAMES})


_PACKED: dict[str, Callable[[str | None], bytes | str | None]] = {
    "call_key": pack_key, "match_key": pack_hash, "media": pack, "staged": pack, "body": pack,
}  # fmt: skip


def attempt(values: Sequence[Any]) -> AttemptRow:
    """Make a row of SELECT_ATTEMPT a value."""
    named = dict(zip(_ATTEMPT_FIELDS, values, strict=True))
    named["sent"] = unpack(named["sent"])
    return AttemptRow(**named)
