"""The dispatcher claims what is due, a batch at a time, and feeds the workers; all waiting is its own.

Nothing is queued in memory beyond what the workers can hold: the ledger is the only queue.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger.ledger import Ledger
from uploader.ledger.recordings import BACK_FILL
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.platform.clock import Clock
from uploader.service.line import Admission, Line

log = structlog.get_logger()

PREPARE = (State.READY, State.DISCOVERED)
SUBMIT = (State.STAGED,)
STAGED_AHEAD = 500
"""So many recordings of the back-fill may be staged and wait for their turn; then no more are prepared."""
LONGEST_WAIT_SECONDS = 0.5
"""How late a command beside the daemon may be heard at most."""
SHORTEST_WAIT_SECONDS = 0.002

Parcel = tuple[RecordingRow, Admission | None]


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
    ) -> None:
        self._ledger = ledger
        self._line = line
        self._clock = clock
        self._stop = stop
        self._on_wake = on_wake
        self._import_n = import_n
        self._bell = threading.Event()
        self._parcels: queue.Queue[Parcel | None] = queue.Queue(maxsize=workers)
        self._workers = workers
        self._busy = 0
        self._busy_lock = threading.Lock()
        self._wake_seen = -1
        self._is_ahead = False
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
            while not self._stop.is_set():
                self.beat = self._clock.monotonic()
                self._bell.clear()
                self._listen()
                wait = LONGEST_WAIT_SECONDS
                if not (self.is_paused or self.disk_is_full):
                    wait = self._feed()
                self._bell.wait(max(SHORTEST_WAIT_SECONDS, min(LONGEST_WAIT_SECONDS, wait)))
        finally:
            try:
                self._hand_back()
            finally:
                # Whatever failed: workers that are never told to end would keep the process alive.
                self._tell_to_end()

    def work(self) -> None:
        """Be a worker: carry what is fed until told to end."""
        while (parcel := self._parcels.get()) is not None:
            row, admission = parcel
            try:
                self._line.carry(row, admission=admission)
            finally:
                with self._busy_lock:
                    self._busy -= 1
                self._bell.set()

    def _listen(self) -> None:
        """Hear of what commands beside us have changed."""
        wake = self._ledger.books.counter("wake")
        if wake != self._wake_seen:
            self._wake_seen = wake
            self.is_paused = self._ledger.books.note("paused") == "1"
            self._on_wake()

    def _feed(self) -> float:
        """Fill the workers' hands; return the seconds until there may be more to do."""
        now = to_ms(self._clock.now())
        room = self._workers - self.busy
        if room > 0:
            room -= self._feed_submissions(room, now)
        if room > 0:
            room -= self._feed_preparations(room, now)
        return self._wait_seconds() if room > 0 else LONGEST_WAIT_SECONDS

    def _feed_submissions(self, room: int, now: int) -> int:
        fed = 0
        while fed < room:
            due = self._ledger.recordings.next_due(SUBMIT, import_n=self._import_n)
            if due is None or due > now:
                break
            admission = self._line.admits()
            if admission is None:
                break
            rows = self._ledger.recordings.claim(SUBMIT, limit=1, now=now, import_n=self._import_n)
            if not rows:
                self._line.give_back(admission)
                break
            self._put(rows[0], admission)
            fed += 1
        return fed

    def _feed_preparations(self, room: int, now: int) -> int:
        due = self._ledger.recordings.next_due(PREPARE, import_n=self._import_n)
        if due is None or due > now:
            return 0
        self._is_ahead = ahead = self._ledger.recordings.is_back_fill_ahead(now=now, limit=STAGED_AHEAD)
        rows = self._ledger.recordings.claim(
            PREPARE, limit=room, now=now, import_n=self._import_n, without=(BACK_FILL,) if ahead else ()
        )
        for row in rows:
            self._put(row, None)
        return len(rows)

    def _put(self, row: RecordingRow, admission: Admission | None) -> None:
        with self._busy_lock:
            self._busy += 1
        self._parcels.put((row, admission))

    def _wait_seconds(self) -> float:
        now = to_ms(self._clock.now())
        due = self._ledger.recordings.next_due(PREPARE, import_n=self._import_n)
        waits = [LONGEST_WAIT_SECONDS]
        if due is not None:
            # What is held back behind what is staged waits for a submission to end, which rings.
            waits.append(max(LONGEST_WAIT_SECONDS if self._is_ahead else 0.0, (due - now) / 1000))
        staged = self._ledger.recordings.next_due(SUBMIT, import_n=self._import_n)
        if staged is not None:
            waits.append(max(0, staged - now) / 1000 if staged > now else self._line.seconds_to_place())
        return min(waits)

    def _hand_back(self) -> None:
        """Release claimed rows that no worker has begun, and the places taken for them."""
        while (parcel := self._unbegun()) is not None:
            row, admission = parcel
            self._line.give_back(admission)
            try:
                self._ledger.recordings.release(row, due_at=to_ms(self._clock.now()))
            except RowMoved:
                log.debug("recording.moved", id=row.id)

    def _tell_to_end(self) -> None:
        while self._unbegun() is not None:
            pass
        for _ in range(self._workers):
            self._parcels.put(None)

    def _unbegun(self) -> Parcel | None:
        """Take back what no worker has begun; None when there is nothing more."""
        try:
            parcel = self._parcels.get_nowait()
        except queue.Empty:
            return None
        with self._busy_lock:
            self._busy -= 1
        return parcel
