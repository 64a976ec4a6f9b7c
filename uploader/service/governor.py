"""How fast and how much: turns, the day's budget, and what outcomes do to them and to the gates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain import budget, throttle
from uploader.domain.allowance import Allowance, Span
from uploader.domain.gates import SENTENCES, GateName, Run, Why, after
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.rate import Pacer, Turn
from uploader.domain.streak import Streak
from uploader.domain.throttle import Throttle
from uploader.errors import NotYet, RateLimited, ServiceRefusal, StoreUnavailable, TokenUnavailable, UploaderError
from uploader.ledger.books import Books
from uploader.ledger.rows import from_ms
from uploader.platform.clock import Clock
from uploader.service.gate import Gate
from uploader.service.lessons import Lessons

LEAD_SECONDS = 0.05
"""So long before its turn a recording is given to a worker, who waits for the rest: being handed over takes time."""
LONGEST_TURN_SECONDS = 2.0
"""Who would have to wait longer for a turn hands the recording back."""
LONGEST_PAUSE = timedelta(minutes=1)
"""A longer wait that the service asks for closes the gate, which says so and outlasts a restart."""
_SCARCE = 0.1
_OURS = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many a second the settings allow, and how many what was learned leaves of them."""

    limit_per_second: float
    pace_per_second: float


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
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_second = submissions_per_second
        self._per_day = submissions_per_day
        self._reads_per_second = reads_per_second
        self._books = books
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._submissions = Pacer(submissions_per_second)
        self._reads = Pacer(reads_per_second)
        self._admitted_seconds = clock.monotonic()
        """Until when the turns are spoken for that were promised but not taken yet."""
        self._under_way = 0
        self._lessons = Lessons(books, clock)
        self._throttle = self._remembered()
        self._read_throttle = Throttle()
        self._streak = Streak()
        self._run = Run()
        self.gates = gates
        self._set_rate()
        self._open_own_budget()

    def submission_wait(self) -> float:
        """Promise the next turn if it is near and return 0; else return the seconds until it may be asked for."""
        with self._lock:
            now = self._clock.monotonic()
            turn = self._next_seconds(now)
            if turn > now + LEAD_SECONDS:
                return turn - now - LEAD_SECONDS
            self._admitted_seconds = turn + self._submissions.interval_seconds
            return 0.0

    def seconds_to_submission(self) -> float:
        """Return the seconds until the next turn may be promised, without promising it."""
        with self._lock:
            now = self._clock.monotonic()
            return max(0.0, self._next_seconds(now) - now - LEAD_SECONDS)

    def take_turn(self) -> Turn:
        """Take a turn and wait for it. Raises NotYet when it is too far off: after a pause that was asked for."""
        with self._lock:
            now = self._clock.monotonic()
            self._set_rate()
            if self._submissions.next_seconds(now) > now + LONGEST_TURN_SECONDS:
                raise NotYet("the pace does not let a request go just now")
            turn = self._submissions.take(now)
        if turn.at_seconds > now:
            self._pause(turn.at_seconds - now)
        return turn

    def give_back(self, turn: Turn) -> None:
        """Say that nothing is sent in a turn."""
        with self._lock:
            self._submissions.give_back(turn)

    def submission_starts(self, turn: Turn) -> None:
        """Say that the request of a turn is about to be written."""
        with self._lock:
            self._under_way += 1
            self._submissions.started(turn, self._clock.monotonic())

    def submission_ended(self, turn: Turn) -> None:
        """Say that the request of a turn was answered, or has failed."""
        with self._lock:
            self._under_way -= 1
            self._submissions.ended(turn, self._clock.monotonic())

    def read_wait(self) -> float:
        """Take the next place for a read, and return the seconds to wait before it."""
        with self._lock:
            now = self._clock.monotonic()
            self._read_throttle = throttle.risen(self._read_throttle, now)
            self._reads.rate_per_second = self._reads_per_second * self._read_throttle.factor
            turn = self._reads.take(now)
            self._reads.ended(turn, turn.at_seconds)
            return turn.at_seconds - now

    def paces(self) -> dict[str, Pace]:
        """Return how fast submissions and reads may go just now."""
        with self._lock:
            self._set_rate()
            submissions, reads = self._submissions.rate_per_second, self._reads.rate_per_second
        return {
            "submission": Pace(limit_per_second=self._per_second, pace_per_second=submissions),
            "read": Pace(limit_per_second=self._reads_per_second, pace_per_second=reads),
        }

    def left_today(self) -> int | None:
        """Return how many submissions the day still has, by our budget and by what the service says; None: no end."""
        day = self.day()
        with self._lock:
            ends_at = self._lessons.today(day).ends_at
        if ends_at is None and not self._per_day:
            return None
        used = self._books.submissions(day)
        own = budget.remaining(used, self._per_day)
        theirs = None if ends_at is None else max(0, ends_at - used)
        return min(left for left in (own, theirs) if left is not None)

    @property
    def keeps_for_live(self) -> bool:
        """Whether what is left of the day's budget is kept for live recordings."""
        left = self.left_today() if self._per_day else None
        return left is not None and left <= budget.kept_for_live(self._per_day, self._clock.now())

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
            self._learn(outcome)
            news = self._lessons.due()
        if news is not None:
            self._lessons.save(news)
        if outcome.cause is Cause.RATE_SECOND and self._is_long(outcome.retry_at):
            why = Why.RATE_LIMIT
        if why is not None:
            gate.close(why, message=_TOLD.get(why, ""), until=self._until(why, outcome.retry_at), by_probe=is_probe)
        elif outcome.kind is Kind.ACCEPTED:
            if is_probe or gate.why not in {Why.DAILY_LIMIT, Why.RATE_LIMIT}:
                gate.passed()  # an answer from before says nothing about what is used up
        elif is_probe:
            self._undecided(gate, outcome)
        return why

    def reopen_day(self) -> None:
        """Take it that the service's day has begun anew: its time has come, or a person says so."""
        with self._lock:
            self._lessons.reopen_day(day=self.day())
            news = self._lessons.due()
        if news is not None:
            self._lessons.save(news)

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

    def saw_read(self, error: UploaderError | None) -> None:
        """Learn from a read: None when it went well."""
        with self._lock:
            now = self._clock.monotonic()
            if error is None:
                self._read_throttle = throttle.passed(self._read_throttle, now)
            elif isinstance(error, RateLimited):
                self._read_throttle = throttle.refused(self._read_throttle, now)
                self._reads.hold(now + self._pause_seconds(error.until))

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

    def _next_seconds(self, now: float) -> float:
        self._set_rate()
        return max(self._submissions.next_seconds(now), self._admitted_seconds)

    def _set_rate(self) -> None:
        """Let the least of what is configured, learned and left by refusals be in force."""
        known = self._lessons.limit_per_second()
        limit = self._per_second if not known else min(self._per_second, known)
        self._throttle = throttle.risen(self._throttle, self._clock.monotonic())
        self._submissions.rate_per_second = limit * self._throttle.factor

    def _remembered(self) -> Throttle:
        """Return what refusals have left of the rate before a restart, and what time has given back since."""
        known = self._lessons.today(self.day())
        age = max(0.0, (self._clock.now() - from_ms(known.factor_at)).total_seconds())
        return Throttle(factor=known.factor, slowed_at_seconds=self._clock.monotonic() - age)

    def _open_own_budget(self) -> None:
        """Go on when the budget that was used up has become larger, or its day is over."""
        gate = self.gates[GateName.SUBMIT]
        is_ours = gate.why is Why.DAILY_LIMIT and gate.message == SENTENCES[Why.DAILY_LIMIT][0]
        if is_ours and self.left_today() != 0:
            gate.passed()

    def _learn(self, outcome: Outcome) -> None:
        now, day = self._clock.monotonic(), self.day()
        if outcome.allowance is not None:
            self._hear(outcome.allowance, day=day, now=now)
        if outcome.cause is Cause.RATE_DAY:
            self._lessons.end_day(day=day, used=self._books.submissions(day))
        elif outcome.cause is Cause.RATE_SECOND:
            self._throttle = throttle.refused(self._throttle, now)
            self._submissions.hold(now + self._pause_seconds(outcome.retry_at))
        else:
            self._throttle = throttle.passed(self._throttle, now)
        if outcome.kind is Kind.ACCEPTED and (pace := self._streak.add(now)) is not None:
            self._lessons.note_pace(pace)
        self._lessons.note_factor(self._throttle.factor)

    def _hear(self, allowance: Allowance, *, day: str, now: float) -> None:
        is_daily = allowance.span is Span.DAY
        counted = self._books.submissions(day) - self._under_way if is_daily else 0
        self._lessons.hear(allowance, day=day, counted=counted)
        if is_daily or allowance.remaining is None or allowance.remaining > allowance.limit * _SCARCE:
            return
        if self._submissions.started_since(now - 1) < allowance.limit * _OURS:
            self._throttle = throttle.crowded(self._throttle, now)

    def _is_long(self, until: datetime | None) -> bool:
        return until is not None and until - self._clock.now() > LONGEST_PAUSE

    def _pause_seconds(self, until: datetime | None) -> float:
        if until is None:
            return throttle.CALM_SECONDS
        return max(0.0, min(until - self._clock.now(), LONGEST_PAUSE).total_seconds())

    def _until(self, why: Why, said: datetime | None) -> datetime | None:
        """Return when the gate may be tried again, if that is known; a day that is used up is not over at once."""
        if why is not Why.DAILY_LIMIT:
            return said
        reset = self.resets_at()
        return reset if said is None else max(said, min(reset, self._clock.now() + LONGEST_PAUSE))


_TOLD = {Why.DAILY_LIMIT: "the account's daily limit is used up: the service says so"}


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
    if isinstance(error, RateLimited) and not isinstance(error, NotYet):
        return GateName.TOKEN, Why.UNREACHABLE, "the token endpoint asks us to wait"
    return None
