"""Connections that can be broken on purpose. Knows nothing of the API.

uvicorn hides the transport from the application, so the protocol puts it into the request's state.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "sandbox.transport"


class BreakableProtocol(H11Protocol):
    """HTTP/1.1 whose requests know their transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the transport on to every request of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


class NoAnswer(Response):
    """A response that sends nothing and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close, and wait until uvicorn knows that nobody waits for an answer."""
        self._end(scope["state"][_TRANSPORT])
        while (await receive())["type"] != "http.disconnect":
            pass

    def _end(self, transport: asyncio.Transport) -> None:
        transport.close()


class Reset(NoAnswer):
    """Likewise, with a reset (RST) in place of an orderly end."""

    def _end(self, transport: asyncio.Transport) -> None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
