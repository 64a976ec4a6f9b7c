"""Going on at once: what proves to be new is made ready, staged, and its request begun, in one transaction.

Each step is in the history as if it had been taken alone. Knows no files and no service.
"""

from __future__ import annotations

from dataclasses import dataclass

from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.ledger import changes
from uploader.ledger.connection import Database
from uploader.ledger.identity import Contents, Identity, judge_identity
from uploader.ledger.rows import AttemptRow, RecordingRow
from uploader.ledger.settlement import Obstacle, begin
from uploader.ledger.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """What is to follow as soon as a recording is ready.

    `staged`: where it can be fetched, for which nothing more need be done. `day`: the UTC day that its
    submission counts for; None: it is staged and waits for its turn.
    """

    staged: str
    day: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far it came. `begun`: the attempt whose request may now be sent, or what stands in its way."""

    row: RecordingRow
    begun: AttemptRow | Obstacle | None = None


def advance(
    writer: Writer, row: RecordingRow, identity: Identity, contents: Contents, *, onward: Onward, at: int
) -> Advance:
    """Make `row` ready as `identity.make_ready` does, and go on with it if it is new. Raises RowMoved."""
    return writer.write(lambda db: _advance(db, row, identity, contents, onward, at), redoable=onward.day is None)


def _advance(
    db: Database, row: RecordingRow, identity: Identity, contents: Contents, onward: Onward, at: int
) -> Advance:
    ready = judge_identity(db, row, identity, contents, at)
    if ready.state is not State.READY:
        return Advance(row=ready)
    changes.apply(db, ready, Event.STAGED, at=at, claim=ready.claimed, claimed=ready.claimed, staged=onward.staged)
    staged = changes.fetch(db, row.n)
    if onward.day is None:
        return Advance(row=staged)
    begun = begin(db, staged, at, onward.day)
    if isinstance(begun, Obstacle):
        return Advance(row=staged, begun=begun)
    return Advance(row=begun[1], begun=begun[0])
