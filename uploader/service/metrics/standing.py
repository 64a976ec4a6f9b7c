"""The figures that the ledger holds: how many recordings stand where, and what has waited too long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger.glance import MOST, Glance
from uploader.service.metrics.family import Family, counter, counters, gauge, gauges
from uploader.service.operations.pausing import PAUSED
from uploader.service.operations.upkeep import MADE, WHY

OTHER = "_other"
"""Stands for every source that is not configured (any more); no configured one can be called so."""
_RESENT, _DOUBLES, _PROBLEM = "resent_after_unknown", "doubles", "tracking_problem"
_HOLDS = (
    Reason.BACKLOG, Reason.NO_PROOF, Reason.SEVERAL_CANDIDATES, Reason.RESEMBLES, Reason.FETCHED_UNLISTED,
)  # fmt: skip
"""What recordings are held for; these are shown with 0 too."""
NOTES = (PAUSED, _RESENT, _DOUBLES, _PROBLEM, MADE, WHY)
"""The notes of the ledger that are shown."""


def standing(look: Glance, *, now: int, sources: Collection[str]) -> Iterator[Family]:
    """Yield what one look at the ledger shows; `sources` are the names that may be told apart."""
    yield gauges(
        "recordings",
        "Recordings in the ledger, by state.",
        _by_source(look, look.recordings, sources),
        "source",
        "state",
    )
    yield counters(
        "state_entries",
        "Times that recordings came into a state, since the ledger was made.",
        _by_source(look, look.entered, sources),
        "source",
        "state",
    )
    yield gauges(
        "due_recordings",
        f"Recordings that wait only for a free worker, their pace or a gate, by state; {MOST:,} a lane at most.",
        {(state,): count for state, count in look.due.items()},
        "state",
    )
    yield gauges(
        "held_recordings",
        f"Recordings that wait for a person or for proof, by reason code; {MOST:,} a reason at most.",
        {(reason,): count for reason, count in look.held.items() if count or reason in _HOLDS},
        "reason",
    )
    yield from _ages(look, now)
    yield from _doubts(look)
    yield from _sources(look, sources)
    yield gauge("paused", "1 while everything is paused by `pause`.", float(is_paused(look)))
    yield gauge("backup_failing", "1 when the last backup of the ledger failed.", float(bool(look.notes.get(WHY))))
    yield gauge("submissions_today", "Requests to submit that were begun on this UTC day.", look.submissions_today)


def _ages(look: Glance, now: int) -> Iterator[Family]:
    yield gauge(
        "oldest_waiting_seconds",
        "Time since the discovery of the oldest recording that is to be submitted and not held; 0 when there is none.",
        _age(look.oldest_waiting_at, now),
    )
    yield gauge(
        "oldest_unanalyzed_seconds",
        "Time since the submission whose analysis has been awaited longest; 0 when there is none.",
        _age(look.oldest_submitted_at, now),
    )
    yield gauge(
        "overdue_recordings",
        f"Recordings whose analysis was not seen within `analysis_deadline`; {MOST:,} at most.",
        look.overdue,
    )
    yield gauge("claimed_recordings", "Recordings in the hands of workers and of tracking.", look.claimed)


def _doubts(look: Glance) -> Iterator[Family]:
    yield gauge(
        "open_attempts", f"Requests of unknown outcome that are still looked for; {MOST:,} at most.", look.open_attempts
    )
    yield counter(
        "resent_after_unknown",
        "Recordings sent again after a request of unknown outcome, since the ledger was made.",
        look.number(_RESENT),
    )
    yield counter(
        "doubles",
        "Second interactions found for a recording that has one, since the ledger was made.",
        look.number(_DOUBLES),
    )
    yield gauge(
        "tracking_failing",
        "1 while the service cannot be asked about analyses.",
        bool(look.notes.get(_PROBLEM)),
    )


def _sources(look: Glance, sources: Collection[str]) -> Iterator[Family]:
    known = {name: one for name, one in look.sources.items() if name in sources}
    yield gauges(
        "source_available",
        "1 while the folder or bucket of a source can be reached.",
        {(name,): float(one.available) for name, one in known.items()},
        "source",
    )
    yield gauges(
        "source_paused",
        "1 while a source is paused by `pause SOURCE`.",
        {(name,): float(one.paused) for name, one in known.items()},
        "source",
    )
    yield gauges(
        "source_scanned_timestamp_seconds",
        "When a full scan of a source was last finished.",
        {(name,): one.scanned_at / 1000 for name, one in known.items() if one.scanned_at is not None},
        "source",
    )


def _by_source(
    look: Glance, counts: Mapping[tuple[str, State], int], sources: Collection[str]
) -> Mapping[tuple[str, ...], float]:
    """Return counts with every state of every known source that may be told apart, the others as one."""
    told: dict[tuple[str, ...], float] = defaultdict(float)
    told |= {(source, state): 0 for source in look.sources if source in sources for state in State}
    for (source, state), count in counts.items():
        told[source if source in sources else OTHER, state] += count
    return told


def is_paused(look: Glance) -> bool:
    """Say whether a person has paused everything."""
    return look.notes.get(PAUSED) == "1"


def backed_up_at(look: Glance) -> float | None:
    """Return when the last backup was made, in seconds; None without one."""
    return look.number(MADE) / 1000 if look.number(MADE) else None


def _age(since: int | None, now: int) -> float:
    return 0.0 if since is None else max(0, now - since) / 1000
