"""Rounds over a bucket: everything once, and a restart goes on where it stopped."""

from __future__ import annotations

import io
import itertools

import pytest

from uploader.errors import SourceUnavailable
from uploader.sources.s3.listing import S3Lister, stamp_of

KEYS = ["in/a-b.wav", "in/a/b.wav", "in/a0.wav", "in/aé.wav", "in/z +%.json", "in/z.wav", "in/ÿ.wav"]
BYTE_ORDER = sorted(KEYS, key=lambda key: key.encode())


@pytest.fixture
def filled(make_bucket):
    def fill(server, keys=KEYS, **options):
        bucket = make_bucket(server, prefix="in/", **options)
        for key in [*keys, "elsewhere.wav"]:
            bucket.put(key, io.BytesIO(b"call"), size_bytes=4, content_type="audio/wav")
        return bucket

    return fill


def everything(key: str) -> bool:
    return True


def keys_of(pages) -> list[str]:
    return [seen.key for page in pages for seen in page.objects]


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_a_round_sees_everything_under_the_prefix_once_in_byte_order(s3_moto, filled, page_size):
    pages = list(S3Lister(filled(s3_moto, page_size=page_size), wanted=everything).scan())
    assert keys_of(pages) == BYTE_ORDER
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert pages[-1].cursor is None


@pytest.mark.parametrize("pages_before", range(1, 4))
def test_a_round_that_was_interrupted_goes_on_without_loss_or_repetition(s3_moto, filled, pages_before):
    bucket = filled(s3_moto, page_size=2)
    before = list(itertools.islice(S3Lister(bucket, wanted=everything).scan(), pages_before))
    after = list(S3Lister(bucket, wanted=everything).scan(before[-1].cursor))
    assert keys_of(before) + keys_of(after) == BYTE_ORDER


def test_what_comes_behind_the_cursor_is_found_in_the_next_round(s3_moto, filled):
    bucket = filled(s3_moto, page_size=2)
    lister = S3Lister(bucket, wanted=everything)
    scan = lister.scan()
    seen = keys_of([next(scan)])
    bucket.put("in/0-late.wav", io.BytesIO(b"late"), size_bytes=4, content_type="audio/wav")
    seen += keys_of(scan)
    assert "in/0-late.wav" not in seen
    assert keys_of(lister.scan(None)) == ["in/0-late.wav", *BYTE_ORDER]


def test_a_store_that_lists_out_of_byte_order_still_shows_everything_in_a_round(server, filled):
    pages = S3Lister(filled(server, page_size=2), wanted=everything).scan()
    assert sorted(keys_of(pages)) == sorted(KEYS)


def test_an_empty_prefix_is_one_last_page(server, make_bucket):
    (page,) = S3Lister(make_bucket(server, prefix="in/"), wanted=everything).scan()
    assert (page.objects, page.cursor, page.last) == ((), None, True)


def test_empty_objects_are_seen_and_folder_markers_are_not(s3_moto, make_bucket):
    bucket = make_bucket(s3_moto)
    for key in ("day/", "day/empty.wav"):
        bucket.put(key, io.BytesIO(b""), size_bytes=0, content_type="audio/wav")
    assert keys_of(S3Lister(bucket, wanted=everything).scan()) == ["day/empty.wav"]


def test_listing_and_head_give_the_same_stamp(server, filled):
    bucket = filled(server)
    for page in S3Lister(bucket, wanted=everything).scan():
        for seen in page.objects:
            info = bucket.head(seen.key)
            assert (seen.stamp, seen.etag) == (stamp_of(info), info.etag)


def test_a_glacier_object_is_flagged(s3_moto, make_bucket):
    bucket = make_bucket(s3_moto)
    client = s3_moto.client()
    client.put_object(Bucket=bucket.access.bucket, Key="a.wav", Body=b"x", StorageClass="GLACIER")
    (page,) = S3Lister(bucket, wanted=everything).scan()
    assert [(seen.storage_class, seen.archived) for seen in page.objects] == [("GLACIER", True)]
    assert bucket.head("a.wav").archived


def test_a_missing_bucket_is_the_sources_trouble(server, make_bucket):
    with pytest.raises(SourceUnavailable, match="does not exist"):
        next(S3Lister(make_bucket(server, name="no-such-bucket"), wanted=everything).scan())
