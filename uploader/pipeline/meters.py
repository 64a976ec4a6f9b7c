"""What the steps of recordings come to: numbers and times, and nothing by which a recording could be known."""

from __future__ import annotations

from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.ledger.recordings import LIVE
from uploader.ledger.rows import RecordingRow
from uploader.platform.meters import SECONDS, Counts, Histogram, Moments

_MINUTES = (30.0, 60.0, 300.0, 900.0, 3600.0)
_FAILURES = (
    (Kind.NOT_CREATED, Cause.RECORDING),
    (Kind.NOT_CREATED, Cause.RATE_SECOND),
    (Kind.NOT_CREATED, Cause.RATE_DAY),
    (Kind.NOT_CREATED, Cause.TRANSPORT),
    (Kind.UNKNOWN, Cause.TRANSPORT),
    (Kind.UNKNOWN, Cause.SERVER),
)
"""The usual ones: they are shown from the start, so that the first of each is seen as an increase."""
_STAGING = (*SECONDS, *_MINUTES)


class LineMeters:
    """Shared by the steps of one process. Safe from any thread."""

    def __init__(self) -> None:
        self.attempts = Counts((Kind.ACCEPTED, Cause.NONE), *_FAILURES)
        """By outcome and cause."""
        self.accepted_seconds = Histogram((*SECONDS, *_MINUTES))
        """From discovery to acceptance, of live recordings."""
        self.staging_seconds = Histogram(_STAGING)
        self.walks = Counts(("complete",), ("incomplete",))
        self.successes = Moments()

    def attempted(self, outcome: Outcome, row: RecordingRow, *, at: int) -> None:
        """Count what one request to submit `row` came to, written at `at` milliseconds."""
        self.attempts.add(outcome.kind, outcome.cause)
        if outcome.kind is Kind.ACCEPTED and row.lane == LIVE:
            self.accepted_seconds.observe(max(0, at - row.discovered_at) / 1000)

    def walked(self, *, complete: bool) -> None:
        """Count one window of the listing that was read to its end."""
        self.walks.add("complete" if complete else "incomplete")
