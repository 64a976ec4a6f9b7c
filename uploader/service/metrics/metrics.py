"""Everything that is measured, gathered when somebody asks. Names no recording and nothing personal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from uploader import __version__
from uploader.domain.gates import GateName
from uploader.ledger.glance import Glance
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.pipeline.meters import LineMeters
from uploader.platform.clock import Clock
from uploader.platform.filesystem import free_bytes
from uploader.service.dispatcher import Dispatcher
from uploader.service.governor import Governor
from uploader.service.meters import FetchMeters
from uploader.service.metrics.family import Family, gauge, gauges
from uploader.service.metrics.running import of_commits, of_fetches, of_recordings, of_requests, of_scans
from uploader.service.metrics.servers import ServerLoad, of_servers
from uploader.service.metrics.standing import NOTES, backed_up_at, is_paused, standing
from uploader.service.scanner import Scanner
from uploader.zoom.meters import Request, ServiceMeters


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """What the parts of one process count, each in its own."""

    service: ServiceMeters
    line: LineMeters
    fetches: FetchMeters


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the settings say: `sources` may be told apart by name; `submissions_per_day` 0 is no limit."""

    sources: Collection[str]
    workers: int
    submissions_per_day: int
    analysis_deadline: timedelta


class Metrics:
    """Gathers all families. Safe from any thread; takes a few milliseconds, however large the ledger is."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        governor: Governor,
        dispatcher: Dispatcher,
        scanners: Sequence[Scanner],
        servers: Callable[[], Mapping[str, ServerLoad]],
        meters: Meters,
        bounds: Bounds,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._governor = governor
        self._dispatcher = dispatcher
        self._scanners = scanners
        self._servers = servers
        self._meters = meters
        self._bounds = bounds
        self._clock = clock

    def families(self) -> Iterator[Family]:
        """Yield every family, in the order of the README. Raises LedgerError."""
        now = self._clock.now()
        look = self._ledger.glance(
            now=to_ms(now),
            overdue_before=to_ms(now - self._bounds.analysis_deadline),
            day=self._governor.day(),
            notes=NOTES,
        )
        yield from standing(look, now=to_ms(now), sources=self._bounds.sources)
        yield from self._gates(is_paused=is_paused(look))
        yield from self._budget()
        yield self._successes(look)
        yield from of_requests(self._meters.service)
        yield from of_recordings(self._meters.line)
        yield from of_scans(self._scanners)
        yield from of_fetches(self._meters.fetches)
        commits = self._ledger.commits
        if commits is not None:
            yield from of_commits(commits, waiting=self._ledger.waiting_writes)
        yield from of_servers(self._servers())
        yield from self._process()

    def _gates(self, *, is_paused: bool) -> Iterator[Family]:
        why = {name: gate.why for name, gate in self._governor.gates.items()}
        is_open = not is_paused and not any(why.values())
        yield gauge("submission_open", "1 while recordings may be submitted, 0 while closed or paused.", float(is_open))
        yield gauges(
            "gate_open",
            "1 while a gate is open.",
            {(name,): float(reason is None) for name, reason in why.items()},
            "gate",
        )
        yield gauges(
            "gate_closed",
            "1 for the reason that a gate is closed for; open ones have none.",
            {(name, reason): 1.0 for name, reason in why.items() if reason is not None},
            "gate",
            "reason",
        )

    def _budget(self) -> Iterator[Family]:
        paces = self._governor.paces()
        yield gauges(
            "rate_limit_per_second",
            "Requests a second that the settings allow.",
            {(request,): pace.limit_per_second for request, pace in paces.items()},
            "request",
        )
        yield gauges(
            "rate_pace_per_second",
            "Requests a second in force, as learned from answers 429.",
            {(request,): pace.pace_per_second for request, pace in paces.items()},
            "request",
        )
        left = self._governor.left_today()
        yield gauge(
            "submissions_left",
            "Submissions that this UTC day still has; missing without a limit.",
            left,
        )
        yield gauge(
            "submissions_per_day", "Submissions a UTC day that the settings allow; 0 is no limit.",
            self._bounds.submissions_per_day,
        )  # fmt: skip

    def _successes(self, look: Glance) -> Family:
        when = self._meters.service.successes.read() | self._meters.line.successes.read()
        # From the ledger, so that they outlive a restart.
        kept = {Request.SUBMISSION: look.accepted_at and look.accepted_at / 1000, "backup": backed_up_at(look)}
        when |= {what: at for what, at in kept.items() if at is not None}
        return gauges(
            "last_success_timestamp_seconds",
            "When something last succeeded; what has not yet since the start is missing.",
            {(what,): at for what, at in when.items()},
            "what",
        )

    def _process(self) -> Iterator[Family]:
        yield gauges("ledger_size_bytes", "Size of the ledger's files.", _sizes(self._ledger.path), "file")
        yield gauge("disk_free_bytes", "Free space on the ledger's disk.", free_bytes(self._ledger.path.parent))
        yield gauge(
            "disk_full",
            "1 while the ledger's disk is so full that nothing new is begun.",
            float(not self._governor.gates[GateName.DISK].is_open),
        )
        yield gauge("workers", "Workers that carry recordings.", self._bounds.workers)
        yield gauge("busy_workers", "Workers that carry one now.", min(self._bounds.workers, self._dispatcher.busy))
        yield gauge("threads", "Threads of the process.", threading.active_count())
        yield gauge(
            "heartbeat_age_seconds",
            "Time since the dispatcher last came round.",
            max(0.0, self._clock.monotonic() - self._dispatcher.beat),
        )
        yield gauges("build_info", "1, with the program's version.", {(__version__,): 1.0}, "version")


def _sizes(ledger: Path) -> Mapping[tuple[str, ...], float]:
    sizes: dict[tuple[str, ...], float] = {}
    for file, suffix in (("database", ""), ("wal", "-wal")):
        try:
            sizes[file,] = ledger.with_name(ledger.name + suffix).stat().st_size
        except FileNotFoundError:
            sizes[file,] = 0
    return sizes
