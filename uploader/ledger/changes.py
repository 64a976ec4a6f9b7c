"""The one way in which a recording's row changes: compare, set, and append to its history.

Functions on an open transaction; the classes of this package put them together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from uploader.domain.lifecycle import RELEASES_IDENTITY, REVOKES_URLS, Event, next_state
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger.connection import Database
from uploader.ledger.packing import pack_hash
from uploader.ledger.rows import SELECT_RECORDING, RecordingRow, changed, columns, recording
from uploader.ledger.words import NUMBERS

_LOCKS_TWINS = frozenset({State.SUBMITTING, State.UNCONFIRMED})

FIRST_RECHECK_MS = 60 * 60 * 1000

_ENDING = ("reason_code", "reason", "held", "claimed", "due_at")
"""What ends with the state that it was of."""
ANY_CLAIM = object()
"""Accept the row whoever works on it: for a person's commands and for the scan."""


def fetch(db: Database, n: int) -> RecordingRow:
    """Return the row. Raises RowMoved when there is none."""
    values = db.execute(f"{SELECT_RECORDING} WHERE r.n = ?", (n,)).fetchone()
    if values is None:
        raise RowMoved("the recording is not in the ledger")
    return recording(values)


def apply(
    db: Database,
    row: RecordingRow,
    event: Event,
    *,
    at: int,
    claim: object = None,
    detail: str | int | None = None,
    **changes: Any,
) -> RecordingRow:
    """Move `row` by `event`, set `changes`, append to the history; return the row as it is then.

    The row must still be in the state, and in the hands (`claim`: a claim's number, or ANY_CLAIM),
    that it is expected in; else RowMoved is raised and nothing changes. A reason is kept only if it
    is among the changes. The claim ends unless the changes keep it.
    """
    state = next_state(row.state, event)
    is_ours = claim is not ANY_CLAIM and claim is not None
    releases = event in RELEASES_IDENTITY and not has_open_attempt(db, row)
    values = _ending(row, event, state, is_ours=is_ours, releases=releases) | changes | {"state": state}
    if is_ours and values.get("claimed") == claim:
        del values["claimed"]
    _set(db, row, values, claim)
    append(db, row.n, event=event, state=state, at=at, detail=detail or values.get("reason_code"))
    if releases:
        wake_duplicates(db, row.n, at)
    elif event in RELEASES_IDENTITY:
        watch_open(db, row.n, at)
    if event in REVOKES_URLS and row.attempts:
        revoke(db, row.n, at)
    if row.state in _LOCKS_TWINS and state not in _LOCKS_TWINS:
        _wake_twins(db, row, at)
        if state is State.STAGED and _is_stale(db, row.n):
            return apply(
                db, fetch(db, row.n), Event.CHANGED, at=at, claim=ANY_CLAIM, due_at=at,
                detail="the sidecar changed while it was sent",
            )  # fmt: skip
    return changed(row, values)


def leap(
    db: Database, row: RecordingRow, events: Sequence[Event], *, at: int, claim: object, **changes: Any
) -> RecordingRow:
    """Move `row` by several events in one statement, as `apply` would by one after another; each is in the history.

    For events that concern no other row. Raises RowMoved, and ValueError for other events.
    """
    if row.state in _LOCKS_TWINS or any(event in RELEASES_IDENTITY or event in REVOKES_URLS for event in events):
        raise ValueError("an event that concerns other rows is applied by itself")
    steps, state = list[tuple[Event, State]](), row.state
    for event in events:
        state = next_state(state, event)
        steps.append((event, state))
    is_ours = claim is not ANY_CLAIM and claim is not None
    values = _ending(row, events[-1], state, is_ours=is_ours, releases=False) | changes | {"state": state}
    if is_ours and values.get("claimed") == claim:
        del values["claimed"]
    _set(db, row, values, claim)
    _append_all(db, row.n, steps, at)
    return changed(row, values)


def _append_all(db: Database, n: int, steps: Sequence[tuple[Event, State]], at: int) -> None:
    places = ", ".join(f"({number}, ?, ?)" for number in range(1, len(steps) + 1))
    db.execute(
        "INSERT INTO step SELECT ?1, last + column1, ?2, column2, column3, NULL FROM "
        "(SELECT coalesce(max(n), 0) AS last FROM step WHERE recording_n = ?1) CROSS JOIN "
        f"(VALUES {places})",
        (n, at, *(NUMBERS[word] for step in steps for word in step)),
    )


