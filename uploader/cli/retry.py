"""`retry`: quarantined and refused recordings round again; unconfirmed ones looked for, or sent, again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, common_options
from uploader.cli.filters import filter_options, wanted
from uploader.cli.output import emit_json
from uploader.cli.rendering import print_aligned, recordings
from uploader.errors import UsageError

if TYPE_CHECKING:
    from uploader.ledger.ledger import Ledger
    from uploader.ledger.rows import RecordingRow
    from uploader.service.operations.changes import Changed, Manner
    from uploader.service.operations.search import Wanted

_NEEDS_ATTENTION = 1
_SHOWN = 20
_SECOND = (
    "This makes another interaction in Zoom for {count}, though there may be one already. "
    "A second one cannot be deleted by anybody. Go on?"
)
STOPPED = "The daemon is not running: it happens when it runs again."


@click.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options
@click.option("--send-again", is_flag=True, help="Unconfirmed: you are sure that they are not in Zoom; send them.")
@click.option("--new-interaction", is_flag=True, help="Overdue, duplicate or discarded: make a second interaction.")
@common_options
def command(context: Context, /, ids: tuple[str, ...], send_again: bool, new_interaction: bool, **options: Any) -> int:
    """Send quarantined and refused recordings round again, by ID or by the filters of `list`.

    Unconfirmed ones are looked for again, and sent again only with --send-again. With --new-interaction
    an overdue, duplicate or discarded one is sent whatever there is: that makes a second interaction in
    Zoom, which nobody can delete.
    """
    from uploader.service.operations import opening, search
    from uploader.service.operations.changes import Manner, retry

    asked, now = wanted(options), datetime.now(UTC)
    _check(ids, asked, send_again=send_again, new_interaction=new_interaction)
    settings = context.settings(need_secrets=False)
    late = search.overdue_before(now, settings.tracking.analysis_deadline)
    manner = Manner.NEW_INTERACTION if new_interaction else Manner.SEND_AGAIN if send_again else Manner.AGAIN
    with opening.existing(Path(settings.ledger.path)) as (ledger, _):
        names = [source.name for source in settings.sources]
        count, rows = _rows(ledger, ids, asked, late, names)
        _ask(context, count, manner)
        changed = retry(ledger, rows, manner=manner, now=now, overdue_before=late)
        runs = ledger.is_sender_running()
    _report(context, changed, manner, daemon_runs=runs)
    return _NEEDS_ATTENTION if changed.left else 0


def _check(ids: tuple[str, ...], asked: Wanted, *, send_again: bool, new_interaction: bool) -> None:
    if new_interaction and send_again:
        raise UsageError("--send-again and --new-interaction exclude each other", hint="see `qm-uploader retry --help`")
    if new_interaction and not ids:
        raise UsageError(
            "--new-interaction wants IDs", hint="what it makes cannot be deleted, so filters are not taken"
        )
    if ids and not asked.is_empty:
        raise UsageError("IDs and filters exclude each other", hint="give one or the other")
    if not ids and asked.is_empty:
        raise UsageError(
            "neither IDs nor filters say what to retry", hint="all that can be: --state quarantined,refused,unconfirmed"
        )


def _rows(
    ledger: Ledger, ids: tuple[str, ...], asked: Wanted, late: int, sources: list[str]
) -> tuple[int, Iterable[RecordingRow]]:
    from uploader.service.operations import changes, search

    if ids:
        found = search.find_all(ledger, ids)
        return len(found), found
    return changes.selection(ledger, search.filter_of(ledger, asked, overdue_before=late, sources=sources))


def _ask(context: Context, count: int, manner: Manner) -> None:
    from uploader.service.operations.changes import ASK_ABOVE, Manner

    if manner is Manner.NEW_INTERACTION:
        context.confirm(_SECOND.format(count=recordings(count)))
    elif count > ASK_ABOVE:
        context.confirm(f"This concerns {recordings(count)}. Go on?")


def _report(context: Context, changed: Changed, manner: Manner, *, daemon_runs: bool) -> None:
    if context.json:
        left = [{"id": one.id, "state": one.state, "why": one.why} for one in changed.left]
        emit_json({"changed": changed.count, "left": left})
        return
    for state, count in changed.counts.items():
        context.say(f"{recordings(count)}, {state}: {_done(state.value, manner)}")
    if not changed.count and not changed.left:
        context.say("Nothing to retry.")
    print_aligned([["left", one.id, one.state, one.why] for one in changed.left[:_SHOWN]])
    if len(changed.left) > _SHOWN:
        context.say(f"left  {len(changed.left) - _SHOWN:,} more")
    if changed.count and not daemon_runs:
        context.note(STOPPED)


def _done(state: str, manner: Manner) -> str:
    if manner.name == "NEW_INTERACTION":
        return "to be sent as a new interaction"
    if state != "unconfirmed":
        return "round again"
    return "to be sent again" if manner.name == "SEND_AGAIN" else "looked for again now"
