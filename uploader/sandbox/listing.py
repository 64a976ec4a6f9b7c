"""GET /qm/interactions: the query, its filters and its pages. Knows nothing of connections.

A page token pins what the first page saw: later pages have the same interactions in the same order and
the same `total_records`, whatever is accepted meanwhile. It belongs to its query, lives 15 minutes
and holds no state here. How far back an omitted `from` reaches is not documented: one day.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from uploader.sandbox import answers, times, views
from uploader.sandbox.answers import Refused
from uploader.sandbox.books import Books
from uploader.sandbox.interaction import Interaction

_TOKEN_LIFE = timedelta(minutes=15)
_DEFAULT_SPAN = timedelta(days=1)
_MAC_BYTES = 16
_MAX_TOKEN = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Where a walk through the pages stands; `until_number` and `seen_at` pin what it sees."""

    since: datetime
    until: datetime
    seen_at: datetime
    until_number: int
    offset: int


class Listing:
    """Answers list requests from the books."""

    def __init__(self, books: Books, *, lag_seconds: float, now: Callable[[], datetime]) -> None:
        self._books = books
        self._lag = timedelta(seconds=lag_seconds)
        self._now = now
        self._key = secrets.token_bytes(32)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return one page. Raises Refused when a parameter is wrong."""
        size = _page_size(query)
        if query.get("time_zone"):
            _check_zone(query["time_zone"])
        nothing = _wants_scored(query)  # nothing here was ever evaluated
        token = query.get("next_page_token")
        walk = self._read_token(token, query) if token else self._first(query)
        found = [
            item
            for item in self._books.between(walk.since, walk.until)
            if not nothing
            and item.number < walk.until_number
            and item.accepted_at + self._lag <= walk.seen_at
            and _matches(item, query, walk.seen_at)
        ]
        end = walk.offset + size
        now = self._now()
        return {
            "total_records": len(found),
            "page_size": size,
            "next_page_token": self._token(walk, query, end) if end < len(found) else "",
            "interactions": [views.list_item(item, now) for item in found[walk.offset : end]],
        }

    def _first(self, query: Mapping[str, str]) -> _Walk:
        now = self._now()
        try:
            until = times.parse(query["to"]) if query.get("to") else times.whole(now)
            since = times.parse(query["from"]) if query.get("from") else until - _DEFAULT_SPAN
        except (ValueError, OverflowError) as exc:
            raise Refused(answers.invalid_window()) from exc
        if since > until:
            raise Refused(answers.invalid_window())
        return _Walk(since=since, until=until, seen_at=now, until_number=len(self._books), offset=0)

    def _token(self, walk: _Walk, query: Mapping[str, str], offset: int) -> str:
        fields = [
            times.show(walk.since),
            times.show(walk.until),
            times.show_exactly(walk.seen_at),
            walk.until_number,
            offset,
            times.show_exactly(self._now() + _TOKEN_LIFE),
            _digest(query),
        ]
        data = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(data) + data).decode()

    def _read_token(self, token: str, query: Mapping[str, str]) -> _Walk:
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise Refused(answers.invalid_page_token())
        try:
            sealed = base64.urlsafe_b64decode(token)
        except binascii.Error as exc:
            raise Refused(answers.invalid_page_token()) from exc
        data = sealed[_MAC_BYTES:]
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._mac(data)):
            raise Refused(answers.invalid_page_token())
        since, until, seen_at, number, offset, expires_at, digest = json.loads(data)
        if times.read_exactly(expires_at) <= self._now() or digest != _digest(query):
            raise Refused(answers.invalid_page_token())
        return _Walk(
            since=times.parse(since),
            until=times.parse(until),
            seen_at=times.read_exactly(seen_at),
            until_number=number,
            offset=offset,
        )

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_MAC_BYTES]


def _digest(query: Mapping[str, str]) -> str:
    same = sorted((k, v) for k, v in query.items() if k not in {"page_size", "next_page_token"})
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:16]


def _page_size(query: Mapping[str, str]) -> int:
    text = query.get("page_size") or "30"
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) < 100):
        raise Refused(answers.invalid_fields("page_size"))
    return int(text)


def _check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as exc:
        raise Refused(answers.invalid_fields("time_zone")) from exc


def _wants_scored(query: Mapping[str, str]) -> bool:
    text = query.get("scored", "").lower()
    if text not in {"", "true", "false"}:
        raise Refused(answers.invalid_fields("scored"))
    return text == "true"


def _matches(item: Interaction, query: Mapping[str, str], now: datetime) -> bool:
    info = item.body.get("interaction_info", {})
    values = {
        "user_ids": info.get("agent_id"),
        "channels": views.channel_of(item),
        "direction": item.body.get("direction"),
        "dispositions": item.body.get("disposition"),
        "language": views.language_of(item, now),
        "queues": item.body.get("queue_id"),
        "engagement_id": None,
        "indicator_id": None,
        "topic": None,
    }
    return all(value in _wanted(query[name]) for name, value in values.items() if query.get(name))


def _wanted(text: str) -> set[str | None]:
    return {part.strip() for part in text.split(",")}
