"""Recordings, attempts and what happened, as they are shown: text and times instead of the ledger's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uploader.ledger.recordings import PARKED
from uploader.ledger.rows import AttemptRow, HistoryRow, RecordingRow, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingView:
    """One recording, the fields of `list --json`. Bytes of a location that are no UTF-8 are lone surrogates."""

    id: str
    source: str
    import_name: str | None
    location: str
    state: str
    reason: str | None
    reason_code: str | None
    interaction_id: str | None
    sha256: str | None
    content_id: str | None
    size_bytes: int
    attempts: int
    discovered_at: datetime
    submitted_at: datetime | None
    analyzed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One request. `open`: its outcome is not settled; `fetched_at`: the service has every byte by its URL."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    cause: str | None
    status: int | None
    code: int | None
    message: str | None
    interaction_id: str | None
    open: bool
    repeat: bool
    fetched_at: datetime | None
    listed_at: datetime | None
    revoked_at: datetime | None
    looks_again_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HappeningView:
    """One line of a recording's history."""

    at: datetime
    event: str
    state: str
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Particularities:
    """What `show` tells beyond `RecordingView`. `body` is what is or was sent, without the URL."""

    sidecar: str | None
    held: str | None
    paused: bool
    due_at: datetime | None
    duplicate_of: str | None
    body: dict[str, Any] | None
    media: dict[str, Any] | None
    evidence: str | None
    faults: int


def recording_view(row: RecordingRow) -> RecordingView:
    """Return a row as it is shown."""
    return RecordingView(
        id=row.id,
        source=row.source,
        import_name=row.import_name,
        location=text_of(row.location),
        state=row.state.value,
        reason=row.reason,
        reason_code=row.reason_code,
        interaction_id=row.interaction_id,
        sha256=None if row.sha256 is None else row.sha256.hex(),
        content_id=row.content_id,
        size_bytes=row.size_bytes,
        attempts=row.attempts,
        discovered_at=from_ms(row.discovered_at),
        submitted_at=moment(row.submitted_at),
        analyzed_at=moment(row.analyzed_at),
    )


def attempt_view(row: AttemptRow) -> AttemptView:
    """Return an attempt as it is shown."""
    return AttemptView(
        number=row.number,
        started_at=from_ms(row.started_at),
        ended_at=moment(row.ended_at),
        outcome=row.outcome,
        cause=row.cause,
        status=row.status,
        code=row.code,
        message=row.message,
        interaction_id=row.interaction_id,
        open=bool(row.open),
        repeat=bool(row.repeat),
        fetched_at=moment(row.fetched_at),
        listed_at=moment(row.listed_at),
        revoked_at=moment(row.revoked_at),
        looks_again_at=moment(row.recheck_at),
    )


def happening_view(row: HistoryRow) -> HappeningView:
    """Return one thing that happened as it is shown."""
    return HappeningView(at=from_ms(row.at), event=row.event, state=row.state, detail=row.detail)


def particularities(row: RecordingRow, *, first: RecordingRow | None) -> Particularities:
    """Return the rest of a row; `first` is the recording that it repeats, if it does."""
    return Particularities(
        sidecar=None if row.sidecar is None else text_of(row.sidecar),
        held=row.held,
        paused=row.lane >= PARKED,
        due_at=moment(row.due_at),
        duplicate_of=None if first is None else first.id,
        body=None if row.body is None else json.loads(row.body),
        media=None if row.media is None else json.loads(row.media),
        evidence=row.evidence,
        faults=row.faults,
    )


def text_of(name: bytes) -> str:
    """Return a name as text; bytes that are no UTF-8 become lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def moment(milliseconds: int | None) -> datetime | None:
    """Return the time of a ledger's value, if there is one."""
    return None if milliseconds is None else from_ms(milliseconds)
