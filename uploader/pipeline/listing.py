"""Reading the service's listing, and learning from what it shows of our own.

Every page that is read leaves behind which interactions were seen and when; every complete walk
teaches how soon, on which axis and with which fields the listing shows what we submitted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from uploader.domain.echo import learn
from uploader.domain.interaction import Particulars
from uploader.domain.listing import Listed
from uploader.domain.visibility import (
    Axis,
    Known,
    Learned,
    Walked,
    axis_shown,
    belongs,
    lag_seconds,
    with_lag,
    with_shown,
)
from uploader.domain.walk import PAGE_SIZE, Survey, Window
from uploader.errors import UploaderError
from uploader.ledger.attempts import OpenAttempt
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import AttemptRow, RecordingRow, from_ms, to_ms
from uploader.pipeline.meters import LineMeters
from uploader.platform.clock import Clock
from uploader.zoom.client import ZoomClient

log = structlog.get_logger()

_LEARNED = "learned"


class ReadGovernor(Protocol):
    """Who says how fast may be read: the governor."""

    def read_wait(self) -> float:
        """Take the next place for a read, and return the seconds to wait before it."""

    def saw_read(self, error: UploaderError | None) -> None:
        """Learn from a read: None when it went well."""


class Stopped(UploaderError):
    """The program is ending; what was read so far is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A window as read, and when its first request began, in milliseconds."""

    survey: Survey
    began_at: int

    @property
    def walked(self) -> Walked:
        """Sum it up for the proof."""
        return Walked.of(self.survey)


class Listing:
    """The service's listing, read at the pace of the governor. Used by one thread at a time."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        client: ZoomClient,
        governor: ReadGovernor,
        clock: Clock,
        stop: threading.Event,
        meters: LineMeters | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._governor = governor
        self._clock = clock
        self._stop = stop
        self._meters = meters or LineMeters()
        self._learned = self._load()

    @property
    def learned(self) -> Learned:
        """What is known of the listing so far."""
        return self._learned

    def read(self, window: Window) -> Reading:
        """Read one window whole, and learn from it. Raises what the client raises, and Stopped."""
        began_at = to_ms(self._clock.now())
        survey = Survey.of(window)
        while (wanted := survey.wanted) is not None:
            part, token = wanted
            if self._stop.wait(self._governor.read_wait()):
                raise Stopped("the program is ending")
            try:
                page = self._client.list_interactions(
                    start=part.start, end=part.end, page_size=PAGE_SIZE, page_token=token
                )
            except UploaderError as error:
                self._governor.saw_read(error)
                raise
            self._governor.saw_read(None)
            self._ledger.books.note_seen((one.interaction_id for one in page.interactions), at=to_ms(self._clock.now()))
            survey = survey.fed(page)
        self._meters.walked(complete=survey.complete)
        reading = Reading(survey=survey, began_at=began_at)
        if survey.complete:
            self._learn(reading)
        return reading

    def unshown_in(self, reading: Reading) -> list[Known]:
        """Return our own definite acceptances that may belong in a window and were not shown, for the proof."""
        window, shown = reading.survey.window, reading.walked.ids
        return [
            known_of(made, now=reading.began_at)
            for made in self._ledger.attempts.in_window(start=to_ms(window.start), end=to_ms(window.end))
            if made.outcome == "accepted" and made.interaction_id not in shown
        ]

    def _learn(self, reading: Reading) -> None:
        window, before = reading.survey.window, self._learned
        listed = {one.interaction_id: one for one in reading.survey.listed}
        shown: list[int] = []
        learned = before
        for interaction_id, owner in self._owners(list(listed)):
            if owner.attempt.outcome != "accepted":
                continue
            times = known_of(owner.attempt, now=reading.began_at)
            axis = axis_shown(window=window, start=times.start, created=times.created)
            is_first = owner.attempt.listed_at is None
            if axis is not None and (is_first or not learned.proven(axis)):
                learned = with_shown(learned, window=window, start=times.start, created=times.created)
            if is_first:
                shown.append(owner.attempt.n)
                learned = with_lag(learned, _lag(owner.attempt))
                sent = particulars_of(owner.recording, owner.attempt)
                learned = _with_echo(learned, sent, listed[interaction_id])
        lacked = [
            made.n
            for made in self._ledger.attempts.in_window(start=to_ms(window.start), end=to_ms(window.end), unlisted=True)
            if made.interaction_id not in listed and self._should_show(made, window, learned, now=reading.began_at)
        ]
        self._ledger.attempts.note_walk(listed=shown, lacked=lacked, at=reading.began_at)
        if learned != before:
            self._learned = learned
            self._ledger.books.set_notes({_LEARNED: json.dumps(learned.to_json())})

    def _owners(self, ids: list[str]) -> Iterator[tuple[str, OpenAttempt]]:
        """Give which of these interactions are ours, a page of them in memory at a time."""
        for start in range(0, len(ids), PAGE_SIZE):
            yield from self._ledger.attempts.owners(ids[start : start + PAGE_SIZE]).items()

    @staticmethod
    def _should_show(attempt: AttemptRow, window: Window, learned: Learned, *, now: int) -> bool:
        times = known_of(attempt, now=now)
        if attempt.outcome != "accepted" or (attempt.ended_at or now) >= now:
            return False
        joint = axis_shown(window=window, start=times.start, created=times.created) is Axis.JOINT
        return joint or belongs(learned, window=window, start=times.start, created=times.created)

    def _load(self) -> Learned:
        document = self._ledger.books.note(_LEARNED)
        if document is None:
            return Learned()
        try:
            return Learned.from_json(json.loads(document))
        except ValueError:
            log.warning("listing.learned_unreadable")
            return Learned()


def _with_echo(learned: Learned, sent: Particulars, listed: Listed) -> Learned:
    return replace(learned, echo=learn(sent, listed, learned.echo))


def _lag(attempt: AttemptRow) -> float:
    accepted = (attempt.ended_at or attempt.started_at) / 1000
    lacking = None if attempt.lacked_at is None else attempt.lacked_at / 1000
    return lag_seconds(accepted_at_seconds=accepted, last_lacking_at_seconds=lacking)


def known_of(attempt: AttemptRow, *, now: int) -> Known:
    """Return one of our interactions as the proof needs it."""
    answered = attempt.ended_at or attempt.started_at
    return Known(
        interaction_id=str(attempt.interaction_id),
        start=None if attempt.call_start is None else from_ms(attempt.call_start),
        created=from_ms(attempt.service_date or answered),
        listed_before=attempt.listed_at is not None,
        age_seconds=max(0, now - answered) / 1000,
    )


def particulars_of(row: RecordingRow, attempt: AttemptRow) -> Particulars:
    """Return what was sent by an attempt, as far as it is kept, else what its recording says now."""
    return Particulars.from_body(json.loads(attempt.sent or row.body or "{}"))


def attempted_at(attempt: AttemptRow) -> datetime:
    """Return when an attempt was made, by the service's own clock where it told."""
    return from_ms(attempt.service_date or attempt.started_at).astimezone(UTC)
