"""A recording's way through the pipeline, in one worker's hands as far as it goes without waiting."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import structlog

from uploader.domain.gates import GateName, Why
from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import (
    RateLimited,
    RecordingFault,
    RowMoved,
    ServiceRefusal,
    SourceUnavailable,
    StoreUnavailable,
    TokenUnavailable,
)
from uploader.ledger.changes import reason_of
from uploader.ledger.ledger import Ledger
from uploader.ledger.onward import Onward
from uploader.ledger.recordings import BACK_FILL
from uploader.ledger.rows import AttemptRow, RecordingRow, to_ms
from uploader.ledger.settlement import Obstacle
from uploader.pipeline.intake import Intake
from uploader.pipeline.meters import LineMeters
from uploader.pipeline.places import Place
from uploader.pipeline.spec import SourceSpec
from uploader.pipeline.stage import Stager
from uploader.pipeline.submit import Departure, Submission
from uploader.platform.clock import Clock
from uploader.service.governor import Governor

log = structlog.get_logger()

_SHORTEST_WAIT_SECONDS = 0.05
_LIVE_SECONDS = 0.05
"""So long the answer holds whether a live recording waits."""
_SOON_MS = 2000
_UNAVAILABLE_MS = 30_000
_GONE_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the recordings of one source or import are understood, read and staged."""

    spec: SourceSpec
    place: Place
    stager: Stager


class Admission(Enum):
    """By what right a staged recording goes on."""

    FREELY = auto()
    PROBE = auto()
    """As the one that tries the closed gate of submissions."""
    STORE_PROBE = auto()
    """As the one that tries the closed gate of the store: it is staged anew."""


@dataclass(slots=True, kw_only=True)
class _Hand:
    """What a worker holds: a row as it is now, and the place taken for it."""

    row: RecordingRow
    admission: Admission | None
    departure: Departure | None = None


Routes = Callable[[RecordingRow], Route | None]
"""Finds the route of a recording; None when its source is no longer configured."""


