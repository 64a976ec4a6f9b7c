"""When "not listed" may be believed: learned from our own accepted interactions. No clock, no HTTP.

Whether `from` and `to` of the listing mean the call's start or the import is not documented, nor in which
time zone. So a moment counts as inside or outside a window only when it is further from its ends than any
time zone; between, nothing is learned and nothing is proved.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from uploader.domain.echo import FARTHEST_ZONE, Echo, count, echo_from_json, echo_to_json
from uploader.domain.walk import Survey, Window

LAGS_KEPT = 100
"""How many of the latest lags are "lately"."""
LAG_FACTOR = 3


class Axis(StrEnum):
    """By what a window is known to show our interactions."""

    START = "start"
    """Shown where the call's start lay inside, its creation outside."""
    CREATED = "created"
    """Shown where its creation lay inside, the call's start outside."""
    JOINT = "joint"
    """Shown where both lay inside; says nothing of interactions with one of them outside."""
    UNDATED = "undated"
    """Sent without a start time, which the service then makes up; shown where its creation lay inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Everything learned of a listing. The default is to know nothing, which proves nothing."""

    shown: Mapping[Axis, int] = field(default_factory=dict)
    """How often our own definite acceptances were shown by each axis."""
    lags_seconds: tuple[float, ...] = ()
    """The latest lags from acceptance to listing, oldest first."""
    echo: Echo = field(default_factory=Echo)

    def proven(self, axis: Axis) -> bool:
        """Say whether this axis has shown one of ours."""
        return self.shown.get(axis, 0) > 0

    def to_json(self) -> dict[str, Any]:
        """Return a plain document for the ledger."""
        return {
            "shown": {axis.value: n for axis, n in self.shown.items()},
            "lags_seconds": list(self.lags_seconds),
            "echo": echo_to_json(self.echo),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Learned:
        """Read what `to_json` wrote. Raises ValueError on nonsense: then better know nothing."""
        try:
            return cls(
                shown={Axis(name): count(n) for name, n in document["shown"].items()},
                lags_seconds=tuple(_duration(lag) for lag in document["lags_seconds"])[-LAGS_KEPT:],
                echo=echo_from_json(document["echo"]),
            )
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError("what was learned of the listing cannot be read") from exc


def _duration(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError("a lag is not a length of time")
    return float(value)


def axis_shown(*, window: Window, start: datetime | None, created: datetime) -> Axis | None:
    """Return what is proved by a complete walk of `window` that shows an interaction of ours, if anything.

    `start` is the start time that was sent, `created` the time of its 201 by the service's `Date`.
    """
    created_inside = window.holds(created, margin=FARTHEST_ZONE)
    if start is None:
        return Axis.UNDATED if created_inside else None
    start_inside = window.holds(start, margin=FARTHEST_ZONE)
    if start_inside and created_inside:
        return Axis.JOINT
    if start_inside and window.lacks(created, margin=FARTHEST_ZONE):
        return Axis.START
    if created_inside and window.lacks(start, margin=FARTHEST_ZONE):
        return Axis.CREATED
    return None


def with_shown(learned: Learned, *, window: Window, start: datetime | None, created: datetime) -> Learned:
    """Return what is known after a complete walk of `window` showed a definite acceptance of ours."""
    axis = axis_shown(window=window, start=start, created=created)
    if axis is None:
        return learned
    return replace(learned, shown={**learned.shown, axis: learned.shown.get(axis, 0) + 1})


def belongs(learned: Learned, *, window: Window, start: datetime | None, created: datetime) -> bool:
    """Say whether an interaction with these times is known to show in `window`, by any proven axis."""
    created_inside = window.holds(created, margin=FARTHEST_ZONE)
    if created_inside and learned.proven(Axis.CREATED):
        return True
    if start is None:
        return created_inside and learned.proven(Axis.UNDATED)
    if not window.holds(start, margin=FARTHEST_ZONE):
        return False
    return learned.proven(Axis.START) or (created_inside and learned.proven(Axis.JOINT))


def lag_seconds(*, accepted_at_seconds: float, last_lacking_at_seconds: float | None) -> float:
    """Return how long an acceptance stayed unlisted, for certain, in seconds.

    Both times are of one clock that runs with the program. `last_lacking_at_seconds` is the start of the
    last complete walk that should have shown it and did not; None when the first one did.
    """
    if last_lacking_at_seconds is None:
        return 0.0
    return max(0.0, last_lacking_at_seconds - accepted_at_seconds)


def with_lag(learned: Learned, seconds: float) -> Learned:
    """Return what is known after one more acceptance was listed, `seconds` late."""
    return replace(learned, lags_seconds=(*learned.lags_seconds, seconds)[-LAGS_KEPT:])


def wait_seconds(configured_seconds: float, recent_lags_seconds: Iterable[float]) -> float:
    """Return how long after an attempt a listing may first say "not there", in run time."""
    return max(configured_seconds, LAG_FACTOR * max(recent_lags_seconds, default=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An interaction of ours with a definite 201. `age_seconds` is that of the 201 when the walk began."""

    interaction_id: str
    start: datetime | None
    created: datetime
    listed_before: bool
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A window as it was read: which ids it showed, and whether that was everything."""

    window: Window
    ids: frozenset[str]
    complete: bool

    @classmethod
    def of(cls, survey: Survey) -> Walked:
        """Sum up a survey."""
        ids = frozenset(one.interaction_id for one in survey.listed)
        return cls(window=survey.window, ids=ids, complete=survey.complete)


def missing(known: Iterable[Known], walked: Walked, learned: Learned, *, wait: float) -> tuple[str, ...]:
    """Return the ids of ours that this walk should have shown and did not.

    Expected is what was listed once, or was accepted longer than `wait` seconds ago, and belongs to
    the window by a proven axis.
    """
    return tuple(
        one.interaction_id
        for one in known
        if (one.listed_before or one.age_seconds > wait)
        and one.interaction_id not in walked.ids
        and belongs(learned, window=walked.window, start=one.start, created=one.created)
    )


def proves_absence(
    learned: Learned,
    *,
    start: datetime | None,
    attempted_at: Collection[datetime],
    walked: Collection[Walked],
    known: Collection[Known],
    wait: float,
) -> bool:
    """Say whether these walks would have shown every one of a recording's open attempts.

    `attempted_at` are the attempts' times by the service's `Date`; `wait` is what `wait_seconds` gave.
    Each attempt must belong to a walked window by a proven axis, every walk must be complete, and
    none may miss an id of ours that belongs there. No attempts, no proof.
    """
    if not attempted_at or not all(one.complete for one in walked):
        return False
    if any(missing(known, one, learned, wait=wait) for one in walked):
        return False
    return all(
        any(belongs(learned, window=one.window, start=start, created=created) for one in walked)
        for created in attempted_at
    )
