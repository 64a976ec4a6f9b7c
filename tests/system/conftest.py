"""The real program for the tests of this folder: a sandbox and a daemon, each a process of its own.

What they did is read from outside: the sandbox's books over HTTP, the ledger's file, what was printed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import wave
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SETTLED = {"submitted", "analyzed"}
CLOCK = threading.Event()


def rest(seconds: float) -> None:
    """Let a moment pass between two looks; nothing may depend on how long it is."""
    CLOCK.wait(seconds)


def wait_until(look, *, seconds: float, what: str, say=lambda: ""):
    """Look again and again until `look` returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds} s {say()}")
        rest(0.05)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def toml(document: dict[str, Any]) -> str:
    """Write a configuration: tables of scalars and lists, and `sources` as an array of tables."""
    lines = []
    for name, table in document.items():
        for one in table if isinstance(table, list) else [table]:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            nested = {k: v for k, v in one.items() if isinstance(v, dict)}
            lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in one.items() if k not in nested]
            for key, values in nested.items():
                lines.append(f"[{name}.{key}]")
                lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
    return "\n".join(lines) + "\n"


def make_wav(seed: object, *, milliseconds: int = 250) -> bytes:
    """Return a WAV (8 kHz, 16 bit, mono) whose content no other seed has."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(random.Random(str(seed)).randbytes(2 * 8 * milliseconds))
    return stream.getvalue()


def make_call(number: int) -> dict[str, Any]:
    """Return a sidecar that no other number has: a call of its own minute and its own caller."""
    day, minute = divmod(number, 60 * 12)
    return {
        "direction": "inbound" if number % 2 else "outbound",
        "disposition": f"case {number}",
        "primary_language": "en-US",
        "start_time": f"2026-0{1 + day // 28}-{1 + day % 28:02}T{8 + minute // 60:02}:{minute % 60:02}:07Z",
        "interaction_info": {
            "agent_email": f"agent{number % 7}@example.com",
            "consumer_name": f"Caller {number}",
            "from": f"+1202555{number % 10_000:04}",
            "to": f"+1303555{(number * 7) % 10_000:04}",
        },
    }


class Sandbox:
    """The stand-in for the service, as `qm-uploader sandbox`."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, *options: str, port: int = 0) -> None:
        """Start it; a second start takes up the books of the first."""
        command = [sys.executable, "-m", "uploader", "sandbox", "--json", "--port", str(port)]
        # The program may be started anew while a recording is to be fetched, and that takes as long as it takes.
        command += ["--dir", str(self.directory), "--fetch-retries", "30", *(options or self._options)]
        errors = (self.directory / "sandbox.err").open("ab")
        with errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=REPOSITORY)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            pytest.fail((self.directory / "sandbox.err").read_text())
        self.info: dict[str, Any] = json.loads(line)
        self.port = int(self.info["url"].rpartition(":")[2])

    def _ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.info["url"] + path, data=data), timeout=30) as answer:
            return json.load(answer)

    def books(self) -> dict[str, Any]:
        return self._ask("/sandbox/books")

    def accepted(self) -> list[dict[str, Any]]:
        return self.books()["interactions"]

    def counters(self) -> dict[str, Any]:
        return self.books()["counters"]

    def faults(self, probabilities: dict[str, float]) -> None:
        self._ask("/sandbox/faults", probabilities)

    def rotate_secret(self, secret: str) -> None:
        self._ask("/sandbox/secret", {"client_secret": secret})

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(15)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(kw_only=True)
class Row:
    """A recording as the ledger has it, with its attempts and history."""

    values: dict[str, Any]
    tries: list[dict[str, Any]] = field(default_factory=list)
    history: list[tuple[Any, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def story(self) -> str:
        """Tell all that is known, for the message of a failure."""
        lines = [f"recording {self.n} {self.id} {self.location!r}: {self.state} {self.reason_code} {self.reason}"]
        keys = ("number", "started_at", "ended_at", "outcome", "cause", "status", "message", "interaction_id", "open")
        lines += [f"  attempt { ({k: a[k] for k in keys}) }" for a in self.tries]
        lines += [f"  {at} {event} -> {state} {detail or ''}" for at, event, state, detail in self.history]
        return "\n".join(lines)


class Daemon:
    """`qm-uploader run` with a configuration of its own in `directory`."""

    def __init__(self, directory: Path, sandbox: Sandbox, overrides: dict[str, Any]) -> None:
        self.directory = directory
        self.source = directory / "recordings"
        self.source.mkdir(exist_ok=True)
        (directory / "var").mkdir(exist_ok=True)
        self.ledger = directory / "var" / "ledger.db"
        self.config = directory / "daemon.toml"
        self.out, self.err = directory / "daemon.out", directory / "daemon.err"
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        self.flags = ["-v"]
        self.settings = self._settings(sandbox)
        self.configure(overrides)

    def _settings(self, sandbox: Sandbox) -> dict[str, Any]:
        info, port = sandbox.info, free_port()
        zoom = {key: info[key] for key in ("account_id", "client_id", "client_secret", "api_url", "token_url")}
        source = {"name": "hq", "type": "folder", "path": str(self.source), "settle": "200ms", "backlog_limit": 0}
        return {
            "zoom": zoom | {"request_timeout": "5s"},
            "budget": {"submissions_per_second": 50, "submissions_per_day": 0, "reads_per_second": 50},
            "reconcile": {"wait": "2s"},
            "retry": {"initial": "200ms", "maximum": "1s"},
            "tracking": {"poll_interval": "1s"},
            "ledger": {"path": str(self.ledger)},
            "sources": [source],
            "staging": {"type": "builtin", "listen": f"127.0.0.1:{port}", "public_url": f"http://127.0.0.1:{port}"},
            "web": {"listen": f"127.0.0.1:{free_port()}"},
            "log": {"format": "json"},
        }

    def configure(self, overrides: dict[str, Any]) -> None:
        """Change settings, section by section; `source` changes the first source."""
        for name, table in overrides.items():
            if name == "source":
                self.settings["sources"][0] |= table
            elif isinstance(table, list):
                self.settings[name] = table
            else:
                self.settings[name] = self.settings.get(name, {}) | table
        self.config.write_text(toml(self.settings))
        self.config.chmod(0o600)

    def start(self, *, ready: bool = True, seconds: float = 30) -> None:
        """Start it, and wait until it says that it is ready."""
        assert self.process is None or self.process.poll() is not None, "it is running"
        command = [*self.prefix, sys.executable, "-m", "uploader", "--config", str(self.config), "run", *self.flags]
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, cwd=REPOSITORY)
        if ready:
            wait_until(self._is_ready, seconds=seconds, what="readiness", say=self.tail)

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the daemon ended with {self.process.returncode}: {self.tail()}")
        with contextlib.suppress(OSError):
            return self.get("/readyz")[0] == 200
        return False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(15)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, *, seconds: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def terminate(self, *, seconds: float = 45) -> int:
        """Ask it to stop, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds=seconds)

    def command(self, *arguments: str, seconds: float = 30, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same configuration."""
        return subprocess.run(
            [*self.prefix, sys.executable, "-m", "uploader", "--config", str(self.config), *arguments],
            capture_output=True, text=True, timeout=seconds, cwd=REPOSITORY, check=False, env=os.environ | environ,
        )  # fmt: skip

    def log(self) -> str:
        return self.err.read_text(errors="replace") if self.err.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's events of that name."""
        lines = (line for line in self.log().splitlines() if line.startswith("{"))
        return [one for line in lines if (one := json.loads(line)).get("event") == name]

    def tail(self) -> str:
        return "\n" + "\n".join(self.log().splitlines()[-25:])

    def ask(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Read the ledger from outside; empty while there is none."""
        if not self.ledger.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=15)) as db:
            db.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in db.execute(statement, values).fetchall()]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def rows(self, where: str = "1", *values: object) -> list[Row]:
        """Return recordings with all that is known of them."""
        rows = [Row(values=found) for found in self.ask(f"SELECT * FROM recording WHERE {where} ORDER BY n", *values)]
        attempts, history = self.ask("SELECT * FROM attempt ORDER BY n"), self.ask("SELECT * FROM history ORDER BY n")
        for row in rows:
            row.tries = [a for a in attempts if a["recording_n"] == row.n]
            row.history = [(h["at"], h["event"], h["state"], h["detail"]) for h in history if h["recording_n"] == row.n]
        return rows

    def row(self, path: Path | bytes | str) -> Row | None:
        """Return the newest recording of that path."""
        found = self.rows("location = ?", os.fsencode(path))
        return found[-1] if found else None

    def states(self) -> Counter[str]:
        return Counter(one["state"] for one in self.ask("SELECT state FROM recording"))

    def wait_for(self, look, *, seconds: float = 30, what: str = "the ledger"):
        """Look until `look(self)` is true; fail when the daemon ends or the time is over."""

        def checked():
            found = look(self)
            if not found and self.process is not None and self.process.poll() is not None:
                pytest.fail(f"the daemon ended with {self.process.returncode} {self.tail()}")
            return found

        def say() -> str:
            open_ = self.rows("state NOT IN ('submitted', 'analyzed', 'duplicate')")[:5]
            stories = "\n".join(row.story() for row in open_)
            return f"{dict(self.states())} gates {self.gates()}\n{stories}\n{self.tail()}"

        return wait_until(checked, seconds=seconds, what=what, say=say)

    def wait_state(self, path: Path | bytes | str, *states: str, seconds: float = 30) -> Row:
        """Wait until the recording of that path is in one of these states."""

        def look(daemon: Daemon):
            row = daemon.row(path)
            return row if row is not None and row.state in states else None

        return self.wait_for(look, seconds=seconds, what=f"{os.fsencode(path)!r} to be {' or '.join(states)}")

    def wait_settled(self, count: int, *, seconds: float = 60) -> None:
        """Wait until so many are submitted."""
        self.wait_for(
            lambda d: sum(d.states()[s] for s in SETTLED) >= count, seconds=seconds, what=f"{count} submitted"
        )

    def gates(self) -> dict[str, dict[str, Any]]:
        """Return the closed gates."""
        return {g["name"]: g for g in self.ask("SELECT * FROM gate WHERE reason IS NOT NULL")}

    def get(self, path: str, *, section: str = "web") -> tuple[int, str]:
        """Ask the daemon's own server."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.settings[section]['listen']}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def drop(self, name: str, audio: bytes, sidecar: object = None, *, folder: Path | None = None) -> Path:
        """Put a recording and its sidecar (a document, or bytes as they are) into the source."""
        path = (folder or self.source) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if sidecar is not None:
            data = sidecar if isinstance(sidecar, bytes) else json.dumps(sidecar, ensure_ascii=False).encode()
            path.with_name(path.name + ".json").write_bytes(data)
        path.write_bytes(audio)
        return path


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one recording should come to: its bytes and what is said of it."""

    sha256: str
    body: str

    @classmethod
    def of(cls, audio: bytes, sidecar: dict[str, Any]) -> Expected:
        info = {"channel_type": "voice"} | sidecar["interaction_info"]
        return cls(
            sha256=hashlib.sha256(audio).hexdigest(),
            body=json.dumps(sidecar | {"interaction_info": info}, sort_keys=True),
        )

    @classmethod
    def got(cls, interaction: dict[str, Any]) -> Expected:
        body = {k: v for k, v in interaction["body"].items() if k != "download_url"}
        fetched = [f["sha256"] for f in interaction["fetches"] if f["status"] == 200 and not f["error"]]
        return cls(sha256=fetched[0] if fetched else "", body=json.dumps(body, sort_keys=True))


def compare(daemon: Daemon, sandbox: Sandbox, expected: list[Expected]) -> None:
    """The oracle: what was dropped, what the ledger says and what the service got are the same, once each."""
    wait_until(
        lambda: all(Expected.got(one).sha256 for one in sandbox.accepted()), seconds=30, what="all to be fetched"
    )
    interactions = sandbox.accepted()
    rows = daemon.rows()
    by_id = {row.id: row for row in rows}
    wanted, got = Counter(expected), Counter(map(Expected.got, interactions))
    wrong = []
    for one in interactions:
        row = by_id.get(recording_id(one))
        if got[Expected.got(one)] > wanted[Expected.got(one)]:
            wrong.append(f"too often: {one['interaction_id']} {one['body']}\n{row.story() if row else ''}")
        if row is None or row.interaction_id != one["interaction_id"] or row.state not in SETTLED:
            wrong.append(f"the ledger has {one['interaction_id']} not: {row.story() if row else one}")
    wrong += [f"missing: {one}" for one in wanted - got]
    wrong += [f"another hash: {r.story()}" for r in rows if r.state in SETTLED and not _is_same_hash(r, interactions)]
    assert not wrong, "\n".join(wrong)


def compare_hashes(sandbox: Sandbox, expected: list[Expected]) -> None:
    """Compare only what was dropped with what the service got, whatever the ledger knows."""
    wait_until(
        lambda: all(Expected.got(one).sha256 for one in sandbox.accepted()), seconds=30, what="all to be fetched"
    )
    assert Counter(map(Expected.got, sandbox.accepted())) == Counter(expected)


def recording_id(interaction: dict[str, Any]) -> str:
    """Return the ledger id of an interaction's recording: its download path ends in ID-ATTEMPT.EXTENSION."""
    return interaction["download_path"].rpartition("/")[2].partition("-")[0]


def _is_same_hash(row: Row, interactions: list[dict[str, Any]]) -> bool:
    one = next((i for i in interactions if i["interaction_id"] == row.interaction_id), None)
    return one is not None and Expected.got(one).sha256 == bytes(row.content).hex()


def run(*command: str) -> None:
    """Run a program of the system that must succeed."""
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The functions above, for tests, which cannot import this file."""

    make_wav = staticmethod(make_wav)
    make_call = staticmethod(make_call)
    wait_until = staticmethod(wait_until)
    rest = staticmethod(rest)
    run = staticmethod(run)
    compare = staticmethod(compare)
    compare_hashes = staticmethod(compare_hashes)
    recording_id = staticmethod(recording_id)
    free_port = staticmethod(free_port)
    expected = staticmethod(Expected.of)
    recordings = REPOSITORY / "uploader" / "demo" / "recordings"


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture
def sandbox(tmp_path: Path):
    """Return a function that starts a sandbox with the given options."""
    started: list[Sandbox] = []

    def start(*options: str) -> Sandbox:
        directory = tmp_path / f"sandbox{len(started)}"
        directory.mkdir()
        started.append(Sandbox(directory, *options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def daemon(tmp_path: Path):
    """Return a function that makes a daemon for a sandbox; it is configured, not started."""
    made: list[Daemon] = []

    def make(sandbox: Sandbox, **overrides: Any) -> Daemon:
        directory = tmp_path / f"daemon{len(made)}"
        directory.mkdir()
        made.append(Daemon(directory, sandbox, overrides))
        return made[-1]

    yield make
    for one in made:
        if one.running:
            one.kill()


@pytest.fixture
def drop_rights():
    """Return what to put before a command so that file modes hold for it, also when the tests run as root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        message = "setpriv is missing: install it with `apt-get install util-linux`"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
