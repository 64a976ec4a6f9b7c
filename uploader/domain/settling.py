"""Whether a file rests. Knows neither files nor clocks, and nothing of containers.

A file rests when size, mtime and inode have held for `settle` since they were first seen. An old mtime proves
nothing: a copy that keeps mtimes has it from its first byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from uploader.domain.recording import Stamp

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long still to wait, in seconds; 0 when the file rests."""

    wait_seconds: float

    @property
    def rests(self) -> bool:
        """Say whether nothing is to be waited for."""
        return self.wait_seconds == 0


def judge(previous: Stamp | None, current: Stamp, *, rested_seconds: float, settle_seconds: float) -> Rest:
    """Judge a file by its last stamp and the one it has now.

    `rested_seconds` is run time since `previous` was first seen; a changed or new file starts anew.
    """
    if previous != current:
        return Rest(wait_seconds=settle_seconds)
    return Rest(wait_seconds=min(settle_seconds, max(0.0, settle_seconds - rested_seconds)))


def age_seconds(stamp: Stamp, now: datetime) -> float:
    """Return the seconds since the file was changed, negative for an mtime in the future."""
    return now.timestamp() - stamp.mtime_ns / _NS
