"""What a request comes to: the rules by which its intent and its outcome are written.

Functions on an open transaction. The attempt is written first, then its recording as far as that
still waits for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.books import bump, count_submission
from uploader.ledger.connection import Database
from uploader.ledger.packing import pack, pack_hash
from uploader.ledger.rows import ATTEMPT_COLUMNS, IN_FLIGHT, SELECT_ATTEMPT, AttemptRow, RecordingRow, attempt, to_ms
from uploader.ledger.words import DOUBLE, LATE_ANSWER, NUMBERS

_MS = 1000
_SECOND = 2
"""From the second attempt on, an earlier one can be open, or answered late."""


class Obstacle(Enum):
    """Why a recording may not be sent just now."""

    TWIN = auto()
    """One of the same particulars is under way or unconfirmed."""
    LOOK_FIRST = auto()
    """An older attempt is open: the listing must be read before another POST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What becomes of the recording when its request provably created nothing."""

    due_at: int | None
    at_fault: bool
    """Whether this counts among the recording's own `[retry] attempts`."""
    reason: str | None = None
    final: bool = False


def begin(db: Database, row: RecordingRow, at: int, day: str) -> tuple[AttemptRow, RecordingRow] | Obstacle:
    """Write the intent to send `row`, unless a twin or an older open attempt stands in the way. Raises RowMoved."""
    if twin_in_the_way(db, row.match_key, but=row.n):
        return Obstacle.TWIN
    is_open = changes.has_open_attempt(db, row)
    if is_open and not row.cleared:
        changes.apply(db, row, Event.DOUBTED, at=at, claim=row.claimed, due_at=at, **changes.reason_of(Reason.LOOKING))
        return Obstacle.LOOK_FIRST
    # First of all: a row that others have taken round meanwhile has an attempt of this number.
    begun = changes.apply(
        db, row, Event.SUBMIT_STARTED, at=at, claim=row.claimed, claimed=row.claimed, attempts=row.attempts + 1,
        cleared=0,
    )  # fmt: skip
    made = write_attempt(db, begun, at=at, day=day, is_repeat=is_open)
    if is_open:
        bump(db, "resent_after_unknown")
    return made, begun


def twin_in_the_way(db: Database, match_key: str | None, *, but: int) -> bool:
    """Say whether a recording of the same particulars is under way or unconfirmed."""
    if match_key is None:
        return False
    found = db.execute(
        f"SELECT 1 FROM recording WHERE match_key = ? AND {IN_FLIGHT} AND n <> ?",
        (pack_hash(match_key), but),
    ).fetchone()
    return found is not None


def write_attempt(db: Database, row: RecordingRow, *, at: int, day: str, is_repeat: bool = False) -> AttemptRow:
    """Write the newest attempt of `row`, and count it for its day."""
    made = db.execute(
        "INSERT INTO attempt (recording_n, number, started_at, call_start, repeat) VALUES (?, ?, ?, ?, ?) "
        f"RETURNING {ATTEMPT_COLUMNS}",
        (row.n, row.attempts, at, call_start(row), int(is_repeat)),
    ).fetchone()
    count_submission(db, day)
    return attempt(made)


def accept(db: Database, made: AttemptRow, row: RecordingRow, outcome: Outcome, at: int, track_at: int) -> RecordingRow:
    """Write the acceptance of a first attempt, as `finish` does, trusting what its sender has in hand.

    When either has moved meanwhile, `finish` looks at everything.
    """
    is_plain = made.number == row.attempts == 1 and not is_anothers(db, outcome.interaction_id, made.n)
    if is_plain and _write_outcome(db, made.n, outcome, at, only_first=True):
        try:
            return changes.apply(
                db, row, Event.ACCEPTED, at=at, claim=row.claimed, due_at=track_at, detail=made.number,
                interaction_id=outcome.interaction_id, submitted_at=at, looks=0,
            )  # fmt: skip
        except RowMoved:
            pass
    return finish(db, made.n, outcome, at, Refusal(due_at=None, at_fault=False), track_at)


def finish(db: Database, n: int, outcome: Outcome, at: int, refusal: Refusal, track_at: int) -> RecordingRow:
    """Write an outcome to its attempt, then to its recording as far as that still waits for it."""
    made = get_attempt(db, n)
    if outcome.kind is Kind.ACCEPTED and is_anothers(db, outcome.interaction_id, n):
        outcome = Outcome(
            kind=Kind.UNKNOWN, cause=Cause.SERVER, status=outcome.status, service_date=outcome.service_date,
            message="the service answered with an interaction id that another recording has",
        )  # fmt: skip
    _write_outcome(db, n, outcome, at)
    row = changes.fetch(db, made.recording_n)
    if outcome.kind is Kind.UNKNOWN:
        db.execute("UPDATE attempt SET sent = ? WHERE n = ?", (pack(row.body), n))
    if outcome.kind is Kind.ACCEPTED:
        row = _accept(db, made, row, str(outcome.interaction_id), at, track_at)
    elif row.state is State.SUBMITTING and made.number == row.attempts:
        if outcome.kind is Kind.UNKNOWN:
            row = changes.apply(
                db, row, Event.OUTCOME_UNKNOWN, at=at, claim=changes.ANY_CLAIM, due_at=at, looks=0,
                detail=outcome.message or None, **changes.reason_of(Reason.LOOKING),
            )  # fmt: skip
        else:
            row = _refuse(db, row, outcome, at, refusal)
    return settle_late(db, row, at, track_at)


