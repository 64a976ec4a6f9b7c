"""The daemon's main thread: start, stay, stop. What it runs is the engine; what it is made of, the app."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import structlog

from uploader import __version__
from uploader.app.wiring import Wiring
from uploader.errors import LedgerError, LedgerFull, UploaderError
from uploader.ledger.ledger import Ledger
from uploader.platform.filesystem import has_room
from uploader.platform.sd_notify import Notifier
from uploader.service.engine import LEAST_FREE_BYTES, Engine
from uploader.service.operations.doubt import doubt_of
from uploader.service.supervisor import block_signals, wait_for_signal
from uploader.settings.model import Settings

log = structlog.get_logger()

INTERNAL_ERROR = 70
_TICK_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


def run(settings: Settings) -> int:
    """Run until a stop signal; return the exit code. Raises LedgerError, UsageError before it has started."""
    block_signals()
    notifier = Notifier(os.environ)
    while True:
        try:
            return _run(settings, notifier)
        except LedgerFull as error:
            log.error("ledger.full", why=str(error), hint=error.hint)  # noqa: TRY400 (a trace says nothing more)
            if not _has_room_again(Path(settings.ledger.path), notifier):
                return 0


def _run(settings: Settings, notifier: Notifier) -> int:
    stop = threading.Event()
    ledger = Ledger.open_for_sending(Path(settings.ledger.path))
    try:
        _tell_doubt(ledger)
        engine = Wiring(settings, ledger, stop=stop).engine()
    except BaseException:
        ledger.close()
        raise
    return _stay(engine, stop, notifier, settings)


def _tell_doubt(ledger: Ledger) -> None:
    """Log at each start, for as long as it matters, that the ledger was restored or is new where there was one."""
    doubt = doubt_of(ledger.path, now=datetime.now(UTC))
    if doubt is not None:
        since = None if doubt.since is None else doubt.since.isoformat()
        found = None if doubt.found is None else doubt.found.isoformat()
        log.warning("ledger.in_doubt", is_new=doubt.is_new, since=since, found=found)


def _has_room_again(ledger: Path, notifier: Notifier) -> bool:
    """Wait until the disk has room for more than what is under way; return False for a stop signal meanwhile."""
    notifier.status("waiting: the disk of the ledger is full")
    tick = min(_TICK_SECONDS, notifier.watchdog_interval_seconds or _TICK_SECONDS)
    while True:
        # Before READY systemd counts the time to start, after it whether we are alive.
        notifier.extend_timeout(_PATIENCE_SECONDS)
        notifier.watchdog()
        if wait_for_signal(tick):
            return False
        if has_room(ledger.parent, least_bytes=LEAST_FREE_BYTES):
            notifier.status("")
            return True


def _stay(engine: Engine, stop: threading.Event, notifier: Notifier, settings: Settings) -> int:
    in_time = False
    try:
        engine.start()
        notifier.ready()
        log.info("daemon.started", version=__version__, sources=len(settings.sources), workers=settings.run.workers)
        tick = min(_TICK_SECONDS, notifier.watchdog_interval_seconds or _TICK_SECONDS)
        while not stop.is_set() and not wait_for_signal(tick):
            engine.keep_house()
            if engine.is_healthy:
                notifier.watchdog()
    finally:
        notifier.stopping()
        notifier.extend_timeout(settings.run.stop_grace.total_seconds() + 30)
        log.info("daemon.stopping")
        in_time = engine.end()
    return _verdict(engine.failure, in_time=in_time)


def _verdict(failure: BaseException | None, *, in_time: bool) -> int:
    if failure is None:
        log.info("daemon.stopped", in_time=in_time)
        return 0
    if isinstance(failure, LedgerError):
        raise failure
    if isinstance(failure, UploaderError):
        log.error("daemon.failed", error=type(failure).__name__, why=str(failure))
    return INTERNAL_ERROR
