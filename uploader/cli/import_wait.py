"""Seeing an import through: who sends it, how long to wait, what ends the waiting. Knows nothing of what was found."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from pathlib import Path

from uploader.app.values import SENDER_NOTE, import_roots, open_beside
from uploader.app.wiring import Wiring
from uploader.cli.common import Context
from uploader.cli.import_screen import Screen, hindrance_of
from uploader.cli.outlook import backfill_words
from uploader.cli.rendering import recordings
from uploader.domain import budget
from uploader.errors import LedgerBusy, SourceUnavailable, UploaderError
from uploader.ledger.books import GateRow
from uploader.ledger.discovery import ImportRow
from uploader.ledger.ledger import Ledger
from uploader.platform.clock import SystemClock
from uploader.service.engine import Engine
from uploader.service.imports.watch import Look, Wait, Watch
from uploader.service.operations.outlook import Outlook, outlook
from uploader.settings.model import Settings
from uploader.settings.order import ImportOrder
from uploader.sources.folder.scan import check_root

_TICK_SECONDS = 0.2
_ROOTS_SECONDS = 5.0
_GONE_SECONDS = 5.0
"""A daemon that is restarted is away for a moment."""

_HANDED_OVER = "Handed over to the running daemon; Ctrl-C only ends watching it."
_QUEUED = "Another import is being sent: this one goes on when that has ended."


class End(Enum):
    """How the waiting ended."""

    DONE = auto()
    INTERRUPTED = auto()
    REFUSED = auto()
    DAEMON_GONE = auto()
    OUR_TURN = auto()
    """Another import, which was the sender, has ended."""


class Interrupt(threading.Event):
    """Set once Ctrl-C or SIGTERM came; it is looked for whenever somebody asks."""

    def __init__(self, signals: frozenset[signal.Signals]) -> None:
        super().__init__()
        self._signals = signals

    def is_set(self) -> bool:
        """Say whether a signal came by now."""
        return self.pause(0)

    def pause(self, seconds: float) -> bool:
        """Wait, unless a signal came or comes; say whether it did. Main thread only."""
        if not super().is_set() and signal.sigtimedwait(self._signals, seconds) is not None:
            self.set()
        return super().is_set()


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Keep the signals that end an import for its main thread; those that are ignored (nohup) stay so."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    held = frozenset(s for s in wanted if signal.getsignal(s) is not signal.SIG_IGN)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield Interrupt(held)
    finally:
        while signal.sigtimedwait(held, 0) is not None:
            pass  # a second Ctrl-C came while it ended
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the waiting ended; `unfetched` recordings were still being served, `beside` a daemon went on."""

    end: End
    beside: bool = False
    gate: GateRow | None = None
    unfetched: int = 0


