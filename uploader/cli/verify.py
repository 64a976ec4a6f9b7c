"""`verify`: the books, the ledger against itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uploader.cli.common import Context, reading_options
from uploader.cli.output import emit_json
from uploader.cli.rendering import NO_LEDGER, recordings, styled
from uploader.errors import UsageError

if TYPE_CHECKING:
    from uploader.service.operations.verification import Verified

_NEEDS_ATTENTION = 1


@click.command("verify")
@click.option("--remote", is_flag=True, hidden=True)
@click.option("--staging", is_flag=True, hidden=True)
@reading_options
def command(context: Context, remote: bool, staging: bool) -> int:
    """Check the books: one state a recording, sums that add up, each interaction once.

    Works beside a running daemon and changes nothing. Exit code 1 when anything is off.
    """
    from uploader.service.operations import opening, verification

    if remote or staging:
        flag = "--remote" if remote else "--staging"
        raise UsageError(f"{flag} is not supported in this version", hint="`verify` without flags checks the books")
    settings = context.settings(need_secrets=False)
    with opening.existing(Path(settings.ledger.path)) as (ledger, exists):
        verified = verification.verify(ledger, now=datetime.now(UTC))
    if context.json:
        checks = [
            {"name": c.name, "ok": c.ok, "message": c.message, "count": c.count, "ids": c.ids} for c in verified.checks
        ]
        emit_json({"ok": verified.ok, "recordings": verified.recordings, "checks": checks})
    elif not exists:
        context.say(NO_LEDGER)
    else:
        _print(context, verified)
    return 0 if verified.ok else _NEEDS_ATTENTION


def _print(context: Context, verified: Verified) -> None:
    for check in verified.checks:
        mark = styled("ok ", "green", color=context.color) if check.ok else styled("off", "red", color=context.color)
        ids = f": {', '.join(check.ids)}{', …' if check.count > len(check.ids) else ''}" if check.ids else ""
        context.say(f"{mark}  {check.message}" if check.ok else f"{mark}  {check.count:,} {check.message}{ids}")
    context.say(f"{recordings(verified.recordings)} in the ledger.")
