"""From the rename into the folder to the service's acceptance, by the sandbox's own clock on the same machine."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
import urllib.request
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.figures import Figure, Result, Series
from tests.benchmarks.scene import Scene, drop, scene, write_recording, write_sidecar

DROPS, DROPS_PER_SECOND = 500, 20
MOVED_EVERY, MOVED_AFTER = 5, 40
"""One recording in five is moved out, two seconds after it came: it was accepted and fetched by then."""


def measure(scale: float = 1.0) -> Result:
    """From the rename into the folder to the service's acceptance, settle = "0s", 20 files a second."""
    drops = max(20, round(DROPS * scale))
    with scene() as stage, stage.daemon():
        bare = _bare_posts(stage, drops // 2)
        still = _pass(stage, range(drops), archive=None)
        moving = _pass(stage, range(drops, 2 * drops), archive=stage.folder / "archive")
    beside = f"a bare POST: median {statistics.median(bare):.1f} ms, 99th {_percentile(bare, 99):.1f} ms"
    return Result(
        figures=[
            Figure(what=f"median of {drops}", value=statistics.median(still), unit="ms", bar="<= 25", beside=beside),
            Figure(what="99th percentile", value=_percentile(still, 99), unit="ms", bar="<= 100"),
            Figure(what="longest", value=max(still), unit="ms"),
            Figure(what="median, one in five moved out", value=statistics.median(moving), unit="ms"),
            Figure(
                what="99th percentile, one in five moved out", value=_percentile(moving, 99), unit="ms", bar="<= 150"
            ),
            Figure(what="longest, one in five moved out", value=max(moving), unit="ms"),
        ],
        series=[
            Series(name=name, x=range(len(found)), y=found, x_label="drop", y_label="ms from drop to accepted")
            for name, found in (("nothing moved", still), ("one in five moved out", moving), ("a bare POST", bare))
        ],
    )


def _pass(stage: Scene, numbers: range, *, archive: Path | None) -> list[float]:
    """Drop these at the pace and return the milliseconds that each took, in order of the drops."""
    staging = stage.folder / "stage"
    staging.mkdir(exist_ok=True)
    staged = {number: write_recording(staging, number) for number in numbers}
    if archive is not None:
        archive.mkdir()
    after, dropped = min(MOVED_AFTER, len(numbers) // 4), dict[str, float]()
    pause, began = threading.Event(), time.monotonic()
    for turn, number in enumerate(numbers):
        pause.wait(max(0.0, began + turn / DROPS_PER_SECOND - time.monotonic()))
        write_sidecar(stage.recordings, number)
        dropped[_caller(number)] = drop(staged[number], stage.recordings)
        if archive is not None and turn >= after and turn % MOVED_EVERY == 0:
            _move_out(stage.recordings, number - after, archive)

    def accepted() -> dict[str, float]:
        found = {one["body"]["interaction_info"]["from"]: one["accepted_at"] for one in stage.books()["interactions"]}
        return {caller: datetime.fromisoformat(found[caller]).timestamp() for caller in dropped if caller in found}

    stage.until(lambda: len(accepted()) == len(dropped), seconds=120.0)
    when = accepted()
    return [(when[caller] - at) * 1000 for caller, at in dropped.items()]


def _move_out(folder: Path, number: int, archive: Path) -> None:
    """Do what a recorder's housekeeping does: put an older recording and its sidecar into an archive."""
    for suffix in (".wav", ".json"):
        name = f"call-{number:06}{suffix}"
        os.rename(folder / name, archive / name)


def _caller(number: int) -> str:
    return f"+1202{number:07}"


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _bare_posts(stage: Scene, count: int) -> list[float]:
    """POST at the same pace over one connection, with nothing else done; return the milliseconds of each."""
    where = urlsplit(stage.info["api_url"])
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    headers = {"Authorization": f"Bearer {_token(stage)}", "Content-Type": "application/json"}
    pause, took, began = threading.Event(), [], time.monotonic()
    for turn in range(count):
        pause.wait(max(0.0, began + turn / DROPS_PER_SECOND - time.monotonic()))
        # A port that nothing listens on: the sandbox's fetch fails at once and costs next to nothing.
        info = {"channel_type": "voice", "from": f"+1203{turn:07}"}
        body = json.dumps({"download_url": "http://127.0.0.1:9/x.wav", "interaction_info": info})
        sent = time.perf_counter()
        connection.request("POST", f"{where.path}/qm/interactions", body=body, headers=headers)
        with connection.getresponse() as answer:
            answer.read()
        took.append((time.perf_counter() - sent) * 1000)
        if answer.status != 201:
            raise RuntimeError(f"the bare POST was answered {answer.status}")
    connection.close()
    return took


def _token(stage: Scene) -> str:
    ours = b64encode(f"{stage.info['client_id']}:{stage.info['client_secret']}".encode()).decode()
    request = urllib.request.Request(
        stage.info["token_url"],
        data=f"grant_type=account_credentials&account_id={stage.info['account_id']}".encode(),
        headers={"Authorization": f"Basic {ours}", "Content-Type": "application/x-www-form-urlencoded"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.loads(answer.read())["access_token"])
