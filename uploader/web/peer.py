"""The other end of a connection: whether it is there, has everything, and how to be rid of it; no HTTP."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Final, cast

_FIRST_LOOK_SECONDS: Final = 0.002
_LAST_LOOK_SECONDS: Final = 0.25
_TCP_CLOSE: Final = 7


class Peer:
    """What an application may know of and do to its client beyond HTTP. For the loop's thread only."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._gone = False
        self._was_cut = False
        self._left_satisfied = False

    @property
    def gone(self) -> bool:
        """Return whether the connection is lost."""
        return self._gone

    def cut(self) -> None:
        """Close the connection at once, so that an unfinished answer is seen as one."""
        self._was_cut = True
        self._transport.abort()

    async def cut_and_wait(self) -> None:
        """Close the connection at once; return when the loss was noted."""
        self.cut()
        while not self._gone:
            await asyncio.sleep(0)

    def lost(self, *, orderly: bool) -> None:
        """Note the loss of the connection, while its socket can still be asked; `orderly`: no reset."""
        if not self._gone and orderly and not self._was_cut:
            self._left_satisfied = self._is_satisfied()
        self._gone = True

    async def has_everything(self, *, within_seconds: float) -> bool:
        """Wait until the other end's kernel has acknowledged every byte written; false when it went without.

        That the program behind it read them cannot be seen from here.
        """
        pause = _FIRST_LOOK_SECONDS
        deadline = asyncio.get_running_loop().time() + within_seconds
        while not self._gone:
            if self._is_satisfied():
                return True
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK_SECONDS)
        return self._left_satisfied

    def _is_satisfied(self) -> bool:
        # in this order: a reset empties the queue, and must not come between the two looks unseen
        return self._unacknowledged_bytes() == 0 and not self._was_reset()

    def _was_reset(self) -> bool:
        connection = self._transport.get_extra_info("socket")
        # tcpi_state of tcp(7): a peer that closes in order leaves it in CLOSE_WAIT
        return cast(bytes, connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8))[0] == _TCP_CLOSE

    def _unacknowledged_bytes(self) -> int:
        unwritten = self._transport.get_write_buffer_size()
        if unwritten:
            return unwritten
        connection = self._transport.get_extra_info("socket")
        # SIOCOUTQ of tcp(7), under the name it shares with terminals
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        return cast(int, struct.unpack("i", answer)[0])
