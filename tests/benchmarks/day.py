"""A day in an hour: everything that befalls the program in a day, and whether books, memory and descriptors bear it."""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.recorder import Recorder, fill_archive
from tests.benchmarks.relay import Relay
from tests.benchmarks.sampling import Sampler, curves, steadiness
from tests.s3_server import run_seaweed
from tests.system.conftest import SETTLED, Daemon, Expected, Sandbox, free_port, rest

SEED = 20261120
HOUR_SECONDS = 3600.0
ARCHIVED, COPIES = 5000, 100
RATE_LIMIT, BUDGET = 30, 40
"""The service lets through less a second than the program believes: a real 429 whenever there is much to do."""
FAULTS = dict.fromkeys(("429", "lost-answer", "reset", "5xx", "garbage", "slow"), 0.05)

NOTICED_SECONDS = 20.0
OUTAGE, LAST_DROP = 0.06, 0.92

Act = Callable[[], None]


def measure(scale: float = 1.0) -> Result:
    """A day in an hour: drops, an import, a restart, a kill, a rotated secret, outages of service, tokens and store."""
    folder = Path(tempfile.mkdtemp(prefix="qm-benchmark-day-"))
    try:
        with ExitStack() as stack:
            return _Day(folder, HOUR_SECONDS * scale, stack).spend()
    finally:
        rmtree(folder, ignore_errors=True)


@dataclass(kw_only=True)
class _Notes:
    """What was seen on the way."""

    closed: list[str] = field(default_factory=list)
    new_secret_seconds: float = 0.0
    drained_seconds: float = 0.0


