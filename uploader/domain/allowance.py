"""What the service says of its limits in its answers, and what of it is remembered. Knows no headers.

The limits are the account's: other apps of it use them up too, so what is left is believed, not reckoned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

DAY_MS = 24 * 60 * 60 * 1000
LARGEST = 1_000_000_000
"""A limit beyond this is none, and a mistake."""


class Span(StrEnum):
    """What a limit counts by."""

    SECOND = "second"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one answer says: how many in a span, and how many are left of them."""

    span: Span
    limit: int
    remaining: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is known of the account's limits. None is unknown; times are milliseconds since the epoch."""

    per_second: int | None = None
    per_second_at: int = 0
    day: str = ""
    """The UTC day that the following two are of."""
    per_day: int | None = None
    ends_at: int | None = None
    """With so many submissions of our own the day is over: it moves as other apps send more or less."""
    factor: float = 1.0
    """The part of the rate that refusals have left."""
    factor_at: int = 0
    pace: float | None = None
    """How many a second were accepted lately, without a break."""
    pace_at: int = 0

    def on(self, *, day: str, now: int) -> Learned:
        """Return what of it still holds: a limit a second is good for a day, one of a day on that day."""
        is_today = day == self.day
        is_fresh = 0 <= now - self.per_second_at < DAY_MS
        return Learned(
            per_second=self.per_second if is_fresh else None,
            per_second_at=self.per_second_at if is_fresh else 0,
            day=day,
            per_day=self.per_day if is_today else None,
            ends_at=self.ends_at if is_today else None,
            factor=self.factor,
            factor_at=self.factor_at,
            pace=self.pace,
            pace_at=self.pace_at,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: object) -> Learned:
        """Return what `to_json` gave; what is not of that shape is as good as nothing."""
        if not isinstance(document, Mapping):
            return cls()
        return cls(
            per_second=_whole(document.get("per_second")),
            per_second_at=_whole(document.get("per_second_at")) or 0,
            day=str(document.get("day", ""))[:10],
            per_day=_whole(document.get("per_day")),
            ends_at=_whole(document.get("ends_at")),
            factor=min(1.0, _positive(document.get("factor")) or 1.0),
            factor_at=_whole(document.get("factor_at")) or 0,
            pace=_positive(document.get("pace")),
            pace_at=_whole(document.get("pace_at")) or 0,
        )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _positive(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value < LARGEST else None
