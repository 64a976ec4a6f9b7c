"""What an answer to the POST proves."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.allowance import Allowance, Span
from uploader.domain.outcome import Cause, Kind
from uploader.platform.http import HttpFailure, Phase
from uploader.platform.http import Kind as Fault
from uploader.zoom.outcomes import DEFINITE, failure_outcome, judge_submission

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
CANARY = "+15550107788"


def judge(status, answer=None, *, headers=None, key=False):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return judge_submission(status, headers or {}, body, now=NOW, idempotency_key_sent=key)


def api(code=300, message="Validation Failed.", **more):
    return {"code": code, "message": message, **more}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_success_with_an_id_is_accepted(status):
    outcome = judge(status, {"interaction_id": "QMp3e6_W=="})
    assert (outcome.kind, outcome.interaction_id, outcome.cause) == (Kind.ACCEPTED, "QMp3e6_W==", Cause.NONE)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b'{"interaction_id":"abc', [], {}, {"interaction_id": ""}, {"interaction_id": " "},
     {"interaction_id": 7}, {"interaction_id": "x" * 257}, {"interaction_id": "a\nb"}],
)  # fmt: skip
def test_success_without_a_usable_id_is_unknown(answer):
    assert judge(201, answer).kind is Kind.UNKNOWN


@pytest.mark.parametrize("status", sorted(DEFINITE))
@pytest.mark.parametrize("answer", [api(), {"reason": "no", "error": "invalid_token"}])
def test_whole_refusal_in_the_apis_shape_proves_nothing_was_created(status, answer):
    assert judge(status, answer).kind is Kind.NOT_CREATED


@pytest.mark.parametrize("status", sorted(DEFINITE))
@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>Forbidden</html>", b'{"code":300,"message":"cut', {"message": "Forbidden"},
     {"code": "300", "message": "text"}, {"code": True, "message": "text"}, {"code": 300}, {"error": "x"}],
)  # fmt: skip
def test_refusal_in_a_foreign_shape_is_unknown(status, answer):
    assert judge(status, answer).kind is Kind.UNKNOWN


@pytest.mark.parametrize("status", [301, 302, 307, 402, 405, 408, 409, 410, 425, 500, 502, 503, 504])
def test_other_statuses_are_unknown_even_in_the_apis_shape(status):
    assert judge(status, api()).kind is Kind.UNKNOWN


@pytest.mark.parametrize("status", [408, 409, 425])
def test_conflicting_statuses_are_named_so(status):
    outcome = judge(status, api(code=409))
    assert (outcome.cause, outcome.code) == (Cause.CONFLICT, 409)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (422, api()),
        (400, api(message="Idempotency-Key was used with another body")),
        (400, api(errors=[{"field": "Idempotency-Key", "message": "reused"}])),
        (409, api()),
    ],
)
def test_answers_about_the_idempotency_key_are_signs_of_acceptance(status, answer):
    outcome = judge(status, answer, key=True)
    assert (outcome.kind, outcome.cause) == (Kind.UNKNOWN, Cause.CONFLICT)


def test_plain_validation_error_with_a_key_sent_is_still_definite():
    assert judge(400, api(), key=True).kind is Kind.NOT_CREATED


@pytest.mark.parametrize(
    ("status", "answer", "cause"),
    [
        (401, api(124, "Invalid access token."), Cause.TOKEN),
        (400, api(124, "Access token is expired."), Cause.TOKEN),
        (401, api(300, "who are you"), Cause.TOKEN),
        (401, {"reason": "Invalid Token!", "error": "invalid_token"}, Cause.TOKEN),
        (400, {"reason": "no", "error": "invalid_client"}, Cause.CREDENTIALS),
        (403, {"reason": "no", "error": "access_denied"}, Cause.FORBIDDEN),
        (400, api(4711, "Invalid access token, does not contain scopes:[x]"), Cause.SCOPE),
        (400, api(4700, "no"), Cause.SCOPE),
        (401, api(124, "Invalid access token, does not contain scopes:[x]"), Cause.SCOPE),
        (403, api(200, "Zoom IQ plan is missing"), Cause.PLAN),
        (400, api(200, "Only available for paid account"), Cause.PLAN),
        (400, api(200, "No permission."), Cause.FORBIDDEN),
        (403, api(300, "no"), Cause.FORBIDDEN),
        (429, api(124, "too fast"), Cause.RATE_SECOND),
        (429, api(429, "You have reached the maximum daily rate limit for this API."), Cause.RATE_DAY),
        (404, api(1001, "User does not exist"), Cause.RECORDING),
        (413, api(300, "large"), Cause.RECORDING),
        (415, api(300, "type"), Cause.RECORDING),
        (422, api(300, "no"), Cause.RECORDING),
    ],
)
def test_cause_says_whose_fault_it_is(status, answer, cause):
    assert judge(status, answer).cause is cause


def test_daily_limit_is_known_by_header_and_tells_when():
    headers = {"X-RateLimit-Type": "Daily-limit", "Retry-After": "2026-11-21T00:00:00Z"}
    outcome = judge(429, api(429, "no"), headers=headers)
    assert (outcome.cause, outcome.retry_at) == (Cause.RATE_DAY, datetime(2026, 11, 21, tzinfo=UTC))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (api(1001, "The interaction start time is invalid."), ("start_time", "code 1001")),
        (api(errors=[{"field": "interaction_info.from", "message": CANARY}, {"field": "to"}]), ("from, to",)),
    ],
)
def test_message_names_field_and_code(answer, words):
    message = judge(400, answer).message
    assert all(word in message for word in words)


def test_message_never_repeats_what_the_service_says():
    answer = api(300, f"bad {CANARY}", errors=[{"field": CANARY, "message": CANARY}], reason=CANARY, error=CANARY)
    for status in range(100, 600):
        for key in (True, False):
            assert CANARY not in judge(status, answer, key=key).message


def test_code_too_large_for_a_database_is_left_out():
    outcome = judge(400, api(10**30))
    assert (outcome.kind, outcome.code) == (Kind.NOT_CREATED, None)


def test_absurdly_nested_body_is_unknown():
    assert judge(400, b'{"code":' + b"[" * 100_000).kind is Kind.UNKNOWN


bodies = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["code", "message", "errors", "field", "reason", "error", "interaction_id"]), inner
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
header_maps = st.dictionaries(
    st.sampled_from(["retry-after", "Date", "x-ratelimit-type", "X-RateLimit-Reset"]), st.text(max_size=70)
)


@given(st.integers(100, 599), header_maps, bodies, st.booleans())
def test_whatever_comes_is_judged_and_only_a_definite_refusal_proves_anything(status, headers, body, key):
    outcome = judge_submission(status, headers, body, now=NOW, idempotency_key_sent=key)
    if outcome.kind is Kind.NOT_CREATED:
        answer = json.loads(body)
        assert status in DEFINITE
        assert {"code", "message"} <= answer.keys() or {"reason", "error"} <= answer.keys()
        assert not (key and status == 422)
    if outcome.kind is Kind.ACCEPTED:
        assert 200 <= status <= 299
        assert outcome.interaction_id == json.loads(body)["interaction_id"]
    if status in (409, 408, 425) or status >= 500:
        assert outcome.kind is Kind.UNKNOWN


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("fault", list(Fault))
def test_a_failed_request_is_judged_by_bytes_written_and_nothing_else(phase, fault):
    unsent = failure_outcome(HttpFailure(phase=phase, kind=fault, bytes_written=False))
    sent = failure_outcome(HttpFailure(phase=phase, kind=fault, bytes_written=True))
    assert (unsent.kind, sent.kind) == (Kind.NOT_CREATED, Kind.UNKNOWN)
    assert unsent.cause is sent.cause is Cause.TRANSPORT


@pytest.mark.parametrize(
    ("headers", "message", "cause"),
    [
        ({"x-ratelimit-limit": "30000", "x-ratelimit-remaining": "0"}, "Too many.", Cause.RATE_DAY),
        ({"x-ratelimit-limit": "30000", "x-ratelimit-remaining": "12"}, "Too many.", Cause.RATE_SECOND),
        (
            {"x-ratelimit-limit": "30000", "x-ratelimit-remaining": "0"},
            "the maximum per-second rate",
            Cause.RATE_SECOND,
        ),
        ({"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0"}, "Too many.", Cause.RATE_SECOND),
        ({"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0"}, "the maximum daily rate", Cause.RATE_DAY),
        ({}, "Too many concurrent requests.", Cause.RATE_SECOND),
    ],
)
def test_a_429_without_its_type_is_judged_by_its_text_and_else_by_its_limit(headers, message, cause):
    body = json.dumps({"code": 429, "message": message}).encode()
    assert judge_submission(429, headers, body, now=NOW, idempotency_key_sent=False).cause is cause


def test_an_acceptance_passes_on_what_it_says_of_the_limit():
    headers = {"X-RateLimit-Type": "QPS", "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "19"}
    found = judge_submission(201, headers, b'{"interaction_id": "abc"}', now=NOW, idempotency_key_sent=False)
    assert found.allowance == Allowance(span=Span.SECOND, limit=20, remaining=19)
