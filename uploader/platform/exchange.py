"""One HTTP exchange: its deadline, how far it came, and how another thread ends it. Knows no sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


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
    """An exchange that ended early; never leaves `http`."""

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
