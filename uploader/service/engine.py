"""The engine: dispatcher, workers and follower around one ledger, for the daemon and for an import alone."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from uploader.domain.gates import GateName, Why
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.clock import Clock
from uploader.platform.filesystem import has_room
from uploader.service.dispatcher import Dispatcher
from uploader.service.follower import Follower
from uploader.service.governor import Governor
from uploader.service.scanner import Scanner, ring_all
from uploader.service.supervisor import Supervisor

log = structlog.get_logger()

LEAST_FREE_BYTES = 64 * 1024 * 1024
KEY_LIFE = timedelta(days=30)
_HOUR = 3600.0
_MINUTE = 60.0
_STALE_SECONDS = 60.0
_CYCLES = (700, 10, 10)
"""How many objects come before a search for cycles: Python's own numbers."""


class Server(Protocol):
    """What listens for others. What it serves asks the service, so the service does not know it."""

    def start(self) -> None:
        """Listen. Raises UsageError when the address cannot be listened on."""

    def stop(self, grace_seconds: float) -> None:
        """Take nothing new, and cut what is under way after the grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the app has put together."""

    ledger: Ledger
    governor: Governor
    dispatcher: Dispatcher
    follower: Follower
    scanners: Sequence[Scanner]
    servers: Sequence[Server]
    workers: int
    grace_seconds: float
    clock: Clock
    selftest: Callable[[], bool] | None
    cut: Callable[[], None]
    close: Callable[[], None]
    backups: Callable[[], None] | None = None
    """Runs until the stop; None: no backups are made."""


class Engine:
    """Starts, keeps house, and stops. One thread calls its methods."""

    def __init__(self, parts: Parts, stop: threading.Event) -> None:
        self._parts = parts
        self._supervisor = Supervisor(stop)
        self._stop = stop
        self._next_selftest = 0.0
        self._next_generation = 0.0
        self._submitted_before = 0
        self.started = False

    @property
    def failure(self) -> BaseException | None:
        """What a thread died of, if one did."""
        return self._supervisor.failure

    @property
    def is_healthy(self) -> bool:
        """Whether the dispatcher came round lately and nothing died."""
        beat_age = self._parts.clock.monotonic() - self._parts.dispatcher.beat
        return self.failure is None and beat_age < _STALE_SECONDS

    @property
    def is_idle(self) -> bool:
        """Whether no worker has anything in its hands."""
        return self._parts.dispatcher.busy == 0

    def start(self) -> None:
        """Sweep what an earlier process left, then start servers and threads. Raises UsageError for a port."""
        parts = self._parts
        # Loading is over: a cycle may hold 16 MiB of a copy that failed, and must not wait for many more.
        gc.set_threshold(*_CYCLES)
        parts.ledger.when_lost(partial(self._supervisor.fail, "ledger"))
        caught = parts.ledger.attempts.sweep(at=to_ms(parts.clock.now()), doubt=parts.ledger.doubt)
        if caught:
            log.warning("start.outcomes_unknown", count=caught)
        parts.ledger.books.set_notes({"clean": "0"})
        self._rotate_keys()
        for server in parts.servers:
            server.start()
        self._test_public_url()
        self.keep_house()
        self._supervisor.start("follower", parts.follower.run)
        for number in range(parts.workers):
            self._supervisor.start(f"worker-{number}", parts.dispatcher.work)
        self._supervisor.start("dispatcher", parts.dispatcher.run)
        for scanner in parts.scanners:
            self._supervisor.start(f"source-{scanner.name}", scanner.run)
        if parts.backups is not None:
            self._supervisor.start("backups", parts.backups)
        self.started = True

    def keep_house(self) -> None:
        """Do what is due once in a while: free disk, the public URL, the generation beside the ledger."""
        now = self._parts.clock.monotonic()
        self._watch_disk()
        if now >= self._next_selftest:
            self._next_selftest = now + _HOUR
            if self.started:
                self._rotate_keys()
                self._test_public_url()
        if now >= self._next_generation:
            self._next_generation = now + _MINUTE
            self._advance_generation()

    def end(self) -> bool:
        """Stop sources, claiming, workers, servers, the ledger last; return whether all ended in time."""
        parts = self._parts
        in_time = self._supervisor.end(
            wake=(parts.dispatcher.ring, lambda: ring_all(parts.scanners)),
            cut=parts.cut,
            grace_seconds=parts.grace_seconds,
        )
        for server in parts.servers:
            server.stop(min(5.0, parts.grace_seconds))
        try:
            if self.failure is None:
                parts.ledger.books.set_notes({"clean": "1"})
                parts.ledger.advance_generation()
        finally:
            # Whatever was said last: the writer's thread would keep the process alive.
            parts.ledger.close()
            parts.close()
        return in_time

    def _watch_disk(self) -> None:
        parts = self._parts
        gate = parts.governor.gates[GateName.DISK]
        full = not has_room(parts.ledger.path.parent, least_bytes=LEAST_FREE_BYTES)
        if full and gate.is_open:
            gate.close(Why.DISK_FULL)
        elif not full and not gate.is_open:
            gate.passed()
        if not full:
            parts.ledger.keep_reserve()
        parts.dispatcher.disk_is_full = full

    def _test_public_url(self) -> None:
        """Fetch a signed test file as the service would, through `public_url`."""
        gate = self._parts.governor.gates[GateName.STORE]
        if self._parts.selftest is None or self._parts.selftest():
            if gate.why is Why.PUBLIC_URL:
                gate.passed()
        elif gate.is_open:
            gate.close(Why.PUBLIC_URL)

    def _rotate_keys(self) -> None:
        """Have a signing key that is younger than a month; older ones still verify for a while."""
        books, now = self._parts.ledger.books, self._parts.clock.now()
        keys = books.signing_keys()
        if not keys or to_ms(now - KEY_LIFE) > keys[0].created_at:
            books.rotate_keys(at=to_ms(now), keep_since=to_ms(now - 3 * KEY_LIFE))

    def _advance_generation(self) -> None:
        """When something was submitted since, a copy of the ledger made before is recognised as older."""
        day = self._parts.governor.day()
        submitted = self._parts.ledger.books.submissions(day)
        if submitted != self._submitted_before and not self._parts.dispatcher.disk_is_full:
            self._parts.ledger.advance_generation()
            self._submitted_before = submitted
