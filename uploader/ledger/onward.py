"""Going on at once: what proves to be new is made ready, staged, and its request begun, in one transaction.

Each step is in the history as if it had been taken alone. Knows no files and no service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uploader.domain.identity import Verdict
from uploader.domain.lifecycle import Event
from uploader.ledger import changes
from uploader.ledger.connection import Database
from uploader.ledger.identity import Contents, Identity, judge_identity, settle
from uploader.ledger.rows import AttemptRow, RecordingRow
from uploader.ledger.settlement import Obstacle, twin_in_the_way, write_attempt
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
    judged = judge_identity(db, row, identity, contents)
    if judged.verdict is not Verdict.NEW:
        return Advance(row=settle(db, row, judged, at))
    kept: dict[str, Any] = judged.claim | {"claimed": row.claimed, "staged": onward.staged}
    if onward.day is None or twin_in_the_way(db, identity.match_key, but=row.n):
        staged = changes.leap(db, row, (Event.UNDERSTOOD, Event.STAGED), at=at, claim=row.claimed, **kept)
        return Advance(row=staged, begun=None if onward.day is None else Obstacle.TWIN)
    if row.attempts:
        raise ValueError("only a first request is begun without a look at older ones")
    kept |= {"attempts": 1, "cleared": 0}
    begun = changes.leap(
        db, row, (Event.UNDERSTOOD, Event.STAGED, Event.SUBMIT_STARTED), at=at, claim=row.claimed, **kept
    )
    return Advance(row=begun, begun=write_attempt(db, begun, at=at, day=onward.day))
