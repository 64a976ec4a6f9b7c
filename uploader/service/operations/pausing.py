"""Pausing and resuming: everything, a source, or an import. What is submitted is followed all the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from uploader.domain.recording import State
from uploader.ledger.discovery import ImportRow, SourceRow
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.service.operations.search import unknown

_WAITING = (State.DISCOVERED, State.READY, State.STAGED)
PAUSED = "paused"
PAUSED_AT = "paused_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """What is paused."""

    everything: bool
    sources: tuple[str, ...]
    imports: tuple[str, ...]


def pauses(ledger: Ledger) -> Pauses:
    """Return what is paused."""
    return Pauses(
        everything=ledger.books.note(PAUSED) == "1",
        sources=tuple(row.name for row in ledger.discovery.sources() if row.paused),
        imports=tuple(row.name for row in ledger.discovery.imports() if row.paused),
    )


def pause_all(ledger: Ledger, *, now: datetime) -> None:
    """Hold every submission until `resume_all`; kept across restarts."""
    ledger.books.set_notes({PAUSED: "1", PAUSED_AT: str(to_ms(now))})
    ledger.books.ring()


def resume_all(ledger: Ledger, *, now: datetime) -> None:
    """End the general pause, and let closed gates be tried at once. Sources and imports keep their own."""
    ledger.books.set_notes({PAUSED: "0"})
    ledger.books.probe_gates(at=to_ms(now))


def pause_source(ledger: Ledger, name: str, *, now: datetime) -> int:
    """Hold what a source has; return how many recordings wait in it. Raises UsageError."""
    return _park(ledger, at=to_ms(now), parked=True, source=_source(ledger, name))


def resume_source(ledger: Ledger, name: str, *, now: datetime) -> tuple[int, int]:
    """Let a source go on, and its held backlog too; return how many were paused, and how many held.

    Raises UsageError.
    """
    source = _source(ledger, name)
    paused = _park(ledger, at=to_ms(now), parked=False, source=source)
    held = ledger.discovery.release_backlog(source.n, at=to_ms(now))
    ledger.books.ring()
    return paused, held


def pause_import(ledger: Ledger, name: str, *, now: datetime) -> int:
    """Hold what an import has; return how many recordings. Raises UsageError."""
    return _park(ledger, at=to_ms(now), parked=True, import_=_import(ledger, name))


def resume_import(ledger: Ledger, name: str, *, now: datetime) -> int:
    """Let an import go on; return how many recordings were paused. Raises UsageError."""
    return _park(ledger, at=to_ms(now), parked=False, import_=_import(ledger, name))


def _park(
    ledger: Ledger, *, at: int, parked: bool, source: SourceRow | None = None, import_: ImportRow | None = None
) -> int:
    moved = ledger.discovery.set_parked(
        at=at, parked=parked, source_n=source.n if source else None, import_n=import_.n if import_ else None
    )
    ledger.books.ring()
    # What is submitted or quarantined changes its lane as well, but none of it waits.
    scope = {"import_n": import_.n} if import_ else {"import_n": 0, "source_n": source.n if source else 0}
    counts = ledger.recordings.counts(**scope)
    return min(moved, sum(counts[state] for state in _WAITING))


def _source(ledger: Ledger, name: str) -> SourceRow:
    sources = ledger.discovery.sources()
    for row in sources:
        if row.name == name:
            return row
    raise unknown("source", name, (row.name for row in sources))


def _import(ledger: Ledger, name: str) -> ImportRow:
    imports = ledger.discovery.imports()
    for row in imports:
        if row.name == name:
            return row
    raise unknown("import", name, (row.name for row in imports))
