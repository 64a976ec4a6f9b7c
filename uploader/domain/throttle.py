"""What refusals for the pace do to it: quickly down, slowly up, and not down to nothing for what is mere chance.

Two shares of refusals are followed, the one of lately and the usual one. Only what goes well beyond the usual
slows down, in proportion; so a service that refuses some requests at random is not taken for one with a lower
limit. Knows no clock: times are monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FLOOR = 1 / 16
"""The least part of the rate that refusals slow down to."""
CALM_SECONDS = 1.0
"""Refusals within a second of one another are one reason to slow down: several requests were under way."""
PATIENCE_SECONDS = 5.0
RISE_PER_SECOND = 0.01
FIRST_STEP = 3 / 100
"""For a refusal after long without one: it may have been a matter of milliseconds."""
LEAST_STEP = 1 / 10
LARGEST_STEP = 1 / 2
BEYOND = 3
"""So many times the usual share is no mere chance any more."""
_LATELY = 20
_USUALLY = 500
_MOST_USUAL = 0.05
"""A service that refuses more than this has a lower limit, however long it has been doing so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Where it stands. `factor` is the part of the rate in force; the shares are of refused requests."""

    factor: float = 1.0
    lately: float = 0.0
    usually: float = 0.0
    slowed_at_seconds: float = -math.inf
    risen_at_seconds: float = -math.inf


def passed(throttle: Throttle, now_seconds: float) -> Throttle:
    """Return it after a request that was not refused for its pace."""
    return risen(_counted(throttle, 0.0), now_seconds)


def refused(throttle: Throttle, now_seconds: float) -> Throttle:
    """Return it after a request that was."""
    throttle = risen(_counted(throttle, 1.0), now_seconds)
    over = throttle.lately - BEYOND * throttle.usually
    if over <= 0 or now_seconds < throttle.slowed_at_seconds + CALM_SECONDS:
        return throttle
    is_first = throttle.lately < 1.1 / _LATELY
    step = FIRST_STEP if is_first else min(LARGEST_STEP, max(LEAST_STEP, over))
    return replace(throttle, factor=max(FLOOR, throttle.factor * (1 - step)), slowed_at_seconds=now_seconds)


def crowded(throttle: Throttle, now_seconds: float) -> Throttle:
    """Return it after an answer that says that others use the limit up beside us."""
    if now_seconds < throttle.slowed_at_seconds + CALM_SECONDS:
        return throttle
    factor = max(FLOOR, throttle.factor * (1 - LEAST_STEP))
    return replace(throttle, factor=factor, slowed_at_seconds=now_seconds)


def risen(throttle: Throttle, now_seconds: float) -> Throttle:
    """Return it as time alone has left it: after some patience, a part of the whole rate is added each second."""
    since = max(throttle.risen_at_seconds, throttle.slowed_at_seconds + PATIENCE_SECONDS)
    if throttle.factor >= 1 or now_seconds <= since:
        return throttle
    factor = min(1.0, throttle.factor + RISE_PER_SECOND * (now_seconds - since))
    return replace(throttle, factor=factor, risen_at_seconds=now_seconds)


def _counted(throttle: Throttle, refusal: float) -> Throttle:
    lately = throttle.lately + (refusal - throttle.lately) / _LATELY
    usually = min(_MOST_USUAL, throttle.usually + (refusal - throttle.usually) / _USUALLY)
    return replace(throttle, lately=lately, usually=usually)
