"""How figures are shown: a table, JSON, or the README's Markdown. Knows nothing of how they were measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Figure, Result, Series, bar_of, met
from tests.benchmarks.machine import Machine

_MARKS = {True: "✓", False: "✗", None: ""}
_RELATIONS = {"<=": "≤", ">=": "≥", "==": ""}
_PIPE_WIDTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A measurement that was run: its result, or what broke in a line, and the traceback."""

    name: str
    about: str = ""
    result: Result | None = None
    broken: str = ""
    traceback: str = ""
    scale: float = 1.0

    @property
    def title(self) -> str:
        """The name, and the scale where it is not the whole."""
        return self.name if self.scale == 1 else f"{self.name} at {self.scale:g}"

    @property
    def figures(self) -> Sequence[Figure]:
        """What was measured; empty when it broke."""
        return self.result.figures if self.result else ()

    @property
    def missed(self) -> bool:
        """Whether a figure missed its bar."""
        return any(met(figure) is False for figure in self.figures)


def print_table(reports: Sequence[Report]) -> None:
    """Print one table of everything; lines are not wrapped in a pipe."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH, no_color=True)
    table = Table(box=None, pad_edge=False)
    for title, right in (("", False), ("what", False), ("measured", True), ("bar", False), ("", False)):
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    table.add_column("beside", overflow="fold")
    for report in reports:
        if report.about:
            table.add_row(report.title, report.about, style="bold")
        for figure in report.figures:
            mark = _MARKS[met(figure)]
            colour = {"✓": "green", "✗": "red"}.get(mark, "")
            table.add_row(
                "", figure.what, shown(figure), bar_shown(figure), f"[{colour}]{mark}[/]" if mark else "", figure.beside
            )
        if report.broken:
            table.add_row(report.name, f"broke: {report.broken}", style="red")
    console.print(table)
    for report in reports:
        if report.broken:
            console.print(report.traceback, markup=False, highlight=False)


def print_json(machine: Machine, reports: Sequence[Report]) -> None:
    """Print one document on one line, series included."""
    found = {
        "machine": asdict(machine),
        "measurements": {
            report.name: {
                "about": report.about,
                "scale": report.scale,
                "figures": [{**asdict(figure), "met": met(figure)} for figure in report.figures],
                "series": [asdict(series) for series in (report.result.series if report.result else ())],
                "broken": report.broken,
            }
            for report in reports
        },
    }
    print(json.dumps(found, separators=(",", ":"), default=list))  # series may be any sequence, as a range


def read_json(path: Path) -> tuple[Machine, list[Report]]:
    """Return what `print_json` wrote to a file. Raises OSError, or ValueError when it is something else."""
    try:
        document = json.loads(path.read_text())
        reports = [
            Report(
                name=name,
                about=one["about"],
                result=Result(
                    figures=[Figure(**{k: v for k, v in figure.items() if k != "met"}) for figure in one["figures"]],
                    series=[Series(**series) for series in one["series"]],
                ),
                broken=one["broken"],
                scale=one["scale"],
            )
            for name, one in document["measurements"].items()
        ]
        return Machine(**document["machine"]), reports
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"{path} was not written by --json") from exc


def print_markdown(machine: Machine, reports: Sequence[Report]) -> None:
    """Print the README's table."""
    print(f"On {machine.line}:\n")
    print("| | what | measured | bar | beside |\n| --- | --- | ---: | --- | --- |")
    for report in reports:
        name = f"`{report.title}`"
        for figure in report.figures:
            bar = f"{bar_shown(figure)} {_MARKS[met(figure)]}".strip()
            print(f"| {name} | {figure.what} | {shown(figure)} | {bar} | {figure.beside} |")
            name = ""
        if report.broken:
            print(f"| {name} | broke: {report.broken} | | | |")


def shown(figure: Figure) -> str:
    """Write the number with as many digits as say something, and its unit."""
    size = abs(figure.value)
    if figure.value == int(figure.value):
        number = f"{figure.value:,.0f}"
    else:
        digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 0.1 else 3
        number = f"{figure.value:,.{digits}f}"
    return f"{number} {figure.unit}".strip()


def bar_shown(figure: Figure) -> str:
    """Write the bar as a person would."""
    bar = bar_of(figure)
    if bar is None:
        return ""
    relation, limit = bar
    return f"{_RELATIONS.get(relation, relation)} {limit:,g}".strip()
