"""The measurements, each a function that returns figures by name; its docstring says what it measures."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import structlog

from tests.benchmarks.scene import Scene, drop, scene, write_recording, write_sidecar
from uploader.platform.clock import SystemClock
from uploader.platform.http import HttpClient
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient

DROPS, DROPS_PER_SECOND = 300, 20
IMPORTED = 2000
KNOWN = 50_000
WORKERS = 8


def drop_to_accepted() -> dict[str, str]:
    """from the rename into the folder to the service's acceptance, settle = "0s"."""
    with scene() as stage, stage.daemon():
        staging = stage.folder / "stage"
        staging.mkdir()
        staged = [write_recording(staging, number) for number in range(DROPS)]
        dropped: dict[str, float] = {}
        pause, began = threading.Event(), time.monotonic()
        for number, path in enumerate(staged):
            pause.wait(max(0.0, began + number / DROPS_PER_SECOND - time.monotonic()))
            write_sidecar(stage.recordings, number)
            dropped[f"+1202{number:07}"] = drop(path, stage.recordings)
        stage.until(lambda: len(stage.books()["interactions"]) >= DROPS)
        late = sorted(
            (datetime.fromisoformat(one["accepted_at"]).timestamp() - dropped[one["body"]["interaction_info"]["from"]])
            for one in stage.books()["interactions"]
        )
    return {
        f"median of {len(late)}": f"{late[len(late) // 2] * 1000:.1f} ms",
        "99th percentile": f"{late[int(len(late) * 0.99)] * 1000:.1f} ms",
        "longest": f"{late[-1] * 1000:.1f} ms",
    }


def import_rate() -> dict[str, str]:
    """an import of small recordings beside a bare loop of the same client and threads, at the sandbox."""
    with scene() as stage:
        archive = stage.folder / "archive"
        archive.mkdir()
        for number in range(IMPORTED):
            write_recording(archive, number)
            write_sidecar(archive, number)
        bare = _bare_loop(stage, IMPORTED)
        began = time.monotonic()
        stage.run("import", str(archive), "--json", "-q")
        imported = time.monotonic() - began
        accepted = len(stage.books()["interactions"]) - IMPORTED
    return {
        f"import of {accepted}": f"{accepted / imported:.0f} a second",
        "bare loop": f"{IMPORTED / bare:.0f} a second",
        "ratio": f"{accepted / imported / (IMPORTED / bare):.2f}",
    }


def _bare_loop(stage: Scene, count: int) -> float:
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    clock, http = SystemClock(), HttpClient(max_connections=WORKERS)
    tokens = TokenKeeper(
        http,
        token_url=stage.info["token_url"],
        account_id=stage.info["account_id"],
        client_id=stage.info["client_id"],
        client_secret=lambda: str(stage.info["client_secret"]),
        clock=clock,
        timeout_seconds=30,
    )
    client = ZoomClient(http, tokens, api_url=stage.info["api_url"], request_timeout_seconds=30, clock=clock)

    def send(number: int) -> None:
        body = {"interaction_info": {"channel_type": "voice", "from": f"+1203{number:07}"}}
        # A port that nothing listens on: the sandbox's fetch fails at once and costs next to nothing.
        client.submit(body, download_url="http://127.0.0.1:9/x.wav", token=tokens.token(), idempotency_key=None)

    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(send, range(count)))
    seconds = time.monotonic() - began
    http.close()
    return seconds


def restart() -> dict[str, str]:
    """exec to ready, and to the end of the first scan, with known files in the folder."""
    with scene() as stage:
        _fill(stage.recordings)
        with stage.daemon():
            stage.until(lambda: stage.status()["counts"]["discovered"] >= KNOWN, every=1.0)
            stage.run("pause")
        before = _scanned_at(stage)
        began = time.time()
        with stage.daemon() as ready:
            stage.until(lambda: _scanned_at(stage) != before, every=0.05)
            scanned = time.time() - began
        bare = _bare_walk(stage.recordings)
    return {
        f"ready with {KNOWN} files": f"{ready:.2f} s",
        "first full scan done after": f"{scanned:.2f} s",
        "a bare scandir and stat walk of them": f"{bare:.2f} s",
    }


def _fill(folder: Path) -> None:
    """Files without sidecars: they are known, and wait."""
    for number in range(KNOWN):
        inside = folder / f"{number // 500:04}"
        inside.mkdir(exist_ok=True)
        (inside / f"call-{number:06}.wav").write_bytes(b"RIFF" + number.to_bytes(4, "little"))


def _scanned_at(stage: Scene) -> str:
    import sqlite3

    with sqlite3.connect(f"file:{stage.folder / 'ledger.db'}?mode=ro", uri=True) as db:
        return str(db.execute("SELECT scanned_at FROM source").fetchone()[0])


def _bare_walk(folder: Path) -> float:
    began, pending = time.monotonic(), [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat()
    return time.monotonic() - began


MEASUREMENTS: dict[str, Callable[[], dict[str, str]]] = {
    "drop": drop_to_accepted,
    "import": import_rate,
    "restart": restart,
}
