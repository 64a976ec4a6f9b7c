"""How a staged object is named, and what its ETag must be."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.platform.clock import SystemClock
from uploader.platform.s3 import Bucket, S3Access
from uploader.staging.s3 import S3Stager, content_digests

SHA = hashlib.sha256(b"call").hexdigest()


def stager(prefix: str = "") -> S3Stager:
    return S3Stager(Bucket(S3Access(bucket="calls", prefix=prefix), clock=SystemClock()))


@pytest.mark.parametrize(("prefix", "start"), [("", ""), ("qm/", "qm/"), ("qm", "qm/"), ("a/b", "a/b/")])
def test_a_key_is_made_of_prefix_hash_and_extension(prefix, start):
    assert stager(prefix).key_for(sha256=SHA, extension=".wav") == f"{start}{SHA[:2]}/{SHA}.wav"


def test_a_recording_without_a_known_extension_has_none():
    assert stager().key_for(sha256=SHA, extension="").endswith(f"/{SHA}")


@given(st.lists(st.integers(min_value=0, max_value=10**6), unique=True, min_size=2, max_size=5))
def test_every_generation_has_a_key_of_its_own(generations):
    one = stager("qm")
    keys = {one.key_for(sha256=SHA, extension=".wav", generation=number) for number in generations}
    assert len(keys) == len(generations)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": SHA.upper()},
        {"sha256": SHA[:-1]},
        {"sha256": "../" + SHA[3:]},
        {"extension": "wav"},
        {"extension": "./../x"},
        {"extension": ".wav\n"},
        {"generation": -1},
    ],
)
def test_what_is_no_hash_extension_or_generation_makes_no_key(wrong):
    with pytest.raises(ValueError, match="a key is made of"):
        stager().key_for(**({"sha256": SHA, "extension": ".wav"} | wrong))


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=100))
def test_an_etag_of_parts_is_the_hash_of_the_parts_hashes(data, part_size):
    parts = [hashlib.md5(data[start : start + part_size]).digest() for start in range(0, len(data), part_size)]
    expected = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    assert content_digests(io.BytesIO(data), part_size_bytes=part_size) == (
        hashlib.sha256(data).hexdigest(),
        expected,
    )


@given(st.binary(max_size=300))
def test_an_etag_of_the_whole_is_its_md5(data):
    file = io.BytesIO(data)
    file.read(1)
    assert content_digests(file, part_size_bytes=0) == (
        hashlib.sha256(data).hexdigest(),
        hashlib.md5(data).hexdigest(),
    )
