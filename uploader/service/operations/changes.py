"""What a person does to recordings: retry, adopt, discard. Each row is compared and set, and rings the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from functools import partial
from itertools import islice
from typing import Any

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved, UsageError
from uploader.ledger.books import bump
from uploader.ledger.changes import ANY_CLAIM, append, apply, change, watch_open
from uploader.ledger.connection import Database
from uploader.ledger.filters import Filter
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.ledger.words import LOOK_AGAIN
from uploader.platform.filesystem import sha256_of
from uploader.service.operations.search import find, is_overdue
from uploader.service.operations.views import RecordingView, recording_view

ASK_ABOVE = 100
"""A person is asked before more rows than this are changed."""
RETRIABLE = (State.QUARANTINED, State.REFUSED, State.UNCONFIRMED)
LONGEST_REASON = 500
_LONGEST_ID = 200
_CHUNK = 500
_TWICE = "it makes an interaction only once; `retry --new-interaction` would make a second"


class Manner(Enum):
    """How far a retry goes."""

    AGAIN = auto()
    """Round again; what is unconfirmed is only looked for."""
    SEND_AGAIN = auto()
    """A person says that what is unconfirmed is not there: send it."""
    NEW_INTERACTION = auto()
    """A person wants another interaction, whatever there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A recording that was left as it is, and why."""

    id: str
    state: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a change came to: ids that were changed, by the state they were in, and what was left."""

    counts: dict[State, int]
    left: tuple[Left, ...]

    @property
    def count(self) -> int:
        """How many were changed."""
        return sum(self.counts.values())


Work = Callable[[Database], None]


def selection(ledger: Ledger, filter_: Filter) -> tuple[int, Iterator[RecordingRow]]:
    """Return how many recordings `filter_` means, and those; without states, of those that can be retried."""
    if not filter_.states and filter_.overdue_before is None:
        filter_ = replace(filter_, states=RETRIABLE)
    return ledger.recordings.count(filter_), ledger.recordings.search(filter_)


def retry(
    ledger: Ledger, rows: Iterable[RecordingRow], *, manner: Manner, now: datetime, overdue_before: int
) -> Changed:
    """Send rows round again, in the `manner` that a person has chosen; what cannot be is left and told."""
    at = to_ms(now)

    def plan(row: RecordingRow) -> Work | str:
        if manner is Manner.NEW_INTERACTION:
            return _new_interaction(row, at, is_overdue=is_overdue(row, overdue_before))
        return _again(row, at, send=manner is Manner.SEND_AGAIN)

    return _change_each(ledger, rows, plan)


def discard(ledger: Ledger, rows: list[RecordingRow], *, reason: str, now: datetime) -> Changed:
    """Give rows up. Raises UsageError, and changes nothing, when one of them cannot be."""
    text, at = _one_line(reason) or REASONS[Reason.DISCARDED][0], to_ms(now)
    for row in rows:
        if (row.state, Event.DISCARDED) not in TRANSITIONS:
            raise UsageError(
                f"{row.id} is {row.state}: it cannot be discarded", hint=f"see `qm-uploader show {row.id}`"
            )

    def plan(row: RecordingRow) -> Work:
        def work(db: Database) -> None:
            apply(
                db, row, Event.DISCARDED, at=at, claim=ANY_CLAIM, detail=text,
                reason_code=Reason.DISCARDED.value, reason=text,
            )  # fmt: skip
            watch_open(db, row.n, at)

        return work

    return _change_each(ledger, rows, plan)


def adopt(ledger: Ledger, text: str, interaction_id: str, *, now: datetime) -> RecordingView:
    """Tie the recording that `text` means to an interaction that a person has seen. Raises UsageError, RowMoved."""
    row = find(ledger, text)
    if not 0 < len(interaction_id) <= _LONGEST_ID or not interaction_id.isprintable() or " " in interaction_id:
        raise UsageError("INTERACTION_ID is not an interaction's id", hint="copy it from Zoom, or from `show`")
    if (row.state, Event.ADOPTED) not in TRANSITIONS:
        raise UsageError(f"{row.id} is {row.state}: it cannot adopt an interaction", hint=_instead(row))
    owner = ledger.attempts.owners([interaction_id]).get(interaction_id)
    if owner is not None:
        whose = "this recording had it before" if owner.recording.n == row.n else f"it is that of {owner.recording.id}"
        raise UsageError(
            f"this interaction is taken: {whose}",
            hint=f"see `qm-uploader show {owner.recording.id}`; nothing was changed",
        )
    after = ledger.attempts.adopt(row, interaction_id, at=to_ms(now), content=_content(row))
    ledger.books.ring()
    return recording_view(after)


