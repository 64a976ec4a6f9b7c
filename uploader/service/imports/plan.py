"""What an import comes to before any of it is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was found, and the requests that are left to make of it."""

    recordings: int
    size_bytes: int
    requests: int
    passed_over: int = 0
    """Folders that could not be read."""
