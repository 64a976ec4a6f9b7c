"""Looking at an import under way: where it stands, and what holds it up. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from uploader.domain.gates import GateName, Why
from uploader.domain.recording import State
from uploader.ledger.books import GateRow
from uploader.ledger.filters import Filter
from uploader.ledger.imports import Stuck
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.clock import Clock
from uploader.service.imports.report import Report

REFUSED_AS_A_WHOLE = frozenset(
    {
        Why.CREDENTIALS, Why.SCOPE, Why.PLAN, Why.FORBIDDEN, Why.EQUAL_REFUSALS, Why.STORE_CREDENTIALS,
        Why.STORE_FORBIDDEN, Why.STORE_BUCKET,
    }
)  # fmt: skip
"""A gate that is closed for one of these opens only when a person has done something."""


class Wait(StrEnum):
    """How far an import is waited for."""

    SUBMITTED = "submitted"
    ANALYZED = "analyzed"


class Pause(StrEnum):
    """What is paused."""

    EVERYTHING = "everything"
    IMPORT = "this import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An import at one moment. `stuck` is None where nothing can be."""

    report: Report
    stuck: Stuck | None
    overdue: int
    gates: tuple[GateRow, ...]
    """The closed ones."""
    paused: Pause | None

    def is_settled(self, wait: Wait) -> bool:
        """Say whether nothing more will happen soon that is to be waited for."""
        report, stuck = self.report, self.stuck
        held = 0 if stuck is None else stuck.held
        behind = 0 if stuck is None or stuck.twins_move else stuck.behind_twin
        if report.unconfirmed > held or report.pending > behind:
            return False
        return wait is Wait.SUBMITTED or report.submitted - report.analyzed <= self.overdue

    @property
    def refusal(self) -> GateRow | None:
        """The gate that a service has closed on us as a whole, once it was tried since this began."""
        for gate in self.gates:
            if gate.name != GateName.DISK and gate.failures and Why(str(gate.reason)) in REFUSED_AS_A_WHOLE:
                return gate
        return None


class Watch:
    """Looks at one import."""

    def __init__(self, ledger: Ledger, *, import_n: int, name: str, clock: Clock, deadline: timedelta) -> None:
        """`deadline`: an analysis that is later than this is not waited for."""
        self._ledger = ledger
        self._import_n = import_n
        self._name = name
        self._clock = clock
        self._deadline = deadline

    def look(self) -> Look:
        """Return where it stands."""
        counts = self._ledger.recordings.counts(import_n=self._import_n)
        report = Report.of(counts)
        can_be_stuck = report.pending == counts[State.STAGED] and (report.pending or report.unconfirmed)
        all_sent = not report.pending and report.submitted > report.analyzed
        return Look(
            report=report,
            stuck=self._ledger.imports.stuck(self._import_n) if can_be_stuck else None,
            overdue=self._overdue() if all_sent else 0,
            gates=tuple(gate for gate in self._ledger.books.gates() if gate.reason),
            paused=self._paused(),
        )

    def unfetched(self, lifetime: timedelta) -> int:
        """Return how many accepted recordings have a URL of this `lifetime` that was not fetched to the end."""
        since = to_ms(self._clock.now() - lifetime)
        return self._ledger.imports.unfetched(self._import_n, since=since)

    def _overdue(self) -> int:
        before = to_ms(self._clock.now() - self._deadline)
        return self._ledger.recordings.count(Filter(import_name=self._name, overdue_before=before))

    def _paused(self) -> Pause | None:
        if self._ledger.books.note("paused") == "1":
            return Pause.EVERYTHING
        return Pause.IMPORT if self._ledger.imports.is_paused(self._import_n) else None
