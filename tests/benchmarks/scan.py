"""The scan beside a bare walk with scandir and stat, in one process; and what known files cost at the start."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import structlog

from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.scene import scene
from tests.benchmarks.trees import bare_walk, fill, fill_many, scanned_at
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.clock import SystemClock
from uploader.service.folder_scanner import COARSEST, FolderScanner
from uploader.service.scanner import Rhythm
from uploader.settings.model import DEFAULT_INCLUDE
from uploader.sources.folder.rules import Rules

FILES, FOLDERS = 200_000, 400
TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """CPU seconds of the process, the best of all turns, and of the first scan."""

    first: float
    walk: float
    full: float
    quick: float


def measure(scale: float = 1.0) -> Result:
    """The full and the quick rescan of 200,000 known files beside a bare walk, and exec to READY with them."""
    files = max(1000, round(FILES * scale))
    flat = _scans(lambda root: fill(root / "flat", files=files))
    many = _scans(lambda root: fill_many(root, files=files, each=FILES // FOLDERS))
    return Result(figures=[*_figures(f"{files:,} in one folder", flat), *_figures(f"{files:,} in folders of 500", many),
                           *_start(files, scan=many.full)])  # fmt: skip


def _figures(what: str, found: Seconds) -> Iterator[Figure]:
    walk = f"a bare walk {found.walk:.3f} s of CPU"
    full, quick = f"{found.full:.3f} s; {walk}", f"{found.quick:.4f} s; {walk}"
    yield Figure(what=f"{what}: full scan", value=found.full / found.walk, unit="", bar="<= 1.6", beside=full)
    yield Figure(what=f"{what}: quick rescan", value=found.quick / found.walk, unit="", bar="<= 0.15", beside=quick)
    yield Figure(what=f"{what}: first scan", value=found.first, unit="s", beside="all of them new")


def _scans(make: Callable[[Path], None]) -> Seconds:
    """Let a scanner know a tree, then walk, scan and rescan it by turns."""
    with _folder() as folder:
        root = folder / "root"
        make(root)
        with _scanner(folder, root) as scanner:
            first = _cpu(scanner.scan)
            threading.Event().wait(COARSEST.total_seconds() + 0.1)
            scanner.scan()
            turns = [
                (_cpu(lambda: bare_walk(os.fsencode(root))), _cpu(scanner.scan), _cpu(scanner.glance))
                for _ in range(TURNS)
            ]
    walk, full, quick = (min(turn[i] for turn in turns) for i in range(3))
    return Seconds(first=first, walk=walk, full=full, quick=quick)


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="qm-benchmark-"))
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


@contextmanager
def _scanner(folder: Path, root: Path) -> Iterator[FolderScanner]:
    clock, path = SystemClock(), os.fsencode(root)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    ledger = Ledger.open_for_sending(folder / "ledger.db")
    try:
        at = to_ms(clock.now())
        source = ledger.discovery.register(name="s", type_="folder", root=path, settings="{}", at=at)
        yield FolderScanner(
            root=path, ledger=ledger, source=source, rules=Rules(include=DEFAULT_INCLUDE, exclude=[]), clock=clock,
            rhythm=Rhythm(rescan_seconds=300.0, settle_seconds=2.0, events=False, backlog_limit=0),
            stop=threading.Event(), found=lambda: None,
        )  # fmt: skip
    finally:
        ledger.close()
        structlog.reset_defaults()


def _start(files: int, *, scan: float) -> Iterator[Figure]:
    """Start the daemon on known files, which are all held: nothing but the start and the scan takes its time."""
    with scene() as stage:
        stage.config.write_text(stage.config.read_text().replace("backlog_limit = 0", "backlog_limit = 1"))
        fill_many(stage.recordings, files=files, each=FILES // FOLDERS)
        with stage.daemon():
            stage.until(lambda: scanned_at(stage) is not None)
        before = scanned_at(stage)
        began = time.monotonic()
        with stage.daemon() as ready:
            stage.until(lambda: scanned_at(stage) != before, every=0.01)
            scanned = time.monotonic() - began
    yield Figure(
        what=f"exec to READY, {files:,} known", value=ready, unit="s", bar=f"<= {scan + 1.5:.2f}",
        beside=f"a full scan takes {scan:.2f} s of CPU",
    )  # fmt: skip
    yield Figure(what=f"exec to the end of the first scan, {files:,} known", value=scanned, unit="s")