def _write_outcome(db: Database, n: int, outcome: Outcome, at: int, *, only_first: bool = False) -> bool:
    """Write it, `only_first`: unless the attempt has an outcome or an interaction; say whether it was written."""
    service_date = None if outcome.service_date is None else int(outcome.service_date.timestamp() * _MS)
    written = db.execute(
        "UPDATE attempt SET ended_at = ?, outcome = ?, cause = ?, status = ?, code = ?, message = ?, "
        "interaction_id = coalesce(?, interaction_id), open = ?, service_date = ? WHERE n = ?"
        + (" AND outcome IS NULL AND interaction_id IS NULL" if only_first else ""),
        (
            at, outcome.kind.value, outcome.cause.value, outcome.status, outcome.code, outcome.message or None,
            outcome.interaction_id, 1 if outcome.kind is Kind.UNKNOWN else 0, service_date, n,
        ),
    )  # fmt: skip
    return written.rowcount == 1


def _accept(
    db: Database, made: AttemptRow, row: RecordingRow, interaction_id: str, at: int, track_at: int
) -> RecordingRow:
    """Give `row` the interaction of its attempt `made`, if it still waits for one; return it as it is then."""
    event = Event.ACCEPTED
    if row.state is not State.SUBMITTING:
        event = Event.LATE_ACCEPTED
    elif made.number != row.attempts:
        changes.append(db, row.n, event=LATE_ANSWER, state=row.state, at=at, detail=made.number)
        return row
    if row.interaction_id == interaction_id:
        return row  # found in the listing before its answer came
    if (row.state, event) not in TRANSITIONS:
        report_double(db, row, made, at)
        return row
    after = changes.apply(
        db, row, event, at=at, claim=changes.ANY_CLAIM, due_at=track_at, detail=made.number,
        interaction_id=interaction_id, submitted_at=at, looks=0,
    )  # fmt: skip
    if row.attempts >= _SECOND:
        changes.watch_open(db, row.n, at)
    return after


def settle_late(db: Database, row: RecordingRow, at: int, track_at: int) -> RecordingRow:
    """Once a repeat is answered: an older request that was accepted meanwhile is the one, or made a double.

    Return the row as it is then.
    """
    if row.state is State.SUBMITTING or row.attempts < _SECOND:
        return row
    told = db.execute(
        "SELECT detail FROM step WHERE recording_n = :n AND event = :late AND n > "
        "(SELECT max(n) FROM step WHERE recording_n = :n AND state = :submitting AND event <> :late)",
        {"n": row.n, "late": NUMBERS[LATE_ANSWER], "submitting": NUMBERS[State.SUBMITTING]},
    ).fetchall()
    for (number,) in told:
        made = attempt(db.execute(f"{SELECT_ATTEMPT} WHERE recording_n = ? AND number = ?", (row.n, number)).fetchone())
        row = _accept(db, made, row, str(made.interaction_id), at, track_at)
    return row


def report_double(db: Database, row: RecordingRow, made: AttemptRow, at: int) -> None:
    """Write that attempt `made` gave a recording a second interaction."""
    changes.append(db, row.n, event=DOUBLE, state=row.state, at=at, detail=made.number)
    bump(db, "doubles")


def _refuse(db: Database, row: RecordingRow, outcome: Outcome, at: int, refusal: Refusal) -> RecordingRow:
    detail = outcome.message or outcome.cause.value
    faults = row.faults + (1 if refusal.at_fault else 0)
    if refusal.final:
        why = changes.reason_of(Reason.REFUSED_BY_SERVICE, refusal.reason or detail)
        after = changes.apply(
            db, row, Event.REFUSED, at=at, claim=changes.ANY_CLAIM, faults=faults, detail=detail, **why
        )
        changes.watch_open(db, row.n, at)
        return after
    why = {"reason": refusal.reason} if refusal.reason else {}
    return changes.apply(
        db, row, Event.NOT_CREATED, at=at, claim=changes.ANY_CLAIM, due_at=refusal.due_at, faults=faults,
        detail=detail, **why,
    )  # fmt: skip


def get_attempt(db: Database, n: int) -> AttemptRow:
    """Return the attempt with number `n` of all."""
    return attempt(db.execute(f"{SELECT_ATTEMPT} WHERE n = ?", (n,)).fetchone())


def own(db: Database, made: AttemptRow, interaction_id: str, at: int) -> None:
    """Give an attempt its interaction id; it is open no more."""
    db.execute(
        "UPDATE attempt SET interaction_id = ?, open = 0, recheck_at = NULL, ended_at = coalesce(ended_at, ?) "
        "WHERE n = ?",
        (interaction_id, at, made.n),
    )


def is_anothers(db: Database, interaction_id: str | None, n: int) -> bool:
    """Say whether an interaction id is that of another attempt than `n`."""
    found = db.execute("SELECT 1 FROM attempt WHERE interaction_id = ? AND n <> ?", (interaction_id, n))
    return found.fetchone() is not None


def call_start(row: RecordingRow) -> int | None:
    """Return the call's start in milliseconds, as it would be sent."""
    start = json.loads(row.body or "{}").get("start_time")
    return None if start is None else to_ms(datetime.fromisoformat(start))
