"""The client: what it sends, and how answers and failures reach the caller."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from uploader.domain.outcome import Cause
from uploader.domain.outcome import Kind as Came
from uploader.errors import ApiUnavailable, RateLimited, ServiceRefusal
from uploader.platform.http import HttpFailure, Kind, Phase
from uploader.zoom.auth import Token
from uploader.zoom.client import ZoomClient

START = datetime(2026, 11, 19, tzinfo=UTC)
END = datetime(2026, 11, 20, tzinfo=UTC)
CANARY = "canary+15550107788"


class Tokens:
    """Stands where TokenKeeper stands: a new token after each rejection."""

    def __init__(self):
        self.issued = 1

    def token(self):
        return make_token(f"tok{self.issued}")

    def reject(self, token):
        assert token == self.token()
        self.issued += 1


def make_token(value="tok"):
    return Token(value=value, scopes=frozenset(), obtained_at_monotonic=0, expires_at_monotonic=9e9)


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def client(script, tokens, clock):
    return ZoomClient(script, tokens, api_url="https://api.example/v2/", request_timeout_seconds=3, clock=clock)


def submit(client, body=None, key=None):
    url = "https://files.example/a.wav?sig=x&y=z"
    return client.submit(body or {}, download_url=url, token=make_token(), idempotency_key=key)


def listing(client, **more):
    return client.list_interactions(**{"start": START, "end": END, "page_size": 50, "page_token": None, **more})


def test_submission_is_one_compact_utf8_request(client, script, reply):
    script.answers = [reply(201, {"interaction_id": "id1"})]
    outcome = submit(client, {"disposition": "Tür"})
    ((method, url, more),) = script.calls
    assert outcome.interaction_id == "id1"
    assert (method, url) == ("POST", "https://api.example/v2/qm/interactions")
    assert more["content"].decode() == '{"disposition":"Tür","download_url":"https://files.example/a.wav?sig=x&y=z"}'
    assert more["headers"]["Content-Type"] == "application/json"
    assert more["headers"]["Authorization"] == "Bearer tok"
    assert "Idempotency-Key" not in more["headers"]


def test_idempotency_key_is_sent_and_counts_in_the_judgement(client, script, reply):
    script.answers = [reply(422, {"code": 300, "message": "x"})]
    assert submit(client, key="k1").kind is Came.UNKNOWN
    assert script.calls[0][2]["headers"]["Idempotency-Key"] == "k1"


@pytest.mark.parametrize("bytes_written", [True, False])
def test_failed_submission_is_an_outcome_and_is_not_tried_again(client, script, bytes_written):
    script.answers = [HttpFailure(phase=Phase.WRITE, kind=Kind.RESET, bytes_written=bytes_written)]
    assert submit(client).kind is (Came.UNKNOWN if bytes_written else Came.NOT_CREATED)
    assert len(script.calls) == 1


def test_rejected_token_at_a_submission_is_the_callers_to_handle(client, script, reply, tokens):
    script.answers = [reply(401, {"code": 124, "message": "x"})]
    assert submit(client).cause is Cause.TOKEN
    assert (len(script.calls), tokens.issued) == (1, 1)


def test_refusal_that_was_cut_short_is_unknown(client, script, reply):
    script.answers = [reply(400, {"code": 300, "message": "x"}, truncated=True)]
    assert submit(client).kind is Came.UNKNOWN


def test_body_that_cannot_be_encoded_is_never_sent(client, script):
    outcome = submit(client, {"disposition": "\ud800"})
    assert (outcome.kind, outcome.cause, script.calls) == (Came.NOT_CREATED, Cause.RECORDING, [])


def test_list_asks_for_a_span_and_a_page(client, script, reply):
    script.answers = [reply(200, {"interactions": [], "total_records": 0}, date="Fri, 20 Nov 2026 00:00:00 GMT")]
    assert listing(client, page_token="next").service_date == END
    assert script.calls[0][2]["params"] == {
        "from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z", "page_size": "50", "next_page_token": "next",
    }  # fmt: skip


@pytest.mark.parametrize("size", [0, 100])
def test_page_size_beyond_the_documented_is_a_programmers_mistake(client, size):
    with pytest.raises(ValueError, match="page_size"):
        listing(client, page_size=size)


def test_read_asks_once_more_with_another_token(client, script, reply):
    script.answers = [reply(400, {"code": 124, "message": "x"}), reply(200, {"interactions": []})]
    listing(client)
    assert [call[2]["headers"]["Authorization"] for call in script.calls] == ["Bearer tok1", "Bearer tok2"]


def test_second_rejection_is_given_up(client, script, reply):
    script.answers = [reply(401, {"code": 124, "message": "x"})]
    with pytest.raises(ApiUnavailable):
        listing(client)
    assert len(script.calls) == 2


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (400, {"code": 4711, "message": f"does not contain scopes:[{CANARY}]"}, "scope"),
        (403, {"code": 200, "message": "plan is missing"}, "plan"),
        (403, {"code": 1, "message": CANARY}, "forbidden"),
        (400, {"reason": CANARY, "error": "invalid_client"}, "credentials"),
        (400, {"code": 1001, "message": "The from or to time is invalid."}, "listing"),
        (404, {"code": 1001, "message": CANARY}, "listing"),
    ],
)
def test_refused_list_says_what_is_at_fault(client, script, reply, status, answer, reason):
    script.answers = [reply(status, answer)]
    with pytest.raises(ServiceRefusal) as caught:
        listing(client)
    assert caught.value.reason == reason
    assert CANARY not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(("kind", "daily"), [("Daily-limit", True), ("QPS", False)])
def test_limited_list_says_which_limit(client, script, reply, kind, daily):
    script.answers = [reply(429, {"code": 429, "message": "x"}, X_RateLimit_Type=kind)]
    with pytest.raises(RateLimited) as caught:
        listing(client)
    assert caught.value.daily is daily


@pytest.mark.parametrize(("status", "body"), [(500, b""), (502, b"<html>"), (301, b""), (204, b""), (200, b"<")])
def test_trouble_and_nonsense_are_unavailable(client, script, reply, status, body):
    script.answers = [reply(status, body)]
    with pytest.raises(ApiUnavailable):
        listing(client)


def test_list_that_was_cut_short_is_unavailable(client, script, reply):
    script.answers = [reply(200, {"interactions": []}, truncated=True)]
    with pytest.raises(ApiUnavailable):
        listing(client)


def test_unknown_interaction_is_none(client, script, reply):
    script.answers = [reply(404, {"code": 1001, "message": "x"})]
    assert client.interaction("a") is None


def test_foreign_404_proves_nothing(client, script, reply):
    script.answers = [reply(404, b"<html>")]
    with pytest.raises(ApiUnavailable):
        client.interaction("a")


def test_id_is_quoted_into_the_path(client, script, reply):
    odd = "a/b+c==?#%2F ü"
    script.answers = [reply(200, {"interaction_info": {"interaction_id": odd}})]
    detail = client.interaction(odd)
    assert detail is not None
    assert detail.listed.interaction_id == odd
    assert script.calls[0][1] == "https://api.example/v2/qm/interactions/a%2Fb%2Bc%3D%3D%3F%23%252F%20%C3%BC"


@pytest.mark.parametrize("impossible", ["", " ", ".", "..", "x" * 300, "a\nb"])
def test_what_cannot_be_an_id_is_not_asked_for(client, script, impossible):
    assert client.interaction(impossible) is None
    assert json.dumps(script.calls) == "[]"