def _ending(row: RecordingRow, event: Event, state: State, *, is_ours: bool, releases: bool) -> dict[str, Any]:
    """Return what ends by itself when `row` moves."""
    # Nobody else writes these while a claim lasts; each that is left alone spares its indexes.
    values: dict[str, Any] = {name: None for name in _ENDING if not (is_ours and getattr(row, name) is None)}
    if releases:
        values["claims"] = 0
    if event in RELEASES_IDENTITY:
        # It goes round again, who knows how long: an older request is looked for anew before the next.
        values |= {"cleared": 0, "stale": 0}
    if event is Event.CHANGED:
        values["faults"] = 0  # what the service found wrong may be mended
    if state is State.SUBMITTED:
        values["match_key"] = None  # no twin waits for it any more; going round again it gets its key anew
    return values


def _wake_twins(db: Database, row: RecordingRow, at: int) -> None:
    """Let recordings of the same particulars go that waited for this one."""
    if row.match_key is not None:
        db.execute(
            "UPDATE recording INDEXED BY recording_waiting_twin SET due_at = ? WHERE match_key = ? AND "
            "state = 'staged' AND reason_code = 'twin' AND claimed IS NULL",
            (at, pack_hash(row.match_key)),
        )


def _is_stale(db: Database, n: int) -> bool:
    """Say whether its sidecar changed while a request was under way: what goes next is to be judged anew."""
    return bool(db.execute("SELECT stale FROM recording WHERE n = ?", (n,)).fetchone()[0])


def revoke(db: Database, n: int, at: int) -> None:
    """Make the URLs of a recording's attempts so far answer 410."""
    db.execute("UPDATE attempt SET revoked_at = ? WHERE recording_n = ? AND revoked_at IS NULL", (at, n))


def change(db: Database, row: RecordingRow, *, claim: object = None, **changes: Any) -> None:
    """Set columns without moving the row. Raises RowMoved as `apply` does."""
    _set(db, row, changes, claim)


def append(db: Database, n: int, *, event: Event | str, state: State, at: int, detail: str | int | None = None) -> None:
    """Append to the history of recording `n`. A `detail` that is a number means that attempt's interaction."""
    db.execute(
        "INSERT INTO step VALUES (?1, "
        "(SELECT coalesce(max(n), 0) + 1 FROM step WHERE recording_n = ?1), ?2, ?3, ?4, ?5)",
        (n, at, NUMBERS[event], NUMBERS[state], detail),
    )


def reason_of(code: Reason, message: str = "") -> dict[str, str]:
    """Return the columns that say why: `message`, or the code's own sentence."""
    return {"reason_code": code.value, "reason": message or REASONS[code][0]}


def _set(db: Database, row: RecordingRow, values: dict[str, Any], claim: object) -> None:
    kept = columns(values)
    bound = [*kept.values(), row.n, row.state]
    if claim is not ANY_CLAIM:
        bound.append(claim)
    if db.execute(_update(tuple(kept), claim is not ANY_CLAIM), bound).rowcount != 1:
        raise RowMoved("the recording changed meanwhile")


@functools.lru_cache(maxsize=128)
def _update(names: tuple[str, ...], of_claim: bool) -> str:  # noqa: FBT001 (private)
    """Return the statement that sets these columns if the row has not moved; the same text is prepared once."""
    assignments = ", ".join(f"{name} = ?" for name in names)
    return f"UPDATE recording SET {assignments} WHERE n = ? AND state = ?" + (" AND claimed IS ?" if of_claim else "")


def has_open_attempt(db: Database, row: RecordingRow) -> bool:
    """Say whether a request for `row` may still turn out to have been accepted."""
    if not row.attempts:
        return False
    found = db.execute("SELECT 1 FROM attempt WHERE recording_n = ? AND open = 1", (row.n,)).fetchone()
    return found is not None


def watch_open(db: Database, recording_n: int, at: int) -> None:
    """Look again for the open attempts of a recording that has its id, was given up, or waits for its mending."""
    db.execute(
        "UPDATE attempt SET recheck_at = coalesce(recheck_at, ?) WHERE recording_n = ? AND open = 1",
        (at + FIRST_RECHECK_MS, recording_n),
    )


def wake_duplicates(db: Database, n: int, at: int) -> None:
    """Judge the duplicates of a recording again that no longer keeps them out."""
    found = db.execute(f"{SELECT_RECORDING} WHERE r.duplicate_of = ? AND r.state = 'duplicate'", (n,)).fetchall()
    for values in found:
        apply(
            db, recording(values), Event.CHANGED, at=at, claim=ANY_CLAIM, due_at=at, duplicate_of=None,
            detail="the other one is no longer to be sent",
        )  # fmt: skip
