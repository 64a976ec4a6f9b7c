"""The sockets under the HTTP client: every operation gets the time that its exchange has left.

So a peer that drips cannot stretch an exchange, and an exchange knows whether a byte of its own request
(not of a proxy's CONNECT, not of a handshake) was handed to the system. A network backend of httpcore,
which with `http` alone imports it. Knows nothing of requests, answers or proxies.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import httpcore

from uploader.platform.exchange import Broken, Exchange, Kind, Phase

READ_BYTES = 64 * 1024
ADDRESSES_TRIED = 8
LOOKUPS_AT_ONCE = 16

T = TypeVar("T")


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
    # older Pythons have no type of its own for a cut
    is_cut = error.reason == "UNEXPECTED_EOF_WHILE_READING"
    if is_cut or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Kind.CLOSED
    return Kind.TLS
