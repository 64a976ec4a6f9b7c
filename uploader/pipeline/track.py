"""Following submitted recordings until their analysis is seen: the list for many, the detail for few."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from uploader.domain.analysis import listed_evidence
from uploader.domain.interaction import Particulars
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.domain.walk import Window, cover, windows_for
from uploader.errors import RowMoved, UploaderError
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow, from_ms, to_ms
from uploader.pipeline.listing import Listing, ReadGovernor, Stopped
from uploader.pipeline.meters import LineMeters
from uploader.platform.clock import Clock
from uploader.zoom.client import ZoomClient

log = structlog.get_logger()

ROUND = 500
"""At most so many recordings are followed in one round."""
FEW = 4
"""Up to so many are asked for one by one: that costs no more than a listing and shows more."""
WINDOWS = 6
"""At most so many windows are listed in one round; the rest come next."""
DETAILS = 40
_LONGEST_MS = 60 * 60 * 1000
_SETTLED = (State.SUBMITTED,)


class Stop(Protocol):
    """A stop token."""

    def wait(self, timeout: float) -> bool:
        """Wait, and say whether to stop."""


class Tracker:
    """Sees analyses. Used by one thread, the one of the reconciler."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        listing: Listing,
        client: ZoomClient,
        governor: ReadGovernor,
        clock: Clock,
        stop: Stop,
        poll_seconds: float,
        on_analyzed: Callable[[RecordingRow], None],
        meters: LineMeters | None = None,
    ) -> None:
        self._ledger = ledger
        self._listing = listing
        self._client = client
        self._governor = governor
        self._clock = clock
        self._stop = stop
        self._poll_ms = max(100, int(poll_seconds * 1000))
        self._on_analyzed = on_analyzed
        self._meters = meters or LineMeters()

    def run_once(self) -> int:
        """Follow what is due; return how many analyses were seen. Raises what the client raises."""
        due = self._ledger.recordings.next_due(_SETTLED)
        if due is None or due > self._now():
            return 0
        rows = self._ledger.recordings.claim(_SETTLED, limit=ROUND, now=self._now())
        try:
            return self._follow(rows)
        finally:
            # Whatever was not settled is looked at again; its lease must not outlive this round.
            for row in rows:
                self._put_back(row)

    def _now(self) -> int:
        return to_ms(self._clock.now())

    def _follow(self, rows: list[RecordingRow]) -> int:
        if not rows:
            return 0
        wanted = {row.interaction_id: row for row in rows}
        analyzed = 0
        if len(rows) > FEW or self._listing.learned.shown == {}:
            analyzed += self._by_list(wanted)
        left = [row for row in wanted.values() if len(rows) <= FEW or row.looks % 3 == 2]
        for row in left[:DETAILS]:
            analyzed += self._by_detail(row)
        return analyzed

    def _by_list(self, wanted: dict[str | None, RecordingRow]) -> int:
        windows = cover(window for row in wanted.values() for window in self._windows(row))
        analyzed = 0
        for window in windows[:WINDOWS]:
            for one in self._listing.read(window).survey.listed:
                row, evidence = wanted.get(one.interaction_id), listed_evidence(one)
                if row is not None and evidence is not None:
                    del wanted[one.interaction_id]
                    analyzed += self._analyzed(row, evidence)
        return analyzed

    def _windows(self, row: RecordingRow) -> tuple[Window, ...]:
        submitted = from_ms(row.submitted_at or self._now())
        return windows_for(_start_of(row), submitted)

    def _by_detail(self, row: RecordingRow) -> int:
        if self._stop.wait(self._governor.read_wait()):
            raise Stopped("the program is ending")
        try:
            detail = self._client.interaction(str(row.interaction_id))
        except UploaderError as error:
            self._governor.saw_read(error)
            raise
        self._governor.saw_read(None)
        if detail is None or detail.evidence is None:
            return 0
        return self._analyzed(row, detail.evidence)

    def _analyzed(self, row: RecordingRow, evidence: str) -> int:
        now = self._now()
        try:
            self._ledger.recordings.apply(
                row, Event.ANALYZED, at=now, analyzed_at=now, evidence=evidence, detail=evidence
            )
        except RowMoved:
            return 0
        self._meters.successes.put("analysis", now / 1000)
        log.info("recording.analyzed", id=row.id, source=row.source, evidence=evidence)
        self._on_analyzed(row)
        return 1

    def _put_back(self, row: RecordingRow) -> None:
        wait = min(_LONGEST_MS, self._poll_ms * (1 + row.looks))
        try:
            self._ledger.recordings.release(row, due_at=self._now() + max(wait, self._poll_ms), looks=row.looks + 1)
        except RowMoved:
            return


def _start_of(row: RecordingRow) -> datetime | None:
    return Particulars.from_body(json.loads(row.body or "{}")).start_time
