"""What a recording costs with a small ledger and with a large one."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from pathlib import Path

from tests.backlog_maker import make_backlog
from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.imports import import_all, make_archive, temporary_folder
from tests.benchmarks.sink import sink
from uploader.domain.recording import State
from uploader.ledger.connection import connect

SMALL, LARGE = 10_000, 1_000_000
IMPORTED, ROUNDS = 1500, 3


def measure(scale: float = 1.0) -> Result:
    """A recording's whole way, from the file to its acceptance, with a ledger of 10,000 recordings and of 1,000,000."""
    sizes = (SMALL, max(2 * SMALL, round(LARGE * scale)))
    count = max(200, round(IMPORTED * min(1.0, 4 * scale)))
    paces: dict[int, list[float]] = {size: [] for size in sizes}
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    with temporary_folder() as folder, sink(folder) as service:
        for size in sizes:
            _fill(folder / str(size), size)
        for number in range(ROUNDS):
            archive = make_archive(folder / f"round-{number}", count, first=number * count)
            _rest()
            for size in sizes:
                run = import_all(folder / str(size), archive, service, count)
                paces[size].append(1000 / run.pace)
                costs[size].append(run.cpu_ms)
    (small, large) = (statistics.median(costs[size]) for size in sizes)
    (slow_small, slow_large) = (statistics.median(paces[size]) for size in sizes)
    return Result(
        figures=[
            Figure(
                what=f"processor time of a recording at {sizes[1]:,}, part of that at {sizes[0]:,}",
                value=large / small, unit="", bar="<= 1.1", beside=f"{large:.2f} ms beside {small:.2f} ms",
            ),
            Figure(
                what="the same in time from one acceptance to the next", value=slow_large / slow_small, unit="",
                bar="<= 1.1", beside=f"{slow_large:.2f} ms beside {slow_small:.2f} ms",
            ),
        ]
    )  # fmt: skip


def _fill(home: Path, size: int) -> None:
    """Make a ledger of so many recordings that are analyzed, as a daemon that was stopped in order leaves it."""
    home.mkdir()
    make_backlog(home / "ledger.db", {State.ANALYZED: size}, root="/srv/recordings/elsewhere", source="elsewhere")
    with closing(connect(home / "ledger.db")) as db:
        db.execute("INSERT OR REPLACE INTO note VALUES ('clean', '1')")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rest() -> None:
    """Let the files come of age: one that has just changed is looked at twice, two seconds later."""
    time.sleep(2.5)
