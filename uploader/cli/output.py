"""What commands print: JSON for scripts, tables and units for people; nothing about what is printed.

On a terminal tables are drawn by rich; in a pipe they are plain aligned columns, never cut short.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "


def emit_json(document: Any) -> None:
    """Write `document` as one JSON document on one line of standard output.

    Times are written as `2026-11-20T04:00:00Z`, durations as seconds, paths as text. Names that are
    not UTF-8 keep their bytes as lone surrogates, as `json` and `os.fsencode` read them back.
    """
    click.echo(_json(document))


def emit_json_lines(documents: Iterable[Any]) -> None:
    """Write each of `documents` as one line of JSON, as they come."""
    for document in documents:
        click.echo(_json(document))


def console(*, color: bool, stderr: bool = False) -> Console:
    """Return a rich console for standard output or error; without a terminal it draws nothing fancy."""
    from rich.console import Console

    return Console(stderr=stderr, no_color=not color, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, color: bool, right: Iterable[str] = ()
) -> None:
    """Write a table to standard output; `right` names the columns that are set flush right.

    None is shown as an empty cell, control characters are escaped.
    """
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    flush_right = {columns.index(name) for name in right}
    if sys.stdout.isatty():
        _draw(columns, cells, flush_right, color=color)
    else:
        _align(columns, cells, flush_right)


def printable(text: str) -> str:
    """Return `text` on one line: control characters and bytes that are no UTF-8 are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def human_size(size_bytes: int | None) -> str:
    """Return a size for people, as `812 B` or `1.4 GiB`; empty for None."""
    if size_bytes is None:
        return ""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    amount = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        # 1023.96 would be written as 1024.0
        if amount < 1023.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def human_duration(duration: timedelta | float | None) -> str:
    """Return a duration (or seconds) for people, as `340 ms`, `12 s`, `3 min 20 s`, `5 d 2 h`; empty for None."""
    if duration is None:
        return ""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if seconds < 0:
        return f"-{human_duration(-seconds)}"
    if 0 < seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    return _two_units(round(seconds)) or "0 s"


def human_time(moment: datetime | None) -> str:
    """Return `moment` in the machine's own zone, as `2026-11-20 04:00:00 +01:00`; empty for None."""
    if moment is None:
        return ""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds").replace("+", " +")


def _json(document: Any) -> str:
    return json.dumps(document, default=_plain, separators=(",", ":"), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _two_units(seconds: int) -> str:
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, length in units:
        amount, seconds = divmod(seconds, length)
        if amount or parts:
            parts.append(f"{amount} {unit}" if amount else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def _draw(columns: Sequence[str], cells: Sequence[Sequence[str]], flush_right: set[int], *, color: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index in flush_right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console(color=color).print(table, soft_wrap=False)


def _align(columns: Sequence[str], cells: Sequence[Sequence[str]], flush_right: set[int]) -> None:
    rows = [list(columns), *cells]
    widths = [max(_width(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        padded = (_pad(cell, widths[i], right=i in flush_right) for i, cell in enumerate(row))
        click.echo(_GAP.join(padded).rstrip())


def _pad(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
