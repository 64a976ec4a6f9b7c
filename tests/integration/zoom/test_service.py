"""Token keeper and client over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from uploader.domain.outcome import Cause, Kind
from uploader.errors import TokenUnavailable
from uploader.platform.clock import SystemClock
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient

TOKEN = json.dumps({"access_token": "tok", "token_type": "bearer", "expires_in": 3600, "scope": "a b"}).encode()


@pytest.fixture
def keeper(http):
    def make(port):
        return TokenKeeper(
            http, token_url=f"http://127.0.0.1:{port}/oauth/token", account_id="acc", client_id="cid",
            client_secret=lambda: "secret", clock=SystemClock(), timeout_seconds=2,
        )  # fmt: skip

    return make


@pytest.fixture
def client(http, keeper, serve, always):
    def make(port, timeout_seconds=2.0):
        tokens = keeper(serve(always(TOKEN)).port)
        return ZoomClient(
            http, tokens, api_url=f"http://127.0.0.1:{port}/v2", request_timeout_seconds=timeout_seconds,
            clock=SystemClock(),
        ), tokens.token()  # fmt: skip

    return make


def submit(client_and_token):
    client, token = client_and_token
    return client.submit({}, download_url="https://files.example/a.wav", token=token, idempotency_key=None)


def test_twenty_threads_share_one_request_for_a_token(serve, keeper):
    everyone_asks = threading.Barrier(20)

    def handler(connection):
        while connection.request():
            connection.answer(TOKEN)

    server = serve(handler)
    tokens = keeper(server.port)

    def ask(_):
        everyone_asks.wait(5)
        return tokens.token()

    with ThreadPoolExecutor(20) as pool:
        got = set(pool.map(ask, range(20)))
    assert len(got) == 1
    assert len(server.heads) == 1


def test_token_endpoint_out_of_reach_is_unavailable(keeper):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TokenUnavailable, match="connection refused"):
        keeper(port).token()


def test_accepted_submission_has_its_id_and_the_services_date(serve, always, client):
    headers = b"Date: Fri, 20 Nov 2026 04:00:00 GMT\r\n"
    server = serve(always(b'{"interaction_id":"id1"}', status=b"201 Created", headers=headers))
    outcome = submit(client(server.port))
    assert (outcome.kind, outcome.interaction_id) == (Kind.ACCEPTED, "id1")
    assert outcome.service_date == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert b"POST /v2/qm/interactions HTTP/1.1" in server.heads[0]


def test_submission_read_and_reset_is_unknown_and_was_sent_once(serve, client):
    def handler(connection):
        connection.request()
        connection.reset()

    server = serve(handler)
    outcome = submit(client(server.port))
    assert (outcome.kind, outcome.cause, len(server.heads)) == (Kind.UNKNOWN, Cause.TRANSPORT, 1)


def test_submission_without_an_answer_is_unknown_at_the_deadline(serve, client):
    def handler(connection):
        connection.request()
        connection.hang()

    assert submit(client(serve(handler).port, timeout_seconds=0.2)).kind is Kind.UNKNOWN


def test_submission_to_a_closed_port_was_not_created(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert submit(client(port)).kind is Kind.NOT_CREATED


def test_quoted_id_arrives_as_it_was_written(serve, always, client):
    server = serve(always(b'{"interaction_info":{"interaction_id":"a/../b?c==%2F"}}'))
    service, _ = client(server.port)
    assert service.interaction("a/../b?c==%2F").listed.interaction_id == "a/../b?c==%2F"
    assert server.heads[0].startswith(b"GET /v2/qm/interactions/a%2F..%2Fb%3Fc%3D%3D%252F HTTP/1.1")
