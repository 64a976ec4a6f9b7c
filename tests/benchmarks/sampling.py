"""What a process takes, read from /proc every so often by a thread, and whether it grows."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.benchmarks.figures import Figure, Series

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at a process; `at_seconds` since the sampling began, CPU since the process began."""

    at_seconds: float
    pid: int
    resident_mib: float
    descriptors: int
    threads: int
    cpu_seconds: float
    ledger_mib: float
    wal_mib: float


def look(pid: int, ledger: Path, *, at_seconds: float) -> Sample:
    """Look once. Raises OSError when the process has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Sample(
        at_seconds=at_seconds,
        pid=pid,
        resident_mib=int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(fields[17]),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        ledger_mib=_size_mib(ledger),
        wal_mib=_size_mib(ledger.with_name(ledger.name + "-wal")),
    )


def _size_mib(path: Path) -> float:
    try:
        return path.stat().st_size / 2**20
    except FileNotFoundError:
        return 0.0


class Sampler:
    """Looks at whatever process `pid()` names (None: none just now) until it is stopped."""

    def __init__(self, pid: Callable[[], int | None], ledger: Path, *, every_seconds: float) -> None:
        self._pid = pid
        self._ledger = ledger
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Sampler:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            pid = self._pid()
            # it may be killed at any instant: between two reads, and as a zombie has no descriptors
            with contextlib.suppress(OSError):
                if pid is not None:
                    found = look(pid, self._ledger, at_seconds=time.monotonic() - self._began)
                    if found.resident_mib > 0:
                        self.samples.append(found)

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all lives together, each up to its last sample."""
        return sum(life[-1].cpu_seconds for life in self.lives())

    def lives(self) -> list[list[Sample]]:
        """Return the samples by process, in order."""
        return [list(life) for _, life in groupby(self.samples, key=lambda sample: sample.pid)]


def growth(life: Sequence[Sample], value: Callable[[Sample], float]) -> float | None:
    """Return by how much the value rose over the last two thirds of a life, after the line that fits best.

    A line, and not the difference of two samples: those are chance. The last sample may have seen it
    stop. None for a life too short to say.
    """
    tail = life[len(life) // 3 : -1]
    if len(tail) < 8:
        return None
    times, values = [sample.at_seconds for sample in tail], [value(sample) for sample in tail]
    return statistics.linear_regression(times, values).slope * (times[-1] - times[0])


def steadiness(sampler: Sampler, *, mib: float, descriptors: float) -> list[Figure]:
    """Return by how much memory, descriptors and threads rose: in the longest life, and (twice the bar) in any.

    In a short life much begins only in its last two thirds; `mib` and `descriptors` are the bars of the longest.
    """
    lives, samples = sampler.lives(), sampler.samples
    longest = max(lives, key=len)
    minutes = (longest[-1].at_seconds - longest[0].at_seconds) / 60

    def rises(what: str, value: Callable[[Sample], float], *, unit: str, bar: float) -> list[Figure]:
        found = [growth(life, value) or 0.0 for life in lives]
        rise = growth(longest, value) or 0.0
        beside = f"over the last two thirds of {minutes:.1f} minutes"
        each = ", ".join(f"{one:.1f}" for one in found)
        return [
            Figure(what=f"{what} in the longest life", value=rise, unit=unit, bar=f"<= {bar:g}", beside=beside),
            Figure(what=f"{what} in any life", value=max(found), unit=unit, bar=f"<= {2 * bar:g}", beside=each),
        ]

    return [
        Figure(what="largest resident size", value=max(one.resident_mib for one in samples), unit="MiB"),
        *rises("growth of the resident size", lambda one: one.resident_mib, unit="MiB", bar=mib),
        Figure(what="most descriptors", value=max(one.descriptors for one in samples), unit=""),
        *rises("more descriptors", lambda one: one.descriptors, unit="", bar=descriptors),
        *rises("more threads", lambda one: one.threads, unit="", bar=1),
    ]


def curves(sampler: Sampler) -> list[Series]:
    """Return everything that was sampled over time, a curve a life."""
    kinds: list[tuple[str, Callable[[Sample], float]]] = [
        ("MiB resident", lambda one: one.resident_mib),
        ("descriptors", lambda one: one.descriptors),
        ("threads", lambda one: one.threads),
        ("CPU seconds", lambda one: one.cpu_seconds),
        ("ledger MiB", lambda one: one.ledger_mib),
        ("write-ahead log MiB", lambda one: one.wal_mib),
    ]
    return [
        Series(
            name=f"process {number}",
            x=[round(one.at_seconds / 60, 3) for one in life],
            y=[round(value(one), 3) for one in life],
            x_label="minutes",
            y_label=what,
        )
        for what, value in kinds
        for number, life in enumerate(sampler.lives(), start=1)
    ]
