"""The stage of `demo`: a temporary directory, a sandbox and a daemon in it, each a process of its own.

Knows nothing of the terminal, and nothing of the user's own configuration, account or environment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uploader
from uploader.demo import manifest, recordings
from uploader.errors import UploaderError, UsageError

if TYPE_CHECKING:
    from uploader.ledger.ledger import Ledger

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME")
"""Nothing else of the environment reaches the processes: no settings, no proxy, no credentials."""
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_ANSWER_SECONDS = 5.0
_BOOKS_BYTES = 16 * 1024 * 1024
_LOG_BYTES = 1024 * 1024
# below the ports that outgoing connections are given: nobody takes it between our look and the daemon's start
_PORTS = range(20_000, 32_000)

Wait = Callable[[float], None]
"""Wait so many seconds; raises when the user breaks off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One recording of `demo.json`, and the state that it is meant to end in."""

    recording: str
    name: str
    sidecar: str | None
    sidecar_name: str | None
    intended: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the ledger says of one recording."""

    state: str
    interaction_id: str | None
    reason_code: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the sandbox's books say of one interaction: the digest of what it fetched, None for nothing."""

    interaction_id: str
    fetched_sha256: str | None
    analyzed: bool


def drops() -> tuple[Drop, ...]:
    """Return what is dropped, in order."""
    return tuple(Drop(**entry) for entry in json.loads(manifest().read_text(encoding="utf-8"))["files"])


class Stage:
    """Set up with `open`, taken down with `close`, which is safe at any time."""

    def __init__(self, *, wait: Wait) -> None:
        """Make the directory. Raises UsageError when there is no place for it."""
        try:
            self.directory = Path(tempfile.mkdtemp(prefix="qm-uploader-demo-"))
            str(self.directory).encode()
        except OSError as exc:
            hint = "set TMPDIR to a folder that you may write to"
            raise UsageError(f"no temporary directory can be made ({exc.strerror})", hint=hint) from exc
        except UnicodeEncodeError as exc:
            self.directory.rmdir()
            hint = "set TMPDIR to a folder whose name is UTF-8"
            raise UsageError("the temporary directory must have a name that TOML can hold", hint=hint) from exc
        self._wait = wait
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ledger: Ledger | None = None
        self._netloc = ""

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "demo.toml"

    @property
    def inbox(self) -> Path:
        """The folder that the daemon watches."""
        return self.directory / "recordings"

    def open(self) -> None:
        """Start the sandbox, then the daemon; return when the daemon watches. Raises UploaderError."""
        options = ("--dir", str(self.directory), "--port", "0", "--json", "--analyze-delay", "500ms")
        told = json.loads(self._start("sandbox", ("sandbox", *options), out="sandbox.json", until="\n"))
        self._netloc = told["url"].removeprefix("http://")
        self._write_config(told)
        run = ("--config", str(self.config), "run")
        self._start("daemon", run, out="daemon.out", until="daemon.started", read="daemon.log")
        from uploader.ledger.ledger import Ledger

        self._ledger = Ledger.open_beside(self.directory / "ledger.db")

    def drop(self, drop: Drop) -> None:
        """Put a recording and its sidecar into the folder, as a recorder would."""
        for source, name in ((drop.recording, drop.name), (drop.sidecar, drop.sidecar_name)):
            if source and name:
                (self.inbox / name).write_bytes((recordings() / source).read_bytes())

    def sights(self) -> dict[str, Sight]:
        """Return what the ledger says by now, by the recording's name. Raises UploaderError when a process ended."""
        from uploader.ledger.filters import Filter

        self._check_alive()
        if self._ledger is None:
            return {}
        return {
            os.fsdecode(row.location.rpartition(b"/")[2]): Sight(
                state=row.state.value,
                interaction_id=row.interaction_id,
                reason_code=row.reason_code,
                reason=row.reason,
            )
            for row in self._ledger.recordings.search(Filter())
        }

    def books(self) -> tuple[Entry, ...]:
        """Ask the sandbox what it accepted and fetched. Raises UploaderError."""
        connection = http.client.HTTPConnection(self._netloc, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/sandbox/books")
            document = json.loads(connection.getresponse().read(_BOOKS_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise UploaderError("the sandbox does not show its books") from exc
        finally:
            connection.close()
        return tuple(_entry(interaction) for interaction in document["interactions"])

    def close(self, *, keep: bool) -> None:
        """End both processes, then remove the directory unless it is to be kept."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, what: str, arguments: tuple[str, ...], *, out: str, until: str, read: str = "") -> str:
        """Start a process of this program; return what stands in the file `read` once `until` is in it."""
        log = self.directory / f"{what}.log"
        with (self.directory / out).open("wb") as output, log.open("wb") as errors:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-P", "-m", "uploader", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    cwd=self.directory,
                    env=_environment(),
                    start_new_session=True,
                )
            )
        deadline = time.monotonic() + _START_SECONDS
        while until not in (text := _read(self.directory / (read or out))):
            self._check_alive()
            if time.monotonic() > deadline:
                raise UploaderError(f"the {what} did not start in time", hint=_KEEP_HINT)
            self._wait(_LOOK_SECONDS)
        return text

    def _check_alive(self) -> None:
        for what, process in zip(("sandbox", "daemon"), self._processes, strict=False):
            if process.poll() is not None:
                lines = _read(self.directory / f"{what}.log").splitlines()
                errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
                why = f": {errors[-1]}" if errors else ""
                raise UploaderError(f"the {what} has ended by itself{why}", hint=_KEEP_HINT)

    def _write_config(self, told: Mapping[str, Any]) -> None:
        staging = f"127.0.0.1:{_free_port()}"
        text = f"""[zoom]
account_id = {_quote(told["account_id"])}
client_id = {_quote(told["client_id"])}
client_secret = {_quote(told["client_secret"])}
api_url = {_quote(told["api_url"])}
token_url = {_quote(told["token_url"])}
request_timeout = "5s"

[budget]
submissions_per_second = 50
submissions_per_day = 0
reads_per_second = 50

[reconcile]
wait = "500ms"

[retry]
initial = "200ms"

[tracking]
poll_interval = "500ms"

[ledger]
path = {_quote(str(self.directory / "ledger.db"))}

[[sources]]
name = "demo"
type = "folder"
path = {_quote(str(self.inbox))}
settle = "300ms"
rescan = "1s"
# the daemon itself waits 15 minutes for a damaged recording to become whole
sidecar_wait = "2s"

[staging]
type = "builtin"
listen = {_quote(staging)}
public_url = {_quote(f"http://{staging}")}

[run]
stop_grace = "2s"

[log]
format = "json"

[web]
listen = "127.0.0.1:0"
"""
        descriptor = os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


_KEEP_HINT = "run it again with --keep and look at the logs in the directory that it names"


def _entry(interaction: Mapping[str, Any]) -> Entry:
    whole = (fetch["sha256"] for fetch in interaction["fetches"] if fetch["status"] == 200 and not fetch["error"])
    return Entry(
        interaction_id=interaction["interaction_id"],
        fetched_sha256=next(whole, None),
        analyzed=interaction["analyzed_at"] is not None,
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # where this very package lies, also when it is not installed but stands in the working directory
    return {**kept, "PYTHONPATH": str(Path(uploader.__file__).parents[1])}


def _read(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(_LOG_BYTES).decode("utf-8", "replace")
    return ""


def _free_port() -> int:
    for _ in range(100):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise UploaderError("no free port was found on this machine")


def _quote(text: str) -> str:
    # JSON's escapes are TOML's
    return json.dumps(text, ensure_ascii=False)
