"""What an import was ordered with: kept in the ledger, so that whoever sends it treats it alike.

Knows the settings' shape; nothing of files, and nothing of what is found.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from uploader.settings.model import SourceSettings

PSEUDO_SOURCE = "import"
"""What recordings belong to that were imported without `--source`."""

_DECIDING = (
    "profile", "sidecar", "require", "timezone", "phone_region", "include", "exclude", "same_call", "defaults",
)  # fmt: skip
"""With the paths and filters, what makes two orders the same import."""
_KEPT = (
    "name", "type", "bucket", "region", "endpoint_url", "aws_profile", "role_arn", "external_id", *_DECIDING,
)  # fmt: skip
_LONGEST_SLUG = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOrder:
    """One import. `paths` are absolute, or `s3://bucket/prefix`; the filters are of the call's start.

    The path of a folder ends in a slash, so that it is known for one while it is not mounted.
    """

    source: SourceSettings
    paths: tuple[bytes, ...]
    since: datetime | None = None
    until: datetime | None = None

    @property
    def key(self) -> str:
        """What is equal for the same paths, settings and filters, whatever their order or spelling."""
        parts = self._plain(_DECIDING) | {"paths": sorted(set(self._paths()))}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def default_name(self) -> str:
        """A name that the same order always gives."""
        last = self.paths[0].rstrip(b"/").rpartition(b"/")[2].decode("utf-8", "replace").lower()
        slug = re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:_LONGEST_SLUG].strip("-")
        return f"{slug or PSEUDO_SOURCE}-{self.key[:6]}"

    def to_document(self) -> str:
        """Return it as JSON."""
        return json.dumps(self._plain(_KEPT) | {"paths": self._paths()})

    @classmethod
    def from_document(cls, document: str) -> ImportOrder:
        """Read what `to_document` wrote."""
        values = json.loads(document)
        return cls(
            source=SourceSettings.model_validate(values["source"]),
            paths=tuple(path.encode("utf-8", "surrogateescape") for path in values["paths"]),
            since=_moment(values["since"]),
            until=_moment(values["until"]),
        )

    def _plain(self, names: tuple[str, ...]) -> dict[str, Any]:
        source = {name: _as_written(getattr(self.source, name)) for name in names}
        return {
            "source": {name: value for name, value in source.items() if value is not None},
            "since": self.since.astimezone(UTC).isoformat() if self.since else None,
            "until": self.until.astimezone(UTC).isoformat() if self.until else None,
        }

    def _paths(self) -> list[str]:
        return [path.decode("utf-8", "surrogateescape") for path in self.paths]


def _as_written(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
