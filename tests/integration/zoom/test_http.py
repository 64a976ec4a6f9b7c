"""The HTTP client against real sockets: deadlines, and whether a byte of the request was written."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from uploader.errors import ConfigurationError
from uploader.platform.http import HttpClient, HttpFailure, Kind, Phase


def test_answer_has_status_headers_in_any_case_and_body(serve, http, send):
    def handler(connection):
        connection.request()
        connection.answer(b"hello", status=b"418 No", headers=b"X-Rate: a\r\n")

    reply = send(http, serve(handler).url)
    assert (reply.status, reply.headers["x-RATE"], reply.body, reply.truncated) == (418, "a", b"hello", False)


def test_server_that_never_answers_is_given_up_at_the_deadline(serve, http, fails):
    def handler(connection):
        connection.request()
        connection.hang()

    assert fails(http, serve(handler).url) == (Phase.READ, Kind.TIMEOUT, True)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"a" * 500]
)
def test_dripping_answer_does_not_stretch_the_deadline(serve, http, fails, answer):
    def handler(connection):
        connection.request()
        connection.drip(answer)

    assert fails(http, serve(handler).url) == (Phase.READ, Kind.TIMEOUT, True)


def test_server_that_does_not_read_does_not_stretch_the_deadline(serve, http, fails):
    server = serve(lambda connection: connection.hang())
    assert fails(http, server.url, content=b"x" * 30_000_000) == (Phase.WRITE, Kind.TIMEOUT, True)


def test_reset_after_the_request_was_read_counts_as_written(serve, http, fails):
    def handler(connection):
        connection.request()
        connection.reset()

    assert fails(http, serve(handler).url) == (Phase.READ, Kind.RESET, True)


def test_connection_closed_in_the_middle_of_the_body_is_no_answer(serve, http, fails):
    def handler(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 90\r\n\r\n{")

    assert fails(http, serve(handler).url) == (Phase.READ, Kind.CLOSED, True)


def test_answer_that_is_not_http_is_a_failure_after_the_write(serve, http, fails):
    def handler(connection):
        connection.request()
        connection.sock.sendall(b"SSH-2.0-hello\r\n\r\n")

    assert fails(http, serve(handler).url) == (Phase.READ, Kind.PROTOCOL, True)


def test_early_answer_is_read_though_the_body_was_not(serve, http, send):
    def handler(connection):
        connection.head()
        connection.answer(b"large", status=b"413 Too Large")

    reply = send(http, serve(handler).url, content=b"x" * 30_000_000)
    assert (reply.status, reply.body) == (413, b"large")


def test_refused_connection_wrote_nothing(http, fails):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert fails(http, f"http://127.0.0.1:{port}/") == (Phase.CONNECT, Kind.REFUSED, False)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://[::1/"])
def test_url_that_cannot_be_asked_wrote_nothing(http, fails, url):
    assert fails(http, url) == (Phase.POOL, Kind.REQUEST, False)


def test_header_that_cannot_be_written_wrote_nothing(serve, http, always):
    with pytest.raises(HttpFailure) as caught:
        http.request("GET", serve(always()).url, headers={"x": "a\r\nb: c"}, deadline_seconds=2, max_body_bytes=9)
    assert (caught.value.kind, caught.value.bytes_written) == (Kind.REQUEST, False)


# connections kept alive


def test_connection_is_used_again(serve, http, send, always):
    server = serve(always())
    for _ in range(3):
        send(http, server.url)
    assert server.accepted == 1


def test_connection_idle_beyond_its_limit_is_not_used_again(serve, make_client, send, always):
    server = serve(always())
    http = make_client(keepalive_expiry_seconds=0.0)
    for _ in range(3):
        send(http, server.url)
    assert server.accepted == 3


def test_connection_closed_while_idle_is_replaced(serve, http, send):
    closed = threading.Event()

    def handler(connection):
        connection.request()
        connection.answer()
        connection.sock.close()
        closed.set()

    server = serve(handler)
    send(http, server.url)
    assert closed.wait(5)
    assert send(http, server.url).status == 200
    assert server.accepted == 2


def test_kept_connection_closed_as_we_send_counts_as_written_and_is_not_repeated(serve, http, send, fails):
    def handler(connection):
        connection.request()
        connection.answer()
        connection.request()

    server = serve(handler)
    send(http, server.url)
    assert fails(http, server.url) == (Phase.READ, Kind.CLOSED, True)
    assert (server.accepted, len(server.heads)) == (1, 2)


def test_long_body_is_cut_and_its_connection_not_used_again(serve, http, send, always):
    server = serve(always(b"x" * 1000))
    reply = send(http, server.url, max_body_bytes=999)
    assert (len(reply.body), reply.truncated) == (999, True)
    reply = send(http, server.url, max_body_bytes=1000)
    assert (len(reply.body), reply.truncated, server.accepted) == (1000, False, 2)


def test_endless_body_ends_at_its_limit(serve, http, send):
    def handler(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sock.sendall(b"x" * 65536)

    assert send(http, serve(handler).url, max_body_bytes=100_000).truncated


def test_nothing_is_unpacked_followed_or_remembered(serve, http, send, always):
    packed = gzip.compress(b"a" * 100_000)
    headers = b"Content-Encoding: gzip\r\nSet-Cookie: a=b\r\nLocation: /elsewhere\r\n"
    server = serve(always(packed, status=b"302 Found", headers=headers))
    for _ in range(2):
        assert send(http, server.url).body == packed
    assert len(server.heads) == 2
    assert not any(b"cookie" in head.lower() for head in server.heads)
    assert all(b"accept-encoding: identity" in head.lower() for head in server.heads)


def test_nothing_is_logged(serve, http, send, always, caplog):
    caplog.set_level(logging.DEBUG)
    send(http, serve(always()).url)
    assert not caplog.records


# names


def test_name_that_does_not_resolve_wrote_nothing(http, fails, monkeypatch):
    def unknown(*_args, **_more):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert fails(http, "http://api.example/") == (Phase.RESOLVE, Kind.RESOLVE, False)


@pytest.fixture
def stuck_resolver(monkeypatch):
    asked, release, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(host, *args, **more):
        if more.get("flags"):
            return real(host, *args, **more)
        asked.set()
        release.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield asked
    release.set()


def test_stuck_resolver_does_not_stretch_the_deadline(http, fails, stuck_resolver):
    assert fails(http, "http://api.example/") == (Phase.RESOLVE, Kind.TIMEOUT, False)


def test_second_address_is_tried_when_the_first_refuses(serve, http, send, always, monkeypatch):
    server = serve(always())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (dead, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
    assert send(http, "http://api.example/").status == 200


# TLS


def test_certificate_of_a_private_ca_is_trusted_by_environment(trusted, serve, server_tls, make_client, send, always):
    server = serve(always(), tls=server_tls())
    http = make_client()
    assert [send(http, server.url).status for _ in range(2)] == [200, 200]
    assert server.accepted == 1


def test_untrusted_certificate_wrote_nothing(serve, server_tls, http, fails, always):
    server = serve(always(), tls=server_tls())
    assert fails(http, server.url) == (Phase.TLS, Kind.CERTIFICATE, False)


def test_certificate_of_another_host_wrote_nothing(trusted, serve, server_tls, make_client, fails, always):
    server = serve(always(), tls=server_tls("other.example"))
    assert fails(make_client(), server.url) == (Phase.TLS, Kind.CERTIFICATE, False)


def test_certificate_alert_after_the_handshake_counts_as_written(
    trusted, serve, server_tls, make_client, fails, always
):
    tls = server_tls(verify_mode=ssl.CERT_REQUIRED, minimum_version=ssl.TLSVersion.TLSv1_3)
    phase, _, written = fails(make_client(), serve(always(), tls=tls).url)
    assert (phase, written) == (Phase.READ, True)


def test_certificate_alert_within_the_handshake_wrote_nothing(trusted, serve, server_tls, make_client, fails, always):
    tls = server_tls(verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
    phase, _, written = fails(make_client(), serve(always(), tls=tls).url)
    assert (phase, written) == (Phase.TLS, False)


def test_handshake_that_hangs_or_drips_wrote_nothing(serve, http, fails):
    hanging = serve(lambda connection: connection.hang())
    dripping = serve(lambda connection: connection.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 500))
    for server in (hanging, dripping):
        assert fails(http, server.url.replace("http:", "https:")) == (Phase.TLS, Kind.TIMEOUT, False)


def test_server_that_speaks_no_tls_wrote_nothing(serve, http, fails, always):
    phase, _, written = fails(http, serve(always()).url.replace("http:", "https:"))
    assert (phase, written) == (Phase.TLS, False)


def test_tls_answer_cut_without_a_farewell_is_no_answer(trusted, serve, server_tls, make_client, fails):
    def handler(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 201 Created\r\n\r\n{}")

    assert fails(make_client(), serve(handler, tls=server_tls()).url) == (Phase.READ, Kind.CLOSED, True)


def test_a_cut_is_seen_even_if_the_systems_python_lets_it_pass(
    trusted, serve, server_tls, make_client, fails, monkeypatch
):
    strict = ssl.create_default_context

    def lenient(*args, **more):
        context = strict(*args, **more)
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    def handler(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 201 Created\r\n\r\n{}")

    monkeypatch.setattr(ssl, "create_default_context", lenient)
    assert fails(make_client(), serve(handler, tls=server_tls()).url) == (Phase.READ, Kind.CLOSED, True)


# proxies


def tunnel(port, answer=b"HTTP/1.1 200 Connected\r\n\r\n"):
    def handler(connection):
        if connection.head():
            connection.sock.sendall(answer)
            if b" 200 " in answer:
                connection.relay(port)

    return handler


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"302 Found"])
def test_proxy_that_refuses_the_tunnel_wrote_nothing(serve, make_client, fails, monkeypatch, status):
    proxy = serve(tunnel(0, b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert fails(make_client(), "https://api.example/") == (Phase.TUNNEL, Kind.PROXY, False)
    assert proxy.heads[0].startswith(b"CONNECT api.example:443 ")


def test_proxy_that_never_answers_wrote_nothing(serve, make_client, fails, monkeypatch):
    def handler(connection):
        connection.head()
        connection.hang()

    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{serve(handler).port}")
    assert fails(make_client(), "https://api.example/") == (Phase.TUNNEL, Kind.TIMEOUT, False)


def test_untrusted_certificate_behind_a_tunnel_wrote_nothing(
    serve, server_tls, make_client, fails, always, monkeypatch
):
    server = serve(always(), tls=server_tls())
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{serve(tunnel(server.port)).port}")
    assert fails(make_client(), server.url) == (Phase.TLS, Kind.CERTIFICATE, False)


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
def test_request_goes_through_a_tunnel_and_the_proxy_sees_none_of_it(
    trusted, serve, server_tls, make_client, send, always, monkeypatch, proxy_scheme
):
    server = serve(always(b"inside"), tls=server_tls())
    proxy = serve(tunnel(server.port), tls=server_tls() if proxy_scheme == "https" else None)
    monkeypatch.setenv("https_proxy", f"{proxy_scheme}://user:p%40ss@127.0.0.1:{proxy.port}")
    http = make_client()
    assert [send(http, server.url).body for _ in range(2)] == [b"inside", b"inside"]
    assert (proxy.accepted, len(proxy.heads), len(server.heads)) == (1, 1, 2)
    assert b"Basic dXNlcjpwQHNz" in proxy.heads[0]
    assert b"Bearer" not in proxy.heads[0]


def test_reset_behind_a_tunnel_counts_as_written(trusted, serve, server_tls, make_client, fails, monkeypatch):
    def handler(connection):
        connection.request()
        connection.reset()

    server = serve(handler, tls=server_tls())
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{serve(tunnel(server.port)).port}")
    phase, _, written = fails(make_client(), server.url)
    assert (phase, written) == (Phase.READ, True)


def test_plain_request_to_a_proxy_counts_as_written(serve, make_client, fails, monkeypatch):
    def handler(connection):
        connection.request()
        connection.reset()

    proxy = serve(handler)
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    assert fails(make_client(), "http://api.example/a") == (Phase.READ, Kind.RESET, True)
    assert proxy.heads[0].startswith(b"POST http://api.example/a ")


def test_body_that_looks_like_connect_is_the_requests_own(serve, http, fails):
    def handler(connection):
        connection.request()
        connection.reset()

    assert fails(http, serve(handler).url, content=b"CONNECT a:1 HTTP/1.1") == (Phase.READ, Kind.RESET, True)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "other.example, 127.0.0.1"])
def test_exempted_host_is_asked_directly(serve, make_client, send, always, monkeypatch, exempt):
    proxy = serve(always(b"proxy"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert send(make_client(), serve(always(b"direct")).url).body == b"direct"


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "http://", "http://[::1"])
def test_proxy_that_cannot_be_used_is_a_configuration_error(monkeypatch, address):
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        HttpClient(max_connections=1)


# our own stop


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def test_close_ends_a_request_in_flight(serve, http, fails, pool):
    arrived = threading.Event()

    def handler(connection):
        connection.request()
        arrived.set()
        connection.hang()

    failure = pool.submit(fails, http, serve(handler).url, deadline_seconds=60)
    assert arrived.wait(5)
    http.close()
    assert failure.result(5) == (Phase.READ, Kind.STOPPED, True)


def test_close_does_not_pass_a_cut_answer_off_as_whole(serve, http, fails, pool):
    sent = threading.Event()

    def handler(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 201 Created\r\n\r\n{}")
        sent.set()
        connection.hang()

    failure = pool.submit(fails, http, serve(handler).url, deadline_seconds=60)
    assert sent.wait(5)
    http.close()
    assert failure.result(5) == (Phase.READ, Kind.STOPPED, True)


def test_close_ends_who_waits_for_a_connection(serve, make_client, fails, pool):
    arrived = threading.Event()

    def handler(connection):
        connection.request()
        arrived.set()
        connection.hang()

    http, url = make_client(max_connections=1), serve(handler).url
    failures = [pool.submit(fails, http, url, deadline_seconds=60) for _ in range(3)]
    assert arrived.wait(5)
    http.close()
    assert sorted(failure.result(5)[2] for failure in failures) == [False, False, True]


def test_waiting_for_a_connection_is_within_the_deadline(serve, make_client, fails, pool):
    arrived = threading.Event()

    def handler(connection):
        connection.request()
        arrived.set()
        connection.hang()

    http, url = make_client(max_connections=1), serve(handler).url
    first = pool.submit(fails, http, url, deadline_seconds=1.5)
    assert arrived.wait(5)
    assert fails(http, url, deadline_seconds=0.2) == (Phase.POOL, Kind.TIMEOUT, False)
    assert first.result(5) == (Phase.READ, Kind.TIMEOUT, True)


def test_close_ends_a_lookup(http, fails, pool, stuck_resolver):
    failure = pool.submit(fails, http, "http://api.example/", deadline_seconds=60)
    assert stuck_resolver.wait(5)
    http.close()
    assert failure.result(5) == (Phase.RESOLVE, Kind.STOPPED, False)


def test_no_request_begins_after_close(serve, http, fails, always):
    server = serve(always())
    http.close()
    assert fails(http, server.url) == (Phase.POOL, Kind.STOPPED, False)
    assert server.accepted == 0


def test_many_threads_share_a_few_connections(serve, make_client, send, always, pool):
    server = serve(always(b"ok"))
    http = make_client(max_connections=2)
    replies = list(pool.map(lambda _: send(http, server.url).body, range(100)))
    assert replies == [b"ok"] * 100
    assert server.accepted <= 2


def test_loopback_is_reached_without_a_proxy_on_another_machine(serve, make_client, send, always, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    assert send(make_client(), serve(always(b"here")).url).body == b"here"
