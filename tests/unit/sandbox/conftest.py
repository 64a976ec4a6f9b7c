"""A clock that stands still until it is moved, and books that were filled by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from uploader.sandbox.books import Books

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class StillClock:
    def __init__(self) -> None:
        self.moment = NOON

    def __call__(self) -> datetime:
        return self.moment

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def fill(books: Books, clock: StillClock):
    """Accept `count` interactions, a minute of call time apart, ending at noon."""

    def fill_in(count: int, **fields: object) -> list[str]:
        made = []
        for index in range(count):
            start = NOON - timedelta(minutes=count - index)
            body = {
                "download_url": f"http://127.0.0.1/{index}.wav?sig=1",
                "start_time": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                **fields,
            }
            made.append(books.accept(body, at=clock(), fault=None).interaction_id)
        return made

    return fill_in
