"""Reading the service's listing, and learning from what it shows of our own.

Every page that is read leaves behind which interactions were seen and when; every complete walk
teaches how soon, on which axis and with which fields the listing shows what we submitted.
"""

from __future__ import annotations

import json
import threading
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
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._governor = governor
        self._clock = clock
        self._stop = stop
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
        reading = Reading(survey=survey, began_at=began_at)
        if survey.complete:
            self._learn(reading)
        return reading

    def known_in(self, reading: Reading) -> list[Known]:
        """Return our own definite acceptances that may belong in a window, for the proof."""
        return [
            known_of(owner, now=reading.began_at)
            for owner in self._ledger.attempts.in_window(
                start=to_ms(reading.survey.window.start), end=to_ms(reading.survey.window.end)
            )
            if owner.attempt.outcome == "accepted"
        ]

    def _learn(self, reading: Reading) -> None:
        window, before = reading.survey.window, self._learned
        listed = {one.interaction_id: one for one in reading.survey.listed}
        owners = self._ledger.attempts.owners(listed)
        shown: list[int] = []
        learned = before
        for interaction_id, owner in owners.items():
            if owner.attempt.outcome != "accepted":
                continue
            times = known_of(owner, now=reading.began_at)
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
            owner.attempt.n
            for owner in self._ledger.attempts.in_window(start=to_ms(window.start), end=to_ms(window.end))
            if owner.attempt.listed_at is None
            and owner.attempt.interaction_id not in listed
            and self._should_show(owner, window, learned, now=reading.began_at)
        ]
        self._ledger.attempts.note_walk(listed=shown, lacked=lacked, at=reading.began_at)
        if learned != before:
            self._learned = learned
            self._ledger.books.set_notes({_LEARNED: json.dumps(learned.to_json())})

    @staticmethod
    def _should_show(owner: OpenAttempt, window: Window, learned: Learned, *, now: int) -> bool:
        times = known_of(owner, now=now)
        if owner.attempt.outcome != "accepted" or (owner.attempt.ended_at or now) >= now:
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


def known_of(owner: OpenAttempt, *, now: int) -> Known:
    """Return one of our interactions as the proof needs it."""
    attempt = owner.attempt
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
