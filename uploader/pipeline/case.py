"""A recording with open attempts, and a window of the listing as read for it: what a decision is made on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain.matching import Open
from uploader.domain.recording import State
from uploader.domain.visibility import Known
from uploader.domain.walk import Survey, Window, windows_for
from uploader.ledger.attempts import DOUBT_MESSAGE
from uploader.ledger.rows import AttemptRow, RecordingRow, from_ms
from uploader.pipeline.listing import Reading, attempted_at, particulars_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recording with open attempts, oldest first."""

    row: RecordingRow
    attempts: tuple[AttemptRow, ...]

    @property
    def is_watched(self) -> bool:
        """Whether the recording is settled, or waits for something else, and only its open attempts are watched."""
        return self.row.state not in {State.UNCONFIRMED, State.SUBMITTING}

    @property
    def is_in_flight(self) -> bool:
        """Whether its newest request is still to be answered."""
        return any(attempt.outcome is None for attempt in self.attempts)

    @property
    def opens(self) -> tuple[Open, ...]:
        """Return it as the decision needs it: once for each body that was sent, newest first.

        A sidecar may have been mended between two attempts; either body may have arrived.
        """
        sent = [particulars_of(self.row, attempt) for attempt in self.attempts]
        since, fetched = from_ms(self.attempts[0].started_at), any(a.fetched_at is not None for a in self.attempts)
        distinct = {json.dumps(one.body(), sort_keys=True): one for one in sent}
        return tuple(Open(sent=one, since=since, fetched_to_end=fetched) for one in reversed(distinct.values()))

    @property
    def windows(self) -> tuple[Window, ...]:
        """Return every window in which one of its interactions may show."""
        found = [
            window
            for attempt in self.attempts
            for moment in moments_of(attempt)
            for window in windows_for(particulars_of(self.row, attempt).start_time, moment)
        ]
        return tuple(dict.fromkeys(found))

    @property
    def moments(self) -> list[datetime]:
        """Return every time at which one of its interactions may have been made."""
        return [moment for attempt in self.attempts for moment in moments_of(attempt)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One window as read, and our own acceptances that may belong in it and were not shown."""

    reading: Reading
    known: tuple[Known, ...]

    @property
    def survey(self) -> Survey:
        """What it showed."""
        return self.reading.survey


def moments_of(attempt: AttemptRow) -> list[datetime]:
    """Return when an attempt may have been made: its own time, or day by day the span of a doubt."""
    if attempt.message != DOUBT_MESSAGE or attempt.ended_at is None:
        return [attempted_at(attempt)]
    span = from_ms(attempt.ended_at) - from_ms(attempt.started_at)
    days = [from_ms(attempt.ended_at) - timedelta(days=day) for day in range(span.days + 1)]
    return [*days, from_ms(attempt.started_at)]


def serves(reading: Pass, windows: set[Window]) -> bool:
    """Say whether a reading covers one of these windows whole."""
    window = reading.survey.window
    return any(window.start <= w.start and w.end <= window.end for w in windows)
