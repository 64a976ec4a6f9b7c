"""Tokens: who gets one, how long it lives, what it opens."""

from __future__ import annotations

import base64

import pytest

from uploader.sandbox.answers import Answer, Refused
from uploader.sandbox.config import READ_SCOPES, WRITE_SCOPES, Credentials
from uploader.sandbox.tokens import Tokens

APP = Credentials(account_id="acc", client_id="id", client_secret="s3cret")
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "account_credentials", "account_id": "acc"}


def basic(user: str = "id", password: str = "s3cret") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def make(clock, *, ttl_seconds: float = 60, scopes=(WRITE_SCOPES[0], READ_SCOPES[0])) -> Tokens:
    return Tokens(APP, ttl_seconds=ttl_seconds, scopes=scopes, api_url="http://x", now=clock)


def issue(tokens: Tokens) -> str:
    answer = tokens.issue(authorization=basic(), content_type=FORM, form=GRANT)
    assert isinstance(answer.body, dict)
    return str(answer.body["access_token"])


def refusal(act) -> Answer:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.answer


def test_good_request_gets_a_token_in_the_documented_shape(clock) -> None:
    answer = make(clock).issue(authorization=basic(), content_type=f"{FORM}; charset=utf-8", form=GRANT)
    assert isinstance(answer.body, dict)
    assert set(answer.body) == {"access_token", "token_type", "expires_in", "scope", "api_url"}
    assert answer.body["token_type"] == "bearer"
    assert answer.body["expires_in"] == 60
    assert answer.body["scope"] == f"{WRITE_SCOPES[0]} {READ_SCOPES[0]}"


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic %%%", "Basic /w==", basic("other"), basic(password="wrong"), "Bearer x", basic("é")],
)
def test_wrong_client_is_refused_in_the_token_endpoints_shape(clock, authorization: str) -> None:
    tokens = make(clock)
    answer = refusal(lambda: tokens.issue(authorization=authorization, content_type=FORM, form=GRANT))
    assert answer.status == 400
    assert answer.body == {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}


@pytest.mark.parametrize(
    ("content_type", "form"),
    [("application/json", GRANT), ("", GRANT), (FORM, {}), (FORM, GRANT | {"grant_type": "password"})],
)
def test_wrong_grant_is_unsupported(clock, content_type: str, form: dict[str, str]) -> None:
    tokens = make(clock)
    answer = refusal(lambda: tokens.issue(authorization=basic(), content_type=content_type, form=form))
    assert answer.body == {"reason": "unsupported grant type", "error": "unsupported_grant_type"}


def test_wrong_account_is_refused(clock) -> None:
    tokens = make(clock)
    form = GRANT | {"account_id": "other"}
    assert refusal(lambda: tokens.issue(authorization=basic(), content_type=FORM, form=form)).status == 400


def test_several_tokens_are_good_at_once_until_each_expires(clock) -> None:
    tokens = make(clock)
    first = issue(tokens)
    clock.move(40)
    second = issue(tokens)
    tokens.check(f"Bearer {first}")
    tokens.check(f"bearer {second}")
    clock.move(20)
    answer = refusal(lambda: tokens.check(f"Bearer {first}"))
    assert (answer.status, answer.body) == (401, {"code": 124, "message": "Invalid access token."})
    tokens.check(f"Bearer {second}")


def test_missing_scope_is_named(clock) -> None:
    tokens = make(clock, scopes=(READ_SCOPES[0],))
    tokens.check_scope(READ_SCOPES)
    answer = refusal(lambda: tokens.check_scope(WRITE_SCOPES))
    assert answer.status == 400
    assert answer.body == {
        "code": 4711,
        "message": f"Invalid access token, does not contain scopes:[{WRITE_SCOPES[0]}].",
    }


def test_any_of_the_equivalent_scopes_is_enough(clock) -> None:
    make(clock, scopes=("qm_interactions:write",)).check_scope(WRITE_SCOPES)


def test_secret_is_not_in_the_representation() -> None:
    assert "s3cret" not in repr(APP)
