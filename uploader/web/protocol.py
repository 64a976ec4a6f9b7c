"""One HTTP connection with the limits that uvicorn leaves out; knows nothing of what is served."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server, ServerState

from uploader.platform.meters import Counts
from uploader.web.peer import Peer

_ROUND_SECONDS = 5.0
_LAST_MOMENT_SECONDS = 0.1
BUSY, FLOOD, SLOW = "busy", "flood", "slow"
"""Why a client was not served: answered 503, dropped at once, or dropped without the head of a request."""


class CalmServer(Server):
    """uvicorn's server, which comes round every few seconds, not ten times in one. Setting `ending` ends the wait."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to exit; each round brings the date of the answers up to date."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ending.wait(), _ROUND_SECONDS)
        # what connected in the last moment is made a connection before all are ended
        await asyncio.sleep(_LAST_MOMENT_SECONDS)


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 over h11, with a deadline for each request's head and a hard cap on connections.

    uvicorn answers 503 above its own limit, but keeps any number of silent connections. Each connection
    puts its `Peer` into the ASGI state as `peer`.
    """

    peer: Peer

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        head_seconds: float,
        refused: Counts,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_seconds = head_seconds
        self._head_deadline: asyncio.TimerHandle | None = None
        self._refused = refused
        self._cap = 2 * (config.limit_concurrency or 1)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or drop it when there are twice as many as are answered."""
        super().connection_made(transport)
        self.peer = Peer(transport)
        self.app_state = {**self.app_state, "peer": self.peer}
        # a write counts as done only when the kernel has it: memory stays at one chunk a connection
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self._cap:
            self._refused.add(FLOOD)
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; while they do not make a whole head the deadline stands."""
        between_requests = self._idle()
        super().data_received(data)
        if not self._idle():
            self._head_arrived()
            if between_requests and len(self.connections) >= (self.limit_concurrency or math.inf):
                self._refused.add(BUSY)
        elif between_requests and self._head_deadline is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the peer first, while the socket can still be asked."""
        self._head_arrived()
        self.peer.lost(orderly=exc is None)
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_deadline = self.loop.call_later(self._head_seconds, self._give_up)

    def _give_up(self) -> None:
        self._refused.add(SLOW)
        self.transport.abort()

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
