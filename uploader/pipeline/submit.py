"""The third step: one POST of one recording, in the order that makes it exactly once.

Gate and limiter come before this step. Here: the file is still the one, the token is good, the
URL is minted, intent and attempt are on disk, then the POST with nothing between; then its outcome
is written to its attempt first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from random import random
from typing import Protocol

import structlog

from uploader.domain.gates import Why
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.rate import Turn
from uploader.domain.reasons import Reason
from uploader.domain.retry import RetryPolicy, next_delay
from uploader.errors import RecordingFault
from uploader.ledger.changes import reason_of
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import AttemptRow, RecordingRow, to_ms
from uploader.ledger.settlement import Obstacle, Refusal, call_start
from uploader.pipeline.meters import LineMeters
from uploader.pipeline.places import Place
from uploader.pipeline.stage import Stager
from uploader.platform.clock import Clock
from uploader.zoom.auth import Token, TokenKeeper
from uploader.zoom.client import ZoomClient

log = structlog.get_logger()

TWIN_WAIT_MS = 60_000
"""A twin is woken when the other one is settled; this is for what nobody wakes."""


_ANOTHER_TOKEN = frozenset({Cause.TOKEN, Cause.SCOPE, Cause.PLAN, Cause.FORBIDDEN})
"""A token carries what the app was allowed when it was issued: what a person mends shows in the next one."""


class Learner(Protocol):
    """What is told of each outcome: the governor."""

    @property
    def submits(self) -> bool:
        """Whether the gate of submissions is open."""

    def saw_submission(self, outcome: Outcome, recording_n: int, *, is_probe: bool) -> Why | None:
        """Learn from an outcome; return why the submit gate closed, if it did."""

    def take_turn(self) -> Turn:
        """Take a turn and wait for it. Raises NotYet when it is too far off."""

    def give_back(self, turn: Turn) -> None:
        """Say that nothing is sent in a turn."""

    def submission_starts(self, turn: Turn) -> None:
        """Say that the request of a turn is about to be written."""

    def submission_ended(self, turn: Turn) -> None:
        """Say that the request of a turn was answered, or has failed."""

    def day(self) -> str:
        """Return the UTC day that a submission counts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What the settings say of sending. `attempts` counts what is the recording's own fault."""

    account_id: str
    api_url: str
    idempotency_key: bool
    attempts: int
    retry: RetryPolicy
    poll_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What a request needs beside its recording; got before its intent is written."""

    token: Token = field(repr=False)
    url: str = field(repr=False)
    turn: Turn


class Submission:
    """Sends staged rows."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        client: ZoomClient,
        tokens: TokenKeeper,
        governor: Learner,
        clock: Clock,
        sending: Sending,
        meters: LineMeters | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._tokens = tokens
        self._governor = governor
        self._clock = clock
        self._sending = sending
        self._meters = meters or LineMeters()

    def step(self, row: RecordingRow, place: Place, stager: Stager, *, is_probe: bool = False) -> RecordingRow | None:
        """Send one claimed, staged row. Returns it when it must be staged anew, else None.

        `is_probe`: it tries a closed gate.
        Raises RowMoved, and before the intent is written ServiceRefusal, TokenUnavailable, RateLimited,
        and what place and stager raise.
        """
        if not self._is_still_it(row, place) or self._is_in_doubt(row):
            return None
        if stager.needs_renewal(row):
            return self._unstage(row, stager)
        departure = self.departure(row, stager)
        if row.attempts:
            self._ledger.attempts.revoke(row.n, at=self._now())
        begun = self._ledger.attempts.begin(row, at=self._now(), day=self._governor.day())
        if isinstance(begun, Obstacle):
            self._governor.give_back(departure.turn)
            self.wait(row, begun)
        else:
            self.send(*begun, departure, is_probe=is_probe)
        return None

    def is_first(self, row: RecordingRow) -> bool:
        """Say whether nothing is to be looked up, revoked or renewed before `row` is sent."""
        return not row.attempts and self._ledger.doubt == (None, None)

    def departure(self, row: RecordingRow, stager: Stager) -> Departure:
        """Get what the request needs, its turn last.

        Raises ServiceRefusal, TokenUnavailable, RateLimited (NotYet for the turn), and what the stager does.
        """
        token = self._tokens.token()
        url = stager.url(row, attempt=row.attempts + 1)
        self._ledger.remember_account(account_id=self._sending.account_id, api_url=self._sending.api_url)
        # Last: whatever took its time before, what follows is the commit of the intent and the request.
        return Departure(token=token, url=url, turn=self._governor.take_turn())

    def send(self, attempt: AttemptRow, row: RecordingRow, departure: Departure, *, is_probe: bool) -> None:
        """Make the request whose intent was just written, and write its outcome."""
        self._governor.submission_starts(departure.turn)
        outcome = self._client.submit(
            json.loads(row.body or "{}"),
            download_url=departure.url,
            token=departure.token,
            idempotency_key=f"{row.id}-{row.copy}" if self._sending.idempotency_key else None,
        )
        self._governor.submission_ended(departure.turn)
        if outcome.cause in _ANOTHER_TOKEN:
            self._tokens.reject(departure.token)
        self._settle(attempt, row, outcome, is_probe=is_probe)

    def wait(self, row: RecordingRow, obstacle: Obstacle) -> None:
        """Let a row that may not be sent just now wait for what stands in its way."""
        if obstacle is Obstacle.TWIN:
            why = reason_of(Reason.TWIN)
            self._ledger.recordings.release(row, due_at=self._now() + TWIN_WAIT_MS, **why)
            log.info("recording.waits_for_twin", id=row.id)

    def _now(self) -> int:
        return to_ms(self._clock.now())

    def _is_still_it(self, row: RecordingRow, place: Place) -> bool:
        """Stat the file again just before it is sent."""
        try:
            stamp = place.stamp(row.location)
        except RecordingFault as fault:
            self._ledger.recordings.apply(
                row, Event.FAULTED, at=self._now(), **reason_of(Reason(fault.code), str(fault))
            )
            return False
        if stamp == row.stamp:
            return True
        # Gone or another: the intake knows what to do with either.
        now = self._now()
        self._ledger.recordings.apply(
            row, Event.CHANGED, at=now, due_at=now, stamped_at=now, detail="the file changed before it was sent"
        )
        return False

    def _is_in_doubt(self, row: RecordingRow) -> bool:
        """After a restore, what is older than the doubt is looked for before it is sent."""
        since, found = self._ledger.doubt
        if since is None or found is None or _is_since(row, found):
            return False
        if self._ledger.attempts.doubt_settled(row.n, found=found):
            return False
        self._ledger.attempts.doubt(row, since=since, at=self._now())
        return True

    def _unstage(self, row: RecordingRow, stager: Stager) -> RecordingRow:
        """Take the older copy away, so that its URL leads nowhere, and stage anew."""
        if not self._ledger.recordings.shares_staged(row):
            stager.remove(row)
        return self._ledger.recordings.apply(
            row, Event.UNSTAGED, at=self._now(), claimed=row.claimed, detail="older URLs were revoked"
        )

    def _settle(self, attempt: AttemptRow, row: RecordingRow, outcome: Outcome, *, is_probe: bool) -> None:
        closed = self._governor.saw_submission(outcome, row.n, is_probe=is_probe)
        now = self._now()
        track_at = now + int(self._sending.poll_seconds * 1000)
        if outcome.kind is Kind.ACCEPTED:
            self._ledger.attempts.accept(
                attempt, row, outcome, at=now, track_at=track_at, then=partial(self._tell, attempt, outcome)
            )
            return
        refusal = self._refusal(row, outcome)
        after = self._ledger.attempts.finish(attempt.n, outcome, at=now, refusal=refusal, track_at=track_at)
        self._tell(attempt, outcome, after)
        if closed is Why.EQUAL_REFUSALS:
            self._take_back(row)

    def _tell(self, attempt: AttemptRow, outcome: Outcome, row: RecordingRow) -> None:
        """Count and log what a request came to; `row` is as it is since."""
        self._meters.attempted(outcome, row, at=self._now())
        level = log.info if outcome.kind is Kind.ACCEPTED else log.warning
        level(
            "recording.sent",
            id=row.id,
            source=row.source,
            attempt=attempt.number,
            outcome=outcome.kind.value,
            cause=outcome.cause.value,
            status=outcome.status,
            state=row.state.value,
        )

    def _refusal(self, row: RecordingRow, outcome: Outcome) -> Refusal:
        """Decide when a recording goes again whose request created nothing, or that it does not.

        While the gate is closed nothing counts as a recording's own fault.
        """
        own = outcome.cause is Cause.RECORDING and self._governor.submits
        if own and row.faults + 1 >= self._sending.attempts:
            return Refusal(due_at=None, at_fault=True, final=True, reason=outcome.message)
        waits = own or outcome.cause is Cause.TRANSPORT
        delay = next_delay(self._sending.retry, row.faults + 1, random()) if waits else None
        due = self._now() + (int(delay.total_seconds() * 1000) if delay else 0)
        return Refusal(due_at=due, at_fault=own, reason=outcome.message if own else None)

    def _take_back(self, row: RecordingRow) -> None:
        """Five equal refusals in a row are the account's fault: none of them counts as a recording's."""
        count = self._ledger.recordings.forgive_refusals(at=self._now())
        log.warning("recording.refusals_taken_back", id=row.id, count=count)


def _is_since(row: RecordingRow, moment: int) -> bool:
    """Say whether a recording is of after `moment` (ms) for sure: its file, and its call where that is dated.

    A file alone may be a copy, made when the disk was restored as well.
    """
    start = call_start(row)
    return min(row.mtime_ns // 1_000_000, row.discovered_at, *([] if start is None else [start])) >= moment
