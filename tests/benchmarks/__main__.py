"""`python -m tests.benchmarks [NAME…]`: measure, and print a table. Reported, not judged (but for `--strict`)."""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.figures import Result
from tests.benchmarks.machine import Machine, machine
from tests.benchmarks.report import Report, print_json, print_markdown, print_table, read_json

MEASUREMENTS = {
    "drop": "tests.benchmarks.drop",
    "import": "tests.benchmarks.imports",
    "scan": "tests.benchmarks.scan",
    "start": "tests.benchmarks.start",
    "million": "tests.benchmarks.million",
    "budget": "tests.benchmarks.budget",
    "ledger": "tests.benchmarks.ledger",
    "backlog": "tests.benchmarks.backlog",
    "cost": "tests.benchmarks.cost",
    "kill": "tests.benchmarks.kill",
    "day": "tests.benchmarks.day",
}
"""Name to module, which is imported only when its measurement is run. Each has `measure(scale) -> Result`."""

_MOST_SCALE = 100


def main(arguments: list[str]) -> int:
    """Run the named measurements (all, when none is named); return the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in MEASUREMENTS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}")
    if asked.plot is not None and find_spec("matplotlib") is None:
        print("error: --plot needs matplotlib: pip install -e '.[bench]'", file=sys.stderr)
        return 2
    if asked.read:
        try:
            here, reports = _read(asked.read, asked.names)
        except (OSError, ValueError) as exc:
            parser.error(str(exc))
    else:
        here = machine()
    print(here.line, file=sys.stderr if asked.json or asked.markdown else sys.stdout, flush=True)
    if not asked.read:
        reports = [_run(name, asked.scale) for name in asked.names or MEASUREMENTS]
    if asked.json:
        print_json(here, reports)
    elif asked.markdown:
        print_markdown(here, reports)
    else:
        print_table(reports)
    if asked.plot is not None:
        from tests.benchmarks.plot import draw

        for report in reports:
            print(*draw(report, asked.plot, beneath=here.line), sep="\n", file=sys.stderr)
    broken = any(report.broken for report in reports)
    return 1 if broken or (asked.strict and any(report.missed for report in reports)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--scale", type=_scale, default=1.0, help="part of the full counts and times (default 1)")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write a picture of each measurement into DIR")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", action="append", help="show what --json wrote; nothing is measured"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one document on one line")
    form.add_argument("--markdown", action="store_true", help="the table of the README")
    return parser


def _scale(text: str) -> float:
    """Return a part or a multiple of the full counts. Raises ArgumentTypeError."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= _MOST_SCALE:
        raise argparse.ArgumentTypeError(f"must be a number above 0, up to {_MOST_SCALE}, such as 0.1")
    return scale


def _read(files: list[Path], names: list[str]) -> tuple[Machine, list[Report]]:
    """Take earlier runs together, in the order of the measurements; a later file counts for what two have."""
    found: dict[str, Report] = {}
    for file in files:
        here, reports = read_json(file)
        found |= {report.name: report for report in reports}
    return here, [found[name] for name in MEASUREMENTS if name in found and name in (names or found)]


def _run(name: str, scale: float) -> Report:
    """Measure; what breaks is reported with its traceback, and the others are still measured."""
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        measure = import_module(MEASUREMENTS[name]).measure
        result: Result = measure(scale)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # pytest's skip and fail, which parts shared with the tests raise, are no Exception
        sentence = next(iter(str(exc).splitlines()), "")
        return Report(name=name, broken=f"{type(exc).__name__}: {sentence}", traceback=traceback.format_exc())
    return Report(name=name, about=(measure.__doc__ or "").strip().splitlines()[0], result=result, scale=scale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
