"""The figures of what this process does: requests and their answers, scans, fetches, commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uploader.ledger.writer import CommitMeters
from uploader.pipeline.meters import LineMeters
from uploader.service.meters import FetchMeters
from uploader.service.metrics.family import Family, counter, counters, gauge, gauges, histogram
from uploader.service.scanner import Scanner
from uploader.zoom.meters import ServiceMeters


def of_requests(meters: ServiceMeters) -> Iterator[Family]:
    """Yield what was asked of the service."""
    yield counters(
        "requests",
        "Requests to the service, by the class of the answer's status; `none`: no whole answer.",
        meters.answers.read(),
        "request",
        "status",
    )
    yield histogram(
        "request_seconds",
        "Time from the beginning of a request to its whole answer.",
        {(request,): one.read() for request, one in meters.seconds.items()},
        "request",
    )
    yield counters(
        "throttled",
        "Answers 429, by the limit that they tell of.",
        meters.throttled.read(),
        "request",
        "limit",
    )


def of_recordings(meters: LineMeters) -> Iterator[Family]:
    """Yield what the steps of recordings came to."""
    yield counters(
        "attempts",
        "Requests to submit a recording, by outcome and by whose fault it was.",
        meters.attempts.read(),
        "outcome",
        "cause",
    )
    yield histogram(
        "accepted_seconds",
        "Time from the discovery of a live recording (not of an import) to its acceptance.",
        {(): meters.accepted_seconds.read()},
    )
    yield histogram(
        "staging_seconds",
        "Time to copy a recording to where the service can fetch it; none where it is fetched from its own place.",
        {(): meters.staging_seconds.read()},
    )
    yield counters(
        "listing_walks",
        "Windows of the service's listing read to their end; an incomplete one proves nothing.",
        meters.walks.read(),
        "result",
    )


def of_scans(scanners: Sequence[Scanner]) -> Iterator[Family]:
    """Yield what the sources came to."""
    yield histogram(
        "scan_seconds",
        "Time of a full scan of a source.",
        {(one.name,): one.meters.seconds.read() for one in scanners},
        "source",
    )
    yield counters(
        "source_changes",
        "Recordings that scans found new, changed, or woken by their sidecar.",
        {(one.name, *change): n for one in scanners for change, n in one.meters.changes.read().items()},
        "source",
        "change",
    )
    files = {(one.name,): one.meters.files for one in scanners}
    yield gauges(
        "source_files",
        "Recordings and sidecars that the last full scan of a folder saw.",
        {name: count for name, count in files.items() if count is not None},
        "source",
    )
    yield gauges(
        "source_watched",
        "1 while changes anywhere in a source are heard of at once; 0 while some or all of it is only scanned.",
        {(one.name,): float(one.is_watched) for one in scanners},
        "source",
    )
    yield counters(
        "watch_losses",
        "Times that changes of a source were not heard, as more came than could be; a full scan followed.",
        {(one.name,): one.times_lost for one in scanners},
        "source",
    )


def of_fetches(meters: FetchMeters) -> Iterator[Family]:
    """Yield what was fetched from the built-in server."""
    yield counters(
        "fetches",
        "Answers of the built-in server to requests with a valid signature, by HTTP status.",
        meters.answers.read(),
        "status",
    )
    yield counter(
        "fetched_bytes", "Bytes of recordings that were fetched from the built-in server.", meters.bytes.value
    )


def of_commits(meters: CommitMeters, *, waiting: int) -> Iterator[Family]:
    """Yield what the ledger's writer does."""
    yield histogram(
        "ledger_commit_seconds", "Time of a transaction of the ledger, with its sync.", {(): meters.seconds.read()}
    )
    yield histogram("ledger_commit_writes", "Writes that went into one transaction.", {(): meters.pieces.read()})
    yield counter("ledger_commit_failures", "Transactions of the ledger that failed.", meters.failures.value)
    yield gauge("ledger_waiting_writes", "Writes that wait for a transaction.", waiting)
