"""Requests of unknown outcome: looked for in the listing, adopted, sent again, or held.

What is decided is in `domain.matching`; this gathers what the decision needs. A repeat is allowed
only when every open attempt of a recording is proved absent; a hold is provisional and judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog

from uploader.domain.echo import ECHO_FIELDS
from uploader.domain.lifecycle import Event
from uploader.domain.matching import Decision, Kind, Look, Open, decide
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.domain.visibility import Learned, belongs, proves_absence, wait_seconds
from uploader.domain.walk import Window, cover, windows_for
from uploader.errors import RowMoved
from uploader.ledger.attempts import OpenAttempt
from uploader.ledger.changes import ANY_CLAIM, change
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import from_ms, to_ms
from uploader.pipeline.case import Case, Pass, serves
from uploader.pipeline.listing import Listing, attempted_at
from uploader.platform.clock import Clock

log = structlog.get_logger()

EARLY_LOOKS_SECONDS = (1.0, 4.0, 15.0, 40.0)
"""Before the wait is over a look can only find; most lost answers are found by the first."""
HELD_LOOKS_SECONDS = (60.0, 300.0, 3600.0)
"""A hold is judged again after a minute, five minutes, then hourly, or when something was learned."""
CONTROL_DAYS = 30
_RANKS = {Kind.ADOPT: 0, Kind.HOLD: 1, Kind.SEND_AGAIN: 2}


class Reconciler:
    """Settles unconfirmed recordings. Used by one thread."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        listing: Listing,
        clock: Clock,
        wait_seconds: float,
        resubmit_unproven: bool,
        poll_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._listing = listing
        self._clock = clock
        self._configured_wait = wait_seconds
        self._resubmit_unproven = resubmit_unproven
        self._poll_ms = int(poll_seconds * 1000)
        self._known_since: dict[int, float] = {}
        """When this process first saw each attempt open: waits count in run time only."""
        self._judged_with: tuple[object, ...] | None = _gist(listing.learned)
        """What was known of the listing when all was last judged; None to judge all again."""

    def seconds_to_next(self) -> float | None:
        """Return when something is due; None when nothing is open."""
        now = to_ms(self._clock.now())
        cases = self._cases()
        dues = [case.row.due_at or now for case in cases if case.row.state is State.UNCONFIRMED]
        dues += [a.recheck_at for case in cases if case.is_watched for a in case.attempts if a.recheck_at]
        return max(0.0, (min(dues) - now) / 1000) if dues else None

    def run_once(self) -> int:
        """Look for what is due; return how many recordings were settled. Raises what the listing raises."""
        cases, now = self._cases(), to_ms(self._clock.now())
        learned = _gist(self._listing.learned) != self._judged_with
        due = [c for c in cases if c.row.state is State.UNCONFIRMED and (learned or (c.row.due_at or now) <= now)]
        watched = [c for c in cases if c.is_watched and any((a.recheck_at or now + 1) <= now for a in c.attempts)]
        if not due and not watched:
            return 0
        windows = cover([*self._wanted([*due, *watched]), *self._controls(due)])
        began = self._clock.monotonic()
        first = [self._read(window) for window in windows]
        second = [self._read(window) for window in windows]
        self._judged_with = _gist(self._listing.learned)
        # What is in flight may be what the listing shows. It is read first: once settled it is open, or has its id.
        flying = [Case(row=one.recording, attempts=(one.attempt,)) for one in self._ledger.attempts.in_flight()]
        # Read again what is open: an answer may have come while the listing was read.
        cases = [*self._cases(), *flying]
        wanted, settling = {c.row.n for c in due}, {c.row.n for c in watched}
        settled = sum(
            self._judge(case, cases, first, second, began)
            for case in cases
            if case.row.n in wanted and case.row.state is State.UNCONFIRMED
        )
        for case in cases:
            if case.row.n in settling and case.is_watched:
                self._recheck(case, cases, first, second)
        if settled:
            # What is taken now may be all that another one was held for: they are judged again.
            self._judged_with = None
        return settled

    def _read(self, window: Window) -> Pass:
        reading = self._listing.read(window)
        return Pass(reading=reading, known=tuple(self._listing.unshown_in(reading)))

    def _cases(self) -> list[Case]:
        found: dict[int, list[OpenAttempt]] = {}
        before, monotonic = self._known_since, self._clock.monotonic()
        self._known_since = {}
        for one in self._ledger.attempts.open_attempts():
            found.setdefault(one.recording.n, []).append(one)
            self._known_since[one.attempt.n] = before.get(one.attempt.n, monotonic)
        return [
            Case(
                row=group[0].recording,
                attempts=tuple(sorted((o.attempt for o in group), key=lambda a: a.number)),
            )
            for group in found.values()
        ]

    @staticmethod
    def _wanted(cases: Iterable[Case]) -> list[Window]:
        return [window for case in cases for window in case.windows]

    def _controls(self, due: Sequence[Case]) -> list[Window]:
        """Return windows of own acceptances that no listing has shown yet, while there is no proof without."""
        learned = self._listing.learned
        unproven = [c for c in due if not _could_be_proven(c, learned)]
        if not unproven:
            return []
        since = to_ms(self._clock.now()) - CONTROL_DAYS * 24 * 3600 * 1000
        fresh = self._ledger.attempts.unlisted(since=since, limit=3)
        return [
            window
            for one in fresh
            for window in windows_for(
                None if one.attempt.call_start is None else from_ms(one.attempt.call_start),
                attempted_at(one.attempt),
            )
        ]

    def _judge(self, case: Case, cases: list[Case], first: list[Pass], second: list[Pass], began: float) -> int:
        mine = set(case.windows)
        ours_first = [r for r in first if serves(r, mine)]
        ours_second = [r for r in second if serves(r, mine)]
        decision = self._decide(case, cases, ours_first, ours_second, began)
        try:
            return self._act(case, decision)
        except RowMoved:
            return 0

    def _decide(self, case: Case, cases: list[Case], first: list[Pass], second: list[Pass], began: float) -> Decision:
        """Decide for each body that was sent; a repeat needs all of them proved absent."""
        learned = self._listing.learned
        wait = wait_seconds(self._configured_wait, learned.lags_seconds)
        waited = all(began - self._known_since[a.n] >= wait for a in case.attempts)
        look = replace(self._look(case, cases, first, second), waited=waited)
        proofs = [_proof(case, one, (first, second), learned, wait) for one in case.opens]

        def strongest(look: Look) -> Decision:
            """The most that is known of any body: what is shown, then what forbids, then what is not proved."""
            decisions = [
                decide(one, replace(look, proof=proof), learned.echo)
                for one, proof in zip(case.opens, proofs, strict=True)
            ]
            return min(decisions, key=lambda one: (_RANKS[one.kind], one.reason is Reason.NO_PROOF))

        decision = strongest(look)
        if decision.kind is Kind.HOLD:
            settled = replace(look, rivals=_opens_of(case, [one for one in cases if not one.is_in_flight]))
            if strongest(settled).kind is Kind.ADOPT:
                # Only what is being sent just now contends: its answer decides, in a moment.
                return Decision(kind=Kind.HOLD, reason=Reason.LOOKING, candidates=decision.candidates)
        return self._unless_resubmitted(decision, look)

    def _unless_resubmitted(self, decision: Decision, look: Look) -> Decision:
        """Follow `on_unconfirmed = "resubmit"` where whole listings show nothing, but nothing is proved."""
        if self._resubmit_unproven and look.complete and look.waited and decision.reason is Reason.NO_PROOF:
            return Decision(kind=Kind.SEND_AGAIN, reason=Reason.NO_PROOF)
        return decision

    def _look(self, case: Case, cases: list[Case], first: list[Pass], second: list[Pass]) -> Look:
        shown = [tuple(one for r in passes for one in r.survey.listed) for passes in (first, second)]
        ids = {one.interaction_id for part in shown for one in part}
        seen = self._ledger.books.first_seen(ids)
        return Look(
            first=shown[0],
            second=shown[1],
            first_seen={id_: from_ms(at) for id_, at in seen.items()},
            claimed=self._ledger.attempts.own_ids(ids),
            rivals=_opens_of(case, cases),
            complete=bool(first) and all(r.survey.complete for r in (*first, *second)),
            proof=False,
            waited=False,
        )

    def _act(self, case: Case, decision: Decision) -> int:
        row, now = case.row, to_ms(self._clock.now())
        if decision.kind is Kind.ADOPT:
            self._ledger.attempts.tie(
                case.attempts[-1].n, str(decision.interaction_id), at=now, event=Event.MATCHED,
                track_at=now + self._poll_ms,
            )  # fmt: skip
            log.info("recording.matched", id=row.id, attempt=case.attempts[-1].number)
            return 1
        if decision.kind is Kind.SEND_AGAIN:
            proved = decision.reason is None
            how = "the listing does not have it" if proved else "on_unconfirmed = resubmit"
            self._ledger.recordings.clear(row, at=now, detail=how)
            log.warning("recording.to_be_sent_again", id=row.id, proved=proved)
            return 1
        self._hold(case, decision, now)
        return 0

    def _hold(self, case: Case, decision: Decision, now: int) -> None:
        row, reason = case.row, decision.reason or Reason.NO_PROOF
        held = None if reason is Reason.LOOKING else reason.value
        if held is not None and row.held != held:
            log.warning(
                "recording.held", id=row.id, source=row.source, reason=held, candidates=len(decision.candidates)
            )
        due = now + int(self._next_look_seconds(case, held is not None) * 1000)
        sentence = REASONS[reason][0]
        if decision.candidates:
            sentence += f" ({', '.join(decision.candidates[:5])})"
        looks = 0 if row.held is None and held is not None else row.looks + 1
        self._ledger.recordings.write(
            lambda db: change(
                db, row, claim=ANY_CLAIM, held=held, due_at=due, looks=looks, reason_code=reason.value, reason=sentence
            )
        )

    def _next_look_seconds(self, case: Case, is_held: bool) -> float:  # noqa: FBT001 (private)
        if is_held:
            looks = 0 if case.row.held is None else case.row.looks + 1
            return HELD_LOOKS_SECONDS[min(looks, len(HELD_LOOKS_SECONDS) - 1)]
        wait = wait_seconds(self._configured_wait, self._listing.learned.lags_seconds)
        elapsed = self._clock.monotonic() - max(self._known_since[a.n] for a in case.attempts)
        until_proof = max(0.05, wait - elapsed)
        early = next((s for s in EARLY_LOOKS_SECONDS if s > elapsed), wait)
        if elapsed >= wait:
            return EARLY_LOOKS_SECONDS[0]
        return min(until_proof, max(0.05, early - elapsed))

    def _recheck(self, case: Case, cases: list[Case], first: list[Pass], second: list[Pass]) -> None:
        """Look again for the open attempts of a recording that is settled: a second one is reported."""
        try:
            self._recheck_each(case, cases, first, second)
        except RowMoved:
            log.debug("recording.moved", id=case.row.id)

    def _recheck_each(self, case: Case, cases: list[Case], first: list[Pass], second: list[Pass]) -> None:
        mine = set(case.windows)
        ours = [r for r in first if serves(r, mine)], [r for r in second if serves(r, mine)]
        look = self._look(case, cases, *ours)
        now = to_ms(self._clock.now())
        decisions = [decide(one, look, self._listing.learned.echo) for one in case.opens]
        found = next((d for d in decisions if d.kind is Kind.ADOPT), None)
        for attempt in case.attempts:
            if (attempt.recheck_at or now + 1) > now:
                continue
            if found is not None and case.row.interaction_id is not None:
                self._ledger.attempts.report_double(attempt.n, str(found.interaction_id), at=now)
                log.error("recording.double", id=case.row.id, attempt=attempt.number)
                return
            if found is not None:
                self._ledger.attempts.tie(
                    attempt.n,
                    str(found.interaction_id),
                    at=now,
                    event=Event.LATE_ACCEPTED,
                    track_at=now + self._poll_ms,
                )
                log.warning("recording.late_accepted", id=case.row.id, attempt=attempt.number)
                return
            self._ledger.attempts.rechecked(attempt.n, at=now)


def _opens_of(case: Case, cases: Iterable[Case]) -> list[Open]:
    """Return every other recording's open requests, which may have made what the listing shows."""
    return [one for other in cases if other.row.n != case.row.n for one in other.opens]


def _proof(case: Case, one: Open, passes: tuple[list[Pass], list[Pass]], learned: Learned, wait: float) -> bool:
    """Say whether both passes would have shown every interaction that this body may have made."""
    return all(
        proves_absence(
            learned,
            start=one.sent.start_time,
            attempted_at=case.moments,
            walked=[found.reading.walked for found in part],
            known=[known for found in part for known in found.known],
            wait=wait,
        )
        for part in passes
    )


def _could_be_proven(case: Case, learned: Learned) -> bool:
    return all(
        any(belongs(learned, window=w, start=one.sent.start_time, created=moment) for w in case.windows)
        for one in case.opens
        for moment in case.moments
    )


def _gist(learned: Learned) -> tuple[object, ...]:
    """Return what of it can change a decision."""
    return (
        frozenset(axis for axis in learned.shown if learned.proven(axis)),
        frozenset(name for name in ECHO_FIELDS if learned.echo.proven(name)),
        learned.echo.offset_seconds,
    )
