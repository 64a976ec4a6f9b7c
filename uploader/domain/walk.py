"""Reading a listing to its end: windows, pages, completeness. Knows no HTTP and not what is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from uploader.domain.listing import Listed, Page

PAGE_SIZE = 99
"""The schema's maximum of 100 is exclusive."""
MAX_PAGES = 20
"""A walk that needs more is halved: a page token lives 15 minutes, and long lists shift meanwhile."""
MAX_WALKS = 32
"""The most parts a survey is cut into (63,360 interactions); beyond, it stays incomplete."""
REACH = timedelta(hours=24)
"""How far a window reaches on either side: wider than any time zone (14 h) and a late acceptance together."""
MAX_SPAN = timedelta(days=30)
"""No longer window is asked for; the service's own limit is not documented."""
_SECOND = timedelta(seconds=1)
_EARLIEST = datetime.min.replace(tzinfo=UTC) + REACH
_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC) - REACH
_DIVISIBLE = timedelta(seconds=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The `from` and `to` of a listing: aware UTC, whole seconds."""

    start: datetime
    end: datetime

    @property
    def span(self) -> timedelta:
        """Return its length."""
        return self.end - self.start

    def holds(self, moment: datetime, *, margin: timedelta = timedelta(0)) -> bool:
        """Say whether `moment` lies inside, at least `margin` from either end."""
        return moment - self.start >= margin and self.end - moment >= margin

    def lacks(self, moment: datetime, *, margin: timedelta = timedelta(0)) -> bool:
        """Say whether `moment` lies outside, more than `margin` from either end."""
        return self.start - moment > margin or moment - self.end > margin


def windows_for(start_time: datetime | None, attempted_at: datetime) -> tuple[Window, ...]:
    """Return the windows in which an attempt's interaction shows, whichever time the service filters by.

    `attempted_at` is by the service's own `Date`. Where the two windows (call and attempt, 24 h either
    side) touch, one that spans both is returned: it costs no more to read, and it proves more, because
    the interaction is in it by either axis.
    """
    created = _around(attempted_at, attempted_at)
    if start_time is None:
        return (created,)
    if abs(attempted_at - start_time) <= 2 * REACH:
        return (_around(min(start_time, attempted_at), max(start_time, attempted_at)),)
    return (_around(start_time, start_time), created)


def _around(first: datetime, last: datetime) -> Window:
    start = max(first, _EARLIEST) - REACH
    end = min(last, _LATEST) + REACH
    ceiling = end if end.microsecond == 0 else end.replace(microsecond=0) + _SECOND
    return Window(start=start.replace(microsecond=0), end=ceiling)


def cover(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Join overlapping windows, up to 30 days each, so that one walk serves many recordings.

    Every window given lies whole in one of those returned.
    """
    joined: list[Window] = []
    for window in sorted(windows, key=lambda w: (w.start, w.end)):
        last = joined[-1] if joined else None
        if last is None or window.start > last.end:
            joined.append(window)
            continue
        wider = Window(start=last.start, end=max(last.end, window.end))
        if wider.span <= MAX_SPAN or wider == last:
            joined[-1] = wider
        else:
            joined.append(window)
    return tuple(joined)


def halves(window: Window) -> tuple[Window, Window]:
    """Cut a window in two that overlap by a second, so that nothing falls between if the ends are exclusive.

    Raises ValueError for a window of less than four seconds.
    """
    if window.span < _DIVISIBLE:
        raise ValueError("the window is too short to be halved")
    middle = window.start + timedelta(seconds=window.span // _SECOND // 2)
    return Window(start=window.start, end=middle + _SECOND), Window(start=middle, end=window.end)


class Step(StrEnum):
    """What a walk needs next."""

    CONTINUE = "continue"
    """The page of `Walk.token` (None: the first)."""
    FINISHED = "finished"
    HALVE = "halve"
    """Too long: walk the two halves instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One window read page by page; `listed` holds each interaction once, as last shown."""

    window: Window
    listed: tuple[Listed, ...] = ()
    pages: int = 0
    total: int | None = None
    """What the first page said."""
    steady: bool = True
    """Every page so far said the same total."""
    token: str | None = None

    def fed(self, page: Page) -> Walk:
        """Return the walk with one more page. Raises RuntimeError when it asked for none."""
        if self.step is not Step.CONTINUE:
            raise RuntimeError("a page was fed to a walk that is at its end")
        by_id = {one.interaction_id: one for one in (*self.listed, *page.interactions)}
        return replace(
            self,
            listed=tuple(by_id.values()),
            pages=self.pages + 1,
            total=page.total_records if self.pages == 0 else self.total,
            steady=self.pages == 0 or (self.steady and page.total_records == self.total),
            token=page.next_page_token or None,
        )

    @property
    def step(self) -> Step:
        """Say what comes next. A window too short to be halved ends after 20 pages, incomplete."""
        if self.pages == 0:
            return Step.CONTINUE
        if self.token is None:
            return Step.FINISHED
        too_long = self.pages >= MAX_PAGES or (self.total or 0) > MAX_PAGES * PAGE_SIZE
        if too_long and self.window.span >= _DIVISIBLE:
            return Step.HALVE
        return Step.FINISHED if self.pages >= MAX_PAGES else Step.CONTINUE

    @property
    def complete(self) -> bool:
        """Say whether it showed everything: no token left, one total throughout, as many distinct ids."""
        at_end = self.pages > 0 and self.token is None
        return at_end and self.steady and self.total == len(self.listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One window read whole, by as many walks as its length needs.

    Ask for the page of `wanted` until it is None. The result counts as one walk of `window`.
    """

    window: Window
    waiting: tuple[Walk, ...]
    done: tuple[Walk, ...] = ()

    @classmethod
    def of(cls, window: Window) -> Survey:
        """Begin with the whole window."""
        return cls(window=window, waiting=(Walk(window=window),))

    @property
    def wanted(self) -> tuple[Window, str | None] | None:
        """Return the window and page token to ask for next, or None at the end."""
        return (self.waiting[0].window, self.waiting[0].token) if self.waiting else None

    def fed(self, page: Page) -> Survey:
        """Return the survey with the page that was wanted. Raises RuntimeError when none was."""
        if not self.waiting:
            raise RuntimeError("a page was fed to a survey that is at its end")
        walk, rest = self.waiting[0].fed(page), self.waiting[1:]
        if walk.step is Step.CONTINUE:
            return replace(self, waiting=(walk, *rest))
        if walk.step is Step.HALVE and len(self.waiting) + len(self.done) < MAX_WALKS:
            return replace(self, waiting=(*(Walk(window=half) for half in halves(walk.window)), *rest))
        return replace(self, waiting=rest, done=(*self.done, walk))

    @property
    def listed(self) -> tuple[Listed, ...]:
        """Return each interaction that any finished part showed, once."""
        return tuple({one.interaction_id: one for walk in self.done for one in walk.listed}.values())

    @property
    def complete(self) -> bool:
        """Say whether every part was read to its end, and completely."""
        return not self.waiting and all(walk.complete for walk in self.done)


def same_candidates(first: Iterable[Listed], second: Iterable[Listed]) -> bool:
    """Say whether two passes found the same interactions; only then is either to be believed."""
    return {one.interaction_id for one in first} == {one.interaction_id for one in second}
