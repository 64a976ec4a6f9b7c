"""`discard`: give recordings up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from uploader.cli.common import Context, common_options
from uploader.cli.output import emit_json
from uploader.cli.rendering import recordings


@click.command("discard")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
@common_options
def command(context: Context, ids: tuple[str, ...], reason: str) -> None:
    """Give recordings up: they stay in the ledger, and are not sent.

    Either all of them are given up, or, when one cannot be, none. The files are left alone.
    """
    from uploader.errors import UploaderError
    from uploader.service.operations import changes, opening, search

    settings = context.settings(need_secrets=False)
    with opening.existing(Path(settings.ledger.path)) as (ledger, _):
        rows = search.find_all(ledger, ids)
        if len(rows) > changes.ASK_ABOVE:
            context.confirm(f"This gives up {recordings(len(rows))}. Go on?")
        changed = changes.discard(ledger, rows, reason=reason, now=datetime.now(UTC))
    if context.json:
        emit_json(
            {"changed": changed.count, "left": [{"id": o.id, "state": o.state, "why": o.why} for o in changed.left]}
        )
    context.say(f"{recordings(changed.count)} discarded.")
    if changed.left:
        moved = ", ".join(one.id for one in changed.left)
        raise UploaderError(f"these changed meanwhile and were left: {moved}", hint="look at them, and repeat it")
