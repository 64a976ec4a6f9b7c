"""HTTP requests under one total deadline, and whether a failed one may have reached the other side.

The only module that imports httpx; with `sockets` the only one that imports httpcore, its
transport. Knows nothing of the service: no tokens, retries, redirects, cookies or JSON.
Importing it is slow: `status` and its like leave it alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import httpcore
import httpx

from uploader import __version__
from uploader.errors import ConfigurationError, Unavailable
from uploader.platform.exchange import Broken, Exchange, Kind, Phase
from uploader.platform.sockets import Network

__all__ = ["HttpClient", "HttpFailure", "Kind", "Phase", "Reply"]

_HINTS = {
    Kind.CERTIFICATE: "for a private CA set SSL_CERT_FILE to a file with its certificate",
    Kind.PROXY: "check HTTPS_PROXY and what the proxy allows",
    Kind.RESOLVE: "check the host in the configuration, and DNS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `headers` ignores case; `truncated` says that the body went on beyond the limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False


class HttpFailure(Unavailable):
    """No whole answer. `bytes_written` is False only if no byte of the request left us.

    The message is of our own words: no address, header or body is in it.
    """

    def __init__(self, *, phase: Phase, kind: Kind, bytes_written: bool) -> None:
        super().__init__(kind.value, hint=_HINTS.get(kind, ""))
        self.phase = phase
        self.kind = kind
        self.bytes_written = bytes_written


class HttpClient:
    """Keep-alive HTTP/1.1 over the system's CA store and the environment's proxies.

    Safe from any thread. SSL_CERT_FILE, SSL_CERT_DIR, HTTP(S)_PROXY, ALL_PROXY and NO_PROXY are
    read once, here. Raises ConfigurationError for a proxy that is not http or https.
    """

    def __init__(self, *, max_connections: int, keepalive_expiry_seconds: float = 2.0) -> None:
        # httpcore writes the headers of answers into debug logs
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._ssl = ssl.create_default_context()
        # Debian's Python takes a connection that was cut for the end of an answer
        self._ssl.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._max_connections = max_connections
        self._keepalive_expiry_seconds = keepalive_expiry_seconds
        self._network = Network()
        self._slots = threading.BoundedSemaphore(max_connections)
        self._lock = threading.Lock()
        self._active: set[Exchange] = set()
        self._closed = False
        self._proxies: dict[str, str] = urllib.request.getproxies_environment()
        self._direct = self._pool(None)
        self._by_scheme: dict[str, httpcore.ConnectionPool] = {}
        self._remote: set[str] = set()
        """Schemes whose proxy is on another machine, so that it cannot reach this one's loopback."""
        for scheme in ("http", "https"):
            address = self._proxies.get(scheme) or self._proxies.get("all")
            if address:
                proxy = _proxy(address, self._ssl)
                self._by_scheme[scheme] = self._pool(proxy)
                if not is_loopback(proxy.url.host.decode("ascii")):
                    self._remote.add(scheme)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        deadline_seconds: float,
        max_body_bytes: int,
    ) -> Reply:
        """Send one request, once, and read its answer, all within `deadline_seconds`.

        Redirects are answers like others. Raises HttpFailure, which says whether anything was sent.
        """
        exchange = Exchange(deadline=time.monotonic() + deadline_seconds)
        try:
            prepared = _prepared(method, url, headers=headers, content=content, params=params)
            with self._tracked(exchange), self._slot(exchange), self._network.serving(exchange):
                return self._exchanged(prepared, exchange, max_body_bytes)
        except (Broken, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            kind = _kind(error, exchange)
        except (httpcore.TimeoutException, httpcore.UnsupportedProtocol) as error:
            kind = _kind(error, exchange)
        # raised out here, so that not even its context holds what the libraries say
        raise HttpFailure(phase=exchange.phase, kind=kind, bytes_written=exchange.bytes_written)

    def close(self) -> None:
        """End the requests in flight, which fail as STOPPED, and let no more begin."""
        with self._lock:
            self._closed = True
            active = list(self._active)
        for exchange in active:
            exchange.cancel()
        if not active:
            self._close_pools()

    def _exchanged(self, prepared: httpx.Request, exchange: Exchange, max_body_bytes: int) -> Reply:
        # the slots leave the pool nothing to wait for; its own limit is a second line
        extensions = {"timeout": {"pool": exchange.remaining()}}
        request = httpcore.Request(
            method=prepared.method,
            url=_core_url(prepared.url),
            headers=prepared.headers.raw,
            content=prepared.content,
            extensions=extensions,
        )
        response = self._pool_for(prepared.url).handle_request(request)
        try:
            body, truncated = _read(cast(Iterable[bytes], response.stream), max_body_bytes)
        finally:
            response.close()  # unless read to its end, this closes the connection
        return Reply(status=response.status, headers=httpx.Headers(response.headers), body=body, truncated=truncated)

    @contextlib.contextmanager
    def _tracked(self, exchange: Exchange) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise Broken(Kind.STOPPED)
            self._active.add(exchange)
        try:
            yield
        finally:
            with self._lock:
                self._active.discard(exchange)
                last = self._closed and not self._active
            if last:
                self._close_pools()

    @contextlib.contextmanager
    def _slot(self, exchange: Exchange) -> Iterator[None]:
        if not self._slots.acquire(timeout=exchange.remaining()):
            raise exchange.broken(Kind.TIMEOUT)
        try:
            yield
        finally:
            self._slots.release()

    def _close_pools(self) -> None:
        for pool in (self._direct, *self._by_scheme.values()):
            pool.close()

    def _pool(self, proxy: httpcore.Proxy | None) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=self._ssl,
            proxy=proxy,
            max_connections=self._max_connections,
            keepalive_expiry=self._keepalive_expiry_seconds,
            network_backend=self._network,
            retries=0,
        )

    def _pool_for(self, url: httpx.URL) -> httpcore.ConnectionPool:
        pool = self._by_scheme.get(url.scheme)
        if pool is None:
            return self._direct
        if url.scheme in self._remote and is_loopback(url.host):
            return self._direct
        # IPv6 addresses stand in NO_PROXY without brackets
        names = (url.netloc.decode("ascii"), url.host)
        bypassed = any(_bypasses_proxy(name, self._proxies) for name in names)
        return self._direct if bypassed else pool


