"""A recording's way through the pipeline, in one worker's hands as far as it goes without waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.pipeline.intake import Intake
from uploader.pipeline.places import Place
from uploader.pipeline.spec import SourceSpec
from uploader.pipeline.stage import Stager
from uploader.pipeline.submit import Submission
from uploader.platform.clock import Clock
from uploader.service.governor import Governor

log = structlog.get_logger()

_SOON_MS = 2000
_UNAVAILABLE_MS = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the recordings of one source or import are understood, read and staged."""

    spec: SourceSpec
    place: Place
    stager: Stager


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
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._submission = submission
        self._governor = governor
        self._routes = routes
        self._clock = clock

    def admits(self) -> bool:
        """Take a place for one submission, if gates, budget and pace let one go now."""
        if not self._gates_admit():
            return False
        if self._governor.left_today() == 0:
            self._governor.gates[GateName.SUBMIT].close(Why.DAILY_LIMIT, until=self._governor.resets_at())
            return False
        return self._governor.submission_wait() == 0

    def _gates_admit(self) -> bool:
        """Whether all gates are open, or the one place of a probe by sending could be taken."""
        gates = self._governor.gates
        if not (gates[GateName.TOKEN].is_open and gates[GateName.STORE].is_open):
            return False
        return gates[GateName.SUBMIT].is_open or gates[GateName.SUBMIT].admits_probe_by_sending()

    def give_back(self) -> None:
        """Give back the place of a submission that was not needed after all."""
        self._governor.gates[GateName.SUBMIT].probe_undecided()

    def seconds_to_place(self) -> float:
        """Return how long until `admits` may say yes."""
        gates = [self._governor.gates[name] for name in (GateName.TOKEN, GateName.STORE, GateName.SUBMIT)]
        closed = [gate.seconds_to_probe() for gate in gates if not gate.is_open]
        if closed:
            return max(0.05, *(seconds or 0.0 for seconds in closed))
        return self._governor.seconds_to_submission()

    def carry(self, row: RecordingRow, *, admitted: bool) -> None:
        """Take one claimed row as far as it goes; it is released or moved when this returns.

        `admitted`: a place for its submission is taken already.
        """
        route = self._routes(row)
        if route is None:
            self._release(row, delay_ms=_UNAVAILABLE_MS)
            return
        held, was_admitted = row, admitted
        try:
            current: RecordingRow | None = row
            while current is not None:
                held = current
                current, admitted = self._step(current, route, admitted)
                was_admitted = was_admitted or admitted
        except RowMoved:
            log.debug("recording.moved", id=row.id)
        except RecordingFault as fault:
            self._fault(held, fault)
        except SourceUnavailable:
            self._release(held, delay_ms=_UNAVAILABLE_MS)
        except (ServiceRefusal, StoreUnavailable, TokenUnavailable, RateLimited) as error:
            self._governor.saw_refusal(error)
            log.warning("recording.waits_for_gate", id=row.id, error=type(error).__name__)
            self._release(held, delay_ms=_SOON_MS)
        finally:
            # A probe that came to no outcome gives its place back; to one that did this does nothing.
            if was_admitted:
                self._governor.gates[GateName.SUBMIT].probe_undecided()

    def _step(self, row: RecordingRow, route: Route, admitted: bool) -> tuple[RecordingRow | None, bool]:  # noqa: FBT001 (private)
        if row.state is State.DISCOVERED:
            return self._intake.step(row, route.spec, route.place), admitted
        if row.state is State.READY:
            return self._stage(row, route), admitted
        if not admitted and not self._may_go_on(row):
            self._release(row, delay_ms=0)
            return None, False
        return self._submission.step(row, route.place, route.stager), True

    def _may_go_on(self, row: RecordingRow) -> bool:
        """Whether this row may take a place at once: back-fill only when no live recording waits for one."""
        if row.lane > 0 and self._ledger.recordings.is_live_waiting(now=self._now()):
            return False
        return self.admits()

    def _stage(self, row: RecordingRow, route: Route) -> RecordingRow | None:
        gate = self._governor.gates[GateName.STORE]
        if not gate.is_open and not gate.admits_probe():
            self._release(row, delay_ms=_SOON_MS)
            return None
        try:
            staged = route.stager.stage(row)
        except BaseException:
            gate.probe_undecided()
            raise
        if gate.why is not Why.PUBLIC_URL:
            gate.passed()
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

    def _release(self, row: RecordingRow, *, delay_ms: int) -> None:
        try:
            self._ledger.recordings.release(row, due_at=self._now() + delay_ms)
        except RowMoved:
            log.debug("recording.moved", id=row.id)

    def _now(self) -> int:
        return to_ms(self._clock.now())
