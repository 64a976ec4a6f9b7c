"""One accepted interaction and the fetches of its recording, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from uploader.sandbox import times


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One try to download a recording, ended `at`. `error` is empty, or a word for what went wrong."""

    at: datetime
    status: int | None
    size_bytes: int
    sha256: str | None
    error: str

    @property
    def succeeded(self) -> bool:
        """Say whether there is a recording to analyse."""
        return self.status == 200 and not self.error and self.size_bytes > 0

    def document(self) -> dict[str, Any]:
        """Return it as the books show it."""
        return {
            "at": times.show_exactly(self.at),
            "status": self.status,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "error": self.error or None,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Fetch:
        """Read back what `document` wrote."""
        return cls(
            at=times.read_exactly(document["at"]),
            status=document["status"],
            size_bytes=document["bytes"],
            sha256=document["sha256"],
            error=document["error"] or "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """An accepted POST. `number` counts from 0 in order of acceptance, `body` is what was sent.

    `analyzed_at` is set with the first good fetch and may lie ahead: until then nothing is analysed.
    """

    number: int
    interaction_id: str
    accepted_at: datetime
    start_time: datetime
    body: dict[str, Any]
    attempt_fault: str | None = None
    fetches: tuple[Fetch, ...] = ()
    analyzed_at: datetime | None = None

    def is_analyzed(self, now: datetime) -> bool:
        """Say whether the analysis is there by now."""
        return self.analyzed_at is not None and self.analyzed_at <= now

    def recording(self) -> Fetch | None:
        """Return the fetch that brought the recording, or None."""
        return next((fetch for fetch in self.fetches if fetch.succeeded), None)

    def document(self, now: datetime) -> dict[str, Any]:
        """Return it as the books show it: without the query of the download URL, which is a secret."""
        url = urlsplit(self.body["download_url"])
        shown = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
        analyzed = self.analyzed_at if self.is_analyzed(now) else None
        return {
            "interaction_id": self.interaction_id,
            "accepted_at": times.show_exactly(self.accepted_at),
            "body": self.body | {"download_url": shown},
            "download_path": url.path,
            "fetches": [fetch.document() for fetch in self.fetches],
            "analyzed_at": times.show_exactly(analyzed) if analyzed else None,
            "attempt_fault": self.attempt_fault,
        }
