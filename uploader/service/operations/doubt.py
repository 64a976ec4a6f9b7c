"""Whether the ledger was restored, or is new beside the trace of an older one. Knows not how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from uploader.ledger.inspection import gap
from uploader.service.operations.views import moment

MATTERS = timedelta(days=7)
"""So long a person is told of it, and longer while something is still looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What was sent from `since` until `found` may be missing from the ledger.

    `since` is None where the ledger knows of nothing before, or it was not looked at yet. `found` is None
    until the next sender opens it.
    """

    is_new: bool
    since: datetime | None
    found: datetime | None


def doubt_of(path: Path, *, now: datetime, is_looking: bool = False) -> Doubt | None:
    """Return what is doubted of the ledger at `path`, which need not exist; None once it matters no more.

    `is_looking`: some recording is still being looked for because of it. Raises LedgerError.
    """
    found = gap(path)
    if found is None:
        return None
    doubt = Doubt(is_new=found.since == 0, since=moment(found.since or None), found=moment(found.found))
    matters = doubt.found is None or is_looking or now - doubt.found < MATTERS
    return doubt if matters else None
