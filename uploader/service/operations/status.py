"""How everything stands, at one look. Reads a few rows, however many recordings there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from uploader.domain import budget
from uploader.domain.forecast import Forecast
from uploader.domain.gates import GateName, Why
from uploader.domain.outcome import Cause
from uploader.domain.pairing import orphans
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger.books import WATCH_NOTE, GateRow
from uploader.ledger.discovery import SourceRow
from uploader.ledger.filters import Filter
from uploader.ledger.ledger import Ledger
from uploader.ledger.recordings import Tally
from uploader.ledger.rows import to_ms
from uploader.service.operations.doubt import Doubt, doubt_of
from uploader.service.operations.outlook import Limits, outlook
from uploader.service.operations.pausing import PAUSED, PAUSED_AT
from uploader.service.operations.search import Group, group, overdue_before
from uploader.service.operations.upkeep import BackupStanding
from uploader.service.operations.upkeep import standing as backup_standing
from uploader.service.operations.views import moment

TOP = 5
MOST_WAITING = 20_000
"""With more waiting than this their reasons are not counted: `list --group reason` does it."""
MOST_FILES = 20_000
"""With more files than this in a source its sidecars without a recording are not counted."""
_GATES = (GateName.TOKEN, GateName.SUBMIT, GateName.STORE, GateName.DISK)
_WAITING = frozenset({State.DISCOVERED, State.READY, State.STAGED})
_NOT_YET = (Reason.MEDIA_INCOMPLETE, Reason.SIDECAR_AWAITED, Reason.TWIN, Reason.SOURCE_GONE)
"""What waits for one of these waits for something else than its turn."""
_UNDER_WAY = _WAITING | {State.SUBMITTING, State.UNCONFIRMED, State.SUBMITTED}


_RECENT = 20
_LATELY = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedGate:
    """Why nothing passes. `reason` is a code, `message` and `hint` are for people."""

    name: str
    reason: str
    message: str
    hint: str
    closed_at: datetime | None
    probe_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """How a source stands. `polled` says why it is only scanned, wholly or in part, or is empty.

    `orphans` is None where they were not counted.
    """

    name: str
    configured: bool
    available: bool
    detail: str
    paused: bool
    scanned_at: datetime | None
    waiting: int
    backlog: int
    polled: str
    orphans: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportStatus:
    """How an import stands that is under way; `planned`: all of it is in the ledger."""

    name: str
    planned: bool
    paused: bool
    counts: dict[State, int]
    forecast: Forecast | None
    """When its last one is submitted, after the live ones, and beside the other imports at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """The UTC day's submissions; `limit` 0 is none, of `kept_for_live` the back-fill uses none."""

    used: int
    limit: int
    resets_at: datetime
    kept_for_live: int
    left: int | None
    """By the configuration, or by what the service says where that is less; None: no end."""
    backfill_at: datetime | None
    """When an import may submit again, what is left being kept for live recordings; None: it may now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that `status` shows."""

    counts: dict[State, int]
    daemon_runs: bool
    paused_since: datetime | None
    is_paused: bool
    gates: tuple[ClosedGate, ...]
    budget: BudgetStatus
    oldest_waiting_seconds: float | None
    overdue: int
    held: dict[str, int]
    reasons: tuple[Group, ...]
    sources: tuple[SourceStatus, ...]
    imports: tuple[ImportStatus, ...]
    resent_after_unknown: int
    doubles: int
    tracking_problem: str
    limits: Limits
    forecast: Forecast | None
    """When all that waits and can be sent is submitted."""
    throttled: int
    """How many of the last 20 requests were answered with a 429, as long as one of them was within two minutes."""
    backup: BackupStanding
    doubt: Doubt | None
    """That the ledger was restored, or is new beside the trace of an older one, as long as it matters."""

    @property
    def submission(self) -> str:
        """`open`, or `closed: ` and why, a code."""
        if self.is_paused:
            return "closed: paused"
        return f"closed: {self.gates[0].reason}" if self.gates else "open"


def survey(
    ledger: Ledger,
    *,
    now: datetime,
    sources: Sequence[str],
    submissions_per_second: float,
    submissions_per_day: int,
    analysis_deadline: timedelta,
) -> Status:
    """Return how everything stands; `sources` are the names of those that are configured and enabled."""
    tally = ledger.recordings.tally()
    counts = _counts(tally)
    books = ledger.books
    oldest = ledger.recordings.oldest_waiting()
    since, is_paused = books.note(PAUSED_AT), books.note(PAUSED) == "1"
    runs, gates = ledger.is_sender_running(), _closed(books.gates())
    view = outlook(ledger, now=now, per_second=submissions_per_second, per_day=submissions_per_day)
    goes_on = runs and not is_paused and all(gate.reason == Why.DAILY_LIMIT for gate in gates)
    foretell = view.foretell if goes_on else _nothing
    foretell_backfill = view.foretell_backfill if goes_on else _nothing
    shown = _sources(ledger, tally, sources)
    imports = _imports(ledger, tally)
    live, by_import = _sendable(ledger, counts, shown, imports)
    filled = sum(by_import.values())
    return Status(
        counts=counts,
        daemon_runs=runs,
        is_paused=is_paused,
        paused_since=moment(int(since)) if since else None,
        gates=gates,
        budget=BudgetStatus(
            used=books.submissions(budget.day_of(now).isoformat()),
            limit=submissions_per_day,
            resets_at=budget.resets_at(now),
            kept_for_live=budget.kept_for_live(submissions_per_day, now),
            left=view.terms.left_today,
            backfill_at=view.backfill_at,
        ),
        oldest_waiting_seconds=None if oldest is None else max(0.0, (to_ms(now) - oldest) / 1000),
        overdue=ledger.recordings.count(Filter(overdue_before=overdue_before(now, analysis_deadline))),
        held=ledger.recordings.held(),
        reasons=_reasons(ledger, counts),
        sources=shown,
        imports=tuple(
            replace(one, forecast=foretell_backfill(live + filled)) if by_import.get(one.name) else one
            for one in imports
        ),
        limits=view.limits,
        forecast=foretell_backfill(live + filled) if filled else foretell(live),
        resent_after_unknown=books.counter("resent_after_unknown"),
        doubles=books.counter("doubles"),
        tracking_problem=books.note("tracking_problem") or "",
        throttled=_throttled(ledger, now),
        backup=backup_standing(ledger),
        doubt=doubt_of(ledger.path, now=now, is_looking=_is_looking(ledger)),
    )


