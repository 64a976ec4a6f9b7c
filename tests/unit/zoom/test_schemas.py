"""Lists and details as values."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.analysis import Detail, listed_evidence
from uploader.domain.listing import Listed, Page
from uploader.errors import ApiUnavailable
from uploader.zoom.schemas import parse_detail, parse_page

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def entry(interaction_id="a", info=None, **more):
    return {"interaction_info": {"interaction_id": interaction_id, **(info or {})}, **more}


def page(*entries, **more) -> Page:
    return parse_page(json.dumps({"interactions": list(entries), **more}).encode(), service_date=None)


def detail(**more) -> Detail:
    return parse_detail(json.dumps(entry(**more)).encode(), interaction_id="a", service_date=NINE)


def test_documented_entry_is_read_whole():
    info = {"from": "+1", "to": "+2", "channel_type": "AUDIO", "consumer_name": "N", "agent_name": "ignored"}
    read = page(
        entry(info=info, start_time="2026-11-20T09:00:00Z", direction="INBOUND", disposition="D", queue_id="Q",
              primary_language="en", summary={"sentiment_score": 1}, duration=3),
        total_records=1, next_page_token="t",
    )  # fmt: skip
    assert read.interactions == (
        Listed(
            interaction_id="a", start_time=NINE, from_="+1", to="+2", direction="inbound", disposition="D",
            queue_id="Q", channel_type="voice", consumer_name="N", primary_language="en", scored=True,
        ),
    )  # fmt: skip
    assert (read.total_records, read.next_page_token) == (1, "t")


def test_unreadable_fields_are_none_and_the_entry_stays():
    wrong = {"from": 1, "to": [], "channel_type": {}, "consumer_name": "x" * 5000}
    read = page(entry(info=wrong, start_time=5, direction=None, disposition="", summary=[], queue_id=True))
    assert read.interactions == (Listed(interaction_id="a"),)


@pytest.mark.parametrize("broken", [{}, None, 3, entry(None), entry(""), entry("x" * 300), {"interaction_info": 3}])
def test_entry_without_an_id_is_missing_from_the_count(broken):
    read = page(broken, entry("b"), total_records=2)
    assert len({one.interaction_id for one in read.interactions}) < (read.total_records or 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T09:00:00Z", NINE),
        ("2026-11-20T10:00:00+01:00", NINE),
        ("2026-11-20T09:00:00.000Z", NINE),
        ("2026-11-20T09:00:00", None),
        ("20.11.2026", None),
    ],
)
def test_time_is_read_with_its_zone_or_not_at_all(text, expected):
    assert page(entry(start_time=text)).interactions[0].start_time == expected


@pytest.mark.parametrize(
    ("word", "channel"), [("AUDIO", "voice"), ("VIDEO", "video"), ("VOICE", "voice"), ("SMS", "sms")]
)
def test_channel_is_in_the_requests_words(word, channel):
    assert page(entry(info={"channel_type": word})).interactions[0].channel_type == channel


@pytest.mark.parametrize("token", [None, ""])
def test_empty_page_token_is_the_last_page(token):
    assert page(next_page_token=token).next_page_token is None


@pytest.mark.parametrize("token", [7, True, [], "a\nb", "x" * 5000])
def test_page_token_that_is_none_is_not_taken_for_the_last_page(token):
    with pytest.raises(ApiUnavailable):
        page(next_page_token=token)


@pytest.mark.parametrize("total", ["3", True, -1, 1.0, 10**30, None])
def test_count_that_is_no_count_is_none(total):
    assert page(total_records=total).total_records is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"interactions":{}}', b"[" * 100_000,
             json.dumps({"interactions": [{}] * 1001}).encode()]
)  # fmt: skip
def test_what_is_no_page_is_unavailable(body):
    with pytest.raises(ApiUnavailable):
        parse_page(body, service_date=None)


@pytest.mark.parametrize(
    ("more", "evidence"),
    [
        ({"summary": {"sentiment_score": 0.5}}, "detail.sentiment_score"),
        ({"summary": {"engagement_score": 2}}, "detail.engagement_score"),
        ({"transcript_body": {"items": [{"text": "hello"}]}}, "detail.transcript"),
        ({"analysis": {"topics": [{"topic_name": "price"}]}}, "detail.analysis"),
        ({"interaction_summary": "They talked."}, "detail.summary"),
        ({"duration": 3, "summary": {"evaluation_score": 9}}, None),
        ({"summary": {"sentiment_score": True, "engagement_score": "5"}}, None),
        ({"transcript_body": {"items": []}}, None),
        ({"transcript_body": {"items": [{"text": " "}]}}, None),
        ({"analysis": {"topics": [{"type": "predefined"}]}, "interaction_summary": " "}, None),
    ],
)
def test_only_results_of_an_analysis_are_evidence(more, evidence):
    assert detail(**more).evidence == evidence


def test_score_in_a_list_is_evidence_and_its_absence_is_not():
    scored, plain = page(
        entry("a", summary={"engagement_score": 1}), entry("b", summary={"evaluation_score": 1})
    ).interactions
    assert (listed_evidence(scored), listed_evidence(plain)) == ("list.score", None)


def test_detail_has_its_language_and_date():
    read = detail(language="en")
    assert (read.listed.primary_language, read.service_date) == ("en", NINE)


@pytest.mark.parametrize("body", [b"{}", b"", b'{"interaction_info":{"interaction_id":"other"}}'])
def test_detail_of_another_interaction_is_unavailable(body):
    with pytest.raises(ApiUnavailable):
        parse_detail(body, interaction_id="a", service_date=None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["interactions", "interaction_info", "interaction_id", "start_time", "summary", "analysis", "topics",
             "transcript_body", "items", "next_page_token", "total_records", "sentiment_score"]
        ),
        inner,
    ),
    max_leaves=25,
)  # fmt: skip


@given(json_values)
def test_any_json_is_a_page_or_unavailable(value):
    body = json.dumps(value).encode()
    try:
        read = parse_page(body, service_date=None)
    except ApiUnavailable:
        return
    assert all(one.interaction_id.strip() for one in read.interactions)
