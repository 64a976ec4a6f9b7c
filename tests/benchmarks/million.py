"""A daemon on a million files in one folder: the first scan, every file looked at once, and then at rest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from tests.benchmarks.figures import Figure, Result, Series
from tests.benchmarks.sampling import Sample, Sampler, growth
from tests.benchmarks.scene import Scene, scene
from tests.benchmarks.trees import ask, fill, scanned_at

FILES = 1_000_000
REST_MINUTES = 15.0
RESCANS = 2
_LONGEST_SECONDS = 7200.0
_NOT_LOOKED_AT = "SELECT EXISTS (SELECT 1 FROM recording WHERE state = 'discovered' AND reason_code IS NULL)"


def measure(scale: float = 1.0, *, minutes: float = REST_MINUTES) -> Result:
    """1,000,000 files in one folder, which wait for sidecars: the first scan, then 15 minutes with two rescans."""
    files, rest_seconds = max(1000, round(FILES * scale)), max(6.0, minutes * 60 * scale)
    # Two fall into the rest, the third would come after its end.
    rescan_seconds = rest_seconds / (RESCANS + 0.5)
    with scene() as stage:
        _configure(stage, rescan_seconds)
        fill(stage.recordings, files=files)
        with stage.daemon(), Sampler(lambda: stage.pid, stage.folder / "ledger.db", every_seconds=0.25) as sampler:
            began = time.monotonic()
            stage.until(lambda: scanned_at(stage) is not None, seconds=_LONGEST_SECONDS)
            scanned = time.monotonic() - began
            stage.until(lambda: not ask(stage, _NOT_LOOKED_AT), seconds=_LONGEST_SECONDS, every=1.0)
            looked = time.monotonic() - began
            stage.until(_one_more_scan(stage), seconds=_LONGEST_SECONDS)
            rests, scans = time.monotonic() - began, set[int | None]()
            stage.until(lambda: _is_over(stage, scans, began + rests + rest_seconds), seconds=_LONGEST_SECONDS)
    samples = sampler.samples
    first = [sample for sample in samples if sample.at_seconds <= scanned]
    rest = [sample for sample in samples if sample.at_seconds > rests]
    return Result(
        figures=[
            Figure(what=f"first scan of {files:,}", value=scanned, unit="s"),
            Figure(what="most resident, first scan", value=_most(first), unit="MiB", bar="<= 150"),
            Figure(what="every file looked at by", value=looked, unit="s", beside="its sidecar is waited for"),
            Figure(what="most resident, until then", value=_most(samples), unit="MiB", bar="<= 150"),
            Figure(what="most resident, at rest", value=_most(rest), unit="MiB", bar="<= 150"),
            Figure(what="growth of the resident size at rest", value=growth(rest, _resident) or 0.0, unit="MiB"),
            Figure(
                what=f"of a core over {rest_seconds / 60:.1f} minutes at rest", value=_share(rest), unit="%",
                bar="<= 1", beside=f"{len(scans) - 1} rescans; between them {_between(rest):.2f} %",
            ),
            Figure(what="ledger for each file", value=samples[-1].ledger_mib * 2**20 / files, unit="bytes"),
        ],
        series=[
            Series(
                name="resident size", x=[s.at_seconds for s in samples], y=[s.resident_mib for s in samples],
                x_label="seconds", y_label="MiB",
            )
        ],
    )  # fmt: skip


def _configure(stage: Scene, rescan_seconds: float) -> None:
    # The sandbox's configuration follows what was sent every two seconds; a real one as often as this.
    text = stage.config.read_text().replace('poll_interval = "2s"', 'poll_interval = "5m"')
    own = f'sidecar_wait = "30d"\nrescan = "{rescan_seconds:.0f}s"\nbacklog_limit = 0'
    stage.config.write_text(text.replace("backlog_limit = 0", own))


def _one_more_scan(stage: Scene) -> object:
    last = scanned_at(stage)
    return lambda: scanned_at(stage) != last


def _is_over(stage: Scene, scans: set[int | None], end: float) -> bool:
    scans.add(scanned_at(stage))
    return time.monotonic() >= end


def _resident(sample: Sample) -> float:
    return sample.resident_mib


def _most(samples: Sequence[Sample]) -> float:
    return max(map(_resident, samples), default=0.0)


def _share(rest: Sequence[Sample]) -> float:
    """Return the CPU time of these samples in per cent of a core."""
    return 100 * (rest[-1].cpu_seconds - rest[0].cpu_seconds) / (rest[-1].at_seconds - rest[0].at_seconds)


def _between(rest: Sequence[Sample], *, seconds: float = 5.0) -> float:
    """Return the median of the share over short spans: what is taken when no rescan is under way."""
    size = max(2, round(seconds / (rest[-1].at_seconds - rest[0].at_seconds) * len(rest)))
    spans = [rest[start : start + size] for start in range(0, len(rest) - size, size)]
    return statistics.median(_share(span) for span in spans) if spans else 0.0
