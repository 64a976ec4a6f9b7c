"""How one source wants its recordings treated: plain values, made from the settings by the app."""

from __future__ import annotations

from dataclasses import dataclass
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
