"""How one source wants its recordings treated: plain values, made from the settings by the app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from uploader.domain.identity import SameCall
from uploader.sidecars.mapping import MappingContext
from uploader.sources.folder.rules import Rules


class SidecarPolicy(StrEnum):
    """Whether a recording needs a sidecar."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """One source, or the settings that an import was begun with. Durations in seconds."""

    name: str
    rules: Rules
    mapping: MappingContext
    sidecar: SidecarPolicy
    same_call: SameCall
    sidecar_wait_seconds: float
    settle_seconds: float
    is_import: bool = False
    """An import does not wait: what is incomplete there is damaged."""
    since: datetime | None = None
    until: datetime | None = None
    """Only calls that began from `since` on and before `until`; one without a start time is in neither."""

    def takes(self, start: datetime | None) -> bool:
        """Say whether a call that began at `start` is wanted."""
        if self.since is None and self.until is None:
            return True
        if start is None:
            return False
        return (self.since is None or start >= self.since) and (self.until is None or start < self.until)
