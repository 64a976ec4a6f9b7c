"""Uploads to a real S3 server over HTTP and over HTTPS."""

from __future__ import annotations

import hashlib
import io

import pytest

from uploader.platform.s3 import ChangedDuringUpload

MIB = 1024 * 1024
PARTS = {"whole_up_to_bytes": 5 * MIB, "part_size_bytes": 5 * MIB}
HARD_KEYS = [
    "Müller & Straße/Anruf 1.wav",
    "a+b c%20d%2F&=?#'\"~.wav",
    "電話/通話.wav",
    "deep/" * 30 + "x.wav",
]


def noise(size_bytes: int) -> bytes:
    block = hashlib.sha256(b"seed").digest() * 1024
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def lying_there(server, bucket, key: str):
    client = server.client()
    return client.get_object(Bucket=bucket.access.bucket, Key=key)


def what_lies_there(server, bucket) -> tuple[list[str], int]:
    """Return the keys and how many uploads were left open."""
    client = server.client()
    found = client.list_objects_v2(Bucket=bucket.access.bucket).get("Contents", [])
    opened = client.list_multipart_uploads(Bucket=bucket.access.bucket).get("Uploads", [])
    return [entry["Key"] for entry in found], len(opened)


class Meddled(io.BytesIO):
    """A file that somebody writes to once `after` bytes of it were read."""

    def __init__(self, data: bytes, *, after: int, meddle) -> None:
        super().__init__(data)
        self._after = after
        self._meddle = meddle

    def read(self, size=-1):
        data = super().read(size)
        if self._meddle is not None and self.tell() >= self._after:
            meddle, self._meddle = self._meddle, None
            place = self.tell()
            meddle(self)
            self.seek(place)
        return data


def shrink(file: io.BytesIO) -> None:
    file.truncate(len(file.getvalue()) - 1)


def grow(file: io.BytesIO) -> None:
    file.seek(0, io.SEEK_END)
    file.write(b"more")


def overwrite_the_end(file: io.BytesIO) -> None:
    file.seek(-4, io.SEEK_END)
    file.write(b"else")


@pytest.mark.parametrize("size_bytes", [0, 1, 70_000])
def test_a_small_file_arrives_whole_and_as_it_is(server, make_bucket, size_bytes):
    bucket = make_bucket(server)
    data = noise(size_bytes)
    etag = bucket.put("in/a.wav", io.BytesIO(data), size_bytes=size_bytes, content_type="audio/x-wav")
    answer = lying_there(server, bucket, "in/a.wav")
    assert answer["Body"].read() == data
    assert answer["ContentType"] == "audio/x-wav"
    # a checksum trailer would be stored as an encoding, or refused
    assert not answer.get("ContentEncoding")
    info = bucket.head("in/a.wav")
    assert (info.size_bytes, info.etag, info.content_type) == (size_bytes, etag, "audio/x-wav")


def test_a_large_file_arrives_in_parts_and_whole(server, make_bucket):
    bucket = make_bucket(server, **PARTS)
    data = noise(11 * MIB + 3)
    etag = bucket.put(
        "a.wav",
        io.BytesIO(data),
        size_bytes=len(data),
        content_type="audio/wav",
        sha256=hashlib.sha256(data).hexdigest(),
    )
    assert etag.endswith("-3")
    answer = lying_there(server, bucket, "a.wav")
    assert answer["Body"].read() == data
    assert answer["ContentType"] == "audio/wav"
    assert not answer.get("ContentEncoding")
    assert what_lies_there(server, bucket) == (["a.wav"], 0)


@pytest.mark.parametrize("key", HARD_KEYS)
def test_any_key_names_the_same_object_in_every_request(server, make_bucket, key):
    bucket = make_bucket(server)
    bucket.put(key, io.BytesIO(b"call"), size_bytes=4, content_type="audio/wav")
    assert bucket.head(key).key == key
    assert bucket.read_small(key, limit_bytes=10) == b"call"
    assert [info.key for page in bucket.list() for info in page.objects] == [key]
    signed = bucket.presign_get(key, lifetime_seconds=60)
    assert server.fetch(signed.url) == (200, b"call")
    bucket.delete(key)
    assert bucket.head(key) is None


@pytest.mark.parametrize("meddle", [shrink, grow, overwrite_the_end])
@pytest.mark.parametrize("size_bytes", [70_000, 11 * MIB])
def test_a_file_that_changes_during_the_upload_leaves_nothing_behind(server, make_bucket, meddle, size_bytes):
    bucket = make_bucket(server, **PARTS)
    data = noise(size_bytes)
    file = Meddled(data, after=1, meddle=meddle)
    with pytest.raises(ChangedDuringUpload) as caught:
        bucket.put(
            "a.wav",
            file,
            size_bytes=size_bytes,
            content_type="audio/wav",
            sha256=hashlib.sha256(data).hexdigest(),
        )
    assert caught.value.code == "source_changed"
    assert what_lies_there(server, bucket) == ([], 0)


def test_a_file_that_changes_between_signing_and_sending_is_its_own_fault(s3_http, make_bucket):
    bucket = make_bucket(s3_http)
    data = noise(70_000)

    class Changing(io.BytesIO):
        """Read once for the signature, it is another the second time."""

        rewinds = 0

        def seek(self, offset, whence=0):
            self.rewinds += offset == 0 and self.tell() > 0
            if self.rewinds == 1 and offset == 0:
                self.rewinds += 1
                overwrite_the_end(self)
            return super().seek(offset, whence)

    with pytest.raises(ChangedDuringUpload):
        bucket.put(
            "a.wav",
            Changing(data),
            size_bytes=len(data),
            content_type="audio/wav",
            sha256=hashlib.sha256(data).hexdigest(),
        )
    assert what_lies_there(s3_http, bucket) == ([], 0)


def test_deleting_twice_is_harmless(server, make_bucket):
    bucket = make_bucket(server)
    bucket.put("a.wav", io.BytesIO(b"x"), size_bytes=1, content_type="audio/wav")
    bucket.delete("a.wav")
    bucket.delete("a.wav")
    assert bucket.head("a.wav") is None
