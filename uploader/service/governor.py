"""How fast and how much: the limiters, the day's budget, and what outcomes do to them and to the gates."""

from __future__ import annotations

import threading
from datetime import datetime

from uploader.domain import budget, rate
from uploader.domain.gates import GateName, Run, Why, after
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.errors import RateLimited, ServiceRefusal, StoreUnavailable, TokenUnavailable, UploaderError
from uploader.ledger.books import Books
from uploader.platform.clock import Clock
from uploader.service.gate import Gate

MAX_PAUSE_SECONDS = 60.0


class Governor:
    """Says when a submission or a read may go, and learns from what they came to. Safe from any thread."""

    def __init__(
        self,
        *,
        submissions_per_second: float,
        submissions_per_day: int,
        reads_per_second: float,
        gates: dict[GateName, Gate],
        books: Books,
        clock: Clock,
    ) -> None:
        self._submissions = rate.Gcra(rate_per_second=submissions_per_second)
        self._reads = rate.Gcra(rate_per_second=reads_per_second)
        self._per_day = submissions_per_day
        self._books = books
        self._clock = clock
        self._lock = threading.Lock()
        self._submission_pace = rate.Pace()
        self._read_pace = rate.Pace()
        self._run = Run()
        self.gates = gates

    def submission_wait(self) -> float:
        """Take the next place if it is free now and return 0; else return the seconds until it may be."""
        with self._lock:
            now = self._clock.monotonic()
            allowed, pace = rate.reserve(self._submissions, self._submission_pace, now)
            if allowed > now:
                return allowed - now
            self._submission_pace = pace
            return 0.0

    def seconds_to_submission(self) -> float:
        """Return the seconds until the next place may be free, without taking it."""
        with self._lock:
            now = self._clock.monotonic()
            return rate.reserve(self._submissions, self._submission_pace, now)[0] - now

    def read_wait(self) -> float:
        """Take the next place for a read, and return the seconds to wait before it."""
        with self._lock:
            now = self._clock.monotonic()
            allowed, self._read_pace = rate.reserve(self._reads, self._read_pace, now)
            return allowed - now

    def left_today(self) -> int | None:
        """Return how many submissions the day's budget still has; None without a budget."""
        day = budget.day_of(self._clock.now())
        return budget.remaining(self._books.submissions(day.isoformat()), self._per_day)

    def day(self) -> str:
        """Return the UTC day that a submission counts for."""
        return budget.day_of(self._clock.now()).isoformat()

    def resets_at(self) -> datetime:
        """Return when the day's budget is whole again."""
        return budget.resets_at(self._clock.now())

    @property
    def submits(self) -> bool:
        """Whether the gate of submissions is open."""
        return self.gates[GateName.SUBMIT].is_open

    def saw_submission(self, outcome: Outcome, recording_n: int, *, is_probe: bool) -> Why | None:
        """Learn from an outcome; return why the submit gate closed, if it did."""
        gate = self.gates[GateName.SUBMIT]
        with self._lock:
            self._run, why = after(self._run, outcome, recording_n)
            if why is not None:
                self._run = Run()
            if outcome.kind is Kind.ACCEPTED:
                self._submission_pace = rate.speed_up(self._submission_pace)
            elif outcome.cause is Cause.RATE_SECOND:
                self._slow_submissions(outcome.retry_at)
        if why is not None:
            until = outcome.retry_at or (self.resets_at() if why is Why.DAILY_LIMIT else None)
            gate.close(why, until=until, by_probe=is_probe)
        elif outcome.kind is Kind.ACCEPTED:
            if is_probe or gate.why is not Why.DAILY_LIMIT:
                gate.passed()  # an answer from before says nothing about a day that is used up
        elif is_probe:
            self._undecided(gate, outcome)
        return why

    @staticmethod
    def _undecided(gate: Gate, outcome: Outcome) -> None:
        """A probe that met something else: what it was probed for keeps the gate closed."""
        still = gate.why
        if still is None:
            gate.probe_undecided()
        elif outcome.cause is Cause.RECORDING and still is not Why.EQUAL_REFUSALS:
            gate.passed()  # the account is let in again; this recording has a fault of its own
        else:
            gate.close(still, by_probe=True)

    def _slow_submissions(self, retry_at: datetime | None) -> None:
        pause = rate.CALM_SECONDS
        if retry_at is not None:
            pause = min(MAX_PAUSE_SECONDS, max(0.0, (retry_at - self._clock.now()).total_seconds()))
        self._submission_pace = rate.slow_down(self._submission_pace, self._clock.monotonic(), pause_seconds=pause)

    def saw_read(self, error: UploaderError | None) -> None:
        """Learn from a read: None when it went well."""
        with self._lock:
            if error is None:
                self._read_pace = rate.speed_up(self._read_pace)
            elif isinstance(error, RateLimited):
                pause = rate.CALM_SECONDS
                if error.until is not None:
                    left = (error.until - self._clock.now()).total_seconds()
                    pause = min(MAX_PAUSE_SECONDS, max(0.0, left))
                self._read_pace = rate.slow_down(self._read_pace, self._clock.monotonic(), pause_seconds=pause)

    def saw_refusal(self, error: UploaderError, *, probed: GateName | None = None) -> None:
        """Close the gate of the service that refused or cannot be reached; `probed` is the one that was tried."""
        found = _gate_of(error)
        if found is None:
            return
        name, why, message = found
        until = error.until if isinstance(error, RateLimited) else None
        self.gates[name].close(why, message=message, until=until, by_probe=probed is name)
        if probed is not None and probed is not name:
            self.gates[probed].passed()  # what was probed has answered; it is another that refuses


def _gate_of(error: UploaderError) -> tuple[GateName, Why, str] | None:
    """Return the gate that an error closes, why, and the sentence where the reason's own does not say it."""
    if isinstance(error, ServiceRefusal):
        why = Why(error.reason)
        store = why.value.startswith("store_")
        return GateName.STORE if store else GateName.TOKEN if why is Why.CREDENTIALS else GateName.SUBMIT, why, ""
    if isinstance(error, StoreUnavailable):
        return GateName.STORE, Why.STORE_UNREACHABLE, ""
    if isinstance(error, TokenUnavailable):
        return GateName.TOKEN, Why.UNREACHABLE, "the token endpoint cannot be reached"
    if isinstance(error, RateLimited):
        return GateName.TOKEN, Why.UNREACHABLE, "the token endpoint asks us to wait"
    return None
