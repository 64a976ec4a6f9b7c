"""How long to wait after a failure. Randomness and counts are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_DOUBLINGS = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The first delay, and the longest one."""

    initial: timedelta
    maximum: timedelta


def next_delay(policy: RetryPolicy, failures: int, jitter: float) -> timedelta:
    """Return the wait after so many failures in a row (1 or more), with `jitter` in [0, 1).

    Doubles from `initial` to `maximum`; the upper half of it is random, so that many do not come back at
    once. Raises ValueError for arguments out of range.
    """
    if failures < 1 or not 0 <= jitter < 1:
        raise ValueError("failures count from 1, jitter lies in [0, 1)")
    grown = policy.initial.total_seconds() * 2.0 ** min(failures - 1, _DOUBLINGS)
    longest = min(policy.maximum.total_seconds(), grown)
    return timedelta(seconds=longest * (1 + jitter) / 2)
