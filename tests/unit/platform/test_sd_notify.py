"""Messages to systemd, received on a real datagram socket."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from uploader.platform.sd_notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The name for NOTIFY_SOCKET and the socket behind it."""
    if request.param == "path":
        name = str(tmp_path / "notify")
        address = name
    else:
        name = f"@qm-uploader-test-{uuid.uuid4().hex}"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        yield name, listener


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda notifier: notifier.ready(), b"READY=1"),
        (lambda notifier: notifier.stopping(), b"STOPPING=1"),
        (lambda notifier: notifier.watchdog(), b"WATCHDOG=1"),
        (lambda notifier: notifier.status("sending, 3 wait"), b"STATUS=sending, 3 wait"),
        (lambda notifier: notifier.extend_timeout(1.5), b"EXTEND_TIMEOUT_USEC=1500000"),
        (lambda notifier: notifier.extend_timeout(-1), b"EXTEND_TIMEOUT_USEC=0"),
    ],
)
def test_a_message_arrives_in_the_form_of_the_protocol(manager, say, message: bytes) -> None:
    name, listener = manager
    say(Notifier({"NOTIFY_SOCKET": name}))
    assert listener.recv(4096) == message


def test_a_status_cannot_smuggle_in_another_message(manager) -> None:
    name, listener = manager
    Notifier({"NOTIFY_SOCKET": name}).status("waiting\nSTOPPING=1\n")
    assert listener.recv(4096) == b"STATUS=waiting STOPPING=1"


def test_a_long_status_is_shortened(manager) -> None:
    name, listener = manager
    Notifier({"NOTIFY_SOCKET": name}).status("ü" * 5000)
    assert listener.recv(8192).decode() == "STATUS=" + "ü" * 500


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "@"}])
def test_without_a_socket_nothing_is_done(environ: dict[str, str]) -> None:
    notifier = Notifier({**environ, "WATCHDOG_USEC": "2000000"})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_interval_seconds is None


def test_a_socket_that_is_not_there_raises_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_a_socket_name_that_is_too_long_raises_nothing() -> None:
    Notifier({"NOTIFY_SOCKET": "/" + "x" * 300}).ready()


def test_a_manager_that_never_reads_raises_nothing_and_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "full"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "full")}, send_seconds=0.01)
        for _ in range(int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 2):
            notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time_when_it_watches_us(environ, seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify", **environ}).watchdog_interval_seconds == seconds
