"""Which fields the listing gives back as we sent them: learned from our own accepted interactions only.

Knows nothing of windows, attempts or recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from uploader.domain.interaction import Particulars
from uploader.domain.listing import Listed

PLAIN_FIELDS = (
    "from_", "to", "direction", "disposition",
    "queue_id", "channel_type", "consumer_name", "primary_language",
)  # fmt: skip
"""Fields that are both sent and listed; `start_time` comes beside them, with an offset."""
NUMBER_FIELDS = ("from_", "to")
ECHO_FIELDS = ("start_time", *PLAIN_FIELDS)
TRUST_AGAIN = 20
"""So many agreements in a row prove a field that has contradicted once."""
TRUST_SHIFT = 3
"""So many prove a start time that is shifted by a time zone: one may be chance."""
FARTHEST_ZONE = timedelta(hours=14)
_QUARTER_HOUR_SECONDS = 900
_LONGEST_SECONDS = 10_000 * 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldStats:
    """How often a field that we sent came back equal, otherwise (or not at all), and equal in a row."""

    equal: int = 0
    differed: int = 0
    streak: int = 0

    def told(self, *, agrees: bool) -> FieldStats:
        """Return the counts with one more observation."""
        if agrees:
            return replace(self, equal=self.equal + 1, streak=self.streak + 1)
        return replace(self, differed=self.differed + 1, streak=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What was learned of every field. Nothing learned: nothing is proven."""

    fields: Mapping[str, FieldStats] = field(default_factory=dict)
    offset_seconds: int = 0
    """Listed minus sent start time, as last seen."""

    def stats(self, name: str) -> FieldStats:
        """Return the counts of a field, zeros where nothing was observed."""
        return self.fields.get(name, FieldStats())

    def proven(self, name: str) -> bool:
        """Say whether a field is known to come back unchanged.

        One agreement is enough until the first contradiction; from then on it takes 20 in a row. A start
        time that is shifted takes 3, and 20 where no time zone shifts so: it may be another time
        altogether, such as that of the import.
        """
        stats = self.stats(name)
        needed = TRUST_AGAIN if stats.differed else 1
        if name == "start_time" and self.offset_seconds != 0:
            needed = max(needed, TRUST_SHIFT if _zone_like(self.offset_seconds) else TRUST_AGAIN)
        return stats.streak >= needed

    def start_error(self, sent: datetime, listed: datetime) -> timedelta:
        """Return by how much a listed start time is later than the one expected for `sent`."""
        return listed - sent - timedelta(seconds=self.offset_seconds)


def _zone_like(offset_seconds: int) -> bool:
    in_reach = abs(offset_seconds) <= FARTHEST_ZONE.total_seconds()
    return in_reach and offset_seconds % _QUARTER_HOUR_SECONDS == 0


def normal(name: str, value: str) -> str:
    """Return a value in the form in which it is compared.

    The service documents `voice` answered as `AUDIO`, and `en-US` answered as `en`: channels are compared
    by one word, languages by their first part. All else counts as it is, but for case in `direction`.
    """
    if name == "primary_language":
        return value.lower().partition("-")[0]
    if name == "channel_type":
        return "voice" if value.lower() == "audio" else value.lower()
    return value.lower() if name == "direction" else value


def agrees(name: str, sent: Particulars, listed: Listed, echo: Echo) -> bool | None:
    """Say whether a field is equal on both sides; None when either side lacks it."""
    if name == "start_time":
        if sent.start_time is None or listed.start_time is None:
            return None
        return not echo.start_error(sent.start_time, listed.start_time)
    ours, theirs = getattr(sent, name), getattr(listed, name)
    if ours is None or theirs is None:
        return None
    return normal(name, ours) == normal(name, theirs)


def learn(sent: Particulars, listed: Listed, echo: Echo) -> Echo:
    """Return what is known after one of our definitely accepted interactions was listed.

    To be called once for each interaction, else one counts for many. A field that we sent and that is
    not listed counts as changed.
    """
    stats = dict(echo.fields)
    for name in PLAIN_FIELDS:
        if getattr(sent, name) is not None:
            stats[name] = echo.stats(name).told(agrees=agrees(name, sent, listed, echo) is True)
    if sent.start_time is None:
        return replace(echo, fields=stats)
    if listed.start_time is None:
        stats["start_time"] = echo.stats("start_time").told(agrees=False)
        return replace(echo, fields=stats)
    offset = (listed.start_time - sent.start_time) // timedelta(seconds=1)
    before = echo.stats("start_time")
    first = before == FieldStats()
    stats["start_time"] = before.told(agrees=first or offset == echo.offset_seconds)
    return replace(echo, fields=stats, offset_seconds=offset)


def echo_to_json(echo: Echo) -> dict[str, Any]:
    """Return a plain document that `echo_from_json` reads."""
    return {
        "offset_seconds": echo.offset_seconds,
        "fields": {
            name: {"equal": s.equal, "differed": s.differed, "streak": s.streak} for name, s in echo.fields.items()
        },
    }


def echo_from_json(document: Mapping[str, Any]) -> Echo:
    """Read what `echo_to_json` wrote; fields unknown here are left out. Raises ValueError on nonsense."""
    try:
        fields = {
            name: FieldStats(**{key: count(counts[key]) for key in ("equal", "differed", "streak")})
            for name, counts in document["fields"].items()
            if name in ECHO_FIELDS
        }
        offset_seconds = whole(document["offset_seconds"])
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("what was learned of the fields cannot be read") from exc
    if abs(offset_seconds) > _LONGEST_SECONDS:
        raise ValueError("the offset of the start time is out of range")
    return Echo(fields=fields, offset_seconds=offset_seconds)


def whole(value: object) -> int:
    """Return a whole number from a document. Raises ValueError when it is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not a whole number")  # noqa: TRY004 - documents are at fault, not callers
    return value


def count(value: object) -> int:
    """Return a count from a document. Raises ValueError when it is none."""
    number = whole(value)
    if number < 0:
        raise ValueError("a count is less than 0")
    return number