def _content(row: RecordingRow) -> bytes | None:
    """Return the SHA-256 of a recording that was never read, so that the same file is known when it comes again."""
    if row.content_id is not None or row.location.startswith(b"s3://"):
        return None
    try:
        return sha256_of(row.location, expected=row.stamp)
    except OSError:
        return None


def _instead(row: RecordingRow) -> str:
    if row.state in {State.SUBMITTED, State.ANALYZED}:
        return "it has its interaction already; see `show`"
    return "wait until its request is answered" if row.state is State.SUBMITTING else "it was left out by its profile"


def _again(row: RecordingRow, at: int, *, send: bool) -> Work | str:
    if row.state in {State.QUARANTINED, State.REFUSED}:
        same_call = 1 if row.reason_code == Reason.SAME_CALL else row.same_call_ok
        return lambda db: _apply(db, row, Event.RETRIED, at, faults=0, same_call_ok=same_call)
    if row.state is not State.UNCONFIRMED:
        return _why_not(row)
    if send:
        return lambda db: _apply(db, row, Event.SEND_AGAIN, at, cleared=1, detail="a person says that it is not there")

    def look(db: Database) -> None:
        change(db, row, claim=ANY_CLAIM, due_at=at)
        append(db, row.n, event=LOOK_AGAIN, state=row.state, at=at, detail="asked for by a person")

    return look


def _why_not(row: RecordingRow) -> str:
    if row.state is State.SUBMITTED:
        return "it waits for its analysis"
    if row.state in {State.DUPLICATE, State.DISCARDED}:
        return (
            _TWICE if row.state is State.DUPLICATE else "it was given up; `retry --new-interaction` sends it after all"
        )
    if row.state is State.ANALYZED:
        return "it is done"
    return "its profile leaves it out" if row.state is State.SKIPPED else "it is on its way"


def _new_interaction(row: RecordingRow, at: int, *, is_overdue: bool) -> Work | str:
    if row.state is State.SUBMITTED and not is_overdue:
        return "its analysis is not overdue"
    if (row.state, Event.NEW_INTERACTION) not in TRANSITIONS:
        return "`retry` without --new-interaction is enough" if row.state in RETRIABLE else _why_not(row)
    # It keeps its claim: while it goes round again no duplicate of it may take its place and be sent as well.
    return lambda db: _apply(
        db, row, Event.NEW_INTERACTION, at, copy=row.n, claims=int(row.content_id is not None), faults=0, cleared=0,
        looks=0, duplicate_of=None, interaction_id=None, submitted_at=None, evidence=None, detail=row.interaction_id,
    )  # fmt: skip


def _apply(db: Database, row: RecordingRow, event: Event, at: int, **values: Any) -> None:
    apply(db, row, event, at=at, claim=ANY_CLAIM, due_at=at, **values)


def _change_each(ledger: Ledger, rows: Iterable[RecordingRow], plan: Callable[[RecordingRow], Work | str]) -> Changed:
    """Carry out what `plan` says of each row, some hundred a transaction."""
    counts: dict[State, int] = {}
    left: list[Left] = []
    for part in _chunks(rows):
        outcomes = ledger.recordings.write(partial(_carry_out, rows=part, plan=plan))
        for row, why in zip(part, outcomes, strict=True):
            if why is None:
                counts[row.state] = counts.get(row.state, 0) + 1
            else:
                left.append(Left(id=row.id, state=row.state.value, why=why))
    return Changed(counts=counts, left=tuple(left))


def _carry_out(db: Database, rows: list[RecordingRow], plan: Callable[[RecordingRow], Work | str]) -> list[str | None]:
    outcomes: list[str | None] = []
    for row in rows:
        planned = plan(row)
        if isinstance(planned, str):
            outcomes.append(planned)
            continue
        try:
            planned(db)
        except RowMoved:
            outcomes.append("it changed meanwhile: look at it again")
        else:
            outcomes.append(None)
    bump(db, "wake")
    return outcomes


def _chunks(rows: Iterable[RecordingRow]) -> Iterator[list[RecordingRow]]:
    iterator = iter(rows)
    while part := list(islice(iterator, _CHUNK)):
        yield part


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_REASON]
