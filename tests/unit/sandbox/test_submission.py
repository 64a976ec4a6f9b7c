"""The body of POST /qm/interactions, as the service's document has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.sandbox import submission
from uploader.sandbox.answers import Refused

WHOLE = {
    "download_url": "https://files.example/a%20b.mp3?X-Amz-Signature=ab",
    "direction": "inbound",
    "disposition": "Sold",
    "primary_language": "en-US",
    "queue_id": "q1",
    "start_time": "2026-11-19T08:30:00Z",
    "interaction_info": {
        "channel_type": "voice",
        "agent_email": "agent@example.org",
        "agent_id": "a1",
        "consumer_name": "Zoë",
        "from": "+14155550100",
        "to": "+4930123456",
    },
}


def refusal(body: object) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Refused) as caught:
        submission.read(raw)
    assert isinstance(caught.value.answer.body, dict)
    return {"status": caught.value.answer.status, **caught.value.answer.body}


def test_whole_body_is_returned_as_sent() -> None:
    assert submission.read(json.dumps(WHOLE).encode()) == WHOLE


def test_download_url_alone_is_enough() -> None:
    assert submission.read(b'{"download_url":"http://127.0.0.1:8080/x"}')


def test_empty_language_means_detect() -> None:
    assert submission.read(json.dumps(WHOLE | {"primary_language": ""}).encode())


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"download_url":NaN}', b"1" * 9_000],
)
def test_what_is_no_json_object_is_refused_in_the_documented_words(raw: bytes) -> None:
    assert refusal(raw) == {
        "status": 400,
        "code": 300,
        "message": "Request Body should be a valid JSON object.",
    }


def test_body_over_one_mebibyte_is_refused() -> None:
    assert refusal(b" " * (submission.MAX_BODY_BYTES + 1))["status"] == 413


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"download_url": None}, "download_url"),
        ({"download_url": "ftp://files.example/a"}, "download_url"),
        ({"download_url": "/a.wav"}, "download_url"),
        ({"download_url": "http:///a.wav"}, "download_url"),
        ({"download_url": "http://h:99999/a"}, "download_url"),
        ({"download_url": "http://h/a b"}, "download_url"),
        ({"download_url": "http://h/\r\nX: y"}, "download_url"),
        ({"download_url": "http://[::1"}, "download_url"),
        ({"direction": "internal"}, "direction"),
        ({"direction": 1}, "direction"),
        ({"primary_language": "en"}, "primary_language"),
        ({"disposition": None}, "disposition"),
        ({"disposition": "\ud800"}, "disposition"),
        ({"queue_id": ["q"]}, "queue_id"),
        ({"interaction_info": []}, "interaction_info"),
        ({"interaction_info": {}}, "interaction_info.channel_type"),
        ({"interaction_info": {"channel_type": "AUDIO"}}, "interaction_info.channel_type"),
        ({"interaction_info": {"channel_type": "voice", "from": "030 1234"}}, "interaction_info.from"),
        ({"interaction_info": {"channel_type": "voice", "to": "+0123456"}}, "interaction_info.to"),
        ({"interaction_info": {"channel_type": "voice", "to": "+1234567890123456"}}, "interaction_info.to"),
        ({"interaction_info": {"channel_type": "voice", "agent_id": 7}}, "interaction_info.agent_id"),
    ],
)
def test_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    assert refusal(WHOLE | change) == {
        "status": 400,
        "code": 300,
        "message": "Validation Failed.",
        "errors": [{"field": field, "message": "Invalid field."}],
    }


def test_all_wrong_fields_are_named_at_once() -> None:
    body = {"direction": "x", "interaction_info": {"channel_type": "voice", "from": "1"}}
    errors = refusal(body)["errors"]
    assert [error["field"] for error in errors] == ["download_url", "direction", "interaction_info.from"]


@pytest.mark.parametrize(
    "start",
    [
        "2026-11-19T08:30:00",
        "2026-11-19T08:30:00+00:00",
        "2026-11-19T08:30:00.000Z",
        "2026-11-19 08:30:00Z",
        "2026-02-30T08:30:00Z",
        "2026-11-19T08:30:60Z",
        "2026-1-19T08:30:00Z",
        "٢٠٢٦-11-19T08:30:00Z",
        "",
        1763541000,
        None,
    ],
)
def test_start_time_in_any_other_form_is_code_1001(start: object) -> None:
    assert refusal(WHOLE | {"start_time": start}) == {
        "status": 400,
        "code": 1001,
        "message": "The interaction start time is invalid.",
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        assert isinstance(submission.read(raw), dict)
    except Refused as exc:
        assert exc.answer.status == 400


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_not(text: str) -> None:
    assert submission.is_download_url(text) in {True, False}
