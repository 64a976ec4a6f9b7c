"""What an upload reads of a file, and into how many parts it cuts it."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import RecordingFault
from uploader.platform.s3 import ChangedDuringUpload
from uploader.platform.s3.upload import MAX_PARTS, MIB, Body, part_size_for


def body_of(data: bytes, *, size_bytes: int | None = None, sha256: str | None = None) -> Body:
    return Body(io.BytesIO(data), size_bytes=len(data) if size_bytes is None else size_bytes, sha256=sha256)


def drain(body: Body, chunk: int = 7) -> bytes:
    return b"".join(iter(lambda: body.read(chunk), b""))


@given(st.integers(min_value=0, max_value=50 * 1024**4))
def test_parts_are_never_too_many_and_never_smaller_than_asked(size_bytes):
    part = part_size_for(size_bytes, smallest_bytes=16 * MIB)
    assert part >= 16 * MIB
    assert -(-size_bytes // part) <= MAX_PARTS
    assert part % MIB == 0


def test_parts_stay_small_for_ordinary_files():
    assert part_size_for(2 * 1024**3, smallest_bytes=16 * MIB) == 16 * MIB


@given(st.binary(max_size=200), st.integers(min_value=1, max_value=50), st.integers(min_value=1, max_value=3))
def test_a_body_gives_the_same_bytes_however_often_it_is_read(data, chunk, times):
    body = body_of(data, sha256=hashlib.sha256(data).hexdigest())
    for _ in range(times):
        body.seek(0)
        assert drain(body, chunk) == data
    body.verify()
    assert not body.has_changed()


def test_a_body_starts_where_the_file_starts():
    file = io.BytesIO(b"abc")
    file.read(2)
    assert drain(Body(file, size_bytes=3, sha256=None)) == b"abc"


def test_a_shorter_file_raises_and_rewinding_raises_again():
    body = body_of(b"abc", size_bytes=4)
    with pytest.raises(ChangedDuringUpload):
        drain(body)
    assert body.fault is not None
    assert body.fault.code == "source_changed"
    with pytest.raises(ChangedDuringUpload):
        body.seek(0)


def test_a_longer_file_is_read_to_the_announced_size_and_not_verified():
    body = body_of(b"abcd", size_bytes=3)
    assert drain(body) == b"abc"
    with pytest.raises(ChangedDuringUpload):
        body.verify()


def test_a_body_that_was_not_read_to_the_end_is_not_verified():
    body = body_of(b"abcd")
    body.read(2)
    with pytest.raises(ChangedDuringUpload):
        body.verify()


def test_other_content_is_not_verified():
    body = body_of(b"abcd", sha256=hashlib.sha256(b"abce").hexdigest())
    drain(body)
    assert body.has_changed()
    with pytest.raises(ChangedDuringUpload):
        body.verify()


def test_an_unreadable_file_is_not_blamed_on_the_store():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    body = Body(Broken(b"abcd"), size_bytes=4, sha256=None)
    with pytest.raises(RecordingFault) as caught:
        body.read(1)
    assert caught.value.code == "file_unreadable"


def test_a_part_is_whole_though_the_file_reads_in_small_pieces():
    class Dribbling(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    body = Body(Dribbling(b"0123456789"), size_bytes=10, sha256=None)
    assert [body.read_part(8), body.read_part(8), body.read_part(8)] == [b"01234567", b"89", b""]


def test_seeking_elsewhere_is_refused():
    with pytest.raises(io.UnsupportedOperation):
        body_of(b"abcd").seek(2)
    with pytest.raises(io.UnsupportedOperation):
        body_of(b"abcd").seek(0, io.SEEK_END)
