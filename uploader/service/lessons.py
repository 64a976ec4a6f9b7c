"""What the service's answers have taught of its limits, kept in the ledger so that a restart knows it.

Decides nothing: the governor asks. Not safe from threads; `save` may be called without the governor's lock.
"""

from __future__ import annotations

import json
from dataclasses import replace

from uploader.domain.allowance import DAY_MS, Allowance, Learned, Span
from uploader.ledger.books import Books
from uploader.ledger.rows import to_ms
from uploader.platform.clock import Clock

NOTE = "limits"
_SAVED_EVERY_SECONDS = 10.0
_CONFIRMED_EVERY_MS = 60 * 60 * 1000
_MUCH = 0.05


def read_lessons(books: Books) -> Learned:
    """Return what was last written down, whether or not it still holds."""
    try:
        return Learned.from_json(json.loads(books.note(NOTE) or "{}"))
    except ValueError:
        return Learned()


class Lessons:
    """What is known of the limits, and when it is worth writing down."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._known = self._saved = read_lessons(books)
        self._saved_at = clock.monotonic()

    def today(self, day: str) -> Learned:
        """Return what still holds on the UTC day `day`."""
        return self._known.on(day=day, now=self._now())

    def limit_per_second(self) -> int | None:
        """Return the service's own limit a second, where it was told lately."""
        known = self._known
        is_fresh = known.per_second is not None and self._now() - known.per_second_at < DAY_MS
        return known.per_second if is_fresh else None

    def hear(self, allowance: Allowance, *, day: str, counted: int) -> None:
        """Take in what an answer says; `counted` of our submissions of the day were answered or given up."""
        known = self.today(day)
        if allowance.span is Span.SECOND:
            self._known = replace(known, per_second=allowance.limit, per_second_at=self._now())
        else:
            left = allowance.remaining
            ends_at = known.ends_at if left is None else counted + left
            self._known = replace(known, per_day=allowance.limit, ends_at=ends_at)

    def end_day(self, *, day: str, used: int) -> None:
        """Take it that the account has no submission left on this day."""
        self._known = replace(self.today(day), ends_at=used)

    def reopen_day(self, *, day: str) -> None:
        """Forget that the day's limit was used up: its time has come, or a person says so."""
        self._known = replace(self.today(day), ends_at=None)

    def note_factor(self, factor: float) -> None:
        """Remember how much of the rate refusals have left."""
        if factor < 1 or self._known.factor < 1:
            self._known = replace(self._known, factor=round(factor, 4), factor_at=self._now())

    def note_pace(self, per_second: float) -> None:
        """Remember how many a second were accepted lately."""
        self._known = replace(self._known, pace=round(per_second, 4), pace_at=self._now())

    def due(self) -> Learned | None:
        """Return what is to be written down now, or None; it counts as written."""
        known, saved, now = self._known, self._saved, self._clock.monotonic()
        is_news = (
            (known.per_second, known.per_day, known.day) != (saved.per_second, saved.per_day, saved.day)
            or (known.ends_at is None) is not (saved.ends_at is None)
            or abs(known.factor - saved.factor) >= _MUCH
            or known.pace_at != saved.pace_at
        )
        has_moved = (known.ends_at, known.factor) != (saved.ends_at, saved.factor)
        is_stale = known.per_second_at - saved.per_second_at >= _CONFIRMED_EVERY_MS
        if not (is_news or is_stale or (has_moved and now - self._saved_at >= _SAVED_EVERY_SECONDS)):
            return None
        self._saved, self._saved_at = known, now
        return known

    def save(self, known: Learned) -> None:
        """Write it down."""
        self._books.set_notes({NOTE: json.dumps(known.to_json())})

    def _now(self) -> int:
        return to_ms(self._clock.now())
