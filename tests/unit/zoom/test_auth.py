"""The token keeper: when it asks, when it keeps, and what it says when refused."""

from __future__ import annotations

import base64

import pytest

from uploader.errors import RateLimited, ServiceRefusal, TokenUnavailable
from uploader.platform.http import HttpFailure, Kind, Phase
from uploader.zoom.auth import Token, TokenKeeper, missing_scopes

SECRET = "canary-secret"


@pytest.fixture
def keeper(script, clock):
    return TokenKeeper(
        script, token_url="https://token.example/t", account_id="acc & co", client_id="cid",
        client_secret=lambda: SECRET, clock=clock, timeout_seconds=5,
    )  # fmt: skip


def answer(value="tok", expires_in=3600, **more):
    return {"access_token": value, "token_type": "bearer", "expires_in": expires_in, **more}


def test_request_has_its_parameters_in_the_body_and_the_secret_in_the_header(keeper, script, reply):
    script.answers = [reply(200, answer())]
    keeper.token()
    ((method, url, more),) = script.calls
    assert (method, url) == ("POST", "https://token.example/t")
    assert more["content"] == b"grant_type=account_credentials&account_id=acc%20%26%20co"
    assert more["headers"]["Authorization"] == "Basic " + base64.b64encode(f"cid:{SECRET}".encode()).decode()
    assert "params" not in more


@pytest.mark.parametrize(("life", "kept_until"), [(3600, 3540), (5, 2.5), (100, 50), (200, 140)])
def test_token_is_kept_while_it_lives_a_minute_or_half_its_life(keeper, script, reply, clock, life, kept_until):
    script.answers = [reply(200, answer("one", life)), reply(200, answer("two", life))]
    keeper.token()
    clock.seconds += kept_until
    assert keeper.token().value == "one"
    clock.seconds += 0.01
    assert keeper.token().value == "two"


def test_rejected_token_is_replaced_once_for_all_who_had_it(keeper, script, reply, clock):
    script.answers = [reply(200, answer("one")), reply(200, answer("two"))]
    old = keeper.token()
    clock.seconds += 10
    keeper.reject(old)
    new = keeper.token()
    clock.seconds += 10
    keeper.reject(old)
    assert (new.value, keeper.token().value, len(script.calls)) == ("two", "two", 2)


def test_rejections_of_tokens_just_issued_make_no_storm(keeper, script, reply):
    script.answers = [reply(200, answer())]
    for _ in range(50):
        keeper.reject(keeper.token())
    assert len(script.calls) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"reason": f"Invalid client_id {SECRET}", "error": "invalid_client"}, "zoom.client_secret"),
        ({"code": 4702, "message": SECRET}, "zoom.client_id"),
        ({"reason": SECRET, "error": "unsupported_grant_type"}, "Server-to-Server"),
        ({"reason": "Bad Request", "error": "invalid_request"}, "zoom.account_id"),
        ({"code": 4717, "message": "x"}, "activate the app"),
        ({"reason": "app has been disabled", "error": "x"}, "activate the app"),
        ({"reason": SECRET, "error": "whatever"}, "zoom.account_id, zoom.client_id"),
    ],
)
def test_refused_credentials_name_the_setting_and_repeat_nothing(keeper, script, reply, status, body, named):
    script.answers = [reply(status, body)]
    with pytest.raises(ServiceRefusal) as caught:
        keeper.token()
    said = f"{caught.value} {caught.value.hint}"
    assert caught.value.reason == "credentials"
    assert named in said
    assert SECRET not in said


def test_missing_scope_at_the_token_endpoint_is_a_scope_refusal(keeper, script, reply):
    script.answers = [reply(400, {"code": 4711, "message": "x"})]
    with pytest.raises(ServiceRefusal) as caught:
        keeper.token()
    assert caught.value.reason == "scope"


def test_too_many_requests_say_until_when(keeper, script, reply, clock):
    script.answers = [reply(429, {}, Retry_After="30")]
    with pytest.raises(RateLimited) as caught:
        keeper.token()
    assert (caught.value.until - clock.now()).total_seconds() == 30


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""), (503, b"<html>"), (302, b""), (404, b"<html>"), (401, b"<html>"), (200, b""), (200, b"[]"),
        (200, {"access_token": "", "expires_in": 1}), (200, {"access_token": "a\r\nX: y", "expires_in": 1}),
        (200, {"access_token": "ü", "expires_in": 1}), (200, {"access_token": "a", "expires_in": 0}),
        (200, {"access_token": "a", "expires_in": "1"}), (200, {"access_token": "a", "expires_in": float("nan")}),
        (200, {"access_token": "a" * 20_000, "expires_in": 1}),
    ],
)  # fmt: skip
def test_trouble_and_nonsense_are_unavailable(keeper, script, reply, status, body):
    script.answers = [reply(status, body)]
    with pytest.raises(TokenUnavailable):
        keeper.token()


def test_after_a_failure_the_next_caller_asks_again(keeper, script, reply):
    failure = HttpFailure(phase=Phase.CONNECT, kind=Kind.REFUSED, bytes_written=False)
    script.answers = [failure, reply(200, answer("later"))]
    with pytest.raises(TokenUnavailable):
        keeper.token()
    assert keeper.token().value == "later"


def test_token_is_masked_when_printed(keeper, script, reply):
    script.answers = [reply(200, answer("canary-token"))]
    assert "canary" not in f"{keeper.token()!r} {keeper.token()}"


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        ("", ()),
        ("zoom_quality_management:write:interactions:admin zoom_quality_management:read:interactions", ()),
        ("qm_interactions:write:admin qm_interactions:read", ()),
        ("qm_interactions:read", ("zoom_quality_management:write:interactions",)),
        ("user:read", ("zoom_quality_management:write:interactions", "zoom_quality_management:read:interactions")),
    ],
)
def test_scopes_that_are_missing_are_named(scopes, missing):
    token = Token(value="t", scopes=frozenset(scopes.split()), obtained_at_monotonic=0, expires_at_monotonic=1)
    assert missing_scopes(token) == missing
