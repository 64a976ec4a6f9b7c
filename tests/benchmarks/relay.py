"""A relay before a server: what comes through it can be cut off and let through again. Knows no protocol."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

_T = TypeVar("_T")
_CHUNK = 64 * 1024
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Relay:
    """Listens on a port of its own and passes on to `port`, in one thread. Use it as a context manager."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._down = False
        self._answer = b""
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self.port = 0

    def down(self, *, answering: bool) -> None:
        """Cut everything that is open; new connections are answered 503, or reset without an answer."""
        self._answer = _REFUSAL if answering else b""
        self._down = True
        self._loop.call_soon_threadsafe(self._cut)

    def up(self) -> None:
        """Pass on again."""
        self._down = False

    def __enter__(self) -> Relay:
        """Listen."""
        self._thread.start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._server = server
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut everything and end the thread."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        ours = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if ours:
            await asyncio.wait(ours, timeout=5)

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if not self._down:
                await self._pass_on(reader, writer)
            elif self._answer:
                await reader.read(_CHUNK)
                writer.write(self._answer)
                await writer.drain()
                writer.close()
            else:
                writer.transport.abort()
        except OSError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open.add(there_writer)
        try:
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        finally:
            self._open.discard(there_writer)
            there_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy to the end, and close the other side then."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
