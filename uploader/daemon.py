"""The daemon's main thread: start, stay, stop. What it runs is the engine; what it is made of, the app."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import structlog

from uploader import __version__
from uploader.app.wiring import Wiring
from uploader.errors import LedgerError, UploaderError
from uploader.ledger.ledger import Ledger
from uploader.platform.sd_notify import Notifier
from uploader.service.engine import Engine
from uploader.service.supervisor import block_signals, wait_for_signal
from uploader.settings.model import Settings

log = structlog.get_logger()

INTERNAL_ERROR = 70
_TICK_SECONDS = 1.0


def run(settings: Settings) -> int:
    """Run until a stop signal; return the exit code. Raises LedgerError, UsageError before it has started."""
    block_signals()
    stop = threading.Event()
    notifier = Notifier(os.environ)
    ledger = Ledger.open_for_sending(Path(settings.ledger.path))
    try:
        engine = Wiring(settings, ledger, stop=stop).engine()
    except BaseException:
        ledger.close()
        raise
    return _stay(engine, stop, notifier, settings)


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
