"""A bounded HTTP server in a thread of its own; knows nothing of what it serves, nor of signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import math
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from uploader.errors import UsageError
from uploader.platform.meters import Counts
from uploader.platform.open_files import BACKLOG
from uploader.service.metrics.servers import ServerLoad

if TYPE_CHECKING:
    import uvicorn

    from uploader.web.protocol import CalmServer, LimitedProtocol

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_HEAD_BYTES: Final = 16 * 1024
_KEEP_ALIVE_SECONDS: Final = 5
_SEND_BUFFER_BYTES: Final = 256 * 1024
_LEAST_BACKLOG: Final = 8
_START_SECONDS: Final = 10.0
# after the cut an application still writes down what became of each answer
_AFTER_CUT_SECONDS: Final = 5

_BIND_FAULTS: Final = {
    errno.EADDRINUSE: ("the address is taken by another program", "stop that program or give another port"),
    errno.EADDRNOTAVAIL: ("this machine does not have that address", "give an address of this machine"),
    errno.EACCES: ("this user may not listen on that port", "give a port above 1023"),
    errno.EPERM: ("this user may not listen on that port", "give a port above 1023"),
}


class HttpServer:
    """uvicorn in a thread, with bounds on all that clients can ask for.

    `name` names the thread, `setting` the key of the configuration that an address at fault stands in.
    Above `max_connections` requests get 503; above twice as many connections are dropped. The head of a
    request must be there within `head_seconds`.
    """

    def __init__(
        self,
        app: AsgiApp,
        host: str,
        port: int,
        *,
        max_connections: int,
        name: str,
        setting: str,
        head_seconds: float = 10.0,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._max_connections = max_connections
        self._setting = setting
        self._head_seconds = head_seconds
        self._refused = Counts()
        self._ready = threading.Event()
        self._server: CalmServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    @property
    def port(self) -> int:
        """Return the port that is listened on; the one the system chose when 0 was asked for."""
        return self._port

    @property
    def alive(self) -> bool:
        """Return whether the thread runs; false before `start` and after its end, whatever ended it."""
        return self._thread.is_alive()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._thread.name

    def load(self) -> ServerLoad:
        """Return what it has to do, and what was too much."""
        state = None if self._server is None else self._server.server_state
        return ServerLoad(
            connections=0 if state is None else len(state.connections),
            requests=0 if state is None else state.total_requests,
            refused={labels[0]: count for labels, count in self._refused.read().items()},
        )

    def start(self) -> None:
        """Listen; return when connections are taken.

        Raises UsageError when the address cannot be listened on.
        """
        self._listener = self._bind()
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or not self._thread.is_alive():
            raise RuntimeError("the HTTP server did not start")

    def stop(self, grace_seconds: float) -> None:
        """Take no more connections, let answers under way finish for `grace_seconds`, then cut them.

        Returns when the thread has ended. Harmless before `start` and a second time.
        """
        if self._server is None or self._loop is None or not self._thread.is_alive():
            return
        grace = max(0.0, grace_seconds)
        # a loop that closed by itself in this moment has nothing left to stop
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin_stop, self._server, grace)
        self._thread.join(grace + 2 * _AFTER_CUT_SECONDS)
        if self._thread.is_alive():
            log.error("web.stop_overdue", server=self._thread.name)

    def _bind(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as exc:
            raise UsageError(f"{self._setting}: the host is not known", hint="give an address of this machine") from exc
        # `localhost` may be both: proxies are mostly told 127.0.0.1
        family, kind, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        # asyncio turns Nagle off only where the protocol is named, else every answer may wait 40 ms
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            listener.bind(address)
            listener.listen(2 * self._max_connections)
        except OSError as exc:
            listener.close()
            fault, hint = _BIND_FAULTS.get(exc.errno or 0, ("the address cannot be listened on", ""))
            raise UsageError(f"{self._setting}: {fault}", hint=hint) from exc
        listener.settimeout(0)
        self._port = listener.getsockname()[1]
        return listener

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            # whoever waits in `start` sees a dead thread instead of waiting in vain
            self._ready.set()
            if self._listener is not None:
                self._listener.close()

    async def _serve(self) -> None:
        self._server = self._make_server()
        self._loop = asyncio.get_running_loop()
        # the socket listens since `_bind`: who comes before uvicorn's first accept waits in the kernel
        self._ready.set()
        await self._server.serve(sockets=[self._listener] if self._listener else [])

    def _make_server(self) -> CalmServer:
        import uvicorn

        from uploader.web.protocol import CalmServer, LimitedProtocol

        limited = functools.partial(LimitedProtocol, head_seconds=self._head_seconds, refused=self._refused)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            loop="asyncio",
            http=cast("type[LimitedProtocol]", limited),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # uvicorn counts the connection that asks
            limit_concurrency=self._max_connections + 1,
            # asyncio accepts so many at one go, before any of them can be dropped
            backlog=min(BACKLOG, max(_LEAST_BACKLOG, self._max_connections)),
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        config.load()
        return CalmServer(config)

    def _begin_stop(self, server: CalmServer, grace_seconds: float) -> None:
        if server.should_exit:
            return
        # the cut lets applications end by themselves; uvicorn's own limit is for those that do not
        server.config.timeout_graceful_shutdown = math.ceil(grace_seconds) + _AFTER_CUT_SECONDS
        asyncio.get_running_loop().call_later(grace_seconds, _cut_all, server)
        server.should_exit = True
        server.ending.set()


def _cut_all(server: uvicorn.Server) -> None:
    connections = cast("set[LimitedProtocol]", server.server_state.connections)
    if connections:
        log.warning("web.downloads_cut", connections=len(connections))
    for connection in list(connections):
        connection.peer.cut()
