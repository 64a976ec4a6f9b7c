"""The server itself: starting, limits, stopping."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading

import pytest

from uploader.errors import UsageError
from uploader.service.metrics.servers import ServerLoad
from uploader.web.server import HttpServer

LARGE = 4 * 1024 * 1024


def large(site) -> None:
    path = site.folder / "large.wav"
    with path.open("wb") as file:
        file.truncate(LARGE)
    site.grant(path)


def body_length(received: bytes) -> int:
    return len(received.partition(b"\r\n\r\n")[2])


async def hello(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def server(host: str = "127.0.0.1", port: int = 0) -> HttpServer:
    return HttpServer(hello, host, port, max_connections=4, name="test", setting="web.listen")


def test_a_taken_port_is_a_sentence_that_names_the_setting() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match=r"^web\.listen: the address is taken") as caught,
    ):
        server(port=other.getsockname()[1]).start()
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"^web\.listen: this machine does not have that address"):
        server("192.0.2.1").start()


def test_a_host_that_is_none_is_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"^web\.listen: the host is not known"):
        server("no.such.host.invalid").start()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_started_server_answers_and_names_no_software(host: str) -> None:
    one = server(host)
    one.start()
    try:
        assert one.alive
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=10)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"hello")
        assert response.getheader("server") is None
        connection.close()
    finally:
        one.stop(1)
    assert not one.alive


def accepted_end(client: socket.socket) -> socket.socket:
    """Return this process's other end of `client`, found among its open descriptors."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found = socket.socket(fileno=os.dup(int(name)))
            with contextlib.suppress(OSError):
                if found.getpeername() == client.getsockname():
                    return found
            found.close()
    pytest.fail("no descriptor belongs to the connection")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    one = server(host)
    one.start()
    try:
        connection = http.client.HTTPConnection(host, one.port, timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
        with accepted_end(connection.sock) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        connection.close()
    finally:
        one.stop(1)


def test_a_port_can_be_taken_again_at_once_after_a_stop() -> None:
    first = server()
    first.start()
    connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    first.stop(1)
    connection.close()
    second = server(port=first.port)
    second.start()
    second.stop(1)


def test_stopping_before_starting_and_twice_is_harmless() -> None:
    one = server()
    one.stop(1)
    one.start()
    one.stop(1)
    one.stop(1)
    assert not one.alive


def test_many_starts_and_stops_leave_no_threads() -> None:
    before = threading.active_count()
    for _ in range(5):
        one = server()
        one.start()
        one.stop(0)
    assert threading.active_count() == before


def test_a_stop_cuts_a_slow_download_at_its_deadline(site, read_all) -> None:
    large(site)
    client = site.slow()
    client.recv(100)
    site.server.stop(0.3)
    assert not site.server.alive
    # written down before the stop returned
    assert [record["complete"] for record in site.grants.records] == [False]
    assert body_length(read_all(client)) < LARGE


def test_a_stop_takes_no_new_connection_but_lets_a_download_finish(site) -> None:
    large(site)
    client = site.slow()
    received = client.recv(1)
    stopping = threading.Thread(target=site.server.stop, args=(60,))
    stopping.start()
    for _ in range(100_000):
        try:
            socket.create_connection(("127.0.0.1", site.server.port), timeout=5).close()
        except OSError:
            break
    else:
        pytest.fail("connections were taken while stopping")
    parts = bytearray(received)
    while body_length(parts) < LARGE:
        part = client.recv(1 << 20)
        assert part
        parts += part
    stopping.join(30)
    assert not stopping.is_alive()
    assert [record["complete"] for record in site.grants.records] == [True]


def test_more_requests_than_allowed_are_told_to_come_later(open_site) -> None:
    site = open_site(max_connections=1)
    large(site)
    site.slow().recv(100)
    assert site.ask().status == 503
    assert site.server.load().refused == {"busy": 1}


def test_far_more_connections_than_allowed_are_dropped(open_site) -> None:
    site = open_site(max_connections=1)
    clients = [socket.create_connection(("127.0.0.1", site.server.port), timeout=10) for _ in range(12)]
    try:
        dropped = 0
        for client in clients[8:]:
            try:
                dropped += client.recv(1) == b""
            except ConnectionResetError:
                dropped += 1
        assert dropped == 4
        assert site.server.load().refused == {"flood": 8}
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(open_site, read_all, sent: bytes) -> None:
    site = open_site(head_seconds=0.1)
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as client:
        client.sendall(sent)
        assert read_all(client) == b""
        assert site.server.load().refused == {"slow": 1}


def test_the_load_counts_connections_and_requests(site) -> None:
    client = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=10)
    for _ in range(2):
        client.request("GET", "/x")
        assert client.getresponse().read() == b"Not found.\n"
    load = site.server.load()
    client.close()
    assert (load.connections, load.refused) == (1, {})
    # a request is counted when its answer is complete, which its client may see before
    assert load.requests in {1, 2}


def test_a_server_that_was_not_started_has_no_load() -> None:
    assert server().load() == ServerLoad(connections=0, requests=0, refused={})


def test_a_second_head_that_does_not_come_ends_the_connection(open_site, read_all) -> None:
    site = open_site(head_seconds=0.1)
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as client:
        client.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 404")
        client.sendall(b"GET /x HTTP/1.1\r\nHost")
        read_all(client)


def test_a_deadline_for_the_head_does_not_touch_a_download_under_way(open_site) -> None:
    site = open_site(head_seconds=0.05)
    large(site)
    client = site.slow()
    parts = bytearray(client.recv(1))
    # longer than the deadline, by waiting for another connection to run into it
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as other:
        assert other.recv(1) == b""
    while body_length(parts) < LARGE:
        part = client.recv(1 << 20)
        assert part
        parts += part


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * 300_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 300_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 30_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"nonsense\r\n\r\n",
    ],
    ids=["long target", "long header", "many headers", "tls", "nonsense"],
)
def test_a_head_that_is_too_large_or_none_is_refused(site, read_all, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as client:
        try:
            client.sendall(sent)
        except ConnectionError:
            return
        answer = read_all(client)
        assert not answer or answer.startswith(b"HTTP/1.1 400")
    site.offer(b"abc")
    assert site.ask().body == b"abc"


def test_a_body_that_breaks_the_rules_does_not_harm_the_server(site, read_all) -> None:
    large(site)
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as client:
        head = f"GET {site.url()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        client.sendall(head.encode())
        read_all(client)
    site.offer(b"abc", identity="cd34", name="b.wav")
    assert site.ask(site.url("cd34")).body == b"abc"
