"""Bounded reading: what is fetched, what is kept, where it stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault
from uploader.media.bytes import BLOCK_BYTES, BoundedBytes

CONTENT = bytes(range(251)) * 700


@given(st.lists(st.tuples(st.integers(-9, len(CONTENT) + 9), st.integers(-9, 40_000)), max_size=30))
def test_reads_are_those_of_the_content(memory, reads):
    window = BoundedBytes(memory(CONTENT), limit_bytes=1 << 30)
    for offset, length in reads:
        expected = CONTENT[offset : offset + max(0, length)] if offset >= 0 else b""
        assert window.read_at(offset, length) == expected


def test_near_reads_fetch_one_block(memory):
    source = memory(CONTENT)
    window = BoundedBytes(source)
    for offset in range(0, 4000, 8):
        window.read_at(offset, 8)
    assert source.read_bytes == BLOCK_BYTES


def test_limit_ends_the_reading_with_a_fault(memory):
    window = BoundedBytes(memory(CONTENT), limit_bytes=2 * BLOCK_BYTES)
    window.read_at(0, 1)
    window.read_at(3 * BLOCK_BYTES, 1)
    with pytest.raises(RecordingFault) as caught:
        window.read_at(6 * BLOCK_BYTES, 1)
    assert caught.value.code == Reason.MEDIA_UNKNOWN


def test_file_that_ends_before_is_truncated(memory):
    with pytest.raises(RecordingFault) as caught:
        BoundedBytes(memory(b"abc")).exactly(1, 3)
    assert caught.value.code == Reason.MEDIA_TRUNCATED


def test_source_that_shrank_gives_fewer_bytes(memory):
    source = memory(CONTENT)
    source.content = CONTENT[:100]
    assert BoundedBytes(source).read_at(90, 20) == CONTENT[90:100]
