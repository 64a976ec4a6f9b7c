"""The listing: windows, filters, pages that stay as they were."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.sandbox.answers import Refused
from uploader.sandbox.books import Books
from uploader.sandbox.config import DateAxis
from uploader.sandbox.listing import Listing

DAY = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-20T23:59:59Z"}


@pytest.fixture
def listing(books, clock) -> Listing:
    return Listing(books, lag_seconds=0, now=clock)


def ids(page: dict[str, Any]) -> list[str]:
    return [item["interaction_info"]["interaction_id"] for item in page["interactions"]]


def walk(listing: Listing, query: dict[str, str], between=lambda: None) -> tuple[list[str], set[int]]:
    found, totals, token = [], set(), ""
    while True:
        page = listing.page(query | ({"next_page_token": token} if token else {}))
        found += ids(page)
        totals.add(page["total_records"])
        token = page["next_page_token"]
        if not token:
            return found, totals
        between()


def refusal(listing: Listing, query: dict[str, str]) -> dict[str, Any]:
    with pytest.raises(Refused) as caught:
        listing.page(query)
    assert caught.value.answer.status == 400
    assert isinstance(caught.value.answer.body, dict)
    return caught.value.answer.body


@given(st.integers(0, 40), st.integers(1, 99))
def test_pages_together_are_everything_once_newest_first(count: int, size: int) -> None:
    from datetime import UTC, datetime

    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    books = Books()
    made = [
        books.accept({"download_url": "http://h/", "start_time": f"2026-11-20T11:{n:02}:00Z"}, at=noon, fault=None)
        for n in range(count)
    ]
    found, totals = walk(Listing(books, lag_seconds=0, now=lambda: noon), DAY | {"page_size": str(size)})
    assert found == [interaction.interaction_id for interaction in reversed(made)]
    assert totals == {count}


def test_walk_sees_only_what_was_there_when_it_began(listing, fill) -> None:
    there = fill(25)
    found, totals = walk(listing, DAY | {"page_size": "7"}, between=lambda: fill(3))
    assert found == there[::-1]
    assert totals == {25}
    assert listing.page(DAY)["total_records"] > 25


def test_default_page_has_thirty(listing, fill) -> None:
    fill(31)
    page = listing.page(DAY)
    assert (len(page["interactions"]), page["page_size"], page["total_records"]) == (30, 30, 31)


def test_last_page_has_no_token(listing, fill) -> None:
    fill(3)
    assert listing.page(DAY | {"page_size": "3"})["next_page_token"] == ""


@pytest.mark.parametrize("size", ["0", "100", "-1", "x", "1e1", "²"])
def test_page_size_out_of_range_is_refused(listing, size: str) -> None:
    assert refusal(listing, {"page_size": size})["errors"][0]["field"] == "page_size"


@pytest.mark.parametrize(
    "window",
    [
        {"from": "yesterday"},
        {"to": "2026-11-20"},
        {"from": "2026-11-20T00:00:00.000Z"},
        {"from": "2026-11-21T00:00:00Z", "to": "2026-11-20T00:00:00Z"},
        {"to": "0001-01-01T00:00:00Z"},
    ],
)
def test_wrong_window_is_code_1001(listing, window: dict[str, str]) -> None:
    assert refusal(listing, window) == {"code": 1001, "message": "The from or to time is invalid."}


def test_widest_window_is_served(listing, fill) -> None:
    fill(2)
    everything = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "page_size": "1"}
    assert walk(listing, everything)[1] == {2}


def test_both_ends_of_the_window_belong_to_it(listing, books, clock) -> None:
    for second in ("09", "10", "20", "21"):
        body = {"download_url": "http://h/", "start_time": f"2026-11-20T10:00:{second}Z"}
        books.accept(body, at=clock(), fault=None)
    window = {"from": "2026-11-20T10:00:10Z", "to": "2026-11-20T10:00:20Z"}
    starts = [item["start_time"][-3:-1] for item in listing.page(window)["interactions"]]
    assert starts == ["20", "10"]


def test_without_a_window_the_last_day_is_listed(listing, books, clock) -> None:
    old = {"download_url": "http://h/", "start_time": "2026-11-19T11:59:59Z"}
    new = {"download_url": "http://h/", "start_time": "2026-11-19T12:00:00Z"}
    books.accept(old, at=clock(), fault=None)
    expected = books.accept(new, at=clock(), fault=None).interaction_id
    assert ids(listing.page({})) == [expected]


def test_interaction_without_start_time_has_that_of_its_creation(listing, books, clock) -> None:
    clock.move(0.7)
    books.accept({"download_url": "http://h/"}, at=clock(), fault=None)
    assert listing.page({})["interactions"][0]["start_time"] == "2026-11-20T12:00:00Z"


def test_creation_axis_filters_by_acceptance(clock) -> None:
    books = Books(date_axis=DateAxis.CREATED_AT)
    listing = Listing(books, lag_seconds=0, now=clock)
    body = {"download_url": "http://h/", "start_time": "2020-01-01T00:00:00Z"}
    books.accept(body, at=clock(), fault=None)
    assert listing.page(DAY)["total_records"] == 1
    year = {"from": "2020-01-01T00:00:00Z", "to": "2020-12-31T00:00:00Z"}
    assert listing.page(year)["total_records"] == 0


def test_lag_hides_a_new_interaction(books, clock, fill) -> None:
    listing = Listing(books, lag_seconds=5, now=clock)
    fill(1)
    clock.move(4.9)
    assert listing.page(DAY)["total_records"] == 0
    clock.move(0.1)
    assert listing.page(DAY)["total_records"] == 1


def test_page_token_lives_fifteen_minutes(listing, fill, clock) -> None:
    fill(3)
    token = listing.page(DAY | {"page_size": "1"})["next_page_token"]
    clock.move(timedelta(minutes=15).total_seconds() - 1)
    listing.page(DAY | {"next_page_token": token})
    clock.move(1)
    assert refusal(listing, DAY | {"next_page_token": token})["code"] == 300


@pytest.mark.parametrize("spoil", [lambda t: t[:-4] + "AAAA", lambda t: "x", lambda t: "é", lambda t: t * 20])
def test_foreign_page_token_is_refused(listing, fill, spoil) -> None:
    fill(3)
    token = listing.page(DAY | {"page_size": "1"})["next_page_token"]
    assert refusal(listing, DAY | {"next_page_token": spoil(token)})["code"] == 300


def test_page_token_belongs_to_its_query(listing, fill) -> None:
    fill(3)
    token = listing.page(DAY | {"page_size": "1"})["next_page_token"]
    assert refusal(listing, DAY | {"direction": "inbound", "next_page_token": token})["code"] == 300


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({"channels": "AUDIO"}, 1),
        ({"channels": "VIDEO, AUDIO"}, 2),
        ({"direction": "outbound"}, 1),
        ({"dispositions": "Sold,Lost"}, 1),
        ({"language": "de,ja"}, 1),
        ({"queues": "q1"}, 1),
        ({"user_ids": "a1,a2"}, 1),
        ({"engagement_id": "e"}, 0),
        ({"indicator_id": "i"}, 0),
        ({"topic": "t"}, 0),
        ({"scored": "true"}, 0),
        ({"scored": "false"}, 2),
        ({"time_zone": "America/Los_Angeles"}, 2),
    ],
)
def test_filters(listing, fill, query: dict[str, str], total: int) -> None:
    fill(1, interaction_info={"channel_type": "video"})
    fill(
        1,
        direction="outbound",
        disposition="Sold",
        primary_language="de-DE",
        queue_id="q1",
        interaction_info={"channel_type": "voice", "agent_id": "a1"},
    )
    assert listing.page(DAY | query)["total_records"] == total


@pytest.mark.parametrize("query", [{"scored": "maybe"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "../etc"}])
def test_wrong_filter_is_refused(listing, query: dict[str, str]) -> None:
    assert refusal(listing, query)["errors"][0]["field"] == next(iter(query))
