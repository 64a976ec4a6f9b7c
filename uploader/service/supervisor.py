"""Owns the threads: starts them, notices when one dies, and ends them in order before a deadline."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable

import structlog

from uploader.errors import UploaderError

log = structlog.get_logger()

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_AFTER_CUT_SECONDS = 10.0


def block_signals() -> None:
    """Keep the stop signals for `wait_for_signal`; call before any thread starts.

    A Python signal handler that sets an Event can deadlock a main thread waiting on it; a blocked
    signal that is waited for never did.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _heeded())


def wait_for_signal(timeout_seconds: float) -> bool:
    """Return whether a stop signal came within the time. Main thread only."""
    return signal.sigtimedwait(_heeded(), timeout_seconds) is not None


def _heeded() -> set[signal.Signals]:
    """Return the stop signals, without those that are ignored (`nohup`)."""
    return {number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}


class Supervisor:
    """Runs functions in threads until `stop` is set. The first one that raises stops all."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread of that name."""
        thread = threading.Thread(target=self._guarded, args=(name, target), name=name)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:  # noqa: BLE001 (it ends all)
            self.fail(name, error)
        else:
            if not self.stop.is_set():
                # No loop of ours ends by itself: something is wrong that did not raise.
                self.failure = self.failure or RuntimeError(f"the thread {name} ended by itself")
                self.stop.set()

    def fail(self, name: str, error: Exception) -> None:
        """Stop all for what went wrong in a thread of that name, or on its behalf."""
        if self.failure is None:
            self.failure = error
        log.error("thread.died", thread=name, error=type(error).__name__)
        if not isinstance(error, UploaderError):
            log.error("thread.trace", thread=name, exc_info=error)
        self.stop.set()

    def end(self, *, wake: Iterable[Callable[[], None]], cut: Callable[[], None], grace_seconds: float) -> bool:
        """Stop every thread: those that wait are woken, steps under way may finish within the grace.

        At the deadline `cut` breaks off what is under way; its rows stay `submitting`. Return
        whether all came to their end by themselves.
        """
        self.stop.set()
        for ring in wake:
            ring()
        in_time = self._join(time.monotonic() + grace_seconds)
        if not in_time:
            log.warning("stop.cut", threads=[t.name for t in self._threads if t.is_alive()])
            cut()
            self._join(time.monotonic() + _AFTER_CUT_SECONDS)
        return in_time

    def _join(self, deadline: float) -> bool:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)
