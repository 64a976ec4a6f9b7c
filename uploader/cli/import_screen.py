"""What an import shows: its plan, how far it is, what holds it up, and what became of it. Decides nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uploader.cli.common import Context
from uploader.cli.output import emit_json, human_duration, human_size, human_time, print_table
from uploader.cli.rendering import recordings
from uploader.domain.gates import Why
from uploader.domain.reasons import REASONS, Reason
from uploader.service.imports.watch import Pause
from uploader.settings.model import BudgetSettings

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from uploader.ledger.books import GateRow
    from uploader.service.imports.plan import Plan
    from uploader.service.imports.report import Report
    from uploader.service.imports.watch import Look
    from uploader.service.operations.outlook import Outlook

_LINE_SECONDS = 10.0
_HERE = {
    Reason.SIDECAR_MISSING: "there is no sidecar beside it",
    Reason.MEDIA_INCOMPLETE: "its container is not complete",
    Reason.FILE_VANISHED: "the file was gone before it was sent",
}
"""What reads differently where nothing is waited for."""
_ATTENTION = ("quarantined", "refused", "unconfirmed")


class Screen:
    """Speaks while an import runs: a bar on a terminal, a line now and then in a pipe, nothing with -q."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told = ""
        self._next_line = time.monotonic() + _LINE_SECONDS
        self._began: tuple[float, int] | None = None
        self._least_seconds = 0.0

    @property
    def draws(self) -> bool:
        """Whether there is a terminal to draw a bar on."""
        return sys.stderr.isatty() and not (self._context.quiet or self._context.verbose)

    def note(self, text: str) -> None:
        """Say something above the bar."""
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            self._context.note(text)

    def begin(self, what: str, total: int | None) -> None:
        """Begin a phase: `total` is None while it is not known."""
        self.end()
        self._began = None
        self._least_seconds = 0.0
        if self.draws:
            self._bar = _new_bar(color=self._context.color)
            self._task = self._bar.add_task(what, total=total, told="", least=0.0)
            self._bar.start()

    def end(self) -> None:
        """End the phase."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def counted(self, count: int, what: str) -> None:
        """Show how far a phase is that only counts."""
        self._update(count, None, what)

    def moved(self, look: Look, hindrance: str, *, done: int, least_seconds: float = 0.0) -> None:
        """Show how far sending is; say what holds it up, when that is something else than before.

        `least_seconds`: sooner than this it cannot end, whatever its pace of late.
        """
        self._least_seconds = least_seconds
        report = look.report
        if hindrance != self._told:
            self._told = hindrance
            if hindrance:
                self.note(hindrance)
        parts = [f"{report.submitted:,} sent"]
        parts += [f"{getattr(report, n):,} {n}" for n in ("analyzed", *_ATTENTION, "duplicate") if getattr(report, n)]
        self._update(done, report.discovered, ", ".join(parts))

    def _update(self, done: int, total: int | None, told: str) -> None:
        if self._bar is not None and self._task is not None:
            if total is not None:
                self._bar.update(self._task, total=total)
            self._bar.update(self._task, completed=done, told=told, least=self._least_seconds)
            return
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
        if now >= self._next_line:
            self._next_line = now + _LINE_SECONDS
            self._context.note(_line(self._began, now, done, total, told, self._least_seconds))

    def plan(self, plan: Plan, budget: BudgetSettings, view: Outlook) -> None:
        """Say what was found and what it will take."""
        say = self._context.say
        say(f"Found {recordings(plan.recordings)}, {human_size(plan.size_bytes)}.")
        if plan.passed_over:
            self.note(f"warning: {_folders(plan.passed_over)} could not be read and is left out")
        if plan.requests:
            per_second, per_day = view.limits.learned_per_second, view.terms.per_day
            pace = f"{per_second or budget.submissions_per_second:g} a second"
            pace += f" and {per_day:,} a day" if per_day is not None else ""
            left = view.terms.left_today
            kept = ", kept for live recordings" if left and view.backfill_at is not None else ""
            pace += f" ({left:,} left today{kept})" if left is not None else ""
            requests = "1 request" if plan.requests == 1 else f"{plan.requests:,} requests"
            takes = view.foretell_backfill(plan.requests)
            at_least = f": at least {_spoken(takes.seconds)}" if takes is not None else ""
            say(f"At most {requests}{at_least} at {pace}.")

    def report(self, name: str, report: Report, reasons: Iterable[tuple[str, str, int]]) -> None:
        """Print what became of all of them, why, and what to do next."""
        if self._context.json:
            return
        say = self._context.say
        say(f"\nImport {name}")
        rows = [("found", report.discovered, ""), ("submitted", report.submitted, f"{report.analyzed:,} analyzed")]
        for what in ("duplicate", "quarantined", "refused", "unconfirmed", "skipped", "discarded", "pending"):
            rows.append((what, getattr(report, what), ""))
        shown = [row for row in rows if row[1] or row[0] in {"found", "submitted"}]
        print_table(("", "recordings", "of them"), [(a, f"{b:,}", c) for a, b, c in shown], color=self._context.color,
                    right=("recordings",))  # fmt: skip
        self.reasons(reasons)
        for line in _next_steps(name, report):
            say(line)

    def rehearsed(
        self, name: str, plan: Plan, sent: Plan, report: Report, reasons: Iterable[tuple[str, str, int]]
    ) -> None:
        """Print what would happen to all that was found."""
        if plan.passed_over:
            self.note(f"warning: {_folders(plan.passed_over)} could not be read and is left out")
        if self._context.json:
            return
        say = self._context.say
        say(f"Import {name}, if it were sent ({human_size(sent.size_bytes)}):")
        named = {"pending": "would be sent", "submitted": "sent before"}
        numbers = {k: v for k, v in report.document().items() if k not in {"discovered", "analyzed"}}
        rows = [("found", report.discovered), *((named.get(k, k), v) for k, v in numbers.items() if v)]
        print_table(("", "recordings"), [(a, f"{b:,}") for a, b in rows], color=self._context.color,
                    right=("recordings",))  # fmt: skip
        self.reasons(reasons)
        say("Nothing was sent or written. `qm-uploader explain` shows a recording field by field.")

    def reasons(self, reasons: Iterable[tuple[str, str, int]]) -> None:
        """Print state, reason, how many, and what it means."""
        rows = [(state, code, f"{count:,}", _meaning(Reason(code))) for state, code, count in reasons]
        if rows and not self._context.json:
            if not sys.stdout.isatty():
                self._context.say()
            columns = ("state", "reason", "recordings", "meaning")
            print_table(columns, rows, color=self._context.color, right=("recordings",))

    def document(self, document: dict[str, Any]) -> None:
        """Print the one document of `--json`."""
        if self._context.json:
            emit_json(document)


def reason_documents(reasons: Iterable[tuple[str, str, int]]) -> list[dict[str, Any]]:
    """Return reasons for `--json`."""
    return [{"state": state, "reason_code": code, "count": count} for state, code, count in reasons]


def hindrance_of(look: Look, *, unreachable: str = "", spent: str = "") -> str:
    """Return what holds an import up, in a sentence; empty when nothing does.

    `spent` says that nothing is left of the day for it, and until when.
    """
    if look.paused is Pause.EVERYTHING:
        return "Paused: everything is held until `qm-uploader resume`."
    if look.paused is Pause.IMPORT:
        return "Paused: this import is held until `qm-uploader resume --import` with its name."
    if unreachable:
        return f"Waiting: {unreachable}."
    sentences = [_gate(gate) for gate in look.gates]
    if not sentences and spent and look.report.pending:
        return f"Waiting: {spent}."
    if not sentences and look.report.unconfirmed and not look.report.pending:
        count = recordings(look.report.unconfirmed)
        return f"Waiting: the outcome of {count} is unknown; the listing is being searched."
    return " ".join(sentences)


def _gate(gate: GateRow) -> str:
    if gate.reason == Why.DAILY_LIMIT and gate.probe_at is not None:
        again = human_time(datetime.fromtimestamp(gate.probe_at / 1000, UTC))
        return f"Waiting: {gate.message}. It goes on at {again}."
    return f"Waiting: {gate.message}; {gate.hint}."


def _new_bar(*, color: bool) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from uploader.cli.output import console

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _speed_column(),
        _left_column(),
        TextColumn("{task.fields[told]}"),
        console=console(color=color, stderr=True),
        transient=True,
        speed_estimate_period=30,
    )


def _speed_column() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        """Recordings a second."""

        def render(self, task: Task) -> Text:
            """Show the speed of late."""
            return Text("" if task.speed is None else f"{task.speed:,.1f}/s")

    return Speed()


def _left_column() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Left(ProgressColumn):
        """How long it still takes: by the pace of late, and no less than the day's budget demands."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            """Show the longer of the two."""
            least = task.fields["least"]
            seconds = max(task.time_remaining or 0.0, least)
            return Text("" if not seconds or task.finished else _spoken(seconds))

    return Left()


