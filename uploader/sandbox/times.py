"""Times as the service writes and reads them. Knows no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FORMAT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)


def parse(text: object) -> datetime:
    """Read `yyyy-MM-dd'T'HH:mm:ss'Z'`. Raises ValueError on anything else, to the letter."""
    if not isinstance(text, str) or not _FORMAT.fullmatch(text):
        raise ValueError("not in the service's time format")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def whole(moment: datetime) -> datetime:
    """Return `moment` in whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0)


def show(moment: datetime) -> str:
    """Write `moment` as the service does: UTC, whole seconds, a literal Z."""
    return whole(moment).replace(tzinfo=None).isoformat() + "Z"


def show_exactly(moment: datetime) -> str:
    """Write `moment` with microseconds, for the books."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_exactly(text: str) -> datetime:
    """Read what `show_exactly` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
