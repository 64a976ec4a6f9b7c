"""What the service's listing says of an interaction, normalised, with nothing about HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One interaction as listed. A field is None where the service left it out or empty.

    `channel_type` is normalised to the request's words (`voice`, `video`) or the service's
    lower-case word; `start_time` is aware UTC. `scored` says that the summary has a
    sentiment or engagement score, the listing's only sign of a finished analysis.
    """

    interaction_id: str
    start_time: datetime | None = None
    from_: str | None = None
    to: str | None = None
    direction: str | None = None
    disposition: str | None = None
    queue_id: str | None = None
    channel_type: str | None = None
    consumer_name: str | None = None
    primary_language: str | None = None
    scored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of GET /qm/interactions. `next_page_token` is None on the last page.

    `rate_category` is the class of rate limit that the service counts the request under, if it says so.
    """

    interactions: tuple[Listed, ...]
    total_records: int | None
    next_page_token: str | None
    service_date: datetime | None
    rate_category: str | None = None