def _prepared(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None,
    params: Mapping[str, str] | None,
) -> httpx.Request:
    own = {"accept-encoding": "identity", "user-agent": f"qm-uploader/{__version__}"}
    try:
        request = httpx.Request(method, url, params=params or None, headers={**own, **headers}, content=content)
    except (httpx.InvalidURL, ValueError):
        raise Broken(Kind.REQUEST) from None
    # the resolver would take a port modulo 65536
    if request.url.port is not None and request.url.port > 65535:
        raise Broken(Kind.REQUEST)
    return request


def _proxy(address: str, context: ssl.SSLContext) -> httpcore.Proxy:
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not the URL of an http or https proxy",
            hint="write it as http://proxy.example:3128, or unset it",
        )
    auth = (url.username.encode(), url.password.encode()) if url.username or url.password else None
    return httpcore.Proxy(_core_url(url), auth=auth, ssl_context=context if url.scheme == "https" else None)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine's own loopback, by its name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bypasses_proxy(name: str, proxies: dict[str, str]) -> bool:
    return bool(urllib.request.proxy_bypass_environment(name, proxies))  # type: ignore[attr-defined]


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _read(stream: Iterable[bytes], max_body_bytes: int) -> tuple[bytes, bool]:
    """Return at most `max_body_bytes` of the body, and whether there was more."""
    body = bytearray()
    for chunk in stream:
        body += chunk
        if len(body) > max_body_bytes:
            return bytes(body[:max_body_bytes]), True
    return bytes(body), False


def _kind(error: Exception, exchange: Exchange) -> Kind:
    if isinstance(error, Broken):
        return error.kind
    if isinstance(error, httpcore.TimeoutException):
        return Kind.TIMEOUT
    if isinstance(error, httpcore.ProxyError):
        return Kind.PROXY
    if isinstance(error, httpcore.UnsupportedProtocol | httpcore.LocalProtocolError):
        return Kind.REQUEST
    if isinstance(error, httpcore.NetworkError) or exchange.peer_closed:
        return Kind.CLOSED if exchange.peer_closed else Kind.RESET
    return Kind.PROTOCOL