class _Day:
    """The parts of a day, and what is done to them when."""

    def __init__(self, folder: Path, seconds: float, stack: ExitStack) -> None:
        self._seconds = seconds
        self._notes = _Notes()
        self._is_up = False
        self._longest_wait_seconds = max(1.0, seconds / 60)
        self._archived: list[Expected] = []
        self._copies = 0
        self._store = stack.enter_context(self._weed(folder, stack))
        self._sandbox = self._service(folder)
        stack.callback(self._sandbox.stop)
        self._tokens = stack.enter_context(Relay(self._sandbox.port))
        self._program = self._daemon(folder)
        stack.callback(self._end)
        self._archive = folder / "archive"
        self._archive.mkdir()
        patience = max(1.0, seconds / 100)
        self._program.configure({"source": {"sidecar_wait": f"{patience * 1000:.0f}ms"}})
        self._recorder = Recorder(
            self._program.source, seed=SEED, seconds=LAST_DROP * seconds, patience_seconds=patience
        )
        self._sampler = Sampler(self._pid, self._program.ledger, every_seconds=min(5.0, max(0.2, seconds / 400)))

    def _weed(self, folder: Path, stack: ExitStack) -> Relay:
        (folder / "weed").mkdir()
        server, _ = stack.enter_context(run_seaweed(folder / "weed"))
        self._bucket, self._keys = server.make_bucket(), server.admin.environment()
        return Relay(urlsplit(server.endpoint_url).port or 80)

    def _service(self, folder: Path) -> Sandbox:
        (folder / "sandbox").mkdir()
        options = [
            "--rate-limit", str(RATE_LIMIT), "--seed", str(SEED), "--fault-on", "post list detail",
            "--slow-seconds", "1s", "--analyze-delay", "1s", "--token-ttl", f"{max(4, self._seconds / 30):.0f}s",
            # the store is away for a while: what was accepted before is fetched after
            "--fetch-retries", "100", "--fetch-retry-delay", f"{max(300, self._seconds):.0f}ms",
        ]  # fmt: skip
        return Sandbox(folder / "sandbox", *options)

    def _daemon(self, folder: Path) -> Daemon:
        self._secret_file = folder / "zoom-secret"
        self._write_secret(self._sandbox.info["client_secret"])
        (folder / "daemon").mkdir()
        unit = self._seconds / HOUR_SECONDS
        program = Daemon(folder / "daemon", self._sandbox, {})
        program.prefix = ["env", *(f"{name}={value}" for name, value in self._keys.items())]
        program.flags = []
        zoom = program.settings["zoom"]
        del zoom["client_secret"]
        zoom |= {"client_secret_file": str(self._secret_file), "request_timeout": "2s"}
        zoom["token_url"] = f"http://127.0.0.1:{self._tokens.port}/oauth/token"
        program.settings["staging"] = {
            "type": "s3", "bucket": self._bucket, "endpoint_url": f"http://127.0.0.1:{self._store.port}",
        }  # fmt: skip
        program.configure(
            {
                "budget": {"submissions_per_second": BUDGET, "reads_per_second": BUDGET},
                "retry": {"initial": "500ms", "maximum": f"{self._longest_wait_seconds:.0f}s"},
                "tracking": {"poll_interval": f"{max(1.0, 30 * unit):.0f}s"},
                "source": {"settle": "0s", "rescan": f"{max(2.0, 300 * unit):.0f}s"},
                "log": {"level": "info"},
                "web": {"listen": f"127.0.0.1:{free_port()}"},
            }
        )
        return program

    @property
    def _taken_up_seconds(self) -> float:
        """Return how long a closed gate may take to see that it can open: two of the longest waits, and a little."""
        return 2 * self._longest_wait_seconds + 5

    def _write_secret(self, secret: str) -> None:
        made = self._secret_file.with_suffix(".new")
        made.touch(mode=0o600)
        made.write_text(secret)
        made.rename(self._secret_file)

    def _pid(self) -> int | None:
        process = self._program.process
        return process.pid if process is not None and self._is_up else None

    def _end(self) -> None:
        if self._program.running:
            self._program.kill()

    # The day

    def _timeline(self) -> list[tuple[float, Act]]:
        """Return what is done when, as parts of the day."""
        return [
            (0.04, self._import_archive),
            (0.25, self._restart),
            (0.30, lambda: self._sandbox.faults(FAULTS)),
            (0.43, lambda: self._sandbox.faults({})),
            (0.45, self._kill),
            (0.47, self._lose_service),
            (0.56, self._rotate_secret),
            (0.63, self._lose_tokens),
            (0.74, self._lose_store),
            (LAST_DROP, lambda: None),
        ]

    def spend(self) -> Result:
        """Let the day pass, wait until everything is settled, and compare the books."""
        self._start()
        stop, began = threading.Event(), time.monotonic()
        with self._sampler, ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._recorder.run, stop)
            try:
                for part, act in self._timeline():
                    self._wait(until=began + part * self._seconds, coming=coming)
                    act()
                coming.result(timeout=max(30.0, self._seconds))
            finally:
                stop.set()
            self._drain()
        verified = self._program.command("verify", "--json", seconds=300).returncode
        status = json.loads(self._program.command("status", "--json").stdout)
        self._stop_in_order()
        return Result(figures=[*self._books(status, verified), *self._resources()], series=curves(self._sampler))

    def _wait(self, *, until: float, coming: Future[None]) -> None:
        while (left := until - time.monotonic()) > 0:
            rest(min(0.25, left))
            if coming.done():
                coming.result()
            if not self._program.running:
                raise RuntimeError(f"the daemon has ended: {self._program.tail()}")

    def _import_archive(self) -> None:
        unit = self._seconds / HOUR_SECONDS
        copies = self._recorder.whole[: max(1, round(COPIES * unit))]
        self._copies = len(copies)
        self._archived = fill_archive(self._archive, max(20, round(ARCHIVED * unit)), copies)
        done = self._program.command("import", str(self._archive), "--detach", "--json")
        if done.returncode:
            raise RuntimeError(f"import: {done.stderr}")

    def _start(self) -> None:
        self._program.start()
        self._is_up = True

    def _stop_in_order(self) -> None:
        self._is_up = False
        code = self._program.terminate()
        if code:
            raise RuntimeError(f"the daemon ended with {code}: {self._program.tail()}")

    def _restart(self) -> None:
        self._stop_in_order()
        self._start()

    def _kill(self) -> None:
        self._is_up = False
        self._program.kill()
        self._start()

    def _rotate_secret(self) -> None:
        """The account gets a new secret; its file follows a while later, and the program goes on by itself."""
        new = secrets.token_hex(16)
        self._sandbox.rotate_secret(new)
        self._await_closed("token", for_seconds=0.02 * self._seconds)
        self._write_secret(new)
        before, written = self._submitted(), time.monotonic()
        while self._submitted() == before and time.monotonic() - written < self._taken_up_seconds:
            rest(0.05)
        self._notes.new_secret_seconds = time.monotonic() - written
        if self._notes.new_secret_seconds >= self._taken_up_seconds:
            self._restart()  # the figure has missed its bar; the rest of the day is still of use

    def _submitted(self) -> int:
        return int(self._program.ask("SELECT count(*) AS n FROM attempt WHERE interaction_id IS NOT NULL")[0]["n"])

    def _lose_service(self) -> None:
        """No service for a while: nothing listens at its port, and a program without a token gets none."""
        self._sandbox.stop()
        self._await_closed("submit", "token", for_seconds=OUTAGE * self._seconds)
        self._sandbox.start(port=self._sandbox.port)

    def _lose_tokens(self) -> None:
        """No tokens for a while: the endpoint answers 503."""
        self._tokens.down(answering=True)
        self._await_closed("token", for_seconds=OUTAGE * self._seconds)
        self._tokens.up()

    def _lose_store(self) -> None:
        """No store for a while: connections are reset."""
        self._store.down(answering=False)
        self._await_closed("store", for_seconds=OUTAGE * self._seconds)
        self._store.up()

    def _await_closed(self, *gates: str, for_seconds: float) -> None:
        """Let an outage last until the program has seen it at one of these gates, and at least so long."""
        began, closed = time.monotonic(), set[str]()
        while not closed and time.monotonic() - began < for_seconds + NOTICED_SECONDS:
            rest(0.05)
            closed = self._program.gates().keys() & set(gates)
        self._notes.closed += sorted(closed)[:1]
        rest(max(0.0, began + for_seconds - time.monotonic()))

    def _drain(self) -> None:
        """Wait until nothing is under way: all that was dropped is analysed, a duplicate or damaged."""
        began = time.monotonic()
        wanted = len(self._recorder.expected) + len(self._archived)
        others = self._recorder.duplicates + self._copies

        def is_done(program: Daemon) -> bool:
            states = program.states()
            return states["analyzed"] == wanted and states["duplicate"] == others

        seconds = max(60.0, 0.2 * self._seconds)
        self._program.wait_for(is_done, seconds=seconds, what=f"{wanted} analyzed, {others} duplicates")
        self._notes.drained_seconds = time.monotonic() - began

    # What came of it

    def _books(self, status: dict[str, Any], verified: int) -> list[Figure]:
        accepted = self._sandbox.accepted()
        expected = Counter([*self._recorder.expected, *self._archived])
        got = Counter(map(Expected.got, accepted))
        settled = {r["interaction_id"] for r in self._program.ask("SELECT * FROM recording") if r["state"] in SETTLED}
        ids = {one["interaction_id"] for one in accepted}
        counters, counts = self._sandbox.counters(), status["counts"]
        rows = self._program.ask("SELECT count(*) AS n FROM recording")[0]["n"]
        log = self._program.log()
        notes = self._notes
        return [
            Figure(what="dropped and imported", value=expected.total(), unit="recordings"),
            Figure(what="not accepted as they were dropped", value=(expected - got).total(), unit="", bar="== 0"),
            Figure(what="accepted too often", value=(got - expected).total(), unit="", bar="== 0"),
            Figure(what="interactions that ledger or service lacks", value=len(ids ^ settled), unit="", bar="== 0"),
            Figure(what="quarantined beside what was damaged", value=counts["quarantined"] - self._recorder.damaged,
                   unit="", bar="== 0"),
            Figure(what="rows beside the sum of the counts", value=rows - sum(counts.values()), unit="", bar="== 0"),
            Figure(what="exit code of verify", value=verified, unit="", bar="== 0"),
            Figure(what="source paths in the log", value=log.count(str(self._program.source)), unit="", bar="== 0"),
            Figure(what="answered 429", value=counters["answered_429"], unit="",
                   beside=f"of {counters['posts']:,} posts"),
            Figure(what="sent again after an unknown outcome", value=status["resent_after_unknown"], unit="",
                   beside=f"faults {counters['faults']}"),
            Figure(what="gates closed in four outages", value=len(notes.closed), unit="", bar="== 4",
                   beside=", ".join(notes.closed)),
            Figure(what="new secret in its file to the next acceptance", value=notes.new_secret_seconds, unit="s",
                   bar=f"< {self._taken_up_seconds:g}"),
            Figure(what="last drop to everything analysed", value=notes.drained_seconds, unit="s"),
        ]  # fmt: skip

    def _resources(self) -> list[Figure]:
        sent = len(self._recorder.expected) + len(self._archived)
        samples, cpu = self._sampler.samples, 1000 * self._sampler.cpu_seconds
        # A burst may open a connection to the store for each of the eight workers, which the pool then keeps.
        # In a short life caches still fill, too, and all pools open.
        rise = {"mib": 6, "descriptors": 8} if self._seconds >= HOUR_SECONDS / 5 else {"mib": 12, "descriptors": 20}
        return [
            *steadiness(self._sampler, **rise),
            Figure(what="largest write-ahead log", value=max(one.wal_mib for one in samples), unit="MiB", bar="<= 16"),
            Figure(what="ledger", value=samples[-1].ledger_mib, unit="MiB"),
            Figure(what="CPU of the daemon, a recording", value=cpu / sent, unit="ms",
                   beside=f"{cpu / samples[-1].at_seconds / 10:.0f} % of a core"),
        ]  # fmt: skip
