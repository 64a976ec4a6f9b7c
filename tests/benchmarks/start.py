"""How soon commands answer, and the daemon is ready."""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
from contextlib import closing
from pathlib import Path

from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.scene import Scene, scene
from tests.benchmarks.started import ran, started

KNOWN, A_FOLDER = 200_000, 500
TIMES = 7
BEYOND_THE_SCAN = 1.5
ANSWER = "< 0.3"


def measure(scale: float = 1.0) -> Result:
    """Commands from exec to exit, and the daemon from exec to READY beside the scan of its folder."""
    with scene() as stage:
        # What is found is held, so that only the scan is at work.
        stage.config.write_text(stage.config.read_text().replace("backlog_limit = 0", "backlog_limit = 1"))
        empty = _scanned(stage, expected=0)
        files = _fill(stage.recordings, max(A_FOLDER, round(KNOWN * scale)))
        first = _scanned(stage, expected=files)
        again = _scanned(stage, expected=files)
        return Result(figures=[*_commands(stage), *_ready(empty, first, again, files)])


def _ready(
    empty: tuple[float, float], first: tuple[float, float], again: tuple[float, float], files: int
) -> list[Figure]:
    ready, scan = again
    bar, beside = f"<= {scan + BEYOND_THE_SCAN:.2f}", f"the scan alone {scan:.2f} s"
    return [
        Figure(what="exec to READY, empty ledger", value=empty[0], unit="s"),
        Figure(what=f"exec to READY, {files:,} new files", value=first[0], unit="s", beside=f"scan {first[1]:.2f} s"),
        Figure(what=f"exec to READY, {files:,} known files", value=ready, unit="s", bar=bar, beside=beside),
    ]


def _commands(stage: Scene) -> list[Figure]:
    with closing(sqlite3.connect(stage.folder / "ledger.db")) as db:
        (id_,) = db.execute("SELECT id FROM recording ORDER BY n DESC LIMIT 1").fetchone()
    config = ("--config", str(stage.config))
    commands: dict[str, tuple[str, ...]] = {
        "--help": ("--help",),
        "--version": ("--version",),
        "status": (*config, "status"),
        "status --json": (*config, "status", "--json"),
        "list --limit 20": (*config, "list", "--limit", "20"),
        "show ID": (*config, "show", id_),
    }
    bare = statistics.median(ran(["-c", "pass"], program=[sys.executable]).wall_seconds for _ in range(TIMES))
    return [_command(name, arguments, bare) for name, arguments in commands.items()]


def _command(name: str, arguments: tuple[str, ...], bare: float) -> Figure:
    runs = [ran(arguments) for _ in range(TIMES)]
    wall, cpu = [one.wall_seconds for one in runs], [one.cpu_seconds for one in runs]
    return Figure(
        what=f"{name}, median of {TIMES}", value=statistics.median(wall), unit="s", bar=ANSWER,
        beside=f"best {min(wall):.3f} s; CPU {statistics.median(cpu):.3f} s, best {min(cpu):.3f} s; "
        f"bare Python {bare:.3f} s",
    )  # fmt: skip


def _scanned(stage: Scene, *, expected: int) -> tuple[float, float]:
    """Run the daemon until it has scanned; return the seconds to READY and those that the scan took."""
    log = stage.folder / "start.log"
    with started(stage.config, log) as daemon:
        stage.until(lambda: _scan_seconds(log) is not None)
    seconds = _scan_seconds(log)
    with closing(sqlite3.connect(stage.folder / "ledger.db")) as db:
        (known,) = db.execute("SELECT count(*) FROM recording").fetchone()
    if seconds is None or known != expected:
        raise RuntimeError(f"{known} of {expected} files are known")
    return daemon.ready_seconds, seconds


def _scan_seconds(log: Path) -> float | None:
    """Return how long the first scan took, once it is over."""
    for line in log.read_text().splitlines():
        if '"source.scanned"' in line:
            return float(json.loads(line)["seconds"])
    return None


def _fill(folder: Path, count: int) -> int:
    for number in range(count):
        below = folder / f"{number // A_FOLDER:04}"
        if number % A_FOLDER == 0:
            below.mkdir()
        (below / f"call-{number:06}.wav").write_bytes(b"RIFF")
    return count
