"""A gate: closed while a service refuses us as a whole, probed by one request, kept in the ledger."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from random import random

import structlog

from uploader.domain.gates import HALF_OPEN, SENTENCES, GateName, Why
from uploader.domain.retry import RetryPolicy, next_delay
from uploader.ledger.books import Books, GateRow
from uploader.ledger.rows import from_ms, to_ms
from uploader.platform.clock import Clock

log = structlog.get_logger()


class Gate:
    """One gate. Safe from any thread; every change is in the ledger before it takes effect."""

    def __init__(self, name: GateName, books: Books, clock: Clock, policy: RetryPolicy) -> None:
        self._books = books
        self._clock = clock
        self._policy = policy
        self._lock = threading.RLock()
        self._probing = False
        known = {row.name: row for row in books.gates()}
        self._row = known.get(name.value) or _open_row(name.value, failures=0)

    @property
    def why(self) -> Why | None:
        """Why it is closed; None when it is open."""
        with self._lock:
            return Why(self._row.reason) if self._row.reason else None

    @property
    def message(self) -> str:
        """What is said of why it is closed; empty when it is open."""
        with self._lock:
            return self._row.message

    @property
    def is_open(self) -> bool:
        """Whether work may pass freely."""
        return self.why is None

    @property
    def is_probing(self) -> bool:
        """Whether the place of the probe is taken."""
        with self._lock:
            return self._probing

    def admits_probe(self) -> bool:
        """Take the one place of a probe, if the time for it has come.

        `passed`, `close` by the probe, or `probe_undecided` gives it back.
        """
        with self._lock:
            due = self._row.probe_at is not None and to_ms(self._clock.now()) >= self._row.probe_at
            if self._row.reason is None or self._probing or not due:
                return False
            self._probing = True
            return True

    def admits_probe_by_sending(self) -> bool:
        """Take the place of a probe, if this is one that only sending a recording can make."""
        why = self.why
        return why is not None and why in HALF_OPEN and self.admits_probe()

    def seconds_to_probe(self) -> float | None:
        """Return how long until a probe is admitted; None when open."""
        with self._lock:
            if self._row.reason is None or self._row.probe_at is None:
                return None
            return max(0.0, (from_ms(self._row.probe_at) - self._clock.now()).total_seconds())

    def close(self, why: Why, *, message: str = "", until: datetime | None = None, by_probe: bool = False) -> None:
        """Close it, or keep it closed after a probe that failed (`by_probe`): only then the waits grow."""
        with self._lock:
            if by_probe:
                self._probing = False
            elif self._row.reason == why.value and until is None:
                return  # said by a request that was under way when it closed
            now = self._clock.now()
            failures = self._row.failures + 1 if by_probe else 1
            wait = next_delay(self._policy, failures, random()) if until is None else max(until - now, timedelta(0))
            sentence, hint = SENTENCES[why]
            was_open = self._row.reason is None
            self._put(
                GateRow(
                    name=self._row.name,
                    reason=why.value,
                    message=message or sentence,
                    hint=hint,
                    closed_at=self._row.closed_at if self._row.closed_at and not was_open else to_ms(now),
                    probe_at=to_ms(now + wait),
                    failures=failures,
                )
            )
        if was_open:
            log.warning(
                "gate.closed", gate=self._row.name, reason=why.value, probe_in_seconds=round(wait.total_seconds())
            )

    def passed(self) -> None:
        """Say that a request went through: the gate is open."""
        with self._lock:
            self._probing = False
            if self._row.reason is None:
                return
            self._put(_open_row(self._row.name, failures=0))
        log.info("gate.opened", gate=self._row.name)

    def probe_undecided(self) -> None:
        """Give the probe's place back: it said nothing about the gate."""
        with self._lock:
            self._probing = False

    def probe_now(self) -> None:
        """Let the next probe go at once: a person says that it is mended."""
        with self._lock:
            if self._row.reason is not None:
                self._put(
                    GateRow(
                        name=self._row.name, reason=self._row.reason, message=self._row.message,
                        hint=self._row.hint, closed_at=self._row.closed_at, probe_at=to_ms(self._clock.now()),
                        failures=0,
                    )
                )  # fmt: skip

    def _put(self, row: GateRow) -> None:
        self._books.put_gate(row)
        self._row = row


def _open_row(name: str, *, failures: int) -> GateRow:
    return GateRow(name=name, reason=None, message="", hint="", closed_at=None, probe_at=None, failures=failures)
