"""Counters and histograms: what was put in is what is read, from any thread."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.platform.meters import SECONDS, Count, Counts, Histogram, Moments


@given(
    values=st.lists(st.floats(0, 100), max_size=50),
    bounds=st.sets(st.floats(0, 50), min_size=1, max_size=8).map(sorted),
)
def test_a_bucket_has_what_is_at_most_its_bound(values: list[float], bounds: list[float]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    found = histogram.read()
    assert found.bounds == tuple(bounds)
    assert found.at_most == tuple(sum(value <= bound for value in values) for bound in bounds)
    assert found.count == len(values)
    assert math.isclose(found.sum, sum(values), abs_tol=1e-9)


def test_a_value_above_every_bound_is_counted() -> None:
    histogram = Histogram()
    histogram.observe(SECONDS[-1] + 1)
    assert histogram.read().at_most[-1] == 0
    assert histogram.read().count == 1


def test_what_is_known_from_the_start_is_there_with_nothing() -> None:
    counts = Counts(("a", "x"))
    counts.add("b", "y", by=3)
    counts.add("b", "y")
    assert counts.read() == {("a", "x"): 0, ("b", "y"): 4}


def test_what_never_happened_has_no_moment() -> None:
    moments = Moments()
    moments.put("backup", 5.0)
    moments.put("backup", 7.0)
    assert moments.read() == {"backup": 7.0}


@pytest.mark.parametrize("threads", [4])
def test_no_thread_loses_what_another_counts(threads: int) -> None:
    count, counts, histogram = Count(), Counts(), Histogram()

    def work() -> None:
        for _ in range(2000):
            count.add()
            counts.add("a")
            histogram.observe(0.01)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert count.value == counts.read()["a",] == histogram.read().count == threads * 2000
