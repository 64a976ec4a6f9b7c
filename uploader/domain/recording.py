"""A recording: the values by which it is known, and nothing about where they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a recording stands; the transitions are in `domain.lifecycle`."""

    DISCOVERED = "discovered"
    READY = "ready"
    STAGED = "staged"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    SUBMITTED = "submitted"
    ANALYZED = "analyzed"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    DISCARDED = "discarded"


class MediaKind(StrEnum):
    """What the content is; gives `channel_type` when the sidecar does not."""

    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """By which a file is known to be unchanged. S3 objects have LastModified and, for `inode`, a hash of the ETag."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a probe saw in the content. `None` is unknown; durations are seconds, rates hertz."""

    kind: MediaKind
    format: str
    codec: str | None = None
    channels: int | None = None
    sample_rate: int | None = None
    duration_seconds: float | None = None
