"""One thread that asks the service: unconfirmed recordings, analyses, and the probes of closed gates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from uploader.domain.gates import GateName, Why
from uploader.domain.recording import State
from uploader.domain.retry import RetryPolicy, next_delay
from uploader.errors import RateLimited, ServiceRefusal, TokenUnavailable, Unavailable, UploaderError
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.pipeline.listing import Stopped
from uploader.pipeline.reconcile import Reconciler
from uploader.pipeline.track import Tracker
from uploader.platform.clock import Clock
from uploader.service.governor import Governor
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient

log = structlog.get_logger()

_LONGEST_SECONDS = 1.0
_PROBE_SPAN = timedelta(hours=1)
_WAITED_FOR = frozenset({Why.DAILY_LIMIT, Why.RATE_LIMIT})
_ASKED = _WAITED_FOR | {Why.UNREACHABLE, Why.SERVER_ERRORS, Why.LISTING}
"""Closed for these, the gate of submissions needs no recording for a probe."""


class Prober:
    """Asks the cheapest question that a closed gate turns on."""

    def __init__(
        self,
        *,
        governor: Governor,
        client: ZoomClient,
        tokens: TokenKeeper,
        clock: Clock,
        selftest: Callable[[], bool] | None,
    ) -> None:
        self._governor = governor
        self._client = client
        self._tokens = tokens
        self._clock = clock
        self._selftest = selftest

    def run_once(self) -> None:
        """Probe the gates whose time has come."""
        gates = self._governor.gates
        if not gates[GateName.TOKEN].is_open and gates[GateName.TOKEN].admits_probe():
            self._probe_token()
        submit = gates[GateName.SUBMIT]
        if submit.why in _ASKED and submit.admits_probe():
            self._probe_listing(submit.why)
        store = gates[GateName.STORE]
        if store.why is Why.PUBLIC_URL and self._selftest is not None and store.admits_probe():
            if self._selftest():
                store.passed()
            else:
                store.close(Why.PUBLIC_URL, by_probe=True)

    def _probe_token(self) -> None:
        try:
            self._tokens.token()
        except UploaderError as error:
            self._governor.saw_refusal(error, probed=GateName.TOKEN)
        else:
            self._governor.gates[GateName.TOKEN].passed()

    def _probe_listing(self, why: Why | None) -> None:
        gate = self._governor.gates[GateName.SUBMIT]
        if why in _WAITED_FOR:
            if why is Why.DAILY_LIMIT:
                self._governor.reopen_day()
            gate.passed()
            return
        now = self._clock.now()
        try:
            self._client.list_interactions(start=now - _PROBE_SPAN, end=now, page_size=1, page_token=None)
        except ServiceRefusal:
            # The API answers for itself again; whether it takes submissions only one of them shows.
            gate.passed()
        except UploaderError:
            gate.close(why or Why.UNREACHABLE, by_probe=True)
        else:
            gate.passed()


class Follower:
    """The loop of the follower's thread."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reconciler: Reconciler,
        tracker: Tracker,
        prober: Prober,
        governor: Governor,
        clock: Clock,
        stop: threading.Event,
        retry: RetryPolicy,
    ) -> None:
        self._ledger = ledger
        self._reconciler = reconciler
        self._tracker = tracker
        self._prober = prober
        self._governor = governor
        self._clock = clock
        self._stop = stop
        self._retry = retry
        self._failures = 0
        self._not_before = 0.0
        self.problem = ""
        """Why the service cannot be asked just now; empty when it can."""

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._stop.is_set():
            self._prober.run_once()
            if self._clock.monotonic() >= self._not_before and self._governor.gates[GateName.TOKEN].is_open:
                self._ask()
            self._stop.wait(self._wait_seconds())

    def _ask(self) -> None:
        try:
            self._reconciler.run_once()
            self._tracker.run_once()
        except Stopped:
            return
        except (ServiceRefusal, Unavailable, RateLimited) as error:
            self._failed(error)
        else:
            self._failures = 0
            self._set_problem("")

    def _failed(self, error: UploaderError) -> None:
        """Wait longer with every failure in a row; submissions have their own gate."""
        if isinstance(error, TokenUnavailable) or (isinstance(error, ServiceRefusal) and error.reason == "credentials"):
            self._governor.saw_refusal(error)
        self._failures += 1
        delay = next_delay(self._retry, self._failures, 0.5).total_seconds()
        if isinstance(error, RateLimited) and error.until is not None:
            delay = max(delay, (error.until - self._clock.now()).total_seconds())
        self._not_before = self._clock.monotonic() + delay
        self._set_problem(str(error))
        log.warning("follower.failed", error=type(error).__name__, why=str(error), seconds=round(delay, 1))

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._ledger.books.set_notes({"tracking_problem": problem})

    def _wait_seconds(self) -> float:
        due = self._ledger.recordings.next_due((State.SUBMITTED,))
        waits = [_LONGEST_SECONDS]
        if due is not None:
            waits.append(max(0.0, (due - to_ms(self._clock.now())) / 1000))
        reconcile = self._reconciler.seconds_to_next()
        if reconcile is not None:
            waits.append(reconcile)
        if not self._governor.gates[GateName.TOKEN].is_open:
            return _LONGEST_SECONDS
        if self._not_before > self._clock.monotonic():
            return min(_LONGEST_SECONDS, self._not_before - self._clock.monotonic())
        return max(0.05, min(waits))
