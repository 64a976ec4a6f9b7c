"""Reading an object in pieces: always the right bytes, in few requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.platform.s3 import ObjectInfo, RangedObject

CONTENT = bytes(range(256)) * 8


class CountingBucket:
    """Stands for a bucket with one object, and keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read_range(self, key: str, offset: int, length: int, *, etag: str | None = None) -> bytes:
        assert (key, etag) == ("call.wav", "e1")
        self.asked.append((offset, length))
        return CONTENT[offset : offset + length]


@pytest.fixture
def bucket() -> CountingBucket:
    return CountingBucket()


def opened(bucket: CountingBucket, read_ahead_bytes: int) -> RangedObject:
    info = ObjectInfo(
        key="call.wav", size_bytes=len(CONTENT), etag="e1", last_modified=datetime(2026, 1, 1, tzinfo=UTC)
    )
    return RangedObject(bucket, info, read_ahead_bytes=read_ahead_bytes)  # type: ignore[arg-type]


@given(
    st.integers(min_value=1, max_value=3000),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=20),
)
def test_every_read_gives_what_lies_there(read_ahead_bytes, reads):
    source = opened(CountingBucket(), read_ahead_bytes)
    assert source.size_bytes == len(CONTENT)
    for offset, length in reads:
        assert source.read_at(offset, length) == CONTENT[offset : offset + length]


def test_a_small_object_takes_one_request(bucket):
    source = opened(bucket, 4096)
    source.read_at(0, 12)
    source.read_at(1500, 100)
    assert bucket.asked == [(0, len(CONTENT))]


def test_a_header_and_a_trailer_take_two_requests(bucket):
    source = opened(bucket, 512)
    for offset in (0, 12, 40, 300):
        source.read_at(offset, 12)
    for offset in (2040, 1900, 1600):
        source.read_at(offset, 8)
    assert bucket.asked == [(0, 512), (2048 - 512, 512)]


def test_nothing_is_asked_for_what_lies_beyond_the_end(bucket):
    assert opened(bucket, 512).read_at(len(CONTENT), 10) == b""
    assert bucket.asked == []


@pytest.mark.parametrize(("offset", "length"), [(-1, 4), (0, -1), (0, 16 * 1024 * 1024 + 1)])
def test_an_unbounded_or_negative_read_is_refused(bucket, offset, length):
    with pytest.raises(ValueError, match="a read must lie"):
        opened(bucket, 512).read_at(offset, length)
