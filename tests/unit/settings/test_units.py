"""Durations, sizes and addresses, as written and read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.settings.units import (
    MAX_DURATION,
    MAX_SIZE_BYTES,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    split_listen,
)

_MILLISECOND = timedelta(milliseconds=1)


@given(st.integers(min_value=0, max_value=MAX_DURATION // _MILLISECOND))
def test_a_written_duration_reads_back_the_same(milliseconds: int):
    duration = milliseconds * _MILLISECOND
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(min_value=0, max_value=MAX_SIZE_BYTES))
def test_a_written_size_reads_back_the_same(size_bytes: int):
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("2s", timedelta(seconds=2)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
    ],
)
def test_durations_of_the_contract_are_read(text: str, expected: timedelta):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("100B", 100), ("64KiB", 65_536), ("5GiB", 5 << 30), ("20MiB", 20 << 20), ("1TiB", 1 << 40)],
)
def test_sizes_of_the_contract_are_read(text: str, expected: int):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "1.5h", "1 h", "2S", "1h30m", "1w", "٣s", "2s\n", "1" * 20 + "s", "36501d"]
)
def test_what_is_no_duration_is_refused_without_repeating_it(text: str):
    with pytest.raises(ValueError, match="must be") as caught:
        parse_duration(text)
    assert len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "5", "5GB", "5gib", "-1B", "1.5GiB", "1 GiB", "9999999TiB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="must be"):
        parse_size(text)


@pytest.mark.parametrize("duration", [timedelta(seconds=-1), timedelta(microseconds=1)])
def test_a_duration_that_cannot_be_written_whole_is_refused(duration: timedelta):
    with pytest.raises(ValueError, match="milliseconds"):
        format_duration(duration)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_host_and_port_are_taken_apart(text: str, expected: tuple[str, int]):
    assert split_listen(text) == expected


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host", "host:", "host:65536", "::1:80", "a b:1", "h:-1"])
def test_an_address_without_host_or_port_is_refused(text: str):
    with pytest.raises(ValueError, match="address and a port"):
        split_listen(text)
