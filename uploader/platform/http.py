"""HTTP requests under one total deadline, and whether a failed one may have reached the other side.

The only module that imports httpx (and httpcore, which is its transport). Knows nothing of the
service: no tokens, retries, redirects, cookies or JSON. Importing it is slow: `status` and its like
leave it alone. First the sockets, then the client: every socket operation gets the time that the
whole exchange has left, so that a peer that drips cannot stretch it, and the exchange knows whether a
byte of its own request (not of a proxy's CONNECT, not of a handshake) was handed to the system.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

import httpcore
import httpx

from uploader import __version__
from uploader.errors import ConfigurationError, Unavailable

__all__ = ["HttpClient", "HttpFailure", "Kind", "Phase", "Reply"]

READ_BYTES = 64 * 1024
ADDRESSES_TRIED = 8
LOOKUPS_AT_ONCE = 16

T = TypeVar("T")


class Phase(StrEnum):
    """How far an exchange had come."""

    POOL = "pool"
    RESOLVE = "resolve"
    CONNECT = "connect"
    TUNNEL = "tunnel"
    """CONNECT through a proxy."""
    TLS = "tls"
    WRITE = "write"
    READ = "read"


class Kind(StrEnum):
    """What went wrong; the value is a safe phrase for messages."""

    TIMEOUT = "no answer in time"
    STOPPED = "stopped by us"
    RESOLVE = "the host name cannot be resolved"
    REFUSED = "connection refused"
    UNREACHABLE = "host unreachable"
    RESET = "connection reset"
    CLOSED = "connection closed before the answer was whole"
    CERTIFICATE = "the certificate is not trusted"
    TLS = "TLS failed"
    PROXY = "the proxy refused"
    PROTOCOL = "the answer is not HTTP"
    REQUEST = "the request cannot be written as HTTP"


class Broken(Exception):
    """An exchange ended by a socket; never leaves this module."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.value)
        self.kind = kind


class Exchange:
    """One request's deadline (monotonic seconds), its progress, and the way to cut it short."""

    def __init__(self, *, deadline: float) -> None:
        self._deadline = deadline
        self.phase = Phase.POOL
        self.bytes_written = False
        self.peer_closed = False
        self._lock = threading.Lock()
        self._stopped = False
        self._abort: Callable[[], None] | None = None

    def remaining(self) -> float:
        """Return the seconds left. Raises `Broken` when none are, or when it was cancelled."""
        if self._stopped:
            raise Broken(Kind.STOPPED)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Broken(Kind.TIMEOUT)
        return left

    def hold(self, abort: Callable[[], None]) -> None:
        """Remember how to wake whatever this exchange is about to wait for."""
        with self._lock:
            if self._stopped:
                raise Broken(Kind.STOPPED)
            self._abort = abort

    def cancel(self) -> None:
        """End it from another thread; what waits fails at once with `STOPPED`."""
        with self._lock:
            self._stopped = True
            if self._abort is not None:
                self._abort()

    def broken(self, kind: Kind) -> Broken:
        """Return the error for `kind`, or for our own stop where that was the cause."""
        return Broken(Kind.STOPPED if self._stopped else kind)

    def about_to_write(self, data: bytes) -> None:
        """Note that `data` goes to the socket. In doubt it counts as the request's own.

        Noted before the system call: a call that fails may have sent a part.
        """
        self.remaining()
        if not self.bytes_written and data.startswith(b"CONNECT "):
            self.phase = Phase.TUNNEL
        else:
            self.phase = Phase.WRITE
            self.bytes_written = True

    def about_to_read(self) -> None:
        """Note that an answer is awaited: the service's, or still the proxy's."""
        if self.phase is Phase.WRITE:
            self.phase = Phase.READ


class Network(httpcore.NetworkBackend):
    """Connects for whichever exchange the calling thread is in."""

    def __init__(self) -> None:
        self._current = threading.local()
        self._lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)

    @contextlib.contextmanager
    def serving(self, exchange: Exchange) -> Iterator[None]:
        """Let all sockets that this thread uses belong to `exchange`."""
        self._current.exchange = exchange
        try:
            yield
        finally:
            del self._current.exchange

    def exchange(self) -> Exchange:
        """Return the calling thread's exchange."""
        exchange: Exchange = self._current.exchange
        return exchange

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers, all within the exchange's deadline."""
        del timeout, local_address, socket_options
        exchange = self.exchange()
        exchange.phase = Phase.RESOLVE
        addresses = self._resolve(host, port, exchange)
        exchange.phase = Phase.CONNECT
        failure = Broken(Kind.UNREACHABLE)
        for tried, (family, address) in enumerate(addresses):
            share = exchange.remaining() / (len(addresses) - tried)
            try:
                return TcpStream.connected(self, family, address, share)
            except Broken as broken:
                failure = broken
        exchange.remaining()
        raise Broken(failure.kind)

    def _resolve(self, host: str, port: int, exchange: Exchange) -> list[tuple[int, Any]]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            found = self._look_up(host, port, exchange)
        unique: dict[tuple[int, Any], None] = {(family, address): None for family, _, _, _, address in found}
        return list(unique)[:ADDRESSES_TRIED]

    def _look_up(self, host: str, port: int, exchange: Exchange) -> list[Any]:
        """Ask the resolver in a thread of its own: it takes no time limit, and cannot be woken."""
        answer: list[list[Any]] = []
        done = threading.Event()

        def ask() -> None:
            try:
                # a name that does not resolve leaves the answer empty
                with contextlib.suppress(OSError, UnicodeError):
                    answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            finally:
                self._lookups.release()
                done.set()

        if not self._lookups.acquire(timeout=exchange.remaining()):
            raise exchange.broken(Kind.TIMEOUT)
        threading.Thread(target=ask, name="resolve", daemon=True).start()
        exchange.hold(done.set)
        in_time = done.wait(exchange.remaining())
        exchange.remaining()
        if not answer:
            raise Broken(Kind.RESOLVE if in_time else Kind.TIMEOUT)
        return answer[0]


