"""Tell systemd how the service fares, as sd_notify(3) lays down; knows nothing of what the service does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.get_logger()

_STATUS_CHARACTERS: Final = 500


class Notifier:
    """Sends to the socket that `environ` names; without one every call does nothing. Safe from any thread.

    A message that cannot be sent is logged, never raised: the service does its work without systemd too.
    """

    def __init__(self, environ: Mapping[str, str], *, send_seconds: float = 1.0) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._send_seconds = send_seconds
        self._watchdog_interval_seconds = _interval(environ) if self._address is not None else None

    @property
    def watchdog_interval_seconds(self) -> float | None:
        """Return half the time after which systemd takes us for dead, or None when it does not watch us."""
        return self._watchdog_interval_seconds

    def ready(self) -> None:
        """Say that start-up is done."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; never names, numbers or paths."""
        self._send("STATUS=" + " ".join(text.split())[:_STATUS_CHARACTERS])

    def stopping(self) -> None:
        """Say that shutdown has begun."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Say that we are alive; to be sent only while the work itself goes on."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for so much more time, from now, to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(0, round(seconds * 1_000_000))}")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                # a manager that does not read must not hold up the work
                channel.settimeout(self._send_seconds)
                channel.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError as exc:
            log.warning("systemd.not_notified", errno=exc.errno)


def _address(name: str) -> bytes | None:
    """Return the address to send to; `@` stands for the zero byte of an abstract socket."""
    if name.startswith("@") and len(name) > 1:
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name.startswith("/") else None


def _interval(environ: Mapping[str, str]) -> float | None:
    pid, usec = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    if not (usec.isascii() and usec.isdigit() and len(usec) <= 18) or int(usec) == 0:
        return None
    return int(usec) / 2_000_000
