"""The dispatcher claims what is due, a batch at a time, and feeds the workers; all waiting is its own.

Nothing is queued in memory beyond one small batch, of which live recordings go first: the ledger is the only queue.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog

from uploader.domain.recording import State
from uploader.ledger.ledger import Ledger
from uploader.ledger.recordings import BACK_FILL, LIVE
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.platform.clock import Clock
from uploader.platform.processors import Processors
from uploader.service.line import Admission, Line

log = structlog.get_logger()

PREPARE = (State.READY, State.DISCOVERED)
SUBMIT = (State.STAGED,)
STAGED_AHEAD = 500
"""So many recordings of the back-fill may be staged and wait for their turn; then no more are prepared."""
LONGEST_WAIT_SECONDS = 1.0
"""How late a command beside the daemon may be heard at most."""
SHORTEST_WAIT_SECONDS = 0.002
LARGE_BYTES = 4 * 1024 * 1024
"""From this size on most of a recording's time goes into hashing and sending it."""
AHEAD = 6
"""So many rows a worker are claimed ahead, so that one claim serves many."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Parcel:
    """A row on its way to a worker, in the order in which they are begun. Without a row it tells one to end."""

    lane: int
    number: int
    row: RecordingRow | None = field(default=None, compare=False)
    admission: Admission | None = field(default=None, compare=False)


class Dispatcher:
    """Claims and feeds. `ring` wakes it from any thread."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        line: Line,
        workers: int,
        clock: Clock,
        stop: threading.Event,
        on_wake: Callable[[], None],
        import_n: int | None = None,
        processors: Processors | None = None,
    ) -> None:
        self._ledger = ledger
        self._line = line
        self._clock = clock
        self._stop = stop
        self._on_wake = on_wake
        self._import_n = import_n
        self._processors = processors or Processors()
        self._bell = threading.Event()
        self._parcels: queue.PriorityQueue[_Parcel] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._workers = workers
        self._hands = (1 + AHEAD) * workers
        self._busy = 0
        self._admitted = 0
        self._busy_lock = threading.Lock()
        self._wake_seen = -1
        self._listens_at = -math.inf
        self.is_paused = False
        self.disk_is_full = False
        self.beat = clock.monotonic()
        """When the loop last came round, by run time."""

    def ring(self) -> None:
        """Look for work now."""
        self._bell.set()

    @property
    def busy(self) -> int:
        """How many rows are in the workers' hands."""
        with self._busy_lock:
            return self._busy

    def run(self) -> None:
        """Claim and feed until told to stop; then tell the workers to end."""
        try:
            with self._processors.gathered():
                while not self._stop.is_set():
                    self._turn()
        finally:
            try:
                self._hand_back()
            finally:
                # Whatever failed: workers that are never told to end would keep the process alive.
                self._tell_to_end()

    def work(self) -> None:
        """Be a worker: carry what is fed until told to end."""
        with self._processors.gathered():
            while (parcel := self._parcels.get()).row is not None:
                try:
                    self._carry(parcel.row, parcel.admission)
                finally:
                    self._count_off(parcel)
                    if self._parcels.qsize() < self._workers:
                        self._bell.set()

    def _turn(self) -> None:
        self.beat = self._clock.monotonic()
        self._bell.clear()
        self._listen()
        wait = LONGEST_WAIT_SECONDS
        if not (self.is_paused or self.disk_is_full):
            wait = self._feed()
        self._bell.wait(max(SHORTEST_WAIT_SECONDS, min(LONGEST_WAIT_SECONDS, wait)))

    def _carry(self, row: RecordingRow, admission: Admission | None) -> None:
        with self._processors.spread() if row.size_bytes >= LARGE_BYTES else nullcontext():
            self._line.carry(row, admission=admission)

    def _listen(self) -> None:
        """Hear of what commands beside us have changed."""
        now = self._clock.monotonic()
        if now < self._listens_at:
            return
        self._listens_at = now + LONGEST_WAIT_SECONDS / 2
        wake = self._ledger.books.counter("wake")
        if wake != self._wake_seen:
            self._wake_seen = wake
            self.is_paused = self._ledger.books.note("paused") == "1"
            # It may concern what no worker has begun: everything may be paused, or the source of some of it.
            self._hand_back()
            self._on_wake()

    def _feed(self) -> float:
        """Give the workers what they can take; return the seconds until there may be more to do."""
        now = to_ms(self._clock.now())
        submissions = self._feed_submissions(now)
        if self._parcels.qsize() < self._workers:
            preparations = self._feed_preparations(self._hands - self.busy, now)
        else:
            # What is claimed ahead may take long: a live recording goes before it, and needs a place of its own.
            preparations = self._feed_preparations(self._hands + self._workers - self.busy, now, without=(BACK_FILL,))
        return min(submissions, preparations)

    def _feed_submissions(self, now: int) -> float:
        """Feed what is staged and has a place; return how long until more may go. A worker that is done rings."""
        without = self._line.kept_back
        while self._admitted < self._workers:
            due = self._ledger.recordings.next_due(SUBMIT, import_n=self._import_n, without=without)
            if due is None or due > now:
                return _seconds_until(due, now)
            admission = self._line.admits()
            if admission is None:
                return self._line.seconds_to_place()
            rows = self._ledger.recordings.claim(SUBMIT, limit=1, now=now, import_n=self._import_n, without=without)
            if not rows:
                self._line.give_back(admission)
                return SHORTEST_WAIT_SECONDS
            self._put(rows[0], admission)
        return LONGEST_WAIT_SECONDS

    def _feed_preparations(self, room: int, now: int, *, without: tuple[int, ...] = ()) -> float:
        """Feed what is to be understood and staged, not of lanes `without`; return how long until there may be more."""
        due = self._ledger.recordings.next_due(PREPARE, import_n=self._import_n, without=without)
        if room <= 0 or due is None or due > now:
            return LONGEST_WAIT_SECONDS if room <= 0 else _seconds_until(due, now)
        # What is held back behind what is staged waits for a submission to end, and what has no room for a worker:
        # both ring.
        if self._ledger.recordings.is_back_fill_ahead(now=now, limit=STAGED_AHEAD):
            without = (BACK_FILL,)
        rows = self._ledger.recordings.claim(PREPARE, limit=room, now=now, import_n=self._import_n, without=without)
        for row in rows:
            self._put(row, None)
        if len(rows) == room:
            return LONGEST_WAIT_SECONDS
        return _seconds_until(self._ledger.recordings.next_due(PREPARE, import_n=self._import_n, without=without), now)

    def _put(self, row: RecordingRow, admission: Admission | None) -> None:
        with self._busy_lock:
            self._busy += 1
            self._admitted += admission is not None
        lane = LIVE if admission else row.lane
        self._parcels.put(_Parcel(lane=lane, number=next(self._numbers), row=row, admission=admission))

    def _count_off(self, parcel: _Parcel) -> None:
        with self._busy_lock:
            self._busy -= 1
            self._admitted -= parcel.admission is not None

    def _hand_back(self) -> None:
        """Release claimed rows that no worker has begun, and the places taken for them."""
        unbegun = list(self._unbegun())
        for parcel in unbegun:
            self._line.give_back(parcel.admission)
        if rows := [parcel.row for parcel in unbegun if parcel.row is not None]:
            self._ledger.recordings.hand_back(rows, at=to_ms(self._clock.now()))

    def _tell_to_end(self) -> None:
        for _ in self._unbegun():
            pass
        for _ in range(self._workers):
            self._parcels.put(_Parcel(lane=LIVE, number=next(self._numbers)))

    def _unbegun(self) -> Iterator[_Parcel]:
        """Take back what no worker has begun."""
        while True:
            try:
                parcel = self._parcels.get_nowait()
            except queue.Empty:
                return
            self._count_off(parcel)
            yield parcel


def _seconds_until(due: int | None, now: int) -> float:
    return LONGEST_WAIT_SECONDS if due is None else max(0, due - now) / 1000
