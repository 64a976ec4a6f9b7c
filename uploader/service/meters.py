"""What scans and fetches come to: numbers and times, no file and no recording."""

from __future__ import annotations

from uploader.ledger.discovery import Seen
from uploader.platform.meters import SECONDS, Count, Counts, Histogram

_LONG = (30.0, 60.0, 300.0, 900.0, 3600.0)


class ScanMeters:
    """Of one source. Safe from any thread."""

    def __init__(self) -> None:
        self.seconds = Histogram((*SECONDS, *_LONG))
        self.changes = Counts(("new",), ("changed",), ("woken",))
        self.files: int | None = None
        """How many recordings and sidecars the last full scan saw; None where they are not counted."""

    def found(self, seen: Seen) -> None:
        """Count what differed from what was known."""
        for change, count in (("new", seen.new), ("changed", seen.changed), ("woken", seen.woken)):
            if count:
                self.changes.add(change, by=count)


class FetchMeters:
    """What the built-in server was asked for by signed URL. Safe from any thread."""

    def __init__(self) -> None:
        self.answers = Counts(*((status,) for status in ("200", "206", "403", "404", "410", "416", "503")))
        """By HTTP status."""
        self.bytes = Count()

    def fetched(self, *, status: int, size_bytes: int) -> None:
        """Count one request with a valid signature and the bytes that it got."""
        self.answers.add(str(status))
        self.bytes.add(size_bytes)
