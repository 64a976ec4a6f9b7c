"""`doctor`: everything outside, looked at before it matters; each line ok, or how to mend it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from uploader.cli.common import Context, common_options
from uploader.cli.output import console, emit_json, printable
from uploader.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from uploader.service.doctor.report import Check, Finding
    from uploader.settings.load import LoadedSettings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
_SHOWN = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "-"}
_LEAST_COLUMNS = 60


@click.command("doctor")
@common_options
def command(context: Context) -> int:
    """Check everything outside: service, sources, staging, ledger, this machine.

    Nothing is submitted and nothing is written to a source; a small object is put into the staging
    bucket and deleted. Exit code 0 when nothing failed (a warning is no failure), 1 when something did,
    2 for a wrong configuration or another account's ledger, 4 when the service refuses us as a whole.
    """
    try:
        loaded = _load(context)
    except ConfigurationError as exc:
        if not context.json:
            raise
        emit_json(_wrong(exc))
        return exc.exit_code
    from uploader.cli.doctor_checks import Checklist
    from uploader.platform.clock import SystemClock
    from uploader.service.doctor.report import exit_code_of
    from uploader.service.doctor.runner import run_checks

    clock = SystemClock()
    checklist = Checklist(loaded, clock)
    checks = checklist.checks()
    found: dict[str, Finding] = {}
    try:
        with _progress(context, checks) as show:
            for check, finding in run_checks(checks, clock):
                found[check.name] = finding
                show(check, finding)
    finally:
        checklist.close()
    code = exit_code_of(list(found.values()))
    if context.json:
        emit_json({"checks": [_document(check.name, found[check.name]) for check in checks], "ok": code == 0})
    context.say(f"\n{_summary(list(found.values()))}")
    return code


def _load(context: Context) -> LoadedSettings:
    """Load what is in force; its warnings are the first check's business."""
    from uploader.settings.load import load

    return load(context.config, environ=os.environ, need_secrets=True)


def _wrong(error: ConfigurationError) -> dict[str, object]:
    problems = [f"{problem.field}: {problem.message}" for problem in error.problems]
    message = "; ".join([str(error), *problems])
    entry = {"name": "configuration", "status": "fail", "message": message, "hint": error.hint}
    return {"checks": [entry], "ok": False}


class _Show:
    """Writes each check's line, in the order of the checks: one that is there early waits for those before it."""

    def __init__(self, context: Context, checks: list[Check]) -> None:
        self._context = context
        self._checks = deque(checks)
        self._found: dict[str, Finding] = {}
        self._width = max(len(check.name) for check in checks)
        self._columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0

    def __call__(self, check: Check, finding: Finding) -> None:
        """Take what a check has found, and write the lines whose turn has come."""
        if self._context.json:
            return
        self._found[check.name] = finding
        while self._checks and self._checks[0].name in self._found:
            following = self._checks.popleft()
            self._write(following, self._found.pop(following.name))

    def _write(self, check: Check, finding: Finding) -> None:
        status = finding.status.value
        label = click.style(f"{_SHOWN[status]:<4}", fg=_COLOURS[status], bold=status == "fail")
        indent = 4 + 2 + self._width + 2
        message = self._folded(printable(finding.message), indent)
        click.echo(f"{label}  {printable(check.name):<{self._width}}  {message}", color=self._color())
        if finding.hint:
            click.echo(f"{'':{indent}}hint: {self._folded(printable(finding.hint), indent + 6)}")

    def _color(self) -> bool | None:
        return None if self._context.color else False

    def _folded(self, text: str, indent: int) -> str:
        """Break text into lines that stand below each other, on a terminal that is wide enough for it."""
        if self._columns < max(_LEAST_COLUMNS, indent + 30):
            return text
        lines = textwrap.wrap(text, self._columns - indent, break_on_hyphens=False, break_long_words=False)
        return f"\n{'':{indent}}".join(lines)


@contextlib.contextmanager
def _progress(context: Context, checks: list[Check]) -> Iterator[_Show | _Waiting]:
    show = _Show(context, checks)
    screen = console(color=context.color)
    if context.json or not screen.is_terminal or screen.is_dumb_terminal:
        yield show
        return
    with _Waiting(show, screen, [check.name for check in checks]) as waiting:
        yield waiting


class _Waiting:
    """Says below the lines, on a terminal, what is still being waited for."""

    def __init__(self, show: _Show, screen: Console, names: list[str]) -> None:
        self._show = show
        self._names = names
        self._screen = screen
        self._status = screen.status(self._text())

    def __enter__(self) -> _Waiting:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, check: Check, finding: Finding) -> None:
        self._names.remove(check.name)
        # stopped while a line is written by other means
        self._status.stop()
        self._show(check, finding)
        if self._names:
            self._status.update(self._text())
            self._status.start()

    def _text(self) -> str:
        text = f"checking {', '.join(self._names)}"
        room = max(20, self._screen.width - 6)
        return text if len(text) <= room else f"{text[: room - 1]}…"


def _document(name: str, finding: Finding) -> dict[str, str]:
    return {"name": name, "status": finding.status.value, "message": finding.message, "hint": finding.hint}


def _summary(findings: list[Finding]) -> str:
    counts = {status: sum(finding.status.value == status for finding in findings) for status in _SHOWN}
    parts = [f"{counts['ok']} ok"]
    parts += [f"{counts['warn']} with a warning"] if counts["warn"] else []
    parts += [f"{counts['fail']} failed"] if counts["fail"] else []
    parts += [f"{counts['skip']} not made"] if counts["skip"] else []
    return f"{len(findings)} checks: {', '.join(parts)}."
