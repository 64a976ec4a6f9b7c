"""Downloads recordings as the service would: later, a few at a time, unasked. Keeps no copy.

How the service fetches is not documented; this one sends a plain GET, follows no redirect, and gives up
after a few tries without a sign.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from uploader.errors import UsageError
from uploader.sandbox.books import Books
from uploader.sandbox.interaction import Fetch, Interaction

WORKERS = 8
MAX_BYTES = 4 * 1024**3
_CHUNK = 64 * 1024
_SOCKET_TIMEOUT_SECONDS = 20.0
_TOTAL_TIMEOUT_SECONDS = 1800.0
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """When a recording is fetched, and how often it is tried."""

    delay_seconds: float
    retries: int
    retry_delay_seconds: float
    analyze_delay_seconds: float


class Fetcher:
    """A bounded pool of threads that works through what is due."""

    def __init__(
        self, books: Books, policy: FetchPolicy, *, context: ssl.SSLContext, now: Callable[[], datetime]
    ) -> None:
        self._books = books
        self._policy = policy
        self._context = context
        self._now = now
        self._due: list[tuple[float, int, int]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._open: set[http.client.HTTPConnection] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads and take up what the books have not fetched yet."""
        for interaction in self._books.all():
            tried = len(interaction.fetches)
            if interaction.recording() is None and tried <= self._policy.retries:
                self._schedule(interaction.number, tried, 0)
        self._threads = [
            threading.Thread(target=self._work, name=f"sandbox-fetch-{index}", daemon=True) for index in range(WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, interaction: Interaction) -> None:
        """Fetch the recording of a new interaction when its time has come."""
        self._schedule(interaction.number, 0, self._policy.delay_seconds)

    def stop(self) -> None:
        """Cut what is under way and end the threads; nothing cut is recorded."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            for connection in self._open:
                _cut(connection)
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    def _schedule(self, number: int, tried: int, delay_seconds: float) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay_seconds, number, tried))
            self._changed.notify()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            number, tried = task
            fetch = self._fetch(self._books.numbered(number).body["download_url"])
            if self._stopping:
                return
            self._books.fetched(number, fetch, analyze_delay_seconds=self._policy.analyze_delay_seconds)
            if not fetch.succeeded and tried < self._policy.retries:
                self._schedule(number, tried + 1, self._policy.retry_delay_seconds)

    def _next(self) -> tuple[int, int] | None:
        with self._changed:
            while not self._stopping:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _, number, tried = heapq.heappop(self._due)
                    return number, tried
                self._changed.wait(wait)
            return None

    def _fetch(self, url: str) -> Fetch:
        digest, size, status, error = hashlib.sha256(), 0, None, ""
        try:
            with self._connected(url) as connection:
                parts = urlsplit(url)
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={"User-Agent": "qm-sandbox", "Accept": "*/*"})
                response = connection.getresponse()
                status = response.status
                size, error = _read(response, digest)
        except (OSError, UnicodeError, http.client.HTTPException) as exc:
            error = _word_for(exc)
        is_whole = status is not None and not error
        sha256 = digest.hexdigest() if is_whole else None
        return Fetch(at=self._now(), status=status, size_bytes=size, sha256=sha256, error=error)

    @contextlib.contextmanager
    def _connected(self, url: str) -> Iterator[http.client.HTTPConnection]:
        """Lend a connection that `stop` can cut."""
        connection = _connection(url, self._context)
        try:
            connection.connect()
            with self._changed:
                self._open.add(connection)
                if self._stopping:
                    _cut(connection)
            yield connection
        finally:
            with self._changed:
                self._open.discard(connection)
            connection.close()


def _connection(url: str, context: ssl.SSLContext) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        port = parts.port or 443
        return http.client.HTTPSConnection(host, port, timeout=_SOCKET_TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(host, parts.port or 80, timeout=_SOCKET_TIMEOUT_SECONDS)


def _read(response: http.client.HTTPResponse, digest: hashlib._Hash) -> tuple[int, str]:
    """Read to the end and return the size and a word for what went wrong, if anything did."""
    size, deadline, announced = 0, time.monotonic() + _TOTAL_TIMEOUT_SECONDS, response.length
    while announced is None or size < announced:
        chunk = response.read1(_CHUNK if announced is None else min(_CHUNK, announced - size))
        if not chunk:
            break
        size += len(chunk)
        digest.update(chunk)
        if size > MAX_BYTES:
            return size, "too_large"
        if time.monotonic() > deadline:
            return size, "timeout"
    return size, "" if announced in {None, size} else "cut_short"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's CAs and those in the file. Raises UsageError."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except OSError as exc:  # ssl.SSLError is one
            raise UsageError("the CA file holds no certificate that can be read") from exc
    return context


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was quicker


def _word_for(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return "tls"
    if isinstance(exc, TimeoutError):
        return "timeout"
    if isinstance(exc, socket.gaierror | UnicodeError):
        return "name_resolution"
    if isinstance(exc, ConnectionRefusedError):
        return "connection_refused"
    if isinstance(exc, http.client.IncompleteRead):
        return "cut_short"
    if isinstance(exc, http.client.HTTPException):
        return "not_http"
    return "connection"
