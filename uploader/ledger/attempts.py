"""Attempts: one row a request, written before its first byte, settled by its answer or by looking.

An attempt of unknown outcome stays open until it is tied to an interaction id, or `WATCH_DAYS`
old. A late answer is always written to its attempt first, whatever became of the recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.outcome import Cause, Outcome
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.packing import content_key, pack, pack_key
from uploader.ledger.rows import (
    IN_FLIGHT,
    SAME_CONTENT,
    SELECT_ATTEMPT,
    SELECT_RECORDING,
    AttemptRow,
    RecordingRow,
    attempt,
    recording,
)
from uploader.ledger.settlement import (
    Obstacle,
    Refusal,
    accept,
    begin,
    call_start,
    finish,
    get_attempt,
    is_anothers,
    own,
    report_double,
    settle_late,
)
from uploader.ledger.writer import Writer

WATCH_DAYS = 7
_MS = 1000
_HOUR_MS = 3600 * _MS
RECHECK_AFTER_MS = (changes.FIRST_RECHECK_MS, 24 * _HOUR_MS, WATCH_DAYS * 24 * _HOUR_MS)
"""When the open attempts of a recording that has its id are looked for again."""


NEWEST = 5000
"""So far back an acceptance is looked for that no listing has shown: where all of these were, there is proof enough."""
DOUBT_MESSAGE = "the ledger was restored"
"""Marks the attempt that stands for those that a restored ledger may have lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """An attempt of unknown outcome and the recording it was for."""

    attempt: AttemptRow
    recording: RecordingRow


