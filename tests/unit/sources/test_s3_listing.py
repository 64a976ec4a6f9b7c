"""What a listing makes of objects, without a store."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import ServiceRefusal, SourceUnavailable, StoreUnavailable
from uploader.platform.s3 import Checksum, ObjectInfo, ObjectPage, S3Access
from uploader.sources.s3.listing import S3Lister, content_id, stamp_of
from uploader.sources.s3.location import location_of, parse_location


def an_object(key: str = "a.wav", *, checksum: Checksum | None = None, **other) -> ObjectInfo:
    return ObjectInfo(
        **(
            {
                "key": key,
                "size_bytes": 9,
                "etag": "e1",
                "last_modified": datetime(2026, 11, 20, 4, tzinfo=UTC),
                "checksum": checksum,
            }
            | other
        )
    )


class Pages:
    """Stands for a bucket: gives these pages, then what it is told to raise."""

    def __init__(self, *pages: list[str], error: Exception | None = None, prefix: str = "") -> None:
        self.access = S3Access(bucket="calls", prefix=prefix)
        self.started_after: list[str | None] = []
        self._pages = pages
        self._error = error

    def list(self, *, start_after=None):
        self.started_after.append(start_after)
        for number, keys in enumerate(self._pages, start=1):
            last = number == len(self._pages) and self._error is None
            yield ObjectPage(objects=tuple(an_object(key) for key in keys), last=last)
        if self._error is not None:
            raise self._error


def lister(pages: Pages, wanted=lambda key: True) -> S3Lister:
    return S3Lister(pages, wanted=wanted)  # type: ignore[arg-type]


def keys(page) -> list[str]:
    return [seen.key for seen in page.objects]


def test_the_cursor_is_the_last_key_of_a_page_and_none_at_the_end():
    pages = list(lister(Pages(["a", "b"], ["c"], ["d"])).scan())
    assert [(page.cursor, page.last) for page in pages] == [("b", False), ("c", False), (None, True)]


def test_the_cursor_passes_what_is_left_out():
    pages = list(lister(Pages(["a", "b.tmp"], ["c"]), wanted=lambda key: key != "b.tmp").scan())
    assert (keys(pages[0]), pages[0].cursor) == (["a"], "b.tmp")


def test_an_empty_page_keeps_the_cursor():
    pages = list(lister(Pages([], ["z"])).scan("m"))
    assert (pages[0].cursor, pages[0].last) == ("m", False)


def test_an_interrupted_round_goes_on_behind_its_cursor():
    bucket = Pages(["n"])
    list(lister(bucket).scan("m"))
    assert bucket.started_after == ["m"]


def test_folder_markers_are_left_out_and_the_filter_sees_keys_without_the_prefix():
    asked: list[str] = []

    def wanted(key: str) -> bool:
        asked.append(key)
        return True

    (page,) = lister(Pages(["in/", "in/a.wav", "in/day/"], prefix="in/"), wanted).scan()
    assert keys(page) == ["in/a.wav"]
    assert asked == ["a.wav"]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("gone", hint="wait"), ServiceRefusal("no", reason="store_bucket", hint="wait")]
)
def test_a_store_that_fails_makes_the_source_unavailable_and_nothing_more(error):
    scan = lister(Pages(["a"], error=error)).scan()
    assert next(scan).cursor == "a"
    with pytest.raises(SourceUnavailable) as caught:
        next(scan)
    assert (str(caught.value), caught.value.hint) == (str(error), "wait")


def test_a_seen_object_carries_what_pairing_and_settling_need():
    (page,) = lister(Pages(["in/ü +%.wav"])).scan()
    (seen,) = page.objects
    assert seen.location == "s3://calls/in/ü +%.wav"
    assert seen.stamp.size_bytes == 9
    assert seen.stamp == stamp_of(an_object())
    assert not seen.archived


def test_the_stamp_counts_nanoseconds_exactly():
    assert stamp_of(an_object()).mtime_ns == 1_795_147_200_000_000_000


def test_an_object_that_was_replaced_within_a_second_by_one_of_the_same_size_has_another_stamp():
    assert stamp_of(an_object(etag="e2")) != stamp_of(an_object(etag="e1"))


@pytest.mark.parametrize(
    ("checksum", "expected"),
    [
        (None, "etag:e1:9"),
        (Checksum(algorithm="sha256", value="ab"), "sha256:ab"),
        (Checksum(algorithm="crc64nvme", value="01"), "crc64nvme:01:9"),
        (Checksum(algorithm="crc32", value="01"), "crc32:01:9"),
    ],
)
def test_content_is_named_by_the_whole_checksum_or_by_etag_and_size(checksum, expected):
    assert content_id(an_object(checksum=checksum)) == expected


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{2,20}", fullmatch=True), st.text(min_size=1, max_size=50))
def test_a_location_reads_back_as_it_was_written(bucket, key):
    assert parse_location(location_of(bucket, key)) == (bucket, key)


@pytest.mark.parametrize("text", ["", "s3:/calls/a", "s3://", "s3:///a", "/srv/a", "https://calls/a"])
def test_what_is_no_location_is_refused(text):
    with pytest.raises(ValueError, match="s3://bucket/key"):
        parse_location(text)


def test_a_bucket_alone_is_a_location_with_an_empty_key():
    assert parse_location("s3://calls") == ("calls", "")
