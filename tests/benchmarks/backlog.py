"""What the daemon and a long list have in memory when the ledger is full of what waits."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.backlog_maker import make_backlog
from tests.benchmarks.figures import Figure, Result, Series
from tests.benchmarks.sampling import Sample, look
from tests.benchmarks.scene import Scene, scene
from tests.benchmarks.started import ran, started
from uploader.domain.recording import State

ROWS = 1_000_000
PARTS = {State.DISCOVERED: 0.3, State.STAGED: 0.3, State.SUBMITTED: 0.3, State.ANALYZED: 0.1}
UNCONFIRMED = 20
ROUNDS, A_ROUND = 12, 500
"""So many rounds of following are waited for, of so many recordings each."""
_SLOW = """
[budget]
submissions_per_second = 1
submissions_per_day = 0
reads_per_second = 100
"""


def measure(scale: float = 1.0) -> Result:
    """Resident size with a large backlog, from the first round of following to the last; and of `list` of all."""
    with scene(budget=_SLOW) as stage:
        # What was followed once is not followed again meanwhile.
        stage.config.write_text(stage.config.read_text().replace('poll_interval = "2s"', 'poll_interval = "1h"'))
        ledger = stage.folder / "ledger.db"
        counts = {state: max(A_ROUND, round(ROWS * part * scale)) for state, part in PARTS.items()}
        make_backlog(ledger, counts | {State.UNCONFIRMED: UNCONFIRMED}, root=str(stage.recordings))
        rounds = max(2, min(ROUNDS, counts[State.SUBMITTED] // A_ROUND))
        with started(stage.config, stage.folder / "daemon.log") as daemon:
            samples = _followed(stage, daemon.pid, ledger, rounds)
            peak = _peak_mib(daemon.pid)
        lists = [ran(["--config", str(stage.config), "list", "--json", *more]) for more in (["--limit", "1"], [])]
    # By then SQLite has filled what it may keep of the file.
    early, late = samples[len(samples) // 2], samples[-1]
    total = sum(counts.values()) + UNCONFIRMED
    figures = [
        Figure(what=f"exec to READY, {total:,} recordings", value=daemon.ready_seconds, unit="s"),
        Figure(what="resident at most", value=peak, unit="MiB", bar="<= 150"),
        Figure(
            what=f"resident more after {rounds} rounds than after half of them",
            value=late.resident_mib - early.resident_mib, unit="MiB", bar="<= 8",
            beside=f"{samples[0].resident_mib:.1f} MiB after one",
        ),
        Figure(what="descriptors more", value=late.descriptors - early.descriptors, unit="", bar="<= 4"),
        Figure(what="threads more", value=late.threads - early.threads, unit="", bar="<= 0"),
        Figure(
            what="list of all, resident at most", value=lists[1].peak_mib, unit="MiB",
            bar=f"<= {lists[0].peak_mib + 16:.0f}", beside=f"of one {lists[0].peak_mib:.1f} MiB",
        ),
        Figure(what="list of all", value=lists[1].lines / lists[1].wall_seconds, unit="a second"),
    ]  # fmt: skip
    at, resident = [one.at_seconds for one in samples], [one.resident_mib for one in samples]
    curve = Series(name="resident", x=at, y=resident, x_label="seconds", y_label="MiB")
    return Result(figures=figures, series=[curve])


def _followed(stage: Scene, pid: int, ledger: Path, rounds: int) -> list[Sample]:
    """Wait round by round; return what the daemon had after each."""
    samples: list[Sample] = []
    for number in range(1, rounds + 1):
        stage.until(lambda number=number: _looked_for(ledger) >= number * A_ROUND)
        samples.append(look(pid, ledger, at_seconds=os.times().elapsed))
    return samples


def _looked_for(ledger: Path) -> int:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=15)) as db:
        return int(db.execute("SELECT count(*) FROM recording WHERE state = 'submitted' AND looks > 0").fetchone()[0])


def _peak_mib(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024
