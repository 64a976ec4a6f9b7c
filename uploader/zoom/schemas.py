"""Answers of the service as values: tolerant of what it adds, strict about what is counted on.

Knows no HTTP and no tokens. An entry that cannot be read is left out, so that the distinct ids fall
short of `total_records` and no walk over the listing is taken for complete.
Source of the names: the service's OpenAPI document, operations listInteractions and getInteraction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from uploader.domain.analysis import Detail, Signs, evidence_of
from uploader.domain.interaction import parse_time
from uploader.domain.listing import Listed, Page
from uploader.errors import ApiUnavailable

LIST_BYTES = 4 * 1024 * 1024
DETAIL_BYTES = 16 * 1024 * 1024
"""Details carry the whole transcript."""
ENTRIES = 1000
TEXT_LENGTH = 1024
ID_LENGTH = 256
PAGE_TOKEN_LENGTH = 4096
TOTAL_RECORDS = 2**53

_CHANNELS = {"audio": "voice"}
_ANALYSIS_TEXTS = {
    "good_questions": "good_question",
    "indicators": "indicator_name",
    "next_steps": "next_step",
    "topics": "topic_name",
}


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `body` is, or None if it is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def interaction_id_of(value: object) -> str | None:
    """Return `value` if it can be an interaction's id: printable, not blank, at most 256 characters."""
    if not isinstance(value, str) or len(value) > ID_LENGTH:
        return None
    return value if value.strip() and value.isprintable() else None


def parse_page(body: bytes, *, service_date: datetime | None) -> Page:
    """Read a page of the list. Raises ApiUnavailable where it cannot be told what it holds."""
    answer = json_object(body)
    if answer is None:
        raise ApiUnavailable("a page of the listing is not a JSON object")
    entries = answer.get("interactions")
    if entries is None:
        entries = []
    if not isinstance(entries, list) or len(entries) > ENTRIES:
        raise ApiUnavailable(f"a page of the listing has no list of at most {ENTRIES} `interactions`")
    listed = (_listed(entry) for entry in entries)
    return Page(
        interactions=tuple(one for one in listed if one is not None),
        total_records=_count(answer.get("total_records")),
        next_page_token=_page_token(answer.get("next_page_token")),
        service_date=service_date,
    )


def parse_detail(body: bytes, *, interaction_id: str, service_date: datetime | None) -> Detail:
    """Read one interaction. Raises ApiUnavailable unless it is the one that was asked for."""
    answer = json_object(body)
    listed = None if answer is None else _listed(answer)
    if answer is None or listed is None or listed.interaction_id != interaction_id:
        raise ApiUnavailable("the detail of an interaction is not that of the one asked for")
    return Detail(listed=listed, evidence=evidence_of(_signs(answer), origin="detail"), service_date=service_date)


def _listed(entry: object) -> Listed | None:
    if not isinstance(entry, dict):
        return None
    info = _mapping(entry.get("interaction_info"))
    interaction_id = interaction_id_of(info.get("interaction_id"))
    if interaction_id is None:
        return None
    return Listed(
        interaction_id=interaction_id,
        start_time=_moment(entry.get("start_time")),
        from_=_text(info.get("from")),
        to=_text(info.get("to")),
        direction=_word(entry.get("direction")),
        disposition=_text(entry.get("disposition")),
        queue_id=_text(entry.get("queue_id")),
        channel_type=_channel(info.get("channel_type")),
        consumer_name=_text(info.get("consumer_name")),
        # the detail calls it `language`
        primary_language=_text(entry.get("primary_language")) or _text(entry.get("language")),
        scored=evidence_of(_scores(entry), origin="list") is not None,
    )


def _scores(entry: Mapping[str, Any]) -> Signs:
    summary = _mapping(entry.get("summary"))
    return Signs(
        sentiment_score=_is_number(summary.get("sentiment_score")),
        engagement_score=_is_number(summary.get("engagement_score")),
    )


def _signs(entry: Mapping[str, Any]) -> Signs:
    scores = _scores(entry)
    analysis = _mapping(entry.get("analysis"))
    return Signs(
        sentiment_score=scores.sentiment_score,
        engagement_score=scores.engagement_score,
        transcript=_has_text(_mapping(entry.get("transcript_body")).get("items"), "text"),
        analysis=any(_has_text(analysis.get(part), name) for part, name in _ANALYSIS_TEXTS.items()),
        summary=_is_text(entry.get("interaction_summary")),
    )


def _has_text(items: object, name: str) -> bool:
    return isinstance(items, list) and any(_is_text(_mapping(item).get(name)) for item in items)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= TEXT_LENGTH else None


def _word(value: object) -> str | None:
    text = _text(value)
    return None if text is None else text.lower()


def _channel(value: object) -> str | None:
    word = _word(value)
    return None if word is None else _CHANNELS.get(word, word)


def _moment(value: object) -> datetime | None:
    """Read the documented format, or any ISO 8601 with a zone; one without a zone is not guessed."""
    text = _text(value)
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= TOTAL_RECORDS else None


def _page_token(value: object) -> str | None:
    """None and "" are the last page; anything that is no token must not be taken for it."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > PAGE_TOKEN_LENGTH or not value.isprintable():
        raise ApiUnavailable("a page of the listing has a `next_page_token` that is no token")
    return value
