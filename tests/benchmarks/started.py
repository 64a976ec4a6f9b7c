"""A daemon run as systemd runs it, and commands to their end: when they were ready, and what they took."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = (sys.executable, "-m", "uploader")
_LOOK_SECONDS, _PATIENCE_SECONDS = 0.5, 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A running daemon, and how long it took from exec to `READY=1`."""

    pid: int
    ready_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of a command."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    lines: int


@contextmanager
def started(config: Path, log: Path) -> Iterator[Started]:
    """Run the daemon with all it logs in `log`, and end it gracefully. Raises RuntimeError when it gets not ready."""
    with (
        tempfile.TemporaryDirectory(prefix="qm-ready-") as folder,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as bell,
        log.open("wb") as out,
    ):
        bell.bind(f"{folder}/notify")
        bell.settimeout(_LOOK_SECONDS)
        environ = os.environ | {"NOTIFY_SOCKET": f"{folder}/notify"}
        began = time.monotonic()
        process = subprocess.Popen([*_PROGRAM, "--config", str(config), "run", "-v"], stderr=out, env=environ)
        try:
            while not _says_ready(bell):
                if process.poll() is not None or time.monotonic() - began > _PATIENCE_SECONDS:
                    raise RuntimeError(f"the daemon was not ready: {log.read_text()[-2000:]}")
            yield Started(pid=process.pid, ready_seconds=time.monotonic() - began)
        finally:
            process.terminate()
            process.wait(120)


def ran(arguments: Sequence[str], *, program: Sequence[str] = _PROGRAM) -> Ran:
    """Run a command to its end. Raises CalledProcessError when it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*program, *arguments], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = sum(1 for _ in output)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [*program, *arguments])
    return Ran(wall_seconds=wall, cpu_seconds=_cpu(usage), peak_mib=usage.ru_maxrss / 1024, lines=lines)


def _says_ready(bell: socket.socket) -> bool:
    try:
        return b"READY=1" in bell.recv(4096)
    except TimeoutError:
        return False


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime
