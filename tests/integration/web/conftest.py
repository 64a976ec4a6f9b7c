"""A real server on loopback, and grants that a test holds in its hands."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from uploader.domain.recording import Stamp
from uploader.errors import LedgerError
from uploader.staging.builtin import Grant, SigningKey, SigningKeys, UrlSigner
from uploader.web.files import files_app
from uploader.web.server import HttpServer


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0


class FakeGrants:
    """Grants in a dictionary; what the server tells is kept in the order told."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, int], Grant] = {}
        self.records: list[dict[str, Any]] = []
        self.changed: list[str] = []
        self.ledger_broken = False
        self.records_broken = False
        self._told = threading.Condition()

    def grant(self, recording_id: str, attempt: int) -> Grant | None:
        if self.ledger_broken:
            raise LedgerError("the ledger cannot be read")
        return self.given.get((recording_id, attempt))

    def fetched(self, recording_id: str, attempt: int, **record: Any) -> None:
        with self._told:
            self.records.append({"id": recording_id, "attempt": attempt, **record})
            self._told.notify_all()
        if self.records_broken:
            raise LedgerError("the ledger cannot be written")

    def source_changed(self, recording_id: str) -> None:
        self.changed.append(recording_id)

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        with self._told:
            assert self._told.wait_for(lambda: len(self.records) >= count, timeout=10), "no access record"
        return self.records


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Site:
    """A running server with its signer, clock and grants."""

    server: HttpServer
    signer: UrlSigner
    clock: FakeClock
    grants: FakeGrants
    folder: Path
    held: list[socket.socket] = field(default_factory=list)

    def offer(self, content: bytes, *, identity: str = "ab12", attempt: int = 1, name: str = "a.wav") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        self.grant(path, identity=identity, attempt=attempt)
        return path

    def grant(self, path: Path, *, identity: str = "ab12", attempt: int = 1, revoked: bool = False) -> None:
        found = path.stat()
        stamp = Stamp(size_bytes=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)
        self.grants.given[identity, attempt] = Grant(
            path=os.fsencode(path), stamp=stamp, content_type="audio/wav", revoked=revoked
        )

    def url(self, identity: str = "ab12", attempt: int = 1, lifetime: float = 60) -> str:
        made = self.signer.sign(identity, attempt, ".wav", lifetime_seconds=lifetime).url
        split = urlsplit(made)
        return f"{split.path}?{split.query}"

    def ask(self, target: str | None = None, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target or self.url(), headers=named)
            response = connection.getresponse()
            headers_found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers_found, response.read())
        finally:
            connection.close()

    def slow(self, target: str | None = None) -> socket.socket:
        """A client with a small window that has asked and reads nothing by itself."""
        client = socket.socket()
        self.held.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.server.port))
        client.sendall(f"GET {target or self.url()} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_site(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def start(*, stall_seconds: float = 20, base: str = "http://127.0.0.1", **limits: Any) -> Site:
        keys = SigningKeys(current=SigningKey(id="k1", secret=b"s" * 32))
        signer = UrlSigner(base, lambda: keys, clock)
        grants = FakeGrants()
        limits = {"max_connections": 100, **limits}
        app = files_app(grants, signer, stall_seconds=stall_seconds)
        server = HttpServer(app, "127.0.0.1", 0, name="staging", setting="staging.listen", **limits)
        server.start()
        sites.append(Site(server=server, signer=signer, clock=clock, grants=grants, folder=tmp_path))
        return sites[-1]

    yield start
    for site in sites:
        for client in site.held:
            client.close()
        site.server.stop(0)


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site()


@pytest.fixture
def read_all() -> Callable[[socket.socket], bytes]:
    def read(client: socket.socket) -> bytes:
        parts = bytearray()
        while True:
            try:
                part = client.recv(1 << 20)
            except ConnectionResetError:
                return bytes(parts)
            if not part:
                return bytes(parts)
            parts += part

    return read
