"""Objects read in pieces from a real server."""

from __future__ import annotations

import io

import pytest

from uploader.platform.s3 import ObjectChanged, ObjectMissing, ObjectTooLarge, RangedObject

CALL = bytes(range(256)) * 4096


@pytest.fixture
def bucket(server, make_bucket):
    made = make_bucket(server)
    made.put("a.wav", io.BytesIO(CALL), size_bytes=len(CALL), content_type="audio/wav")
    return made


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 16, CALL[:16]),
        (1000, 5000, CALL[1000:6000]),
        (len(CALL) - 3, 10, CALL[-3:]),
        (len(CALL), 10, b""),
        (5, 0, b""),
    ],
)
def test_a_range_is_what_lies_there(bucket, offset, length, expected):
    assert bucket.read_range("a.wav", offset, length) == expected


def test_header_and_trailer_are_read_without_the_middle(bucket):
    source = RangedObject(bucket, bucket.head("a.wav"))
    assert source.size_bytes == len(CALL)
    assert source.read_at(0, 44) == CALL[:44]
    assert source.read_at(len(CALL) - 128, 128) == CALL[-128:]


def test_an_object_that_is_replaced_between_two_reads_is_a_fault(bucket):
    source = RangedObject(bucket, bucket.head("a.wav"), read_ahead_bytes=64)
    source.read_at(0, 10)
    bucket.put("a.wav", io.BytesIO(CALL[::-1]), size_bytes=len(CALL), content_type="audio/wav")
    with pytest.raises(ObjectChanged) as caught:
        source.read_at(5000, 10)
    assert caught.value.code == "source_changed"


def test_an_object_that_is_gone_is_a_fault(bucket):
    source = RangedObject(bucket, bucket.head("a.wav"))
    bucket.delete("a.wav")
    with pytest.raises(ObjectMissing):
        source.read_at(0, 10)


def test_a_sidecar_is_read_whole_or_said_to_be_too_large(bucket):
    bucket.put("a.json", io.BytesIO(b'{"a": 1}'), size_bytes=8, content_type="application/json")
    assert bucket.read_small("a.json", limit_bytes=8) == b'{"a": 1}'
    with pytest.raises(ObjectTooLarge):
        bucket.read_small("a.json", limit_bytes=7)
    assert bucket.read_small("b.json", limit_bytes=7) is None
