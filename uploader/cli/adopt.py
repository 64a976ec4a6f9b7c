"""`adopt`: tie a recording to the interaction that a person has seen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from uploader.cli.common import Context, common_options
from uploader.cli.output import emit_json
from uploader.cli.rendering import recording_document


@click.command("adopt")
@click.argument("id_", metavar="ID")
@click.argument("interaction_id")
@common_options
def command(context: Context, id_: str, interaction_id: str) -> None:
    """Say that the recording ID is the interaction INTERACTION_ID, which you have seen in Zoom.

    It is then followed like any other. The id is taken as it stands, nothing is asked of the service, and it
    cannot be taken back: look twice.
    """
    from uploader.service.operations import changes, opening

    settings = context.settings(need_secrets=False)
    with opening.existing(Path(settings.ledger.path)) as (ledger, _):
        after = changes.adopt(ledger, id_, interaction_id, now=datetime.now(UTC))
    if context.json:
        emit_json(recording_document(after))
    context.say(f"{after.id} is submitted: its analysis is awaited.")
