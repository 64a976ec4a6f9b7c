"""How recordings look: as JSON by the contract, and as lines on a terminal; knows no command and no ledger."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.output import printable

if TYPE_CHECKING:
    from uploader.service.operations.views import RecordingView

NO_LEDGER = "There is no ledger yet: `qm-uploader run` makes it."
_MEASURED = 200
_LEAST_LAST = 16
_GAP = "  "
_STYLES: Mapping[str, str] = {
    "analyzed": "green", "submitted": "green", "unconfirmed": "yellow", "submitting": "cyan", "staged": "cyan",
    "ready": "cyan", "discovered": "cyan", "quarantined": "red", "refused": "red",
    "duplicate": "bright_black", "skipped": "bright_black", "discarded": "bright_black",
}  # fmt: skip


def recording_document(recording: RecordingView) -> dict[str, Any]:
    """Return the JSON object of one recording."""
    return {
        "id": recording.id,
        "source": recording.source,
        "import": recording.import_name,
        "location": recording.location,
        "state": recording.state,
        "reason": recording.reason,
        "reason_code": recording.reason_code,
        "interaction_id": recording.interaction_id,
        "sha256": recording.sha256,
        "content_id": recording.content_id,
        "size_bytes": recording.size_bytes,
        "attempts": recording.attempts,
        "discovered_at": recording.discovered_at,
        "submitted_at": recording.submitted_at,
        "analyzed_at": recording.analyzed_at,
    }


def recordings(count: int) -> str:
    """Return `1 recording`, `1,200 recordings`."""
    return f"{count:,} recording{'' if count == 1 else 's'}"


def styled(text: str, style: str, *, color: bool) -> str:
    """Return `text` in a colour or `bold`, where colours are wanted; a pipe gets none in any case."""
    if not color or not style:
        return text
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)


def state_style(state: str) -> str:
    """Return the colour of a state."""
    return _STYLES.get(state, "")


def terminal_width() -> int | None:
    """Return how wide standard output is; None when it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def stream_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, color: bool, states: int | None = None
) -> None:
    """Write rows under `columns` as they come; widths are those of the first rows.

    On a terminal the last column is cut at its start, where there is no room; in a pipe nothing is. `states`
    is the column that holds states.
    """
    source = (tuple(printable(cell) for cell in row) for row in rows)
    first = list(islice(source, _MEASURED))
    widths = [max(_cells(row[i]) for row in [tuple(columns), *first]) for i in range(len(columns))]
    room = _room(widths)
    click.echo(styled(_line(columns, widths), "bold", color=color))
    for row in chain(first, source):
        cells = [*row[:-1], _cut(row[-1], room)]
        styles = {} if states is None else {states: state_style(row[states])}
        click.echo(_line(cells, widths, styles=styles, color=color))


def print_pairs(pairs: Iterable[tuple[str, str]], *, color: bool, indent: str = "", fold: bool = False) -> None:
    """Write names and values, aligned; those without a value are left out. `fold`: break long values at words."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        start = f"{indent}{styled(name.ljust(width), 'bold', color=color)}{_GAP}"
        click.echo(start + (_wrapped(value, len(indent) + width + len(_GAP)) if fold else value))


def print_aligned(rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Write rows in aligned columns, the last one wrapped at words on a terminal; cells must be printable."""
    widths = [max(_cells(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    taken = len(indent) + sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    for row in rows:
        click.echo(indent + _line([*row[:-1], _wrapped(row[-1], taken)], widths))


def _wrapped(text: str, taken: int) -> str:
    """Break `text` at words into lines behind `taken` cells; in a pipe, with colours or without room it stays."""
    width = terminal_width()
    if width is None or width - taken < _LEAST_LAST or "\x1b" in text:
        return text
    lines = wrap(text, width - taken, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * taken).join(lines)


def _line(
    cells: Sequence[str], widths: Sequence[int], *, styles: Mapping[int, str] | None = None, color: bool = False
) -> str:
    padded = []
    for index, cell in enumerate(cells):
        blanks = " " * max(0, widths[index] - _cells(cell)) if index < len(cells) - 1 else ""
        padded.append(styled(cell, (styles or {}).get(index, ""), color=color) + blanks)
    return _GAP.join(padded).rstrip()


def _room(widths: Sequence[int]) -> int | None:
    """Return the cells that are left for the last column on a terminal."""
    width = terminal_width()
    return None if width is None else max(_LEAST_LAST, width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))


def _cut(text: str, room: int | None) -> str:
    """Leave out the beginning of a path that does not fit: its end tells more."""
    if room is None or _cells(text) <= room:
        return text
    kept = text
    while _cells(kept) > room - 1:
        kept = kept[max(1, (_cells(kept) - room) // 2) :]
    return f"…{kept}"


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
