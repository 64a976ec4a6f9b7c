"""On what a measurement ran: processor, kernel, versions, and what an fsync costs where the scenes are set."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_FSYNCS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts that figures depend on."""

    processor: str
    cores: int
    kernel: str
    python: str
    sqlite: str
    file_system: str
    fsync_ms: float

    @property
    def line(self) -> str:
        """All of it in one line."""
        return (
            f"{self.processor}, {self.cores} cores; {self.kernel}; Python {self.python}, SQLite {self.sqlite}; "
            f"{self.file_system}, fsync {self.fsync_ms:.2f} ms"
        )


def machine() -> Machine:
    """Look at this machine; takes well under a second."""
    folder = Path(tempfile.gettempdir())
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        file_system=_file_system(folder.resolve()),
        fsync_ms=_fsync_ms(),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Name the type of the mount that holds `folder`: the longest mount point above it."""
    best, found = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, found = point, kind
    return found


def _fsync_ms() -> float:
    """Measure the median of appending 4 KiB and syncing, as the ledger's write-ahead log does."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[_FSYNCS // 2] * 1000
