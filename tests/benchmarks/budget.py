"""How much of a budget is used that the service enforces without burst, and whether it is ever exceeded."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import Any

from tests.benchmarks.figures import Figure, Result, Series
from tests.benchmarks.scene import Scene, scene, write_recording, write_sidecar

PER_SECOND = 50
SECONDS = 120
BARS = {"calendar": ">= 99", "sliding": ">= 96"}
_LEAD_SECONDS = 3.0
"""The run is looked at from then on: the first request fetches a token, and learns how long things take."""
_BUDGET = f"""
[budget]
submissions_per_second = {PER_SECOND}
submissions_per_day = 0
reads_per_second = 4
"""


def measure(scale: float = 1.0) -> Result:
    """A budget of 50 a second enforced at the sandbox without burst, fetching and polling beside it."""
    seconds = max(5, round(SECONDS * scale))
    figures: list[Figure] = []
    series: list[Series] = []
    for window, bar in BARS.items():
        with scene("--rate-limit", f"{PER_SECOND}:{window}", budget=_BUDGET) as stage:
            books = _imported(stage, seconds)
        accepted = sorted(datetime.fromisoformat(one["accepted_at"]).timestamp() for one in books["interactions"])
        first = accepted[0] + _LEAD_SECONDS
        within = [at - first for at in accepted if first <= at < first + seconds]
        counters = books["counters"]
        polls = counters["list_requests"] + counters["detail_requests"]
        fetched = sum(bool(one["fetches"]) for one in books["interactions"])
        beside = f"{seconds} s; {polls:,} polls, {fetched:,} fetched beside it"
        use = 100 * len(within) / (PER_SECOND * seconds)
        refused = counters["rate_limited"]["second"]
        figures += [
            Figure(what=f"used of {PER_SECOND} a {window} second", value=use, unit="%", bar=bar, beside=beside),
            Figure(what=f"answered 429, {window}", value=refused, unit="", bar="== 0" if window == "calendar" else ""),
        ]
        counted = Counter(int(at) for at in within)
        y = [counted[second] for second in range(seconds)]
        series.append(Series(name=window, x=range(seconds), y=y, x_label="second", y_label="accepted in it"))
    return Result(figures=figures, series=series)


def _imported(stage: Scene, seconds: int) -> dict[str, Any]:
    """Hand a running daemon more than it can send in the time, and return the books after it."""
    archive = stage.folder / "archive"
    archive.mkdir()
    for number in range(round(PER_SECOND * (seconds + 2 * _LEAD_SECONDS))):
        write_recording(archive, number, seconds=0.1)
        write_sidecar(archive, number)
    with stage.daemon():
        stage.run("import", str(archive), "--detach", "--json", "-q")
        stage.until(lambda: stage.books()["counters"]["accepted"] > 0, seconds=60)
        ends = time.monotonic() + seconds + _LEAD_SECONDS
        stage.until(lambda: time.monotonic() >= ends, every=1.0)
        return stage.books()
