"""The sandbox as a whole: put together, started in a thread, stopped.

It is of use to tests, to the demo and to the command; it knows nothing of any of them.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import uvicorn

from uploader.errors import UsageError
from uploader.sandbox import times
from uploader.sandbox.api import Api, Parts, Seen
from uploader.sandbox.books import Books
from uploader.sandbox.config import SandboxConfig
from uploader.sandbox.connection import BreakableProtocol
from uploader.sandbox.faults import FaultPlan
from uploader.sandbox.fetcher import Fetcher, FetchPolicy, tls_context
from uploader.sandbox.journal import Journal
from uploader.sandbox.limits import RateLimits
from uploader.sandbox.listing import Listing
from uploader.sandbox.place import new_credentials
from uploader.sandbox.tokens import Tokens

_START_SECONDS = 20
_KEEP_ALIVE_SECONDS = 30
_CONNECTIONS = 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _ignore(_method: str, _path: str, _status: int | None) -> None:
    """Tell nobody of a request."""


class Sandbox:
    """A local stand-in for the Quality Management API.

    `now` is the wall clock: tokens, limits, listing and analysis go by it. `seen` is told of every
    request. Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        config: SandboxConfig,
        *,
        now: Callable[[], datetime] = _utc_now,
        seen: Seen = _ignore,
    ) -> None:
        """Check the configuration. Raises UsageError for a host beyond loopback or a wrong fault."""
        _check_loopback(config.host)
        self._config = config
        self._now = now
        self._seen = seen
        self._faults = FaultPlan(config.faults)
        self._context = tls_context(config.ca_file)
        self._running: _Running | None = None
        self._books = Books()
        self.credentials = config.credentials or new_credentials()

    @property
    def url(self) -> str:
        """Return the address without a path; only while it runs."""
        return self._alive().url

    @property
    def api_url(self) -> str:
        """Return what stands as `api_url` in a configuration."""
        return f"{self.url}/v2"

    @property
    def token_url(self) -> str:
        """Return what stands as `token_url` in a configuration."""
        return f"{self.url}/oauth/token"

    def start(self) -> None:
        """Listen, and return once requests are answered. Raises UsageError when the port is taken."""
        if self._running is not None:
            raise RuntimeError("the sandbox is running already")
        sock, url = _listen(self._config.host, self._config.port)
        try:
            self._running = self._assemble(sock, url)
        except UsageError:
            sock.close()
            raise
        self._running.start()

    def stop(self) -> None:
        """End everything promptly; harmless when it does not run."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def is_alive(self) -> bool:
        """Say whether requests are answered."""
        return self._running is not None and self._running.is_alive()

    def books(self) -> dict[str, Any]:
        """Return what GET /sandbox/books shows, while it runs and after."""
        return self._books.document(self._now())

    def set_faults(self, probabilities: Mapping[str, float]) -> None:
        """Let exactly these faults be in force. Raises UsageError for wrong ones."""
        self._faults.change(probabilities)

    def __enter__(self) -> Sandbox:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _alive(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the sandbox is not running")
        return self._running

    def _open_books(self) -> Books:
        journal = Journal(self._config.state_path) if self._config.state_path else None
        try:
            return Books(date_axis=self._config.date_axis, journal=journal)
        except UsageError:
            if journal:
                journal.close()
            raise

    def _assemble(self, sock: socket.socket, url: str) -> _Running:
        config, now = self._config, self._now
        books = self._open_books()
        self._books = books
        limits = RateLimits(
            per_second=config.rate_limit_per_second, per_day=config.daily_limit, now=now, window=config.rate_window
        )
        today = now()
        limits.resume(today, sum(times.show(i.accepted_at)[:10] == times.show(today)[:10] for i in books.all()))
        policy = FetchPolicy(
            delay_seconds=config.fetch_delay_seconds,
            retries=config.fetch_retries,
            retry_delay_seconds=config.fetch_retry_delay_seconds,
            analyze_delay_seconds=config.analyze_delay_seconds,
        )
        fetcher = Fetcher(books, policy, context=self._context, now=now)
        tokens = Tokens(
            self.credentials,
            ttl_seconds=config.token_ttl_seconds,
            scopes=config.scopes,
            api_url=url,
            now=now,
        )
        parts = Parts(
            books=books,
            tokens=tokens,
            limits=limits,
            listing=Listing(books, lag_seconds=config.list_lag_seconds, now=now),
            fetcher=fetcher,
            faults=self._faults,
            now=now,
            slow_seconds=config.slow_seconds,
        )
        return _Running(parts, sock=sock, url=url, seen=self._seen)


class _Server(uvicorn.Server):
    """Says when it listens, and lets go of slow answers when it stops."""

    def __init__(self, config: uvicorn.Config, api: Api) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._api = api

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._api.stop_waiting()
        await super().shutdown(sockets)


class _Running:
    """A sandbox between `start` and `stop`: its thread, its socket, its books."""

    def __init__(self, parts: Parts, *, sock: socket.socket, url: str, seen: Seen) -> None:
        api = Api(parts)
        config = uvicorn.Config(
            api.application(seen),
            http=BreakableProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self.url = url
        self.books = parts.books
        self._fetcher = parts.fetcher
        self._server = _Server(config, api)
        self._sock = sock
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)

    def start(self) -> None:
        self._fetcher.start()
        self._thread.start()
        if not self._server.listening.wait(_START_SECONDS):
            self.stop()
            raise UsageError("the sandbox could not be started")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._fetcher.stop()
        self._sock.close()
        self.books.close()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _serve(self) -> None:
        self._server.run(sockets=[self._sock])


def _check_loopback(host: str) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise UsageError("the sandbox listens on this machine only", hint="give a loopback address such as 127.0.0.1")


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Return a bound socket and the address to reach it by."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as exc:
        sock.close()
        raise UsageError(f"the port cannot be listened on: {exc.strerror}", hint="--port 0 takes any free one") from exc
    shown = f"[{host}]" if ":" in host else host
    return sock, f"http://{shown}:{sock.getsockname()[1]}"
