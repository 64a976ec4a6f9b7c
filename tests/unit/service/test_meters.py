"""The steps count what they do: copies and their time, windows of the listing, fetches, changes that scans saw."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.service.bench import ServiceBench
from uploader.domain.walk import Window
from uploader.ledger.discovery import Seen
from uploader.ledger.rows import RecordingRow
from uploader.pipeline.listing import Listing
from uploader.pipeline.meters import LineMeters
from uploader.service.grants import LedgerGrants
from uploader.service.line import Line
from uploader.service.meters import FetchMeters, ScanMeters


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServiceBench]:
    made = ServiceBench(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("is_instant", "counted"), [(False, 1), (True, 0)])
def test_the_time_of_a_copy_is_counted_and_serving_in_place_is_none(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch, is_instant: bool, counted: int
) -> None:
    stage = bench.stager.stage

    def slowly(row: RecordingRow) -> str:
        bench.clock.advance(2)
        return stage(row)

    meters = LineMeters()
    row = bench.rested()
    monkeypatch.setattr(bench.stager, "stage", slowly)
    monkeypatch.setattr(bench.stager, "is_instant", is_instant, raising=False)
    line = Line(
        ledger=bench.ledger, intake=bench.intake, submission=bench.submission, governor=bench.governor,
        routes=bench.route, clock=bench.clock, meters=meters,
    )  # fmt: skip
    line.carry(bench.kit.claim(row), admission=None)
    found = meters.staging_seconds.read()
    assert (found.count, found.sum) == (counted, 2.0 * counted)


@pytest.mark.parametrize(("miscounts", "result"), [(0, "complete"), (1, "incomplete")])
def test_a_window_of_the_listing_is_counted_by_whether_it_proves_anything(
    bench: ServiceBench, miscounts: int, result: str
) -> None:
    meters = LineMeters()
    listing = Listing(
        ledger=bench.ledger, client=bench.service, governor=bench.governor, clock=bench.clock, stop=bench.stop,
        meters=meters,
    )  # fmt: skip
    bench.service.miscounts = miscounts
    now = bench.clock.now()
    listing.read(Window(start=now - timedelta(days=1), end=now))
    assert {labels: count for labels, count in meters.walks.read().items() if count} == {(result,): 1}


def test_a_fetch_is_counted_though_its_recording_is_not_known(bench: ServiceBench) -> None:
    meters = FetchMeters()
    grants = LedgerGrants(bench.ledger, bench.clock, meters)
    grants.fetched("nobody", 1, first_byte=0, last_byte=99, complete=True, status=206, agent="")
    grants.fetched("nobody", 1, first_byte=0, last_byte=-1, complete=False, status=410, agent="")
    assert meters.bytes.value == 100
    assert {labels for labels, count in meters.answers.read().items() if count} == {("206",), ("410",)}


def test_only_what_changed_is_counted() -> None:
    meters = ScanMeters()
    meters.found(Seen(new=2, woken=1, busy=5))
    assert meters.changes.read() == {("new",): 2, ("changed",): 0, ("woken",): 1}
