"""Signed URLs, fetched back by a stranger from a server that checks signature and expiry."""

from __future__ import annotations

import io
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from uploader.errors import StoreUnavailable
from uploader.platform.s3 import probe_source, probe_staging

CALL = bytes(range(256)) * 20


@pytest.fixture
def bucket(server, make_bucket):
    made = make_bucket(server)
    for key in ("calls/a.wav", "calls/b.wav"):
        made.put(key, io.BytesIO(CALL), size_bytes=len(CALL), content_type="audio/wav")
    return made


def test_the_whole_and_any_range_can_be_fetched(server, bucket):
    before = datetime.now(UTC)
    signed = bucket.presign_get("calls/a.wav", lifetime_seconds=600)
    assert server.fetch(signed.url) == (200, CALL)
    assert server.fetch(signed.url, {"Range": "bytes=0-0"}) == (206, CALL[:1])
    assert server.fetch(signed.url, {"Range": "bytes=100-299"}) == (206, CALL[100:300])
    assert timedelta(0) <= signed.expires_at - before - timedelta(seconds=600) < timedelta(seconds=60)


def test_an_expired_url_is_refused(server, bucket):
    signed = bucket.presign_get("calls/a.wav", lifetime_seconds=1)
    assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == ["1"]
    pause, deadline = threading.Event(), time.monotonic() + 15
    while (status := server.fetch(signed.url)[0]) == 200 and time.monotonic() < deadline:
        pause.wait(0.1)
    assert status == 403


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("/a.wav", "/b.wav"),
        lambda url: url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
        lambda url: url.partition("?")[0],
    ],
    ids=["signature", "key", "expiry", "unsigned"],
)
def test_a_tampered_url_is_refused(server, bucket, tamper):
    signed = bucket.presign_get("calls/a.wav", lifetime_seconds=600)
    assert tamper(signed.url) != signed.url
    assert server.fetch(tamper(signed.url))[0] == 403


def test_only_get_is_signed(server, bucket):
    signed = bucket.presign_get("calls/a.wav", lifetime_seconds=600)
    assert server.fetch(signed.url, method="HEAD")[0] == 403


def test_a_url_of_a_deleted_object_is_worth_nothing(server, bucket):
    signed = bucket.presign_get("calls/a.wav", lifetime_seconds=600)
    bucket.delete("calls/a.wav")
    assert server.fetch(signed.url)[0] == 404


def test_full_rights_pass_every_probe_and_leave_nothing(server, make_bucket):
    bucket = make_bucket(server, prefix="qm/")
    assert [(one.right, one.ok) for one in probe_staging(bucket, server.fetch)] == [
        ("put", True),
        ("get", True),
        ("delete", True),
    ]
    assert [page.objects for page in bucket.list()] == [()]


def test_the_probe_says_that_a_write_only_key_signs_urls_that_are_refused(server, make_bucket):
    bucket = make_bucket(server, keys=server.writer)
    put, get, delete = probe_staging(bucket, server.fetch)
    assert (put.ok, get.ok, delete.ok) == (True, False, True)
    assert "s3:GetObject" in get.message


def test_the_probe_says_that_a_read_only_key_cannot_stage(server, make_bucket):
    (put,) = probe_staging(make_bucket(server, keys=server.reader), server.fetch)
    assert not put.ok
    assert "refuses access" in put.message


def test_the_probe_says_when_urls_lead_elsewhere(server, make_bucket):
    _, get, _ = probe_staging(make_bucket(server), lambda url, headers: (200, b"<html>"))
    assert not get.ok
    assert "something else" in get.message


def test_the_probe_passes_on_what_the_fetch_could_not_do(server, make_bucket):
    def nowhere(url, headers):
        raise StoreUnavailable("the name does not resolve")

    _, get, delete = probe_staging(make_bucket(server), nowhere)
    assert (get.ok, get.message, delete.ok) == (False, "the name does not resolve", True)


def test_a_source_needs_no_right_to_write(server, bucket, make_bucket):
    reading = make_bucket(server, keys=server.reader, name=bucket.access.bucket)
    assert [(one.right, one.ok) for one in probe_source(reading, server.fetch)] == [
        ("list", True),
        ("get", True),
    ]


def test_a_source_that_may_only_be_listed_is_told(server, bucket, make_bucket):
    listing = make_bucket(server, keys=server.lister, name=bucket.access.bucket)
    assert [(one.right, one.ok) for one in probe_source(listing, server.fetch)] == [
        ("list", True),
        ("get", False),
    ]


def test_an_empty_source_proves_only_the_listing(server, make_bucket):
    assert [(one.right, one.ok) for one in probe_source(make_bucket(server), server.fetch)] == [("list", True)]
