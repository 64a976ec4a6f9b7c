"""`python -m tests.benchmarks [NAME…]`: measure, and print a table. Reported, not judged."""

from __future__ import annotations

import sys

from tests.benchmarks.measurements import MEASUREMENTS


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    for name in names or MEASUREMENTS:
        print(f"{name}: {MEASUREMENTS[name].__doc__}")
        for what, figure in MEASUREMENTS[name]().items():
            print(f"  {what:<48} {figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
