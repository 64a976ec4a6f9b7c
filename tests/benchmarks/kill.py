"""A daemon that is killed with much open, and started again: how long until it claims the first recording."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import struct
import threading
import time
from pathlib import Path

from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.scene import Scene, scene, write_sidecar

OPEN, A_DIRECTORY = 100_000, 1000
PATIENCE_SECONDS = 900.0
SLOWLY = """
[budget]
submissions_per_second = 2
submissions_per_day = 0
"""
FIRST_CLAIMS = 3
"""A process numbers its claims from 1: so few only one that has just begun can have."""


def measure(scale: float = 1.0) -> Result:
    """SIGKILL with 100,000 open recordings, most of them due: from the next exec to the first claim."""
    count = max(A_DIRECTORY, int(OPEN * scale))
    with scene(budget=SLOWLY) as stage:
        _fill(stage.recordings, count)
        with stage.daemon():
            stage.until(
                lambda: _ask(stage, "SELECT count(*) FROM recording") >= count, seconds=PATIENCE_SECONDS, every=1
            )
            stage.until(lambda: _ask(stage, "SELECT max(claimed) FROM recording") > 2 * FIRST_CLAIMS)
            os.kill(int(stage.pid or 0), signal.SIGKILL)
        left = _ask(stage, "SELECT count(*) FROM recording WHERE state NOT IN ('submitted', 'analyzed')")
        size = (stage.folder / "ledger.db").stat().st_size
        claimed, ready = _start_again(stage)
    return Result(
        figures=[
            Figure(what=f"first claim with {left:,} open", value=claimed, unit="s", bar="<= 2",
                   beside=f"a ledger of {size / 1e6:.0f} MB"),
            Figure(what="ready", value=ready, unit="s"),
        ]
    )  # fmt: skip


def _start_again(stage: Scene) -> tuple[float, float]:
    """Return the seconds from exec to the first claim, and to ready."""
    stop, found = threading.Event(), list[float]()

    def look() -> None:
        while not stop.wait(0.01):
            with contextlib.suppress(sqlite3.Error):
                if _ask(stage, f"SELECT count(*) FROM recording WHERE claimed BETWEEN 1 AND {FIRST_CLAIMS}"):
                    found.append(time.monotonic())
                    return

    if _ask(stage, f"SELECT count(*) FROM recording WHERE claimed BETWEEN 1 AND {FIRST_CLAIMS}"):
        raise RuntimeError("one of the first claims outlived the process: measure again")
    looking = threading.Thread(target=look)
    began = time.monotonic()
    looking.start()
    try:
        with stage.daemon() as ready:
            looking.join(PATIENCE_SECONDS)
    finally:
        stop.set()
        looking.join()
    return found[0] - began, ready


def _ask(stage: Scene, query: str) -> int:
    """Read one number from the ledger, which must not keep it from being recovered: a connection a time."""
    with contextlib.closing(sqlite3.connect(f"file:{stage.folder / 'ledger.db'}?mode=ro", uri=True)) as db:
        return int(db.execute(query).fetchone()[0] or 0)


def _fill(folder: Path, count: int) -> None:
    """Write recordings of 20 ms, each with its sidecar."""
    for number in range(count):
        inside = folder / f"{number // A_DIRECTORY:04}"
        inside.mkdir(exist_ok=True)
        sound = struct.pack("<Q", number) * 20
        header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(sound), b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
        header += struct.pack("<4sI", b"data", len(sound))
        (inside / f"call-{number:06}.wav").write_bytes(header + sound)
        write_sidecar(inside, number)
