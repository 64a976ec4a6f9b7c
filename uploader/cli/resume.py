"""`resume`: let held submissions go on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uploader.cli.common import Context, common_options
from uploader.cli.output import emit_json
from uploader.cli.pause import check, introduce, target
from uploader.cli.rendering import recordings

if TYPE_CHECKING:
    from uploader.service.operations.pausing import Pauses


@click.command("resume")
@target
@common_options
def command(context: Context, source: str | None, import_name: str | None) -> None:
    """Let submissions go on: all of them, those of SOURCE, or of one import.

    Without a name it ends the general pause, and what closed itself is tried at once; sources and imports
    that were paused by name stay so. With SOURCE it also releases what the first scan found beyond
    `backlog_limit`.
    """
    from uploader.service.operations import opening, pausing

    settings = context.settings(need_secrets=False)
    check(source, import_name)
    now, released = datetime.now(UTC), 0
    with opening.existing_or_new(Path(settings.ledger.path)) as ledger:
        if import_name is not None:
            done = f"Resumed: {recordings(pausing.resume_import(ledger, import_name, now=now))} of this import."
        elif source is not None:
            introduce(settings, ledger, source)
            paused, released = pausing.resume_source(ledger, source, now=now)
            done = f"Resumed: {recordings(paused)} were paused, {released:,} held since the first scan."
        else:
            pausing.resume_all(ledger, now=now)
            done = "Resumed: submission goes on, and closed gates are tried at once."
        pauses, runs = pausing.pauses(ledger), ledger.is_sender_running()
    if context.json:
        emit_json({"paused": False, "source": source, "import": import_name, "released": released})
    context.say(done)
    _tell_rest(context, pauses)
    if not runs:
        context.note("The daemon is not running.")


def _tell_rest(context: Context, pauses: Pauses) -> None:
    """Say what is still paused."""
    if pauses.everything:
        context.note("Everything is paused still: `qm-uploader resume` without a name ends that.")
    for name in pauses.sources:
        context.note(f"Source {name} is paused still: qm-uploader resume {name}")
    for name in pauses.imports:
        context.note(f"Import {name} is paused still: qm-uploader resume --import {name}")
