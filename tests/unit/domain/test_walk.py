from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.listing import Listed, Page
from uploader.domain.walk import (
    MAX_PAGES,
    MAX_SPAN,
    MAX_WALKS,
    PAGE_SIZE,
    Step,
    Survey,
    Walk,
    Window,
    cover,
    halves,
    same_candidates,
    windows_for,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = Window(start=NOON - DAY, end=NOON + DAY)
SECOND = timedelta(seconds=1)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def page(*ids: str, total: int | None = None, token: str | None = None) -> Page:
    return Page(
        interactions=tuple(Listed(interaction_id=i) for i in ids),
        total_records=total,
        next_page_token=token,
        service_date=None,
    )


class Service:
    """A listing by pages, with interactions at given moments; its ends may be inclusive or exclusive."""

    def __init__(self, moments: dict[str, datetime], *, ends: str = "both"):
        self.moments, self.ends, self.asked = moments, ends, 0

    def inside(self, moment: datetime, window: Window) -> bool:
        after = moment > window.start or ("start" in self.ends and moment == window.start)
        before = moment < window.end or ("end" in self.ends and moment == window.end)
        return (after and before) or (self.ends == "both" and window.holds(moment))

    def page(self, window: Window, token: str | None) -> Page:
        self.asked += 1
        found = [i for i, moment in self.moments.items() if self.inside(moment, window)]
        at = int(token or 0)
        following = str(at + PAGE_SIZE) if at + PAGE_SIZE < len(found) else None
        return page(*found[at : at + PAGE_SIZE], total=len(found), token=following)

    def read(self, window: Window) -> Survey:
        survey = Survey.of(window)
        while survey.wanted is not None:
            survey = survey.fed(self.page(*survey.wanted))
        return survey


def test_recent_call_is_searched_in_one_window_around_call_and_attempt():
    (window,) = windows_for(NOON, NOON + timedelta(minutes=5))
    assert window == Window(start=NOON - DAY, end=NOON + DAY + timedelta(minutes=5))


def test_old_call_is_searched_around_the_call_and_around_the_attempt():
    start = NOON - timedelta(days=400)
    assert windows_for(start, NOON) == (Window(start=start - DAY, end=start + DAY), WINDOW)


def test_call_without_a_start_is_searched_around_the_attempt():
    assert windows_for(None, NOON) == (WINDOW,)


@given(start=st.none() | moments, attempted=moments)
def test_windows_reach_a_day_around_both_times_in_whole_seconds(start, attempted):
    windows = windows_for(start, attempted)
    for moment in {attempted, start} - {None}:
        assert any(window.holds(moment, margin=DAY) for window in windows)
    for window in windows:
        assert window.start.microsecond == window.end.microsecond == 0
        assert window.span <= MAX_SPAN


@pytest.mark.parametrize(
    "start", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=["first", "last"]
)
def test_windows_at_the_ends_of_time_are_windows(start):
    assert windows_for(start, NOON)[0].holds(start.replace(microsecond=0))


def test_a_moment_near_an_end_is_neither_well_inside_nor_well_outside():
    near, margin = WINDOW.end - timedelta(hours=1), timedelta(hours=2)
    assert WINDOW.holds(near) and not WINDOW.lacks(near)
    assert not WINDOW.holds(near, margin=margin) and not WINDOW.lacks(near, margin=margin)
    assert WINDOW.lacks(NOON + 2 * DAY, margin=margin) and WINDOW.lacks(NOON - 2 * DAY, margin=margin)


@given(st.lists(st.tuples(moments, st.timedeltas(timedelta(0), MAX_SPAN)), max_size=8))
def test_every_window_lies_whole_in_one_of_its_cover(parts):
    windows = [Window(start=start, end=start + span) for start, span in parts]
    covered = cover(windows)
    assert all(any(c.start <= w.start and w.end <= c.end for c in covered) for w in windows)
    assert all(c.span <= MAX_SPAN for c in covered)
    assert len(covered) <= len(windows)


def test_windows_of_one_day_are_covered_by_one_and_far_ones_by_two():
    near = [windows_for(NOON + timedelta(hours=h), NOON + timedelta(hours=h))[0] for h in range(24)]
    assert cover(near) == (Window(start=NOON - DAY, end=NOON + timedelta(hours=47)),)
    far = Window(start=NOON + 9 * DAY, end=NOON + 10 * DAY)
    assert cover([far, WINDOW]) == (WINDOW, far)


def test_cover_does_not_grow_beyond_thirty_days_but_drops_what_it_holds():
    month = Window(start=NOON, end=NOON + MAX_SPAN)
    across = Window(start=NOON + 29 * DAY, end=NOON + 31 * DAY)
    assert cover([month, across, month]) == (month, across)


def test_halves_overlap_by_a_second_and_span_the_whole():
    first, second = halves(WINDOW)
    assert (first.start, second.end) == (WINDOW.start, WINDOW.end)
    assert first.end - second.start == SECOND


def test_a_window_of_seconds_cannot_be_halved():
    with pytest.raises(ValueError, match="too short"):
        halves(Window(start=NOON, end=NOON + 3 * SECOND))


def test_walk_of_all_pages_is_complete():
    walk = Walk(window=WINDOW)
    assert walk.step is Step.CONTINUE and not walk.complete
    walk = walk.fed(page("a", "b", total=3, token="t"))
    assert walk.step is Step.CONTINUE and walk.token == "t" and not walk.complete
    walk = walk.fed(page("c", total=3))
    assert walk.step is Step.FINISHED and walk.complete
    assert [one.interaction_id for one in walk.listed] == ["a", "b", "c"]


def test_walk_of_an_empty_window_is_complete():
    assert Walk(window=WINDOW).fed(page(total=0, token="")).complete


@pytest.mark.parametrize(
    "pages",
    [
        [page("a", total=2)],
        [page("a", "a", total=2)],
        [page("a")],
        [page("a", total=0)],
        [page("a", total=3, token="t"), page("b", "c", total=4)],
        [page("a", total=2, token="t"), page("b", "c", total=3)],
        [page("a", total=3, token="t"), page("b", total=2, token="u"), page("c", total=3)],
        [page("a", total=3, token="t"), page("a", "b", total=3)],
    ],
    ids=["short", "repeated", "no-total", "too-many", "total-grows", "last-total-right", "flickers", "shifted"],
)
def test_walk_that_does_not_add_up_is_finished_and_incomplete(pages):
    walk = Walk(window=WINDOW)
    for one in pages:
        walk = walk.fed(one)
    assert walk.step is Step.FINISHED
    assert not walk.complete


def test_interaction_shown_twice_counts_once_as_last_shown():
    walk = Walk(window=WINDOW).fed(page("a", "b", total=2, token="t"))
    late = Listed(interaction_id="a", scored=True)
    walk = walk.fed(Page(interactions=(late,), total_records=2, next_page_token=None, service_date=None))
    assert walk.complete
    assert walk.listed[0] == late


def test_walk_takes_no_page_after_its_end():
    walk = Walk(window=WINDOW).fed(page(total=0))
    with pytest.raises(RuntimeError):
        walk.fed(page(total=0))


def test_walk_too_long_by_its_total_is_halved_at_once():
    assert Walk(window=WINDOW).fed(page("a", total=MAX_PAGES * PAGE_SIZE, token="t")).step is Step.CONTINUE
    assert Walk(window=WINDOW).fed(page("a", total=MAX_PAGES * PAGE_SIZE + 1, token="t")).step is Step.HALVE


@pytest.mark.parametrize(("seconds", "step"), [(4, Step.HALVE), (3, Step.FINISHED)])
def test_endless_pages_are_halved_while_the_window_allows_it(seconds, step):
    walk = Walk(window=Window(start=NOON, end=NOON + seconds * SECOND))
    for number in range(MAX_PAGES):
        assert walk.step is Step.CONTINUE
        walk = walk.fed(page(f"i{number}", token="same"))
    assert walk.step is step
    assert not walk.complete


@given(
    offsets=st.lists(st.integers(-86400, 86400), max_size=60),
    crowd=st.integers(0, 4200),
    ends=st.sampled_from(["both", "start", "end", "neither"]),
)
def test_survey_of_a_quiet_listing_finds_all_inside_whatever_its_ends(offsets, crowd, ends):
    moments = {f"o{n}": NOON + timedelta(seconds=s) for n, s in enumerate(offsets)}
    moments |= {f"c{n}": NOON + timedelta(seconds=n * 7 % 3600) for n in range(crowd)}
    service = Service(moments, ends=ends)
    survey = service.read(WINDOW)
    assert survey.complete
    inside = {i for i, moment in moments.items() if service.inside(moment, WINDOW)}
    assert {one.interaction_id for one in survey.listed} == inside
    assert survey.window == WINDOW


def test_survey_of_a_crowd_within_one_second_ends_incomplete():
    service = Service({f"i{n}": NOON for n in range(MAX_PAGES * PAGE_SIZE + 1)})
    survey = service.read(WINDOW)
    assert not survey.complete
    assert survey.listed


def test_survey_never_has_more_than_its_share_of_parts():
    survey = Survey.of(WINDOW)
    asked = 0
    while survey.wanted is not None:
        survey = survey.fed(page(total=10**9, token="t"))
        asked += 1
    assert len(survey.done) == MAX_WALKS
    assert asked <= MAX_WALKS * MAX_PAGES
    assert not survey.complete


def test_survey_is_incomplete_while_it_waits_and_takes_no_page_after():
    survey = Survey.of(WINDOW)
    assert not survey.complete
    survey = survey.fed(page("a", total=2, token="t"))
    assert survey.wanted == (WINDOW, "t")
    survey = survey.fed(page("b", total=2))
    assert survey.complete
    with pytest.raises(RuntimeError):
        survey.fed(page())


def test_passes_are_the_same_when_their_ids_are():
    one, scored, two = (
        Listed(interaction_id="1"),
        Listed(interaction_id="1", scored=True),
        Listed(interaction_id="2"),
    )
    assert same_candidates([one, two], [two, scored])
    assert same_candidates([], [])
    assert not same_candidates([one], [one, two])
    assert not same_candidates([one], [two])
