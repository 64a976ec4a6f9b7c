"""`status`: how everything stands, and what keeps the rest waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, reading_options
from uploader.cli.outlook import budget_words, done_words, doubt_words, forecast_words, limit_words, spent_words
from uploader.cli.output import emit_json, human_duration, human_time, printable
from uploader.cli.rendering import NO_LEDGER, print_aligned, print_pairs, state_style, styled

if TYPE_CHECKING:
    from uploader.service.operations.status import BudgetStatus, ImportStatus, SourceStatus, Status
    from uploader.service.operations.upkeep import BackupStanding

_WORTH_SAYING_SECONDS = 60
_PARTLY = "some folders are only scanned"
_WAITING = ("discovered", "ready", "staged")
_DONE = ("analyzed", "duplicate", "skipped", "discarded")


@click.command("status")
@reading_options
def command(context: Context) -> None:
    """Show how everything stands: counts, why submission is closed, what waits and what is overdue."""
    from uploader.service.operations import opening
    from uploader.service.operations.doubt import doubt_of
    from uploader.service.operations.status import survey

    settings = context.settings(need_secrets=False)
    now = datetime.now(UTC)
    with opening.existing(Path(settings.ledger.path)) as (ledger, exists):
        status = survey(
            ledger,
            now=now,
            sources=[source.name for source in settings.sources if source.enabled],
            submissions_per_second=settings.budget.submissions_per_second,
            submissions_per_day=settings.budget.submissions_per_day,
            analysis_deadline=settings.tracking.analysis_deadline,
        )
        if not exists:
            status = replace(status, doubt=doubt_of(Path(settings.ledger.path), now=now))
    if context.json:
        emit_json(_document(status))
        return
    if not exists:
        click.echo(NO_LEDGER)
    _print(status, now, color=context.color)


def _document(status: Status) -> dict[str, Any]:
    return {
        "counts": dict(status.counts),
        "submission": status.submission,
        "oldest_waiting_seconds": status.oldest_waiting_seconds,
        "overdue": status.overdue,
        "held": status.held,
        "resent_after_unknown": status.resent_after_unknown,
        "daemon": _daemon(status),
        "doubles": status.doubles,
        "budget": asdict(status.budget),
        "gates": [asdict(gate) for gate in status.gates],
        "reasons": [asdict(group) for group in status.reasons],
        "sources": [asdict(source) for source in status.sources],
        "imports": [asdict(one) for one in status.imports],
        "tracking_problem": status.tracking_problem or None,
        "throttled": status.throttled,
        "limits": asdict(status.limits),
        "forecast": None if status.forecast is None else asdict(status.forecast),
        "backup": asdict(status.backup),
        "doubt": None if status.doubt is None else asdict(status.doubt),
    }


def _daemon(status: Status) -> str:
    return "running" if status.daemon_runs else "stopped"


def _print(status: Status, now: datetime, *, color: bool) -> None:
    print_pairs(_pairs(status, now, color=color), color=color, fold=True)
    counted = [(state.value, count) for state, count in status.counts.items() if count]
    _print_counts(counted, color=color)
    if status.reasons:
        click.echo()
        width = len(f"{max(g.count for g in status.reasons):,}")
        rows = [[f"{g.count:>{width},}", g.state, g.reason_code, g.hint] for g in status.reasons]
        print_aligned(rows, indent="  ")
    for head, lines in (
        ("Sources", [_source(one, now) for one in status.sources]),
        ("Imports", [_import(one, status.budget) for one in status.imports]),
    ):
        if lines:
            click.echo(f"\n{styled(head, 'bold', color=color)}")
            print_aligned(lines, indent="  ")


def _pairs(status: Status, now: datetime, *, color: bool) -> Iterator[tuple[str, str]]:
    yield "Daemon", styled(_daemon(status), "green" if status.daemon_runs else "yellow", color=color)
    yield from _submission(status, now, color=color)
    yield "Budget", budget_words(status.budget, now)
    yield from zip(chain(("Limits",), repeat("")), limit_words(status.limits), strict=False)
    if status.throttled:
        text = f"the service asked for fewer requests ({status.throttled} of the last 20 got a 429); nothing to do"
        yield "Slowed", styled(text, "yellow", color=color)
    if status.oldest_waiting_seconds is not None:
        yield "Waiting", f"the oldest for {human_duration(round(status.oldest_waiting_seconds))}"
    if status.forecast is not None and status.forecast.seconds >= _WORTH_SAYING_SECONDS:
        yield "Forecast", forecast_words(status.forecast)
    if status.overdue:
        yield "Overdue", styled(f"{status.overdue:,}", "yellow", color=color) + "  (qm-uploader list --overdue)"
    if status.held:
        yield "Held", ", ".join(f"{count:,} {code}" for code, count in status.held.items())
    if status.resent_after_unknown:
        yield "Sent again", f"{status.resent_after_unknown:,} after an unknown outcome; each is watched for seven days"
    if status.doubles:
        yield "Doubles", styled(f"{status.doubles:,} recordings got a second interaction", "red", color=color)
    if status.doubt is not None:
        yield "Ledger", styled(doubt_words(status.doubt), "yellow", color=color)
    yield from _backup(status.backup, now, color=color)
    if status.tracking_problem:
        yield "Tracking", styled(printable(status.tracking_problem), "yellow", color=color)


def _submission(status: Status, now: datetime, *, color: bool) -> Iterator[tuple[str, str]]:
    if status.submission == "open":
        yield "Submission", styled("open", "green", color=color)
        return
    label = "Submission"
    if status.is_paused:
        since = f" since {human_time(status.paused_since)}" if status.paused_since else ""
        yield label, styled(f"closed: paused{since}", "yellow", color=color)
        yield "", "qm-uploader resume lets it go on"
        label = ""
    for gate in status.gates:
        yield label, styled(f"closed: {printable(gate.message)} ({gate.reason})", "red", color=color)
        yield " ", gate.hint
        if gate.probe_at is not None:
            left = (gate.probe_at - now).total_seconds()
            again = f"tried again in {human_duration(round(left))}" if left >= 1 else "tried again now"
            yield " ", again if status.daemon_runs else "tried again when the daemon runs"
        label = ""


def _backup(backup: BackupStanding, now: datetime, *, color: bool) -> Iterator[tuple[str, str]]:
    if backup.made_at is not None:
        yield "Backup", f"{human_duration(round(max(0.0, (now - backup.made_at).total_seconds())))} ago"
    if backup.problem:
        label = "" if backup.made_at is not None else "Backup"
        yield label, styled(f"failed {human_time(backup.failed_at)}: {printable(backup.problem)}", "red", color=color)


def _print_counts(counted: list[tuple[str, int]], *, color: bool) -> None:
    click.echo()
    if not counted:
        click.echo("  no recordings yet")
        return
    width = max(len(f"{count:,}") for _, count in counted)
    for state, count in counted:
        click.echo(f"  {count:>{width},}  {styled(state, state_style(state), color=color)}")


def _source(one: SourceStatus, now: datetime) -> list[str]:
    return [one.name, "; ".join(_source_words(one, now))]


def _source_words(one: SourceStatus, now: datetime) -> Iterator[str]:
    if not one.available:
        yield f"unavailable: {printable(one.detail)}"
    elif one.scanned_at is None:
        yield "not scanned yet"
    else:
        yield f"scanned {human_duration(round(max(0.0, (now - one.scanned_at).total_seconds())))} ago"
    if not one.configured:
        yield "not in the configuration, or not enabled: nothing of it is sent"
    if one.waiting:
        yield f"{one.waiting:,} waiting"
    if one.backlog:
        yield f"{one.backlog:,} found at first are held: qm-uploader resume {one.name}"
    if one.paused:
        yield f"paused: qm-uploader resume {one.name}"
    if one.polled:
        why = printable(one.polled)
        yield why if why.startswith(_PARTLY) else f"scanned only: {why}"
    if one.orphans:
        yield f"{one.orphans:,} sidecar{'s' if one.orphans > 1 else ''} without a recording"


def _import(one: ImportStatus, budget: BudgetStatus) -> list[str]:
    total = sum(one.counts.values())
    done = sum(one.counts[state] for state in one.counts if state.value in ("submitted", *_DONE))
    words = [f"{done:,} of {total:,} submitted or settled" if one.planned else f"being planned, {total:,} so far"]
    if one.paused:
        words.append(f"paused: qm-uploader resume --import {one.name}")
    else:
        if budget.backfill_at is not None and any(n for state, n in one.counts.items() if state.value in _WAITING):
            words.append(spent_words(budget))
        if one.forecast is not None:
            words.append(done_words(one.forecast))
    return [one.name, "; ".join(words)]
