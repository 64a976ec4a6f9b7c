"""An import of small recordings beside a bare loop of the same client and threads, at a sink that answers at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import structlog

from tests.benchmarks.figures import Figure, Result, Series
from tests.benchmarks.scene import Scene, write_recording, write_sidecar
from tests.benchmarks.sink import Sink, free_port, sink
from uploader.platform.clock import SystemClock
from uploader.platform.http import HttpClient
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient

IMPORTED = 5000
WORKERS = 8
"""The program's default, and what the bare loop gets."""

_SLOW_FSYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slowly(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    usleep(3000);
    return result;
}
int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""


def measure(scale: float = 1.0) -> Result:
    """An import of small recordings beside a bare loop of the same client and threads, at a sink that answers at once.

    Counted from the exec of the command to the last acceptance, so the start and the plan are in it.
    """
    count = max(1, round(IMPORTED * scale))
    with temporary_folder() as folder, sink(folder) as service:
        archive = make_archive(folder, count)
        bare = count / _bare_loop(service, count)
        normal = import_all(folder / "normal", archive, service, count)
        slow = import_all(folder / "slow", archive, service, count, LD_PRELOAD=str(_slow_fsync(folder)))
    return Result(
        figures=[
            Figure(what=f"import of {count:,}, from exec to the last acceptance", value=normal.rate, unit="a second"),
            Figure(what="between the first acceptance and the last", value=normal.pace, unit="a second"),
            Figure(
                what="part of a bare loop", value=normal.rate / bare, unit="", bar=">= 0.35",
                beside=f"bare loop {bare:,.0f} a second",
            ),
            Figure(what="processor time of a recording", value=normal.cpu_ms, unit="ms"),
            Figure(what="import with 3 ms added to each fsync", value=slow.rate, unit="a second", bar=">= 150"),
        ],
        series=[normal.curve("import"), slow.curve("import, 3 ms more a fsync")],
    )  # fmt: skip


class Run:
    """When each recording of an import was accepted, and what it cost."""

    def __init__(self, began: float, accepted: list[float], cpu_seconds: float) -> None:
        self._times = sorted(at - began for at in accepted)
        self.rate = len(accepted) / self._times[-1]
        self.pace = len(accepted) / max(0.001, self._times[-1] - self._times[0])
        self.cpu_ms = cpu_seconds * 1000 / len(accepted)

    def curve(self, name: str) -> Series:
        return Series(
            name=name, x=self._times, y=list(range(1, len(self._times) + 1)), x_label="seconds since exec",
            y_label="accepted",
        )  # fmt: skip


@contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="qm-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_archive(folder: Path, count: int, *, first: int = 0) -> Path:
    """Write so many small recordings with their sidecars, the one numbered `first` first."""
    archive = folder / "archive"
    archive.mkdir(parents=True)
    for number in range(first, first + count):
        write_recording(archive, number)
        write_sidecar(archive, number)
    return archive


def import_all(home: Path, archive: Path, service: Sink, count: int, **environment: str) -> Run:
    """Import with the ledger in `home`, new or not, until the sink has accepted all; then interrupt.

    Nobody fetches what the import would go on serving.
    """
    home.mkdir(exist_ok=True)
    config = _configuration(home, archive, service)
    service.forget()
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "uploader", "--config", str(config), "import", str(archive), "-q"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment,
    )  # fmt: skip
    try:
        Scene.until(lambda: process.poll() is not None or len(service.accepted()) >= count, seconds=300, every=0.2)
        cpu_seconds = _cpu_seconds(process.pid) if process.poll() is None else 0.0
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    accepted = service.accepted()
    if len(accepted) != count:
        raise RuntimeError(f"{len(accepted)} of {count} were accepted")
    return Run(began, accepted, cpu_seconds)


def _configuration(home: Path, archive: Path, service: Sink) -> Path:
    secret = home / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    staging = f"127.0.0.1:{free_port()}"
    config = home / "config.toml"
    config.write_text(f"""
[zoom]
account_id = "account"
client_id = "client"
client_secret_file = {json.dumps(str(secret))}
api_url = "{service.url}/v2"
token_url = "{service.url}/oauth/token"
[budget]
submissions_per_second = 100000
submissions_per_day = 0
[ledger]
path = {json.dumps(str(home / "ledger.db"))}
[[sources]]
name = "archive"
type = "folder"
path = {json.dumps(str(archive))}
enabled = false
[staging]
type = "builtin"
listen = "{staging}"
public_url = "http://{staging}"
[run]
workers = {WORKERS}
[web]
listen = "127.0.0.1:{free_port()}"
""")
    config.chmod(0o600)
    return config


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _slow_fsync(folder: Path) -> Path:
    """Compile what makes every fsync of a process 3 ms slower."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("a C compiler is missing: apt-get install gcc libc6-dev")
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(_SLOW_FSYNC)
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def _bare_loop(service: Sink, count: int) -> float:
    """Return the seconds that as many submissions take with nothing around them."""
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    clock, http = SystemClock(), HttpClient(max_connections=WORKERS)
    tokens = TokenKeeper(
        http, token_url=f"{service.url}/oauth/token", account_id="account", client_id="client",
        client_secret=lambda: "secret", clock=clock, timeout_seconds=30,
    )  # fmt: skip
    client = ZoomClient(http, tokens, api_url=f"{service.url}/v2", request_timeout_seconds=30, clock=clock)

    def send(number: int) -> None:
        body = {
            "direction": "inbound", "start_time": "2026-11-01T00:00:00Z",
            "interaction_info": {
                "channel_type": "voice", "agent_email": "agent@example.com", "from": f"+1203{number:07}",
                "to": "+12025550000",
            },
        }  # fmt: skip
        url = f"http://127.0.0.1:9/recordings/{number}.wav?expires=1800000000&signature={'a' * 64}"
        client.submit(body, download_url=url, token=tokens.token(), idempotency_key=None)

    send(0)
    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(send, range(count)))
    seconds = time.monotonic() - began
    http.close()
    return seconds