class _Stream(httpcore.NetworkStream):
    """What httpcore sees; `send` and `receive` are the same without the exchange's notes."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def receive(self, max_bytes: int) -> bytes:
        raise NotImplementedError

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what is there, at least a byte; nothing at the end."""
        del timeout
        exchange = self._network.exchange()
        exchange.about_to_read()
        data = self.receive(max_bytes)
        exchange.peer_closed = not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        del timeout
        if buffer:
            self._network.exchange().about_to_write(buffer)
            self.send(buffer)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Shake hands on this stream, which may be a tunnel through TLS itself."""
        del timeout
        self._network.exchange().phase = Phase.TLS
        stream = TlsStream(self._network, self, ssl_context, server_hostname)
        try:
            stream.shake_hands()
        except BaseException:
            self.close()
            raise
        return stream


class TcpStream(_Stream):
    """A TCP socket. Another thread may abort it while one waits in it."""

    def __init__(self, network: Network, sock: socket.socket) -> None:
        super().__init__(network)
        self._sock = sock
        self._lock = threading.Lock()

    @classmethod
    def connected(cls, network: Network, family: int, address: Any, share: float) -> TcpStream:
        """Return a stream connected to `address` within `share` seconds. Raises `Broken`."""
        exchange = network.exchange()
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            raise Broken(Kind.UNREACHABLE) from None
        stream = cls(network, sock)
        try:
            exchange.hold(stream.abort)
            sock.settimeout(share)
            sock.connect(address)
            exchange.remaining()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            stream.close()
            raise exchange.broken(Kind.TIMEOUT) from None
        except OSError as error:
            stream.close()
            refused = isinstance(error, ConnectionRefusedError)
            raise exchange.broken(Kind.REFUSED if refused else Kind.UNREACHABLE) from None
        except BaseException:
            stream.close()
            raise
        return stream

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises `Broken`, or httpcore's WriteError, after which it reads on:
        a service may answer before it has read the whole request."""
        exchange = self._network.exchange()
        exchange.hold(self.abort)
        rest = memoryview(data)
        try:
            while rest:
                self._sock.settimeout(exchange.remaining())
                rest = rest[self._sock.send(rest) :]
        except TimeoutError:
            raise exchange.broken(Kind.TIMEOUT) from None
        except OSError:
            exchange.remaining()
            raise httpcore.WriteError(Kind.RESET.value) from None

    def receive(self, max_bytes: int) -> bytes:
        """Return what is there, waiting at most for what the exchange has left."""
        exchange = self._network.exchange()
        exchange.hold(self.abort)
        self._sock.settimeout(exchange.remaining())
        try:
            data = self._sock.recv(max_bytes)
        except TimeoutError:
            raise exchange.broken(Kind.TIMEOUT) from None
        except OSError:
            raise exchange.broken(Kind.RESET) from None
        if not data:
            exchange.remaining()  # our own stop looks like an end of the answer
        return data

    def abort(self) -> None:
        """Wake the thread that waits in this socket."""
        with self._lock, contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; never under `abort`, which must not meet another's descriptor."""
        with self._lock:
            self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        """Answer `is_readable`: an idle connection that has something to read is at its end."""
        if info != "is_readable":
            return None
        if self._sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class TlsStream(_Stream):
    """TLS over a stream, by memory buffers: so that it nests, and the socket below keeps time."""

    def __init__(self, network: Network, inner: _Stream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        super().__init__(network)
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)

    def shake_hands(self) -> None:
        """Complete our side of the handshake. Raises `Broken` with `CERTIFICATE` or `TLS`."""
        self._pump(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._pump(lambda: self._tls.write(rest)) :]  # noqa: B023 - called at once

    def receive(self, max_bytes: int) -> bytes:
        return self._pump(lambda: self._tls.read(max_bytes))

    def _pump(self, step: Callable[[], T]) -> T:
        """Run `step`, moving records between it and the stream below until it is through."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError as error:
                with contextlib.suppress(Broken, httpcore.WriteError):
                    self._flush()  # the alert that says why
                raise self._network.exchange().broken(_tls_kind(error)) from None
            else:
                self._flush()
                return result
            data = self._inner.receive(READ_BYTES)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        pending = self._outgoing.read()
        if pending:
            self._inner.send(pending)

    def close(self) -> None:
        """Close the stream below, without a farewell that could block."""
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        """Answer `ssl_object` and what the stream below answers."""
        return self._tls if info == "ssl_object" else self._inner.get_extra_info(info)


def _tls_kind(error: ssl.SSLError) -> Kind:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Kind.CERTIFICATE
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Kind.CLOSED
    return Kind.TLS


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
        for scheme in ("http", "https"):
            address = self._proxies.get(scheme) or self._proxies.get("all")
            if address:
                self._by_scheme[scheme] = self._pool(_proxy(address, self._ssl))

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
