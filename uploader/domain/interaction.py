"""The particulars of an interaction, as POST /qm/interactions takes them (without `download_url`).

Source of the names and values: the service's OpenAPI document, operation addInteraction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LANGUAGES = (
    "en-GB", "en-US", "ar", "da-DK", "de-DE", "es-ES", "es-MX", "fr-CA", "fr-FR",
    "it-IT", "ja", "ko-KR", "nl-NL", "pt-BR", "pt-PT", "ru", "zh-CN", "zh-HK",
)  # fmt: skip
DIRECTIONS = ("inbound", "outbound")
CHANNEL_TYPES = ("voice", "video")

TOP_FIELDS = ("direction", "disposition", "primary_language", "queue_id", "start_time")
"""Fields at the top of the body."""
INFO_FIELDS = ("channel_type", "agent_email", "agent_id", "consumer_name", "from", "to")
"""Fields inside `interaction_info`."""
BODY_FIELDS = TOP_FIELDS + INFO_FIELDS
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """What is said of a call. Numbers are E.164, `start_time` is aware UTC in whole seconds."""

    start_time: datetime | None = None
    direction: str | None = None
    disposition: str | None = None
    primary_language: str | None = None
    queue_id: str | None = None
    channel_type: str | None = None
    agent_email: str | None = None
    agent_id: str | None = None
    consumer_name: str | None = None
    from_: str | None = None
    to: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the request body without `download_url`, holding only what is known."""
        top = {name: value for name in TOP_FIELDS if (value := getattr(self, name)) is not None}
        if self.start_time is not None:
            top["start_time"] = format_time(self.start_time)
        info = {name: value for name in INFO_FIELDS if (value := getattr(self, _attribute(name))) is not None}
        return top | ({"interaction_info": info} if info else {})

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Particulars:
        """Read back what `body` wrote; unknown keys are ignored."""
        flat = {k: v for k, v in body.items() if k in TOP_FIELDS}
        flat |= {k: v for k, v in body.get("interaction_info", {}).items() if k in INFO_FIELDS}
        if "start_time" in flat:
            flat["start_time"] = parse_time(flat["start_time"])
        return cls(**{_attribute(k): v for k, v in flat.items()})


def _attribute(name: str) -> str:
    return "from_" if name == "from" else name


def format_time(moment: datetime) -> str:
    """Return `moment` as the service wants it: UTC, whole seconds, a literal Z."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def parse_time(text: str) -> datetime:
    """Read the service's own time format. Raises ValueError on anything else."""
    if _TIME.fullmatch(text) is None:
        raise ValueError("a time is written as 2026-11-20T04:00:00Z")
    return datetime.fromisoformat(text)