def _line(
    began: tuple[float, int], now: float, done: int, total: int | None, told: str, least_seconds: float = 0.0
) -> str:
    if total is None:
        return f"{done:,} {told}"
    rate = (done - began[1]) / max(0.001, now - began[0])
    left_seconds = max((total - done) / rate if rate > 0 else 0.0, least_seconds)
    left = f", about {_spoken(left_seconds)} left" if left_seconds else ""
    return f"{done:,} of {total:,}: {told}; {rate:.1f}/s{left}"


def _meaning(reason: Reason) -> str:
    return _HERE.get(reason) or REASONS[reason][0]


def _spoken(seconds: float) -> str:
    return human_duration(max(1, round(seconds)))


def _folders(count: int) -> str:
    return "a folder" if count == 1 else f"each of {count:,} folders"


def _next_steps(name: str, report: Report) -> Iterable[str]:
    attention = [what for what in _ATTENTION if getattr(report, what)]
    if attention:
        yield f"Which ones: qm-uploader list --import {name} --state {','.join(attention)}"
    if report.quarantined or report.refused:
        yield f"Once they are mended: qm-uploader retry --import {name}"
    if report.pending or report.unconfirmed:
        yield "The same command goes on with what is left, and so does `qm-uploader run`."
        yield f"To hold it: qm-uploader pause --import {name}"
