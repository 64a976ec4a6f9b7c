"""Start times: read exactly, in a stated zone, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.interaction import format_time
from uploader.sidecars.times import judge_time


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-20T04:00:00Z", "2026-11-20T04:00:00Z"),
        ("2026-11-20t04:00:00z", "2026-11-20T04:00:00Z"),
        ("2026-11-20 04:00:00+00:00", "2026-11-20T04:00:00Z"),
        ("2026-11-20T04:00:00 -00:00", "2026-11-20T04:00:00Z"),
        ("2026-11-20T04:00:00+02:00", "2026-11-20T02:00:00Z"),
        ("2026-11-20T04:00:00+0545", "2026-11-19T22:15:00Z"),
        ("2026-11-20T23:30:00-05", "2026-11-21T04:30:00Z"),
        ("2026-11-20T04:00:00.000Z", "2026-11-20T04:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
def test_a_time_with_zone_is_written_in_utc_whatever_the_sources_zone(text, written, zone):
    verdict = judge_time(text, zone_name=zone)
    assert (verdict.value, verdict.problem, verdict.note) == (written, "", "")


def test_a_fraction_of_a_second_is_cut_off_and_said_so():
    verdict = judge_time("2026-11-20T04:00:00.999+0000", zone_name="")
    assert verdict.value == "2026-11-20T04:00:00Z"
    assert "fraction" in verdict.note


@pytest.mark.parametrize(
    ("zone", "text", "written"),
    [
        ("Europe/Berlin", "2026-11-20T04:00:00", "2026-11-20T03:00:00Z"),
        ("Europe/Berlin", "2026-07-20 04:00:00", "2026-07-20T02:00:00Z"),
        ("America/New_York", "2026-11-20T23:00:00.5", "2026-11-21T04:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
        ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
        ("Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
    ],
)
def test_a_time_without_zone_is_read_in_the_sources(zone, text, written):
    verdict = judge_time(text, zone_name=zone)
    assert (verdict.value, verdict.problem) == (written, "")
    assert "timezone" in verdict.remark


@pytest.mark.parametrize(
    ("zone", "text", "part"),
    [
        ("", "2026-11-20T04:00:00", "has no zone"),
        ("Europe/Berlin", "2026-03-29T02:30:00", "does not exist in the source's timezone"),
        ("Europe/Berlin", "2026-03-29T02:00:00", "does not exist in the source's timezone"),
        ("Europe/Berlin", "2026-10-25T02:30:00", "happened twice"),
        ("Europe/Berlin", "2026-10-25T02:00:00", "happened twice"),
        ("Europe/Atlantis", "2026-10-25T02:00:00", "not known on this machine"),
        ("../etc/passwd", "2026-10-25T02:00:00", "not known on this machine"),
        ("Europe", "2026-10-25T02:00:00", "not known on this machine"),
        ("", "2026-11-20", "without a time of day"),
        ("", "20261120", "without a time of day"),
        ("", "2026-11-20T04:00Z", "has no seconds"),
        ("Europe/Berlin", "2026-11-20 04:00", "has no seconds"),
        ("", "1732075200", "digits only"),
        ("", "1732075200.25", "digits only"),
        ("", "2026-13-20T04:00:00Z", "does not exist"),
        ("", "2025-02-29T04:00:00Z", "does not exist"),
        ("", "2026-11-20T24:00:00Z", "does not exist"),
        ("", "2026-11-20T04:00:60Z", "does not exist"),
        ("", "2026-11-20T04:00:00+14:30", "no place has"),
        ("", "2026-11-20T04:00:00+01:60", "no place has"),
        ("", "9999-12-31T23:00:00-05:00", "does not exist"),
        ("America/New_York", "9999-12-31T23:00:00", "does not exist"),
        ("", "1970-01-01T00:00:00Z", "before 1990"),
        ("Europe/Berlin", "0001-01-01T00:00:00", "before 1990"),
        ("", "20/11/2026 04:00:00", "ISO 8601"),
        ("", "Fri, 20 Nov 2026 04:00:00 +0000", "ISO 8601"),
        ("", "2026-11-20T04:00:00 Europe/Berlin", "ISO 8601"),
        ("", "2026-11-20T04:00:00Z\u0660", "ISO 8601"),
        ("", "٢٠٢٦-11-20T04:00:00Z", "ISO 8601"),
        ("", "now", "ISO 8601"),
    ],
)
def test_a_time_that_cannot_be_told_is_a_problem(zone, text, part):
    verdict = judge_time(text, zone_name=zone)
    assert verdict.value is None
    assert part in verdict.problem


@given(
    st.datetimes(datetime(1991, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " ", "t"]),
)
def test_every_offset_gives_the_same_instant(moment, minutes, separator):
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    verdict = judge_time(zoned.isoformat(sep=separator), zone_name="")
    assert verdict.value == format_time(zoned)


@given(st.text(max_size=40) | st.text("0123456789-:TZ+. ", max_size=30), st.sampled_from(["", "Asia/Tokyo"]))
def test_whatever_comes_in_is_read_or_refused(text, zone):
    verdict = judge_time(text, zone_name=zone)
    assert (verdict.value is None) == bool(verdict.problem)


@given(st.datetimes(datetime(1991, 1, 1), datetime(2030, 1, 1)))
def test_a_local_time_that_is_read_is_that_time_on_the_wall(moment):
    from zoneinfo import ZoneInfo

    local = moment.replace(microsecond=0)
    value = judge_time(local.isoformat(), zone_name="America/Sao_Paulo").value
    if value is not None:
        instant = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert instant.astimezone(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None) == local
