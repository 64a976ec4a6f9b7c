"""What shows that an interaction was analysed, and nothing about how it was asked for.

Being listed, a `duration` and an `evaluation_score` are no evidence: the first two come from the
import itself, the third from people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from uploader.domain.listing import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """Which results of an analysis an answer holds, each with content."""

    sentiment_score: bool = False
    engagement_score: bool = False
    transcript: bool = False
    analysis: bool = False
    summary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One interaction as GET /qm/interactions/{id} gives it; `evidence` is None while not analysed."""

    listed: Listed
    evidence: str | None = None
    service_date: datetime | None = None


def evidence_of(signs: Signs, *, origin: str) -> str | None:
    """Name the first sign there is, as `list.sentiment_score` or `detail.transcript`, or None."""
    for sign in fields(signs):
        if getattr(signs, sign.name):
            return f"{origin}.{sign.name}"
    return None


def listed_evidence(listed: Listed) -> str | None:
    """Name the evidence in a list entry, which keeps no more than that a score is there."""
    return "list.score" if listed.scored else None