def _is_looking(ledger: Ledger) -> bool:
    return any(code == Reason.IN_DOUBT for _, code, _ in ledger.recordings.attention_reasons())


def _nothing(waiting: int) -> None:
    """Foretell nothing: just now nothing goes on."""


def _waiting(counts: dict[State, int]) -> int:
    return sum(counts[state] for state in _WAITING)


def _sendable(
    ledger: Ledger, counts: dict[State, int], sources: Iterable[SourceStatus], imports: Iterable[ImportStatus]
) -> tuple[int, dict[str, int]]:
    """Return how many live recordings, and how many of each import that is not paused, can be sent as they are."""
    is_few = _waiting(counts) <= MOST_WAITING
    kept_live, kept_imported = ledger.recordings.not_sendable(_NOT_YET if is_few else ())
    live = sum(one.waiting - kept_live.get(one.name, 0) for one in sources if one.configured and not one.paused)
    return max(0, live), {
        one.name: max(0, _waiting(one.counts) - kept_imported.get(one.name, 0)) for one in imports if not one.paused
    }


def _throttled(ledger: Ledger, now: datetime) -> int:
    ended = ledger.attempts.recently(Cause.RATE_SECOND, among=_RECENT)
    return len(ended) if ended and max(ended) > to_ms(now - _LATELY) else 0


def _counts(tally: Iterable[Tally]) -> dict[State, int]:
    counts = dict.fromkeys(State, 0)
    for one in tally:
        counts[one.state] += one.count
    return counts


def _closed(gates: Iterable[GateRow]) -> tuple[ClosedGate, ...]:
    closed = {gate.name: gate for gate in gates if gate.reason is not None}
    return tuple(
        ClosedGate(
            name=gate.name,
            reason=gate.reason or "",
            message=gate.message,
            hint=gate.hint,
            closed_at=moment(gate.closed_at),
            probe_at=moment(gate.probe_at),
        )
        for gate in (closed[name] for name in _GATES if name in closed)
    )


def _reasons(ledger: Ledger, counts: dict[State, int]) -> tuple[Group, ...]:
    found = ledger.recordings.attention_reasons()
    if sum(counts[state] for state in _WAITING) <= MOST_WAITING:
        found = sorted([*found, *ledger.recordings.waiting_reasons()], key=lambda one: -one[2])
    return tuple(group(*one) for one in found[:TOP])


def _sources(ledger: Ledger, tally: Iterable[Tally], configured: Sequence[str]) -> tuple[SourceStatus, ...]:
    waiting: dict[int, int] = defaultdict(int)
    for part in tally:
        if part.state in _WAITING and not part.import_n:
            waiting[part.source_n] += part.count
    backlog = ledger.recordings.held_by_source(Reason.BACKLOG.value)
    known = {row.name: row for row in ledger.discovery.sources()}
    found = []
    for name in dict.fromkeys([*configured, *known]):
        row = known.get(name)
        if row is None:
            found.append(_unseen(name))
        elif name in configured or row.paused or waiting[row.n]:
            one = SourceStatus(
                name=name,
                configured=name in configured,
                available=row.available,
                detail=row.detail,
                paused=row.paused,
                scanned_at=moment(row.scanned_at),
                waiting=waiting[row.n],
                backlog=backlog.get(row.n, 0),
                polled=ledger.books.note(WATCH_NOTE + name) or "",
                orphans=_orphans(ledger, row),
            )
            found.append(one)
    return tuple(found)


def _unseen(name: str) -> SourceStatus:
    return SourceStatus(
        name=name, configured=True, available=True, detail="", paused=False, scanned_at=None, waiting=0, backlog=0,
        polled="", orphans=0,
    )  # fmt: skip


def _orphans(ledger: Ledger, source: SourceRow) -> int | None:
    folders = ledger.scan_cache.scanned_files(source.n, limit=MOST_FILES)
    return None if folders is None else sum(_orphans_in(files) for files in folders.values())


def _orphans_in(files: Collection[tuple[bytes, bool]]) -> int:
    recordings = {name for name, is_recording in files if is_recording}
    return len(orphans((name for name, _ in files), is_recording=recordings.__contains__))


def _imports(ledger: Ledger, tally: Iterable[Tally]) -> tuple[ImportStatus, ...]:
    counts: dict[int, dict[State, int]] = defaultdict(lambda: dict.fromkeys(State, 0))
    for one in tally:
        if one.import_n:
            counts[one.import_n][one.state] += one.count
    return tuple(
        ImportStatus(
            name=row.name, planned=row.planned_at is not None, paused=row.paused, counts=counts[row.n], forecast=None
        )
        for row in ledger.discovery.imports()
        if row.planned_at is None or any(counts[row.n][state] for state in _UNDER_WAY)
    )
