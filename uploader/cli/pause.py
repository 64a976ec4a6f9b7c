"""`pause`: hold submissions, of everything, a source or an import."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from uploader.cli.common import Context, common_options
from uploader.cli.output import emit_json
from uploader.errors import UsageError

if TYPE_CHECKING:
    from uploader.ledger.ledger import Ledger
    from uploader.settings.model import Settings

P = ParamSpec("P")
R = TypeVar("R")


def target(command: Callable[P, R]) -> Callable[P, R]:
    """Give `command` what pausing and resuming aim at: nothing, a source, or an import."""
    command = click.option("--import", "import_name", metavar="NAME", help="An import, instead of a source.")(command)
    return click.argument("source", required=False)(command)


@click.command("pause")
@target
@common_options
def command(context: Context, source: str | None, import_name: str | None) -> None:
    """Hold submissions: all of them, those of SOURCE, or of one import.

    It is kept across restarts, until `resume`. What is submitted is followed all the same; a request that
    is under way is finished.
    """
    from uploader.service.operations import opening, pausing

    settings = context.settings(need_secrets=False)
    check(source, import_name)
    now = datetime.now(UTC)
    with opening.existing_or_new(Path(settings.ledger.path)) as ledger:
        if import_name is not None:
            pausing.pause_import(ledger, import_name, now=now)
            done = f"Paused: nothing of this import is submitted until `qm-uploader resume --import {import_name}`."
        elif source is not None:
            introduce(settings, ledger, source)
            pausing.pause_source(ledger, source, now=now)
            done = f"Paused: nothing of this source is submitted until `qm-uploader resume {source}`."
        else:
            pausing.pause_all(ledger, now=now)
            done = "Paused: nothing is submitted until `qm-uploader resume`."
    if context.json:
        emit_json({"paused": True, "source": source, "import": import_name})
    context.say(done)


def check(source: str | None, import_name: str | None) -> None:
    """Raise UsageError when both a source and an import are named."""
    if source is not None and import_name is not None:
        raise UsageError("SOURCE and --import exclude each other", hint="name one of them")


def introduce(settings: Settings, ledger: Ledger, name: str) -> None:
    """Make a source known to the ledger that is configured but was never scanned."""
    configured = next((one for one in settings.sources if one.name == name), None)
    if configured is None or any(row.name == name for row in ledger.discovery.sources()):
        return
    from uploader.app.values import register
    from uploader.platform.clock import SystemClock

    register(ledger, configured, SystemClock())
