"""Every request to the service is counted once, by what it came to and how long that took."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from uploader.errors import ApiUnavailable, RateLimited, ServiceRefusal, TokenUnavailable
from uploader.platform.http import HttpFailure, Kind, Phase
from uploader.zoom.auth import Token, TokenKeeper
from uploader.zoom.client import ZoomClient
from uploader.zoom.meters import Request, ServiceMeters

UNREACHED = HttpFailure(phase=Phase.CONNECT, kind=Kind.REFUSED, bytes_written=False)
WINDOW = {"start": datetime(2026, 11, 19, tzinfo=UTC), "end": datetime(2026, 11, 20, tzinfo=UTC)}
TOKEN = Token(value="tok", scopes=frozenset(), obtained_at_monotonic=0, expires_at_monotonic=9e9)


class Tokens:
    """Stands where TokenKeeper stands."""

    def token(self):
        return TOKEN

    def reject(self, token):
        pytest.fail("no answer here is about the token")


@pytest.fixture
def meters():
    return ServiceMeters()


@pytest.fixture
def client(script, clock, meters):
    return ZoomClient(
        script, Tokens(), api_url="https://api.example/v2", request_timeout_seconds=5, clock=clock, meters=meters
    )


@pytest.fixture
def keeper(script, clock, meters):
    return TokenKeeper(
        script, token_url="https://token.example/t", account_id="a", client_id="c", client_secret=lambda: "s",
        clock=clock, timeout_seconds=5, meters=meters,
    )  # fmt: skip


def submit(client):
    return client.submit({}, download_url="https://x.example/a.wav", token=TOKEN, idempotency_key=None)


def counted(meters):
    return {labels: count for labels, count in meters.answers.read().items() if count}


@pytest.mark.parametrize(("status", "kind"), [(201, "2xx"), (400, "4xx"), (429, "429"), (503, "5xx"), (None, "none")])
def test_a_submission_is_counted_by_the_class_of_its_status(client, script, reply, meters, status, kind):
    script.answers = [UNREACHED if status is None else reply(status, {"id": "abc", "code": 1, "message": "m"})]
    submit(client)
    assert counted(meters) == {("submission", kind): 1}
    assert meters.seconds[Request.SUBMISSION].read().count == 1


def test_the_time_of_a_request_is_that_until_its_answer(client, script, reply, meters, clock, monkeypatch):
    script.answers = [reply(201, {"id": "abc"})]
    ask = script.request

    def slowly(*args, **more):
        clock.seconds += 0.3
        return ask(*args, **more)

    monkeypatch.setattr(script, "request", slowly)
    submit(client)
    assert meters.seconds[Request.SUBMISSION].read().sum == pytest.approx(0.3)


@pytest.mark.parametrize(("kind", "limit"), [("QPS", "second"), ("Daily-limit", "day")])
def test_a_429_is_counted_by_the_limit_that_it_tells_of(client, script, reply, meters, kind, limit):
    script.answers = [reply(429, {"code": 429, "message": "too many"}, X_RateLimit_Type=kind)]
    submit(client)
    with pytest.raises(RateLimited):
        client.list_interactions(**WINDOW, page_size=1, page_token=None)
    throttled = {labels for labels, count in meters.throttled.read().items() if count == 1}
    assert throttled == {("submission", limit), ("listing", limit)}


def test_a_read_that_succeeds_leaves_its_moment_and_one_that_fails_does_not(client, script, reply, meters, clock):
    script.answers = [reply(500), reply(200, {"interaction_info": {"interaction_id": "abc"}})]
    with pytest.raises(ApiUnavailable):
        client.list_interactions(**WINDOW, page_size=1, page_token=None)
    client.interaction("abc")
    assert counted(meters) == {("listing", "5xx"): 1, ("detail", "2xx"): 1}
    assert meters.successes.read() == {"detail": clock.now().timestamp()}


def test_tokens_are_counted_got_refused_and_not_reached(keeper, script, reply, meters, clock):
    got = {"access_token": "t", "expires_in": 60}
    script.answers = [UNREACHED, reply(400, {"error": "invalid_client"}), reply(429), reply(200, got)]
    for error in (TokenUnavailable, ServiceRefusal, RateLimited):
        with pytest.raises(error):
            keeper.token()
    assert not meters.successes.read()
    keeper.token()
    assert counted(meters) == {("token", kind): 1 for kind in ("none", "4xx", "429", "2xx")}
    assert meters.throttled.read()["token", "second"] == 1
    assert meters.successes.read() == {"token": clock.now().timestamp()}
    clock.seconds += 1
    keeper.token()
    assert sum(counted(meters).values()) == 4