class Waiting:
    """Sends an import, or watches it being sent."""

    def __init__(
        self, context: Context, screen: Screen, settings: Settings, order: ImportOrder, wait: Wait,
        interrupt: Interrupt,
    ) -> None:  # fmt: skip
        self._context = context
        self._screen = screen
        self._settings = settings
        self._order = order
        self._wait = wait
        self._interrupt = interrupt
        self._clock = SystemClock()
        self._unreachable = ""
        self._roots_due = 0.0
        self._spent = ""

    def see_through(self, row: ImportRow) -> Ended:
        """Wait until nothing more will happen, as the sender or beside it. Raises UsageError, LedgerError."""
        while True:
            try:
                return self._send(row)
            except LedgerBusy:
                ended = self._follow(row)
            if ended.end is not End.OUR_TURN:
                return ended

    def watch(self, ledger: Ledger, row: ImportRow) -> Watch:
        """Return what looks at this import."""
        deadline = self._settings.tracking.analysis_deadline
        return Watch(ledger, import_n=row.n, name=row.name, clock=self._clock, deadline=deadline)

    def outlook(self, ledger: Ledger) -> Outlook:
        """Return what the pace and the day's budget permit just now."""
        allowed = self._settings.budget
        now, per_second, per_day = self._clock.now(), allowed.submissions_per_second, allowed.submissions_per_day
        return outlook(ledger, now=now, per_second=per_second, per_day=per_day)

    def _send(self, row: ImportRow) -> Ended:
        """Be the sender, for this import alone. Raises LedgerBusy when there is one."""
        stop = threading.Event()
        ledger = Ledger.open_for_sending(Path(self._settings.ledger.path))
        try:
            wiring = Wiring(self._settings, ledger, stop=stop, clock=self._clock)
            engine = wiring.engine(import_n=row.n, with_sources=False, with_web=False)
            for gate in wiring.governor.gates.values():
                # Whoever starts an import says that it can be tried.
                gate.probe_now()
        except BaseException:
            ledger.close()
            raise
        try:
            engine.start()
            self._screen.begin("sending", None)
            ended = self._stay(engine, stop, ledger, self.watch(ledger, row))
            self._screen.end()
            if not engine.is_idle:
                self._screen.note("Finishing what is under way…")
        finally:
            self._screen.end()
            engine.end()
        if isinstance(engine.failure, UploaderError):
            raise engine.failure
        if engine.failure is not None:
            raise RuntimeError("a thread of the import died") from engine.failure
        return ended

    def _stay(self, engine: Engine, stop: threading.Event, ledger: Ledger, watch: Watch) -> Ended:
        """Wait until nothing more will happen, or somebody ends it."""
        staging = self._settings.staging
        serves = staging is not None and staging.type == "builtin" and self._order.source.type == "folder"
        lifetime = staging.url_ttl if staging is not None else timedelta(0)
        while not stop.is_set():
            look = watch.look()
            is_settled = look.is_settled(self._wait) and engine.is_idle
            unfetched = watch.unfetched(lifetime) if is_settled and serves else 0
            self._show(ledger, look, unfetched)
            if is_settled and not unfetched:
                return Ended(end=End.DONE)
            if not is_settled and look.refusal is not None and engine.is_idle:
                return Ended(end=End.REFUSED, gate=look.refusal)
            if self._interrupt.pause(_TICK_SECONDS):
                return Ended(end=End.INTERRUPTED, unfetched=unfetched)
            engine.keep_house()
        return Ended(end=End.INTERRUPTED)

    def _follow(self, row: ImportRow) -> Ended:
        """Watch another process do it."""
        with closing(open_beside(self._settings)) as ledger:
            watch, told = self.watch(ledger, row), ""
            self._screen.begin("sending", None)
            try:
                last_seen = self._clock.monotonic()
                while True:
                    # Who sends is written just after it has become the sender: ask again each time.
                    alone = _sole_import(ledger)
                    look = watch.look()
                    self._show(ledger, look, 0)
                    runs, now = ledger.is_sender_running(), self._clock.monotonic()
                    last_seen = now if runs else last_seen
                    end = self._end_beside(look, is_daemon=alone is None, runs=runs, away_seconds=now - last_seen)
                    if end is not None:
                        return Ended(end=end)
                    if self._interrupt.pause(_TICK_SECONDS):
                        return Ended(end=End.INTERRUPTED, beside=alone is None)
                    told = self._tell_sender(told, _HANDED_OVER if alone is None else "" if alone == row.n else _QUEUED)
            finally:
                self._screen.end()

    def _end_beside(self, look: Look, *, is_daemon: bool, runs: bool, away_seconds: float) -> End | None:
        """Return how watching another process ends, if it does."""
        if not is_daemon:
            return None if runs else End.OUR_TURN
        if look.is_settled(self._wait):
            return End.DONE
        return End.DAEMON_GONE if away_seconds > _GONE_SECONDS else None

    def _tell_sender(self, told: str, sentence: str) -> str:
        if sentence and sentence != told:
            self._screen.note(sentence)
        return sentence

    def _show(self, ledger: Ledger, look: Look, unfetched: int) -> None:
        now = self._clock.monotonic()
        if now >= self._roots_due:
            self._roots_due = now + _ROOTS_SECONDS
            self._unreachable = self._unreachable_root()
        view = self.outlook(ledger)
        hindrance = hindrance_of(look, unreachable=self._unreachable, spent=self._spent_words(view))
        if unfetched and not hindrance:
            hindrance = (
                f"All is sent. Serving on until the service has fetched {recordings(unfetched)}; Ctrl-C is safe."
            )
        done = look.report.settled
        if self._wait is Wait.ANALYZED:
            done -= look.report.submitted - look.report.analyzed
        least = view.foretell_backfill(look.report.pending)
        self._screen.moved(look, hindrance, done=done, least_seconds=least.seconds if least else 0.0)

    def _spent_words(self, view: Outlook) -> str:
        """Return that what is left today is kept for live recordings; said once a day, not for each one set free."""
        if not view.is_nearly_spent:
            self._spent = ""
        elif not self._spent and view.backfill_at is not None:
            end = budget.resets_at(self._clock.now())
            self._spent = f"until {backfill_words(view.terms.left_today or 0, view.backfill_at, end)}"
        return self._spent

    def _unreachable_root(self) -> str:
        if self._order.source.type == "s3":
            return ""
        for root in import_roots(self._order):
            try:
                check_root(root)
            except SourceUnavailable as error:
                return str(error)
        return ""


def _sole_import(ledger: Ledger) -> int | None:
    """Return the import that the one sender sends alone; None when that is the daemon."""
    note = ledger.books.note(SENDER_NOTE)
    return int(note) if note else None


def daemon_runs(ledger: Ledger) -> bool:
    return ledger.is_sender_running() and _sole_import(ledger) is None
