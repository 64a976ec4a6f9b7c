"""The books verified: what each check means, and whether the histories follow the lifecycle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.recording import State
from uploader.ledger.attempts import WATCH_DAYS
from uploader.ledger.audit import Finding, Step
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms

_SLACK = timedelta(hours=1)
"""The last look for an open attempt takes place after its seventh day, not at its stroke."""

_MEANINGS = {
    "state": ("every recording is in one known state", "recordings are in a state that does not exist"),
    "history": ("every history ends in the state of its recording", "histories end in another state"),
    "steps": ("every step was a legal one", "recordings went a step that the lifecycle does not have"),
    "interaction": (
        "what is submitted has its interaction, and the attempt that made it",
        "submitted recordings lack their interaction, or the attempt that made it",
    ),
    "once": ("no interaction belongs to two recordings", "recordings share an interaction"),
    "source": ("every recording has its source", "recordings have a source that does not exist"),
    "attempts": ("every attempt has its recording", "attempts have no recording"),
    "histories": ("every line of history has its recording", "lines of history have no recording"),
    "counts": ("the counts by state add up", "counts by source, import and state are wrong"),
    "open": (
        "no attempt has been of unknown outcome for more than seven days",
        "recordings have attempts of unknown outcome for more than seven days (adopt, retry or discard them)",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: what holds, or what is off in how many rows, and the first of their ids."""

    name: str
    message: str
    count: int
    ids: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is off."""
        return not self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` found. `recordings` is how many there are."""

    recordings: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is off."""
        return all(check.ok for check in self.checks)


def verify(ledger: Ledger, *, now: datetime) -> Verified:
    """Check the books against themselves. Raises LedgerError when the file is damaged."""
    ledger.audit.integrity()
    findings = ledger.audit.findings(open_before=to_ms(now - timedelta(days=WATCH_DAYS) - _SLACK))
    illegal = [step for step in ledger.audit.steps() if not _is_legal(step)]
    findings.append(ledger.audit.recordings_with(illegal))
    by_name = {finding.check: _check(finding) for finding in findings}
    return Verified(
        recordings=ledger.audit.recordings(),
        checks=tuple(by_name[name] for name in _MEANINGS),
    )


def _is_legal(step: Step) -> bool:
    """Say whether the lifecycle has this step; words that are no events of it must not move anything."""
    if step.event not in set(Event):
        return step.before == step.after
    if step.before is None:
        return step.event == Event.DISCOVERED and step.after == State.DISCOVERED
    known = step.before in set(State)
    return known and TRANSITIONS.get((State(step.before), Event(step.event))) == step.after


def _check(finding: Finding) -> Check:
    holds, off = _MEANINGS[finding.check]
    return Check(name=finding.check, message=off if finding.count else holds, count=finding.count, ids=finding.ids)
