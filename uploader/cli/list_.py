"""`list`: recordings by state, source, reason and time, each a line; or how many for which reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, reading_options
from uploader.cli.filters import filter_options, wanted
from uploader.cli.output import emit_json_lines, human_duration, human_size, human_time
from uploader.cli.rendering import NO_LEDGER, print_aligned, recording_document, stream_table, terminal_width

if TYPE_CHECKING:
    from uploader.service.operations.search import Group
    from uploader.service.operations.views import RecordingView

_WIDE = 120
_COLUMNS = ("ID", "STATE", "REASON", "SOURCE", "SIZE", "DISCOVERED", "LOCATION")
_NARROW = ("ID", "STATE", "REASON", "SOURCE", "AGE", "LOCATION")


@click.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), help="At most so many; without it all.")
@click.option("--group", type=click.Choice(["reason"]), help="Count by reason instead.")
@reading_options
def command(context: Context, /, limit: int | None, group: str | None, **options: Any) -> None:
    """List recordings in the order in which they were discovered.

    Filters add up. Times without a zone are this machine's.
    """
    from uploader.service.operations import opening, search

    asked, now = wanted(options), datetime.now(UTC)
    settings = context.settings(need_secrets=False)
    late = search.overdue_before(now, settings.tracking.analysis_deadline)
    with opening.existing(Path(settings.ledger.path)) as (ledger, exists):
        names = [source.name for source in settings.sources]
        filter_ = search.filter_of(ledger, asked, overdue_before=late, sources=names)
        if not exists and not context.json:
            context.note(NO_LEDGER)
        elif group:
            _print_groups(context, search.groups(ledger, filter_)[:limit])
        else:
            _print(context, search.recordings(ledger, filter_, limit=limit), now)


def _print_groups(context: Context, groups: list[Group]) -> None:
    if context.json:
        emit_json_lines(
            {"state": g.state, "reason_code": g.reason_code, "count": g.count, "reason": g.reason, "hint": g.hint}
            for g in groups
        )
    elif groups:
        width = max(len("COUNT"), len(f"{max(g.count for g in groups):,}"))
        rows = [[f"{g.count:>{width},}", g.state, g.reason_code, f"{g.reason} -> {g.hint}"] for g in groups]
        print_aligned([["COUNT", "STATE", "REASON", "WHAT IT MEANS, AND WHAT TO DO"], *rows])
    else:
        context.note("None has a reason.")


def _print(context: Context, recordings: Iterator[RecordingView], now: datetime) -> None:
    if context.json:
        emit_json_lines(recording_document(one) for one in recordings)
        return
    first = next(recordings, None)
    if first is None:
        context.note("No recordings.")
        return
    width = terminal_width()
    is_narrow = width is not None and width < _WIDE
    rows = _rows(first, recordings, now, is_narrow=is_narrow)
    stream_table(_NARROW if is_narrow else _COLUMNS, rows, color=context.color, states=1)


def _rows(
    first: RecordingView, others: Iterable[RecordingView], now: datetime, *, is_narrow: bool
) -> Iterator[tuple[str, ...]]:
    yield _row(first, now, is_narrow=is_narrow)
    for one in others:
        yield _row(one, now, is_narrow=is_narrow)


def _row(one: RecordingView, now: datetime, *, is_narrow: bool) -> tuple[str, ...]:
    begin = (one.id, one.state, one.reason_code or "", one.source)
    if is_narrow:
        return (*begin, _age(now, one.discovered_at), one.location)
    return (*begin, human_size(one.size_bytes), human_time(one.discovered_at), one.location)


def _age(now: datetime, since: datetime) -> str:
    """Return an age in its largest unit only."""
    words = human_duration(round(max(0.0, (now - since).total_seconds()))).split()
    return " ".join(words[:2])
