"""Small servers on loopback that behave as told, byte by byte."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
import traceback

import pytest
import trustme

from uploader.platform.http import HttpClient, HttpFailure

CANARY = "".join(("can", "ary", "5550107788"))


class Connection:
    """One accepted connection, as a handler sees it."""

    def __init__(self, sock, server):
        self.sock = sock
        self.server = server

    def head(self) -> bytes:
        """Return a request's head, byte by byte so that nothing behind it is taken."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            byte = self.sock.recv(1)
            if not byte:
                return b""
            data += byte
        self.server.heads.append(data)
        return data

    def request(self) -> bytes:
        """Return a whole request, or nothing when the peer is gone."""
        head = self.head()
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += self.sock.recv(65536)
        return head + body

    def answer(self, body=b"{}", status=b"200 OK", headers=b""):
        self.sock.sendall(
            b"HTTP/1.1 "
            + status
            + b"\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n"
            + headers
            + b"\r\n"
            + body
        )

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self):
        self.server.stop.wait()

    def drip(self, data):
        for byte in data:
            if self.server.stop.wait(0.02):
                return
            self.sock.sendall(bytes([byte]))

    def relay(self, port):
        """Be a tunnel to `port` until either side ends."""
        with socket.create_connection(("127.0.0.1", port)) as far:
            pairs = {self.sock: far, far: self.sock}
            while not self.server.stop.is_set():
                pending = [s for s in pairs if isinstance(s, ssl.SSLSocket) and s.pending()]
                for sock in pending or select.select(list(pairs), [], [], 0.05)[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    pairs[sock].sendall(data)


class Server:
    def __init__(self, handler, tls):
        self.handler = handler
        self.tls = tls
        self.stop = threading.Event()
        self.heads = []
        self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/x?q={CANARY}"
        self.sockets = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.accepted += 1
                self.sockets.append(sock)
                thread = threading.Thread(target=self.serve, args=(sock,))
                self.threads.append(thread)
                thread.start()

    def serve(self, sock):
        with contextlib.suppress(OSError):
            try:
                if self.tls:
                    sock = self.tls.wrap_socket(sock, server_side=True)
                    self.sockets.append(sock)
                self.handler(Connection(sock, self))
            finally:
                sock.close()

    def close(self):
        self.stop.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join(5)
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def serve():
    """Return a function that starts a server with a handler for its connections."""
    with contextlib.ExitStack() as stack:

        def start(handler, *, tls=None):
            server = Server(handler, tls)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def always():
    """Return a handler that answers every request alike and keeps the connection."""

    def make(body=b"{}", **more):
        def handler(connection):
            while connection.request():
                connection.answer(body, **more)

        return handler

    return make


@pytest.fixture
def make_client():
    with contextlib.ExitStack() as stack:

        def make(**more):
            client = HttpClient(**{"max_connections": 4, **more})
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def http(make_client):
    return make_client()


@pytest.fixture
def ca():
    return trustme.CA()


@pytest.fixture
def trusted(ca, tmp_path, monkeypatch):
    """Make the test's CA one of the system's."""
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return ca


@pytest.fixture
def server_tls(ca):
    def make(name="127.0.0.1", **more):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name).configure_cert(context)
        ca.configure_trust(context)
        for key, value in more.items():
            setattr(context, key, value)
        return context

    return make


def send(http, url, *, method="POST", content=b'{"a":1}', deadline_seconds=5.0, max_body_bytes=65536):
    secret = {"authorization": f"Bearer {CANARY}"}
    return http.request(
        method, url, headers=secret, content=content, deadline_seconds=deadline_seconds, max_body_bytes=max_body_bytes
    )


@pytest.fixture(name="send")
def send_fixture():
    return send


@pytest.fixture
def fails():
    """Return a function that sends, expects a failure in time, and sees that nothing of ours is in it."""

    def expect(http, url, **more):
        began = time.monotonic()
        with pytest.raises(HttpFailure) as caught:
            send(http, url, **{"deadline_seconds": 0.4, **more})
        assert time.monotonic() - began < 2
        error = caught.value
        said = "".join(traceback.format_exception(error)) + repr(error) + error.hint
        assert CANARY not in said
        assert error.__context__ is None
        return error.phase, error.kind, error.bytes_written

    return expect