class Attempts:
    """The table of attempts, and what their outcomes do to recordings."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def begin(self, row: RecordingRow, *, at: int, day: str) -> tuple[AttemptRow, RecordingRow] | Obstacle:
        """Write the intent to send `row`; on disk when it returns. Raises RowMoved."""
        return self._writer.write(lambda db: begin(db, row, at, day))

    def finish(self, attempt_n: int, outcome: Outcome, *, at: int, refusal: Refusal, track_at: int) -> RecordingRow:
        """Write the outcome to its attempt, then to its recording as far as that still waits for it."""
        return self._writer.write(lambda db: finish(db, attempt_n, outcome, at, refusal, track_at))

    def accept(
        self, made: AttemptRow, row: RecordingRow, outcome: Outcome, *, at: int, track_at: int,
        then: Callable[[RecordingRow], object],
    ) -> None:  # fmt: skip
        """Write an acceptance in the next commit, and tell `then` the row as it is after it.

        `made` and `row` are as they were when the request was begun. Were the program to die before that commit,
        the attempt would be one of unknown outcome, as if it had died before the answer.
        """
        self._writer.write_behind(lambda db: accept(db, made, row, outcome, at, track_at), then)

    def doubt(self, row: RecordingRow, *, since: int, at: int) -> None:
        """Look for `row` before it is sent: an attempt may be missing from this ledger since `since`."""

        def work(db: Database) -> None:
            changes.apply(
                db, row, Event.DOUBTED, at=at, claim=row.claimed, due_at=at, attempts=row.attempts + 1,
                **changes.reason_of(Reason.IN_DOUBT),
            )  # fmt: skip
            _insert_doubt(db, row, since=since, at=at)

        self._writer.write(work)

    def tie(self, n: int, interaction_id: str, *, at: int, event: Event, track_at: int) -> RecordingRow:
        """Give attempt `n` its interaction id, and its recording too. Raises RowMoved if either was settled."""

        def work(db: Database) -> RecordingRow:
            made = get_attempt(db, n)
            row = changes.fetch(db, made.recording_n)
            if not made.open or (row.state, event) not in TRANSITIONS or is_anothers(db, interaction_id, n):
                raise RowMoved("the recording or the interaction was settled meanwhile")
            own(db, made, interaction_id, at)
            after = changes.apply(
                db, row, event, at=at, claim=changes.ANY_CLAIM, due_at=track_at, detail=made.number,
                interaction_id=interaction_id, submitted_at=made.ended_at or at, looks=0,
            )  # fmt: skip
            changes.watch_open(db, made.recording_n, at)
            return after

        return self._writer.write(work)

    def adopt(self, row: RecordingRow, interaction_id: str, *, at: int, content: bytes | None = None) -> RecordingRow:
        """Tie `row` to an id that a person has seen; its newest open attempt gets it, else a new one.

        `content`: the SHA-256 of a recording that was never read.

        Other open attempts of it are watched. Raises RowMoved.
        """

        def work(db: Database) -> RecordingRow:
            found = db.execute("SELECT max(n) FROM attempt WHERE recording_n = ? AND open = 1", (row.n,)).fetchone()[0]
            if is_anothers(db, interaction_id, found or 0):
                raise RowMoved("the interaction belongs to a recording already")
            attempts = row.attempts + (found is None)
            changes.apply(
                db, row, Event.ADOPTED, at=at, claim=changes.ANY_CLAIM, due_at=at, detail=interaction_id,
                interaction_id=interaction_id, submitted_at=at, attempts=attempts, looks=0,
                claims=int(content is not None or _may_claim(db, row)), **_read_now(content),
            )  # fmt: skip
            if found is None:
                found = db.execute(
                    "INSERT INTO attempt (recording_n, number, started_at, ended_at, outcome, message) "
                    "VALUES (?, ?, ?, ?, 'adopted', 'adopted by a person') RETURNING n",
                    (row.n, attempts, at, at),
                ).fetchone()[0]
            own(db, get_attempt(db, found), interaction_id, at)
            changes.watch_open(db, row.n, at)
            return changes.fetch(db, row.n)

        return self._writer.write(work)

    def report_double(self, n: int, interaction_id: str, *, at: int) -> None:
        """Write that attempt `n` made a second interaction for a recording that has one.

        Raises RowMoved when the interaction has become another attempt's meanwhile.
        """

        def work(db: Database) -> None:
            made = get_attempt(db, n)
            if is_anothers(db, interaction_id, n):
                raise RowMoved("the interaction was settled meanwhile")
            own(db, made, interaction_id, at)
            row = changes.fetch(db, made.recording_n)
            report_double(db, row, made, at)

        self._writer.write(work)

    def rechecked(self, n: int, *, at: int) -> None:
        """Write that a watched attempt was looked for and not found; set the next look, or end the watch."""

        def work(db: Database) -> None:
            made = get_attempt(db, n)
            done = made.rechecks + 1
            later = [made.started_at + after for after in RECHECK_AFTER_MS if made.started_at + after > at]
            if later:
                db.execute("UPDATE attempt SET rechecks = ?, recheck_at = ? WHERE n = ?", (done, later[0], n))
            else:
                db.execute(
                    "UPDATE attempt SET rechecks = ?, recheck_at = NULL, open = 0, message = "
                    "'not found within seven days' WHERE n = ?",
                    (done, n),
                )
                _release_at_last(db, changes.fetch(db, made.recording_n), at)

        self._writer.write(work)

    def sweep(self, *, at: int, doubt: tuple[int | None, int | None] = (None, None)) -> int:
        """At start-up: what was `submitting` has an unknown outcome; all leases end. Return how many.

        In doubt, what is unconfirmed may have been sent again since the ledger was copied.
        """

        def work(db: Database) -> int:
            db.execute("UPDATE recording SET claimed = NULL, due_at = ? WHERE claimed IS NOT NULL", (at,))
            caught = db.execute(f"{SELECT_RECORDING} WHERE {IN_FLIGHT} AND r.state = 'submitting'").fetchall()
            for values in caught:
                row = recording(values)
                db.execute(
                    "UPDATE attempt SET ended_at = ?, outcome = 'unknown', cause = ?, message = ?, sent = ? "
                    "WHERE recording_n = ? AND outcome IS NULL",
                    (at, Cause.CRASH.value, "the program ended before the answer", pack(row.body), row.n),
                )
                after = changes.apply(
                    db, row, Event.OUTCOME_UNKNOWN, at=at, claim=changes.ANY_CLAIM, due_at=at,
                    **changes.reason_of(Reason.LOOKING),
                )  # fmt: skip
                settle_late(db, after, at, track_at=at)
            if doubt[0] is not None and doubt[1] is not None:
                _doubt_unconfirmed(db, since=doubt[0], found=doubt[1], at=at)
            return len(caught)

        return self._writer.write(work)

    def of(self, recording_n: int) -> list[AttemptRow]:
        """Return all attempts of a recording, oldest first."""
        return self._select("recording_n = ? ORDER BY number", (recording_n,))

    def get(self, recording_n: int, number: int) -> AttemptRow | None:
        """Return one attempt by its number."""
        found = self._select("recording_n = ? AND number = ?", (recording_n, number))
        return found[0] if found else None

    def recently(self, cause: Cause, *, among: int) -> list[int]:
        """Return when those of the newest `among` attempts ended that came to `cause`, in milliseconds."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT ended_at FROM (SELECT cause, ended_at FROM attempt ORDER BY n DESC LIMIT ?) WHERE cause = ?",
                (among, cause.value),
            ).fetchall()
        return [at for (at,) in found if at is not None]

    def open_attempts(self) -> list[OpenAttempt]:
        """Return every attempt whose outcome is unknown, with its recording."""
        return self._open("outcome IS NOT NULL")

    def in_flight(self) -> list[OpenAttempt]:
        """Return every attempt whose answer is awaited, with its recording."""
        return self._open("outcome IS NULL")

    def unlisted(self, *, since: int, limit: int) -> list[OpenAttempt]:
        """Return accepted attempts since `since` that no listing has shown yet, newest first, among the NEWEST."""
        with self._readers.lend() as db:
            rows = db.execute(
                f"{SELECT_ATTEMPT} WHERE n > (SELECT max(n) FROM attempt) - ? AND outcome = 'accepted' AND "
                "listed_at IS NULL AND started_at >= ? ORDER BY n DESC LIMIT ?",
                (NEWEST, since, limit),
            ).fetchall()
            made = [attempt(values) for values in rows]
            return [OpenAttempt(attempt=a, recording=changes.fetch(db, a.recording_n)) for a in made]

    def owners(self, interaction_ids: Iterable[str]) -> dict[str, OpenAttempt]:
        """Return which of these interactions are ours, with the attempt that made each."""
        wanted, owned = list(interaction_ids), dict[str, OpenAttempt]()
        with self._readers.lend() as db:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ", ".join("?" * len(part))
                for values in db.execute(f"{SELECT_ATTEMPT} WHERE interaction_id IN ({marks})", part).fetchall():
                    made = attempt(values)
                    owner = OpenAttempt(attempt=made, recording=changes.fetch(db, made.recording_n))
                    owned[str(made.interaction_id)] = owner
        return owned

    def own_ids(self, interaction_ids: Iterable[str]) -> set[str]:
        """Return which of these interactions are ours."""
        wanted, ours = list(interaction_ids), set[str]()
        with self._readers.lend() as db:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ", ".join("?" * len(part))
                found = db.execute(f"SELECT interaction_id FROM attempt WHERE interaction_id IN ({marks})", part)
                ours.update(id_ for (id_,) in found)
        return ours

    def in_window(self, *, start: int, end: int, unlisted: bool = False) -> Iterator[AttemptRow]:
        """Give attempts with an id whose call began, or that were answered, within these milliseconds.

        `unlisted`: only those that no listing has shown. One at a time: a day of an import may have
        hundreds of thousands.
        """
        which = "interaction_id IS NOT NULL" + (" AND listed_at IS NULL" if unlisted else "")
        with self._readers.lend() as db:
            rows = db.execute(
                f"{SELECT_ATTEMPT} WHERE {which} AND n IN ("
                "SELECT n FROM attempt WHERE interaction_id IS NOT NULL AND call_start BETWEEN ? AND ? UNION "
                "SELECT n FROM attempt WHERE interaction_id IS NOT NULL AND ended_at BETWEEN ? AND ?)",
                (start, end, start, end),
            )
            yield from map(attempt, rows)

    def note_walk(self, *, listed: Iterable[int], lacked: Iterable[int], at: int) -> None:
        """Write which of our accepted attempts a complete walk showed, and which it lacked."""
        shown, missing = list(listed), list(lacked)

        def work(db: Database) -> None:
            db.conn.executemany(
                "UPDATE attempt SET listed_at = ? WHERE n = ? AND listed_at IS NULL", [(at, n) for n in shown]
            )
            db.conn.executemany("UPDATE attempt SET lacked_at = ? WHERE n = ?", [(at, n) for n in missing])

        if shown or missing:
            self._writer.write(work)

    def fetched(self, n: int, *, first: int, last: int, size: int, at: int) -> bool:
        """Add bytes `first` to `last` of `size` that the service got by this attempt's URL.

        Return whether it now has every byte: then the request of this attempt was accepted.
        """

        def work(db: Database) -> bool:
            made = get_attempt(db, n)
            spans = merge([*json.loads(made.fetched or "[]"), [first, last]])
            whole = spans == [[0, size - 1]]
            db.execute(
                "UPDATE attempt SET fetched = ?, fetched_at = coalesce(fetched_at, ?) WHERE n = ?",
                (json.dumps(spans[:64]), at if whole else None, n),
            )
            return whole

        return self._writer.write(work)

    def revoke(self, recording_n: int, *, at: int) -> None:
        """Make the URLs of a recording's attempts so far answer 410."""
        self._writer.write(lambda db: changes.revoke(db, recording_n, at))

    def doubt_settled(self, recording_n: int, *, found: int) -> bool:
        """Say whether a recording was looked for, or sent, since the ledger's doubt was found."""
        return any((made.ended_at or made.started_at) >= found for made in self.of(recording_n))

    def _open(self, which: str) -> list[OpenAttempt]:
        with self._readers.lend() as db:
            found = [attempt(v) for v in db.execute(f"{SELECT_ATTEMPT} WHERE open = 1 AND {which}")]
            return [OpenAttempt(attempt=a, recording=changes.fetch(db, a.recording_n)) for a in found]

    def _select(self, where: str, values: tuple[Any, ...]) -> list[AttemptRow]:
        with self._readers.lend() as db:
            return [attempt(v) for v in db.execute(f"{SELECT_ATTEMPT} WHERE {where}", values).fetchall()]


def merge(spans: Iterable[list[int]]) -> list[list[int]]:
    """Return `spans` of inclusive byte positions, sorted, with those that touch put together."""
    merged: list[list[int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


def _doubt_unconfirmed(db: Database, *, since: int, found: int, at: int) -> None:
    rows = db.execute(
        f"{SELECT_RECORDING} WHERE {IN_FLIGHT} AND r.state = 'unconfirmed' AND NOT EXISTS (SELECT 1 FROM attempt a "
        "WHERE a.recording_n = r.n AND a.message = ? AND a.ended_at >= ?)",
        (DOUBT_MESSAGE, found),
    ).fetchall()
    for values in rows:
        row = recording(values)
        _insert_doubt(db, row, since=since, at=at)
        changes.change(db, row, claim=changes.ANY_CLAIM, attempts=row.attempts + 1, due_at=at, held=None)


def _insert_doubt(db: Database, row: RecordingRow, *, since: int, at: int) -> None:
    """Write one attempt for all that may be missing: none can be older than the call, whatever its zone."""
    start = call_start(row)
    if start is not None:
        since = max(since, min(start - 24 * _HOUR_MS, at))
    db.execute(
        "INSERT INTO attempt (recording_n, number, started_at, ended_at, call_start, sent, outcome, cause, "
        "message) VALUES (?, ?, ?, ?, ?, ?, 'unknown', ?, ?)",
        (row.n, row.attempts + 1, since, at, start, pack(row.body), Cause.CRASH.value, DOUBT_MESSAGE),
    )


def _release_at_last(db: Database, row: RecordingRow, at: int) -> None:
    """When the last open attempt is given up, one that waits for its mending keeps no duplicate out any more."""
    if row.state in {State.QUARANTINED, State.DUPLICATE} and not changes.has_open_attempt(db, row):
        changes.change(db, row, claim=changes.ANY_CLAIM, claims=0)
        changes.wake_duplicates(db, row.n, at)


def _read_now(content: bytes | None) -> dict[str, Any]:
    return {} if content is None else {"sha256": content, "content_id": f"sha256:{content.hex()}"}


def _may_claim(db: Database, row: RecordingRow) -> bool:
    """Say whether no other recording keeps the place of `row`'s content and call."""
    if row.content_id is None:
        return False
    known = {"content": content_key(row.content_id), "call": pack_key(row.call_key), "copy": row.copy, "but": row.n}
    taken = db.execute(
        f"SELECT 1 FROM recording WHERE {SAME_CONTENT} AND call_key = :call AND copy = :copy AND n <> :but", known
    ).fetchone()
    return taken is None