class Line:
    """Carries claimed rows: understand, stage, submit. Safe from many threads."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        intake: Intake,
        submission: Submission,
        governor: Governor,
        routes: Routes,
        clock: Clock,
        meters: LineMeters | None = None,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._submission = submission
        self._governor = governor
        self._routes = routes
        self._clock = clock
        self._meters = meters or LineMeters()
        self._lock = threading.Lock()
        self._live_until, self._is_live_waiting = -math.inf, False
        self._taken = 0
        """Places for submissions that were not given back yet."""

    def admits(self) -> Admission | None:
        """Take a place for one submission, if gates, budget and pace let one go now."""
        admission = self._gates_admit()
        if admission is None or admission is Admission.STORE_PROBE:
            return admission
        left = self._governor.left_today()
        if left == 0:
            self._governor.gates[GateName.SUBMIT].close(
                Why.DAILY_LIMIT, until=self._governor.resets_at(), by_probe=admission is Admission.PROBE
            )
            return None
        with self._lock:
            is_free = (left is None or self._taken < left) and self._governor.submission_wait() == 0
            self._taken += 1
        if is_free:
            return admission
        self.give_back(admission)
        return None

    @property
    def kept_back(self) -> tuple[int, ...]:
        """The lanes that get no place just now: the back-fill, where the rest of the day's budget is for live ones."""
        return (BACK_FILL,) if self._governor.keeps_for_live else ()

    def _gates_admit(self) -> Admission | None:
        """Say whether all gates are open, or the one place of a probe by a staged recording could be taken."""
        gates = self._governor.gates
        store, submit = gates[GateName.STORE], gates[GateName.SUBMIT]
        if not gates[GateName.TOKEN].is_open:
            return None
        if not store.is_open:
            return Admission.STORE_PROBE if store.why is not Why.PUBLIC_URL and store.admits_probe() else None
        if submit.is_open:
            return Admission.FREELY
        return Admission.PROBE if submit.admits_probe_by_sending() else None

    def give_back(self, admission: Admission | None) -> None:
        """Give back the place of a submission, whatever came of it; a probe that came to an outcome has ended."""
        if admission in {Admission.FREELY, Admission.PROBE}:
            with self._lock:
                self._taken -= 1
        if admission is Admission.PROBE:
            self._governor.gates[GateName.SUBMIT].probe_undecided()
        elif admission is Admission.STORE_PROBE:
            self._governor.gates[GateName.STORE].probe_undecided()

    def seconds_to_place(self) -> float:
        """Return how long until `admits` may say yes."""
        gates = [self._governor.gates[name] for name in (GateName.TOKEN, GateName.STORE, GateName.SUBMIT)]
        closed = [gate.seconds_to_probe() for gate in gates if not gate.is_open]
        if closed:
            return max(_SHORTEST_WAIT_SECONDS, *(seconds or 0.0 for seconds in closed))
        left, wait = self._governor.left_today(), self._governor.seconds_to_submission()
        # What is left of the day may be in the hands of those under way.
        return wait if left is None or self._taken < left else max(_SHORTEST_WAIT_SECONDS, wait)

    def carry(self, row: RecordingRow, *, admission: Admission | None) -> None:
        """Take one claimed row as far as it goes; it is released or moved when this returns.

        `admission`: the place for its submission that is taken already.
        """
        hand = _Hand(row=row, admission=admission)
        try:
            self._go(hand)
        except RowMoved:
            log.debug("recording.moved", id=row.id)
        except RecordingFault as fault:
            self._fault(hand.row, fault)
        except SourceUnavailable:
            self._release(hand.row, delay_ms=_UNAVAILABLE_MS)
        except (ServiceRefusal, StoreUnavailable, TokenUnavailable, RateLimited) as error:
            self._governor.saw_refusal(error)
            log.warning("recording.waits_for_gate", id=row.id, error=type(error).__name__)
            self._release(hand.row, delay_ms=_SOON_MS)
        finally:
            self.give_back(hand.admission)

    def _go(self, hand: _Hand) -> None:
        route = self._routes(hand.row)
        if route is None:
            self._release(hand.row, delay_ms=_GONE_MS, **reason_of(Reason.SOURCE_GONE))
            return
        current: RecordingRow | None = hand.row
        while current is not None:
            hand.row = current
            current = self._step(hand, route)

    def _step(self, hand: _Hand, route: Route) -> RecordingRow | None:
        row = hand.row
        if row.state is State.DISCOVERED:
            return self._take_in(hand, route)
        if row.state is State.READY:
            return self._stage(hand, route)
        if hand.admission is Admission.STORE_PROBE:
            return self._ledger.recordings.apply(
                row, Event.UNSTAGED, at=self._now(), claimed=row.claimed, detail="staged anew to try the store"
            )
        if hand.admission is None:
            hand.admission = self._may_go_on(row)
        if hand.admission is None or hand.admission is Admission.STORE_PROBE:
            self._release(row, delay_ms=0)
            return None
        return self._submission.step(row, route.place, route.stager, is_probe=hand.admission is Admission.PROBE)

    def _take_in(self, hand: _Hand, route: Route) -> RecordingRow | None:
        """Understand it, and let it go as far as it can in the same transaction."""
        after = self._intake.step(hand.row, route.spec, route.place, onward=lambda row: self._onward(hand, route, row))
        if hand.departure is not None and (after is None or not isinstance(after.begun, AttemptRow)):
            self._governor.give_back(hand.departure.turn)
        if after is None or after.begun is None:
            return None if after is None else after.row
        if hand.departure is None:
            raise RuntimeError("a request is begun only with what it needs at hand")
        hand.row = after.row
        if isinstance(after.begun, Obstacle):
            self._submission.wait(after.row, after.begun)
        else:
            self._submission.send(after.begun, after.row, hand.departure, is_probe=False)
        return None

    def _onward(self, hand: _Hand, route: Route, row: RecordingRow) -> Onward | None:
        """Say what may follow at once when `row` proves to be new: nothing, staging, or its request too."""
        if not route.stager.is_instant or not self._governor.gates[GateName.STORE].is_open:
            return None
        staged = route.stager.stage(row)
        if self._submission.is_first(row):
            hand.departure = self._departure(hand, route, row.evolved(staged=staged))
        return Onward(staged=staged, day=None if hand.departure is None else self._governor.day())

    def _departure(self, hand: _Hand, route: Route, row: RecordingRow) -> Departure | None:
        """Take a place for its request, and get what it needs."""
        if hand.admission is None:
            hand.admission = self._may_go_on(row)
        if hand.admission is not Admission.FREELY:
            return None
        try:
            return self._submission.departure(row, route.stager)
        except (ServiceRefusal, TokenUnavailable, RateLimited) as error:
            self._governor.saw_refusal(error)
            return None

    def _may_go_on(self, row: RecordingRow) -> Admission | None:
        """Let this row take a place at once: back-fill only when no live recording waits for one."""
        if row.lane in self.kept_back or (row.lane > 0 and self._live_waits()):
            return None
        return self.admits()

    def _live_waits(self) -> bool:
        """Say whether a live recording is staged and due; one that came to be so just now has a hand of its own."""
        now = self._clock.monotonic()
        if now >= self._live_until:
            self._live_until = now + _LIVE_SECONDS
            self._is_live_waiting = self._ledger.recordings.is_live_waiting(now=self._now())
        return self._is_live_waiting

    def _stage(self, hand: _Hand, route: Route) -> RecordingRow | None:
        """Stage it; when the store's gate is closed, only as its probe. `public_url` has a probe of its own."""
        row, gate = hand.row, self._governor.gates[GateName.STORE]
        is_shut = gate.why not in {None, Why.PUBLIC_URL}
        if hand.admission is Admission.STORE_PROBE and not is_shut:
            # Another one has opened it meanwhile: there is nothing to try.
            self.give_back(hand.admission)
            hand.admission = None
        if is_shut and hand.admission is not Admission.STORE_PROBE:
            if not gate.admits_probe():
                until_probe_ms = int((gate.seconds_to_probe() or 0) * 1000)
                self._release(row, delay_ms=max(_SOON_MS, min(_UNAVAILABLE_MS, until_probe_ms)))
                return None
            self.give_back(hand.admission)
            hand.admission = Admission.STORE_PROBE
        began = self._clock.monotonic()
        try:
            staged = route.stager.stage(row)
        except (ServiceRefusal, StoreUnavailable) as error:
            self._governor.saw_refusal(error, probed=GateName.STORE if is_shut else None)
            raise
        if not route.stager.is_instant:
            self._meters.staging_seconds.observe(self._clock.monotonic() - began)
        if is_shut:
            gate.passed()
            hand.admission = None
        return self._ledger.recordings.apply(row, Event.STAGED, at=self._now(), staged=staged, claimed=row.claimed)

    def _fault(self, row: RecordingRow, fault: RecordingFault) -> None:
        """A file that changed under our hands is judged again; any other fault quarantines."""
        code = Reason(fault.code)
        try:
            if code in {Reason.SOURCE_CHANGED, Reason.FILE_VANISHED} and row.state is not State.DISCOVERED:
                now = self._now()
                self._ledger.recordings.apply(
                    row, Event.CHANGED, at=now, due_at=now + _SOON_MS, stamped_at=now, detail=code.value
                )
            else:
                self._ledger.recordings.apply(row, Event.FAULTED, at=self._now(), **reason_of(code, str(fault)))
        except RowMoved:
            return

    def _release(self, row: RecordingRow, *, delay_ms: int, **values: str) -> None:
        try:
            self._ledger.recordings.release(row, due_at=self._now() + delay_ms, **values)
        except RowMoved:
            log.debug("recording.moved", id=row.id)

    def _now(self) -> int:
        return to_ms(self._clock.now())
