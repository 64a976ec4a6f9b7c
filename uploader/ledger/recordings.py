"""Recordings in the ledger: claiming, moving, finding, counting. Knows nothing of attempts' outcomes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.entries import tie, untie
from uploader.ledger.filters import FIRST, Filter
from uploader.ledger.finding import by_id, find, shares_staged
from uploader.ledger.identity import Contents, Identity, alike, make_ready
from uploader.ledger.onward import Advance, Onward, advance
from uploader.ledger.rows import SELECT_RECORDING, WAITING, HistoryRow, RecordingRow, recording
from uploader.ledger.words import RELOCATED
from uploader.ledger.writer import Writer

LIVE, BACK_FILL = 0, 1
LANES = (LIVE, BACK_FILL)
"""Live recordings, then back-fill."""
PAGE = 500
"""So many recordings of a listing are in memory at a time."""
PARKED = 10
"""Added to the lane of what is paused, so that claiming never looks at it."""
_ALL_LANES = (*LANES, *(lane + PARKED for lane in LANES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """So many recordings of one source and import (0: of none) are in one state."""

    source_n: int
    import_n: int
    state: State
    count: int


class Recordings:
    """The table of recordings. Reads see what is committed; writes are on disk when they return."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer
        self._claims = itertools.count(1)

    def claim(
        self,
        states: Sequence[State],
        *,
        limit: int,
        now: int,
        import_n: int | None = None,
        without: Sequence[int] = (),
    ) -> list[RecordingRow]:
        """Lease up to `limit` due recordings in `states`, live ones first; those of lanes in `without` stay.

        A leased row is not returned again until it is released, moved, or swept at start-up.
        """
        return self._writer.write(lambda db: self._claim(db, states, limit, now, import_n, without), redoable=True)

    def _claim(
        self,
        db: Database,
        states: Sequence[State],
        limit: int,
        now: int,
        import_n: int | None,
        without: Sequence[int],
    ) -> list[RecordingRow]:
        claim, rows = next(self._claims), list[RecordingRow]()
        only = "" if import_n is None else f" AND import_n = {int(import_n)}"
        for lane, state in _queues(states):
            if lane in without:
                continue
            # In the order of their dues, which RETURNING would not keep.
            found = db.execute(
                f"SELECT n FROM recording WHERE state = ? AND lane = ? AND due_at <= ?{only} ORDER BY due_at LIMIT ?",
                (state.value, lane, now, limit - len(rows)),
            ).fetchall()
            db.conn.executemany(
                "UPDATE recording SET claimed = ?, due_at = NULL WHERE n = ?", [(claim, n) for (n,) in found]
            )
            rows += [changes.fetch(db, n) for (n,) in found]
            if len(rows) >= limit:
                break
        return rows

    def next_due(
        self, states: Sequence[State], *, import_n: int | None = None, without: Sequence[int] = ()
    ) -> int | None:
        """Return when the next recording in `states` is due, in milliseconds; lanes in `without` do not count."""
        only = "" if import_n is None else f" AND import_n = {int(import_n)}"
        queues = [(state.value, lane) for lane, state in _queues(states) if lane not in without]
        if not queues:
            return None
        first = f"SELECT min(due_at) AS due FROM recording WHERE state = ? AND lane = ? AND due_at IS NOT NULL{only}"
        with self._readers.lend() as db:
            found = db.execute(
                f"SELECT min(due) FROM ({' UNION ALL '.join([first] * len(queues))})",
                tuple(itertools.chain.from_iterable(queues)),
            ).fetchone()[0]
        return None if found is None else int(found)

    def is_back_fill_ahead(self, *, now: int, limit: int) -> bool:
        """Say whether at least `limit` recordings of the back-fill are staged and due."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT 1 FROM recording WHERE state = 'staged' AND lane = 1 AND due_at <= ? LIMIT 1 OFFSET ?",
                (now, limit - 1),
            ).fetchone()
        return found is not None

    def is_live_waiting(self, *, now: int) -> bool:
        """Say whether a live recording is staged and due."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT 1 FROM recording WHERE state = 'staged' AND lane = 0 AND due_at <= ? LIMIT 1", (now,)
            ).fetchone()
        return found is not None

    def apply(self, row: RecordingRow, event: Event, *, at: int, **values: Any) -> RecordingRow:
        """Move a row that this process has claimed, and return it as it is then. Raises RowMoved."""

        return self._writer.write(
            lambda db: changes.apply(db, row, event, at=at, claim=row.claimed, **values), redoable=True
        )

    def make_ready(self, row: RecordingRow, identity: Identity, contents: Contents, *, at: int) -> RecordingRow:
        """Judge the identity of a claimed row and make it ready, if it is new. Raises RowMoved."""
        return make_ready(self._writer, row, identity, contents, at=at)

    def advance(self, row: RecordingRow, identity: Identity, contents: Contents, *, onward: Onward, at: int) -> Advance:
        """Make a claimed row ready and go on with it at once, if it is new. Raises RowMoved."""
        return advance(self._writer, row, identity, contents, onward=onward, at=at)

    def alike(self, content_id: str, call_key: str | None) -> tuple[list[tuple[str | None, bytes]], bool]:
        """Return call and location of what has this content, and whether other content of this call is there."""
        with self._readers.lend() as db:
            same, other = alike(db, content_id, call_key)
        return [(key, bytes(location)) for _, key, location in same], other is not None

    def relocate(self, first: RecordingRow, *, by: RecordingRow, at: int) -> None:
        """Let `first`, which waits, go on with the file of its duplicate `by`: it was renamed. Raises RowMoved."""

        def work(db: Database) -> None:
            changes.change(
                db, first, claim=changes.ANY_CLAIM, claimed=None, due_at=at, location=by.location,
                size_bytes=by.size_bytes, mtime_ns=by.mtime_ns, inode=by.inode, sidecar=by.sidecar,
            )  # fmt: skip
            untie(db, first.source_n, first.location, of=first.n)
            tie(db, by.source_n, by.location, of=by.n, to=first.n)
            changes.append(db, first.n, event=RELOCATED, state=first.state, at=at, detail="the file was renamed")

        self._writer.write(work)

    def judge_again(self, rows: Sequence[RecordingRow], *, at: int, detail: str) -> None:
        """Send waiting rows round again; one that moved meanwhile is left alone."""

        def work(db: Database) -> None:
            for row in rows:
                with suppress(RowMoved):
                    changes.apply(db, row, Event.CHANGED, at=at, claim=changes.ANY_CLAIM, due_at=at, detail=detail)

        self._writer.write(work, redoable=True)

    def clear(self, row: RecordingRow, *, at: int, detail: str) -> None:
        """Let an unconfirmed recording be sent again. Raises RowMoved, also when it was sent again meanwhile."""

        def work(db: Database) -> None:
            if changes.fetch(db, row.n).attempts != row.attempts:
                raise RowMoved("it was sent again meanwhile")
            changes.apply(db, row, Event.CLEARED, at=at, claim=changes.ANY_CLAIM, due_at=at, cleared=1, detail=detail)

        self._writer.write(work)

    def shares_staged(self, row: RecordingRow) -> bool:
        """Say whether another recording that is on its way needs what is staged for `row`, or may be about to."""
        with self._readers.lend() as db:
            return shares_staged(db, row)

    def forgive_refusals(self, *, at: int) -> int:
        """Bring back what was refused since the last success, and count none of it as a fault. Return how many.

        Five equal refusals of different recordings were the account's fault.
        """

        def work(db: Database) -> int:
            last = db.execute("SELECT coalesce(max(n), 0) FROM attempt WHERE outcome = 'accepted'").fetchone()[0]
            numbers = db.execute(
                "SELECT DISTINCT recording_n FROM attempt WHERE n > ? AND outcome = 'not_created' AND "
                "cause = 'recording' ORDER BY n DESC LIMIT 100",
                (last,),
            ).fetchall()
            for (n,) in numbers:
                row = changes.fetch(db, n)
                if row.state is State.REFUSED:
                    changes.apply(
                        db, row, Event.RETRIED, at=at, claim=changes.ANY_CLAIM, due_at=at, faults=0,
                        detail="refused for the account's fault",
                    )  # fmt: skip
                elif row.state is State.STAGED:
                    db.execute("UPDATE recording SET faults = max(0, faults - 1) WHERE n = ?", (n,))
            return len(numbers)

        return int(self._writer.write(work))

    def release(self, row: RecordingRow, *, due_at: int | None, **values: Any) -> None:
        """Give a claimed row back, to be claimed again at `due_at`. Raises RowMoved."""
        self._writer.write(
            lambda db: changes.change(db, row, claim=row.claimed, claimed=None, due_at=due_at, **values), redoable=True
        )

    def hand_back(self, rows: Sequence[RecordingRow], *, at: int) -> None:
        """Give claimed rows back, to be claimed again at once; one that moved meanwhile is left alone."""

        def work(db: Database) -> None:
            for row in rows:
                with suppress(RowMoved):
                    changes.change(db, row, claim=row.claimed, claimed=None, due_at=at)

        self._writer.write(work, redoable=True)

    def write(self, work: Callable[[Database], Any]) -> Any:
        """Run several changes as one transaction."""
        return self._writer.write(work)

    def get(self, n: int) -> RecordingRow | None:
        """Return the recording with number `n`."""
        return self._one("r.n = ?", (n,))

    def by_id(self, id_: str) -> RecordingRow | None:
        """Return the recording with exactly this ledger id."""
        with self._readers.lend() as db:
            return by_id(db, id_)

    def find(self, text: str) -> list[RecordingRow]:
        """Return what `text` may mean: a ledger id or its beginning, an interaction id, a location."""
        with self._readers.lend() as db:
            return find(db, text)

    def search(self, filter_: Filter, *, limit: int | None = None) -> Iterator[RecordingRow]:
        """Return recordings in the order of discovery (overdue ones: of submission), a page at a time in memory."""
        after, left = FIRST, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            with self._readers.lend() as db:
                places = filter_.page(db, after=after, size=size)
                rows = {n: changes.fetch(db, n) for _, n in places}
            yield from rows.values()
            if len(places) < size:
                return
            after = places[-1]
            left = None if left is None else left - len(places)

    def count(self, filter_: Filter) -> int:
        """Return how many recordings `filter_` means."""
        where, values = filter_.where()
        total, table = ("coalesce(sum(count), 0)", "tally") if filter_.is_of_tally() else ("count(*)", "recording")
        with self._readers.lend() as db:
            return int(db.execute(f"SELECT {total} FROM {table} WHERE {where}", values).fetchone()[0])

    def counts(self, *, import_n: int | None = None, source_n: int | None = None) -> dict[State, int]:
        """Return how many recordings are in each state; every state is there."""
        where, values = ["1"], list[int]()
        if import_n is not None:
            where.append("import_n = ?")
            values.append(import_n)
        if source_n is not None:
            where.append("source_n = ?")
            values.append(source_n)
        with self._readers.lend() as db:
            found = db.execute(
                f"SELECT state, sum(count) FROM tally WHERE {' AND '.join(where)} GROUP BY state", values
            ).fetchall()
        return dict.fromkeys(State, 0) | {State(state): count for state, count in found}

    def reasons(self, filter_: Filter) -> list[tuple[str, str, int]]:
        """Return state, reason code and count, the most frequent first."""
        where, values = filter_.where()
        with self._readers.lend() as db:
            return db.execute(
                f"SELECT state, reason_code, count(*) AS c FROM recording WHERE {where} AND reason_code IS NOT NULL "
                "GROUP BY 1, 2 ORDER BY c DESC, 2",
                values,
            ).fetchall()

    def held(self) -> dict[str, int]:
        """Return how many recordings are held, by reason code."""
        with self._readers.lend() as db:
            return dict(
                db.execute(
                    "SELECT held, count(*) FROM recording WHERE held IS NOT NULL GROUP BY held ORDER BY held"
                ).fetchall()
            )

    def tally(self) -> list[Tally]:
        """Return how many recordings are in each state, by source and import (0: by none)."""
        with self._readers.lend() as db:
            found = db.execute("SELECT source_n, import_n, state, count FROM tally WHERE count <> 0").fetchall()
        return [Tally(source_n=s, import_n=i, state=State(state), count=count) for s, i, state, count in found]

    def attention_reasons(self) -> list[tuple[str, str, int]]:
        """Return state, reason code and count of what does not go on by itself, the most frequent first."""
        with self._readers.lend() as db:
            return db.execute(
                "SELECT state, reason_code, count(*) AS c FROM recording WHERE "
                "state IN ('quarantined', 'refused', 'unconfirmed', 'submitting') AND reason_code IS NOT NULL "
                "GROUP BY 1, 2 ORDER BY c DESC, 2"
            ).fetchall()

    def waiting_reasons(self) -> list[tuple[str, str, int]]:
        """Return state, reason code and count of what waits, the most frequent first; reads all that waits."""
        with self._readers.lend() as db:
            return db.execute(
                "SELECT state, reason_code, count(*) AS c FROM recording WHERE "
                "state IN ('discovered', 'ready', 'staged') AND reason_code IS NOT NULL "
                "GROUP BY 1, 2 ORDER BY c DESC, 2"
            ).fetchall()

    def held_by_source(self, code: str) -> dict[int, int]:
        """Return how many recordings of each source are held for the reason `code`."""
        with self._readers.lend() as db:
            return dict(
                db.execute("SELECT source_n, count(*) FROM recording WHERE held = ? GROUP BY 1", (code,)).fetchall()
            )

    def not_sendable(self, codes: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many that wait are held, or wait for one of `codes`: live ones by source, others by import."""
        waits = "state IN ('discovered', 'ready', 'staged') AND"
        marks = ", ".join("?" * max(1, len(codes)))
        # Each part by its own index: else SQLite reads years of what is done.
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT s.name, i.name, count(*) FROM ("
                f"SELECT source_n, import_n FROM recording INDEXED BY recording_held WHERE {waits} held IS NOT NULL "
                "UNION ALL SELECT source_n, import_n FROM recording INDEXED BY recording_reason "
                f"WHERE {waits} reason_code IN ({marks}) AND held IS NULL"
                ") w JOIN source s ON s.n = w.source_n LEFT JOIN import i ON i.n = w.import_n "
                "GROUP BY w.import_n, CASE WHEN w.import_n = 0 THEN w.source_n END",
                tuple(codes) or ("",),
            ).fetchall()
        live = {source: count for source, name, count in found if name is None}
        return live, {name: count for _, name, count in found if name is not None}

    def oldest_waiting(self) -> int | None:
        """Return when the oldest recording was discovered that is on its way and not held."""
        with self._readers.lend() as db:
            found = db.execute(f"SELECT min(discovered_at) FROM recording WHERE {WAITING} AND held IS NULL").fetchone()
        return None if found[0] is None else int(found[0])

    def history(self, n: int) -> list[HistoryRow]:
        """Return all that happened to recording `n`, oldest first."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT at, event, state, detail FROM history WHERE recording_n = ? ORDER BY n", (n,)
            ).fetchall()
        return [HistoryRow(at=at, event=event, state=state, detail=detail) for at, event, state, detail in found]

    def _one(self, condition: str, values: tuple[Any, ...]) -> RecordingRow | None:
        with self._readers.lend() as db:
            found = db.execute(f"{SELECT_RECORDING} WHERE {condition}", values).fetchone()
        return None if found is None else recording(found)


def _queues(states: Sequence[State]) -> list[tuple[int, State]]:
    """Return where claiming looks, live ones first; what is submitted is followed though it is paused."""
    every = itertools.product(_ALL_LANES, states)
    return [(lane, state) for lane, state in every if lane in LANES or state is State.SUBMITTED]
