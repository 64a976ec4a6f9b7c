"""What every measurement sets up: a sandbox, a configuration, a daemon, recordings. Loopback only."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

_TICK = threading.Event()
"""Never set: `wait` on it is a pause that ends with the measurement's own deadline."""
_FAST = """
[budget]
submissions_per_second = 2000
submissions_per_day = 0
reads_per_second = 200
"""


class Scene:
    """A temporary folder with a sandbox in it; commands of the program run against it."""

    def __init__(self, folder: Path, *options: str, budget: str = _FAST) -> None:
        self.folder = folder
        self.pid: int | None = None
        """The daemon's, while one runs."""
        arguments = ("sandbox", "--json", "--port", "0", "--dir", str(folder), *options)
        self._sandbox = self._start(*arguments, stdout=subprocess.PIPE)
        assert self._sandbox.stdout is not None
        self.info: dict[str, Any] = json.loads(self._sandbox.stdout.readline())
        self.config = Path(self.info["config"])
        self.recordings = Path(self.info["recordings"])
        text = self.config.read_text().replace('settle = "500ms"', 'settle = "0s"\nbacklog_limit = 0')
        self.config.write_text(text + budget)
        self._web = tomllib.loads(text)["web"]["listen"]

    def _start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "uploader", *arguments], **options)

    def run(self, *arguments: str) -> str:
        """Run a command to its end and return what it printed."""
        command = [sys.executable, "-m", "uploader", "--config", str(self.config), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=900).stdout

    @contextmanager
    def daemon(self) -> Iterator[float]:
        """Run the daemon; yield the seconds from exec to ready."""
        began = time.monotonic()
        with (self.folder / "daemon.log").open("ab") as log:
            process = self._start("--config", str(self.config), "run", stderr=log)
        self.pid = process.pid
        try:
            self.until(lambda: process.poll() is not None or self._is_ready())
            if process.poll() is not None:
                raise RuntimeError((self.folder / "daemon.log").read_text())
            yield time.monotonic() - began
        finally:
            self.pid = None
            process.terminate()
            process.wait(60)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._web}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def books(self) -> dict[str, Any]:
        """Return the sandbox's books."""
        with urllib.request.urlopen(f"{self.info['url']}/sandbox/books", timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def status(self) -> dict[str, Any]:
        """Return `status --json`."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    @staticmethod
    def until(condition: Any, *, seconds: float = 600.0, every: float = 0.05) -> None:
        """Wait until `condition()` holds; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the measurement did not come to its end")
            _TICK.wait(every)

    def close(self) -> None:
        """End the sandbox."""
        self._sandbox.terminate()
        self._sandbox.wait(30)


@contextmanager
def scene(*options: str, budget: str = _FAST) -> Iterator[Scene]:
    """Set a scene, and take it away afterwards; `options` are the sandbox's, `budget` a section of the settings."""
    folder = Path(tempfile.mkdtemp(prefix="qm-benchmark-"))
    stage = Scene(folder, *options, budget=budget)
    try:
        yield stage
    finally:
        stage.close()
        rmtree(folder, ignore_errors=True)


def write_recording(folder: Path, number: int, *, seconds: float = 0.5) -> Path:
    """Write a small wav whose content is `number`'s own."""
    path = folder / f"call-{number:06}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(random.Random(number).randbytes(int(16000 * seconds)))
    return path


def write_sidecar(folder: Path, number: int) -> Path:
    """Write the native sidecar of recording `number`."""
    hours, rest = divmod(number, 3600)
    body = {
        "start_time": f"2026-11-{1 + hours // 24 % 18:02}T{hours % 24:02}:{rest // 60:02}:{rest % 60:02}Z",
        "direction": "inbound",
        "from": f"+1202{number:07}",
        "to": "+12025550000",
        "agent_email": "agent@example.com",
    }
    path = folder / f"call-{number:06}.json"
    path.write_text(json.dumps(body))
    return path


def drop(staged: Path, folder: Path) -> float:
    """Move a recording into a source as recorders do, and return the time of it."""
    os.rename(staged, folder / staged.name)
    return time.time()
