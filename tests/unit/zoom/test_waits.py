"""When the service says to ask again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.allowance import Span
from uploader.zoom.waits import LONGEST_WAIT, allowance_of, parse_retry_after, service_date

NOW = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "2026-11-21T00:00:00Z"}, MIDNIGHT),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:00 GMT"}, MIDNIGHT),
        ({"retry-after": " 7200 "}, MIDNIGHT),
        ({"retry-after": "1.5"}, NOW + timedelta(seconds=1.5)),
        ({"retry-after": "0"}, NOW),
        ({"x-ratelimit-reset": str(int(MIDNIGHT.timestamp()))}, MIDNIGHT),
        ({"retry-after": "soon", "x-ratelimit-reset": str(int(MIDNIGHT.timestamp()))}, MIDNIGHT),
        ({"retry-after": "999999999"}, NOW + LONGEST_WAIT),
        ({"retry-after": "2030-01-01T00:00:00Z"}, NOW + LONGEST_WAIT),
    ],
)
def test_each_form_gives_the_time(headers, expected):
    assert parse_retry_after(headers, now=NOW) == expected


@pytest.mark.parametrize(
    "value",
    ["", "-5", "soon", "NaN", "2026-11-21T00:00:00", "2020-05-31T00:00:00Z", "0001-01-01T00:00:00+23:00", "9" * 500],
)
def test_nonsense_and_times_gone_by_say_nothing(value):
    assert parse_retry_after({"retry-after": value}, now=NOW) is None


def test_nothing_said_is_none():
    assert parse_retry_after({}, now=NOW) is None


def test_a_clock_that_is_off_does_not_shorten_the_wait():
    headers = {"retry-after": "2026-11-20T22:00:00Z", "date": "Fri, 20 Nov 2026 21:00:00 GMT"}
    assert parse_retry_after(headers, now=NOW) == NOW + timedelta(hours=1)


@pytest.mark.parametrize("value", ["", "yesterday", "Fri, 99 Nov 2026 21:00:00 GMT", "x" * 5000])
def test_a_date_that_cannot_be_read_is_none(value):
    assert service_date({"Date": value}) is None


def test_date_is_read_as_utc():
    assert service_date({"date": "Fri, 20 Nov 2026 22:00:00 GMT"}) == NOW


names = st.sampled_from(["retry-after", "date", "x-ratelimit-reset"])


@given(st.dictionaries(names, st.text(max_size=80) | st.integers().map(str) | st.datetimes().map(str)))
def test_whatever_is_said_the_wait_is_bounded(headers):
    until = parse_retry_after(headers, now=NOW)
    assert until is None or NOW <= until <= NOW + LONGEST_WAIT


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-RateLimit-Type": "QPS", "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "3"}, (Span.SECOND, 20, 3)),
        ({"x-ratelimit-type": "Daily-limit", "x-ratelimit-limit": "30000"}, (Span.DAY, 30_000, None)),
        ({"x-ratelimit-type": "Per-second-limit", "x-ratelimit-limit": "5"}, (Span.SECOND, 5, None)),
        ({"x-ratelimit-limit": "80", "x-ratelimit-remaining": " 0 "}, (Span.SECOND, 80, 0)),
        ({"x-ratelimit-limit": "15000", "x-ratelimit-remaining": "7"}, (Span.DAY, 15_000, 7)),
        ({"x-ratelimit-limit": "500", "x-ratelimit-remaining": "7"}, None),
        ({"x-ratelimit-type": "Monthly", "x-ratelimit-limit": "5"}, None),
        ({"x-ratelimit-type": "QPS", "x-ratelimit-limit": "0"}, None),
        ({"x-ratelimit-type": "QPS", "x-ratelimit-limit": "-4"}, None),
        ({"x-ratelimit-type": "QPS", "x-ratelimit-limit": "9" * 30}, None),
        ({"x-ratelimit-type": "QPS"}, None),
        ({}, None),
    ],
)
def test_what_an_answer_says_of_its_limit_is_read_with_and_without_its_type(headers, expected):
    found = allowance_of(headers)
    assert (found and (found.span, found.limit, found.remaining)) == expected
