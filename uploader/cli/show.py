"""`show`: one recording with its whole history, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, complete_path, reading_options
from uploader.cli.output import emit_json, human_duration, human_size, human_time, print_table, printable
from uploader.cli.rendering import print_aligned, print_pairs, recording_document, state_style, styled

if TYPE_CHECKING:
    from uploader.service.operations.search import Account, Remedy
    from uploader.service.operations.views import AttemptView

_LONG = 48
"""What can be done stands behind a command up to this length, else below it."""


@click.command("show")
@click.argument("id_", metavar="ID", shell_complete=complete_path)
@reading_options
def command(context: Context, id_: str) -> None:
    """Show one recording: its fields, requests and history, and what can be done.

    ID is a ledger id or its beginning, an interaction id, or the path of the file.
    """
    from uploader.service.operations import opening, search

    settings = context.settings(need_secrets=False)
    now = datetime.now(UTC)
    late = search.overdue_before(now, settings.tracking.analysis_deadline)
    with opening.existing(Path(settings.ledger.path)) as (ledger, _):
        account = search.account(ledger, search.find(ledger, id_), overdue_before=late)
    if context.json:
        emit_json(_document(account))
    else:
        _print(account, now, color=context.color)


def _document(account: Account) -> dict[str, Any]:
    return (
        recording_document(account.recording)
        | asdict(account.more)
        | {
            "requests": [asdict(one) for one in account.attempts],
            "history": [asdict(one) for one in account.history],
            "remedies": [{"command": _typed(one) or None, "effect": one.effect} for one in account.remedies],
        }
    )


def _print(account: Account, now: datetime, *, color: bool) -> None:
    one = account.recording
    code = f"  {one.reason_code}" if one.reason_code else ""
    click.echo(f"{styled(one.id, 'bold', color=color)}  {styled(one.state, state_style(one.state), color=color)}{code}")
    if one.reason:
        click.echo(f"  {printable(one.reason)}")
    if (pruned_at := _pruned_at(account)) is not None:
        click.echo(
            f"  pruned {human_time(pruned_at)}: its particulars were taken out, and only what it is known by kept"
        )
    click.echo()
    print_pairs(_pairs(account, now), color=color)
    if account.more.body:
        _head("Sent" if one.attempts else "To be sent", color=color)
        print_pairs(_flat(account.more.body), color=False, indent="  ")
    if account.attempts:
        _head("Requests", color=color)
        _print_attempts(account.attempts, color=color)
    _head("History", color=color)
    rows = [[human_time(h.at), h.event, h.state, printable(h.detail or "")] for h in account.history]
    print_aligned(rows, indent="  ")
    _head("What can be done", color=color)
    _print_remedies(account.remedies, color=color)


def _pruned_at(account: Account) -> datetime | None:
    """Return when it was pruned, unless it went on since."""
    found = next((one for one in reversed(account.history) if one.event == "pruned"), None)
    later = account.history[account.history.index(found) + 1 :] if found else ()
    return None if found is None or any(one.state != found.state for one in later) else found.at


def _print_remedies(remedies: tuple[Remedy, ...], *, color: bool) -> None:
    typed = [_typed(remedy) for remedy in remedies]
    width = max((len(text) for text in typed if len(text) <= _LONG), default=0)
    for remedy, text in zip(remedies, typed, strict=True):
        command = styled(text.ljust(width), "bold", color=color)
        if not text:
            click.echo(f"  {remedy.effect}")
        elif len(text) > _LONG:
            click.echo(f"  {command}\n      {remedy.effect}")
        else:
            click.echo(f"  {command}  {remedy.effect}")


def _head(text: str, *, color: bool) -> None:
    click.echo(f"\n{styled(text, 'bold', color=color)}")


def _typed(remedy: Remedy) -> str:
    return f"qm-uploader {remedy.command}" if remedy.command else ""


def _pairs(account: Account, now: datetime) -> Iterator[tuple[str, str]]:
    one, more = account.recording, account.more
    yield "source", one.source + ("  (paused)" if more.paused else "")
    yield "import", one.import_name or ""
    yield "location", printable(one.location)
    yield "sidecar", printable(more.sidecar or "")
    yield "size", human_size(one.size_bytes)
    yield "media", _media(more.media)
    yield "content", one.content_id or ""
    yield "repeats", more.duplicate_of or ""
    yield "interaction", printable(one.interaction_id or "")
    yield "discovered", _since(one.discovered_at, now)
    yield "submitted", _since(one.submitted_at, now)
    yield "analyzed", _since(one.analyzed_at, now) + (f", by {more.evidence}" if more.evidence else "")
    yield "next step", _ahead(more.due_at, now)
    yield "requests", str(one.attempts) if one.attempts else ""


def _media(media: dict[str, Any] | None) -> str:
    if media is None:
        return ""
    channels, rate, seconds = (media.get(name) for name in ("channels", "sample_rate", "duration_seconds"))
    parts = [
        media.get("kind"),
        media.get("format"),
        media.get("codec"),
        f"{channels} ch" if channels else "",
        f"{rate} Hz" if rate else "",
        human_duration(seconds),
    ]
    return ", ".join(str(part) for part in parts if part)


def _since(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return f"{human_time(moment)}  ({human_duration(round(max(0.0, (now - moment).total_seconds())))} ago)"


def _ahead(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    left = (moment - now).total_seconds()
    return f"in {human_duration(round(left))}" if left >= 1 else "due now"


def _flat(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from ((inner, printable(str(text))) for inner, text in value.items())
        else:
            yield name, printable(str(value))


def _print_attempts(attempts: tuple[AttemptView, ...], *, color: bool) -> None:
    rows = [(a.number, human_time(a.started_at), _outcome(a), a.interaction_id, a.message) for a in attempts]
    print_table(("NO", "STARTED", "OUTCOME", "INTERACTION", "ANSWER"), rows, color=color, right=("NO",))


def _outcome(attempt: AttemptView) -> str:
    parts = [attempt.outcome or "under way"]
    if attempt.status is not None:
        parts.append(str(attempt.status) + (f"/{attempt.code}" if attempt.code not in {None, attempt.status} else ""))
    if attempt.fetched_at is not None:
        parts.append("fetched")
    if attempt.open and attempt.outcome is not None:
        parts.append("still looked for")
    return ", ".join(parts)
