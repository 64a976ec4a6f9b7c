"""Rate limits: by calendar second, by UTC day."""

from __future__ import annotations

import pytest

from uploader.sandbox.answers import Answer, Refused
from uploader.sandbox.config import RateWindow
from uploader.sandbox.limits import RateLimits


def refusal(limits: RateLimits) -> Answer:
    with pytest.raises(Refused) as caught:
        limits.take()
    assert caught.value.answer.status == 429
    return caught.value.answer


def test_second_above_the_limit_is_refused_with_headers_and_the_next_is_not(clock) -> None:
    limits = RateLimits(per_second=2, per_day=0, now=clock)
    clock.move(0.9)
    assert limits.take()["X-RateLimit-Remaining"] == "1"
    assert limits.take()["X-RateLimit-Remaining"] == "0"
    answer = refusal(limits)
    assert answer.body == {
        "code": 429,
        "message": "You have reached the maximum per-second rate limit for this API. Try again later.",
    }
    assert answer.headers == {
        "X-RateLimit-Category": "Medium",
        "X-RateLimit-Type": "QPS",
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "Retry-After": "1",
    }
    clock.move(0.1)  # the calendar second is what counts
    limits.take()


def test_day_above_the_limit_is_refused_until_midnight_utc(clock) -> None:
    limits = RateLimits(per_second=0, per_day=1, now=clock)
    limits.take()
    answer = refusal(limits)
    assert answer.headers["Retry-After"] == "2026-11-21T00:00:00Z"
    assert answer.headers["X-RateLimit-Type"] == "Daily-limit"
    clock.move(12 * 3600)
    limits.take()


def test_a_restart_remembers_the_day(clock) -> None:
    limits = RateLimits(per_second=0, per_day=3, now=clock)
    limits.resume(clock(), 3)
    refusal(limits)


def test_refused_ones_do_not_count(clock) -> None:
    limits = RateLimits(per_second=1, per_day=2, now=clock)
    limits.take()
    refusal(limits)
    clock.move(1)
    limits.take()
    clock.move(1)
    assert refusal(limits).headers["X-RateLimit-Type"] == "Daily-limit"


def test_without_limits_nothing_is_refused(clock) -> None:
    limits = RateLimits(per_second=0, per_day=0, now=clock)
    for _ in range(500):
        assert limits.take() == {"X-RateLimit-Category": "Medium"}


def test_a_sliding_second_has_no_more_than_the_limit_wherever_it_begins(clock) -> None:
    limits = RateLimits(per_second=2, per_day=0, now=clock, window=RateWindow.SLIDING)
    clock.move(0.9)
    limits.take()
    clock.move(0.05)
    limits.take()
    clock.move(0.06)  # another calendar second
    answer = refusal(limits)
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert answer.headers["Retry-After"] == "1"
    clock.move(0.89)  # a whole second after the first
    assert limits.take()["X-RateLimit-Remaining"] == "0"
    refusal(limits)
    clock.move(0.05)
    limits.take()


def test_refusals_are_counted_by_the_limit_that_they_met(clock) -> None:
    limits = RateLimits(per_second=1, per_day=1, now=clock)
    limits.take()
    refusal(limits)
    clock.move(12 * 3600)
    limits.take()
    limits.resume(clock(), 0)
    refusal(limits)
    assert limits.refused == {"second": 1, "day": 1}
