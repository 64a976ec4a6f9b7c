"""A bucket on AWS itself, behind botocore's own machinery with the wire replaced."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.credentials import RefreshableCredentials

from uploader.errors import ServiceRefusal, StoreUnavailable
from uploader.platform.clock import SystemClock
from uploader.platform.s3 import (
    Bucket,
    ChangedDuringUpload,
    Checksum,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectTooLarge,
    S3Access,
)

Answer = tuple[int, dict[str, str], bytes]
HEAD_OF_A_CALL = {
    "Content-Length": "9",
    "ETag": '"e1"',
    "Last-Modified": "Fri, 20 Nov 2026 04:00:00 GMT",
    "Content-Type": "audio/wav",
}


class Wire:
    """Takes the place of the network: keeps every request, and answers as told."""

    def __init__(self, answer: Callable[[str, str], Answer] = lambda method, url: (200, {}, b"")) -> None:
        self.answer = answer
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    def __call__(self, request, **_):
        body = request.body or b""
        if hasattr(body, "read"):
            body = b"".join(iter(lambda: body_read(request.body), b""))
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        self.requests.append((request.method, request.url, headers, body))
        status, found, content = self.answer(request.method, request.url)
        return AWSResponse(request.url, status, found, _Raw(content))

    def session(self, access: S3Access) -> boto3.Session:
        session = boto3.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret")
        session.events.register("before-send.s3", self)
        return session

    @property
    def hosts(self) -> list[str]:
        return [urlsplit(url).netloc for _, url, _, _ in self.requests]


def body_read(body) -> bytes:
    return body.read(8192)


class _Raw(io.BytesIO):
    def stream(self, *_, **__):
        yield self.read()


@pytest.fixture
def bucket_on():
    opened: list[Bucket] = []

    def make(wire: Wire, *, new_session=None, **access) -> Bucket:
        access = {"bucket": "calls", "region": "eu-central-1"} | access
        bucket = Bucket(
            S3Access(**access),
            clock=SystemClock(),
            new_session=new_session or wire.session,
            whole_up_to_bytes=20,
            part_size_bytes=16,
        )
        opened.append(bucket)
        return bucket

    yield make
    for bucket in opened:
        bucket.close()


def stored(**headers: str) -> Wire:
    return Wire(lambda method, url: (200, HEAD_OF_A_CALL | headers, b""))


# where the bucket is asked


@pytest.mark.parametrize("status", [200, 301, 400, 403])
def test_a_region_that_is_not_given_is_asked_for_once_even_of_a_store_that_refuses(bucket_on, status):
    def answer(method: str, url: str) -> Answer:
        if method == "HEAD":
            return status, {"x-amz-bucket-region": "ap-south-2"}, b""
        return 204, {}, b""

    wire = Wire(answer)
    bucket = bucket_on(wire, region="")
    bucket.delete("a.wav")
    bucket.delete("b.wav")
    deletes = [url for method, url, _, _ in wire.requests if method == "DELETE"]
    assert [urlsplit(url).netloc for url in deletes] == ["calls.s3.ap-south-2.amazonaws.com"] * 2
    assert bucket.presign_get("a.wav", lifetime_seconds=60).url.startswith(
        "https://calls.s3.ap-south-2.amazonaws.com/a.wav?"
    )


def test_a_bucket_that_is_not_there_is_said_so_when_its_region_is_asked_for(bucket_on):
    with pytest.raises(ServiceRefusal) as caught:
        bucket_on(Wire(lambda method, url: (404, {}, b"")), region="").head("a.wav")
    assert caught.value.reason == "store_bucket"


@pytest.mark.parametrize(
    ("region", "bucket", "start"),
    [
        ("us-east-1", "calls", "https://calls.s3.us-east-1.amazonaws.com/a.wav?"),
        ("eu-central-1", "calls", "https://calls.s3.eu-central-1.amazonaws.com/a.wav?"),
        ("eu-central-1", "my.calls", "https://s3.eu-central-1.amazonaws.com/my.calls/a.wav?"),
    ],
)
def test_a_signed_url_names_the_region_and_is_sigv4(bucket_on, region, bucket, start):
    url = bucket_on(Wire(), region=region, bucket=bucket).presign_get("a.wav", lifetime_seconds=60).url
    assert url.startswith(start)
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-SignedHeaders"] == ["host"]


def test_an_endpoint_of_ones_own_gets_paths_and_no_checksum_trailer(bucket_on):
    wire = Wire(lambda method, url: (200, {"ETag": '"e1"'}, b""))
    bucket = bucket_on(wire, endpoint_url="https://store.example.com:9000", region="")
    bucket.put("k.wav", io.BytesIO(b"abc"), size_bytes=3, content_type="audio/wav")
    ((method, url, headers, body),) = wire.requests
    assert (method, url, body) == ("PUT", "https://store.example.com:9000/calls/k.wav", b"abc")
    assert headers["content-length"] == "3"
    assert "x-amz-trailer" not in headers
    assert "transfer-encoding" not in headers


def test_an_endpoint_from_the_environment_is_not_used(bucket_on, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example.com")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere.example.com")
    wire = Wire()
    bucket_on(wire).delete("k")
    assert wire.hosts == ["calls.s3.eu-central-1.amazonaws.com"]


def test_an_endpoint_that_is_no_url_is_refused_with_a_sentence(bucket_on):
    with pytest.raises(ServiceRefusal) as caught:
        bucket_on(Wire(), endpoint_url="not a url").head("k")
    assert caught.value.reason == "store_bucket"


def test_threads_that_come_at_once_share_one_client(bucket_on):
    made: list[boto3.Session] = []
    wire = Wire()

    def slow_session(access: S3Access) -> boto3.Session:
        made.append(wire.session(access))
        return made[-1]

    bucket = bucket_on(wire, new_session=slow_session)
    start = threading.Barrier(6)

    def act() -> None:
        start.wait()
        bucket.delete("k")

    threads = [threading.Thread(target=act) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(wire.requests) == 6


def test_a_closed_bucket_opens_again(bucket_on):
    wire = Wire()
    bucket = bucket_on(wire)
    bucket.delete("a")
    bucket.close()
    bucket.delete("b")
    assert len(wire.requests) == 2


# uploads


def test_a_kms_key_goes_with_the_whole_and_with_the_multipart_upload(bucket_on):
    def answer(method: str, url: str) -> Answer:
        if method == "POST" and "uploads" in url:
            return 200, {}, b"<R><UploadId>u1</UploadId></R>"
        if method == "POST":
            return 200, {}, b"<R><ETag>&quot;whole-2&quot;</ETag></R>"
        return 200, {"ETag": '"e1"', "x-amz-checksum-crc32": "AAAAAA=="}, b""

    wire = Wire(answer)
    bucket = bucket_on(wire, kms_key_id="key-1")
    assert bucket.put("a.wav", io.BytesIO(b"x" * 20), size_bytes=20, content_type="audio/wav") == "e1"
    assert bucket.put("b.wav", io.BytesIO(b"x" * 21), size_bytes=21, content_type="audio/wav") == "whole-2"
    whole, begin, first, second, _ = (headers for _, _, headers, _ in wire.requests)
    for headers in (whole, begin):
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
        assert headers["content-type"] == "audio/wav"
    # AWS wants the kind of the parts' checksums said beforehand, and each again at the end
    assert begin["x-amz-checksum-algorithm"] == "CRC32"
    assert first["x-amz-trailer"] == second["x-amz-trailer"] == "x-amz-checksum-crc32"
    assert wire.requests[-1][3].count(b"<ChecksumCRC32>AAAAAA==</ChecksumCRC32>") == 2


@pytest.mark.parametrize("failing", ["partNumber=2", "uploadId=u1"])
def test_a_multipart_upload_that_fails_is_given_up(bucket_on, failing):
    def answer(method: str, url: str) -> Answer:
        if method == "POST" and "uploads" in url:
            return 200, {}, b"<R><UploadId>u1</UploadId></R>"
        if method != "DELETE" and failing in url and (method == "POST" or "partNumber" in failing):
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        return 200, {"ETag": '"e1"'}, b""

    wire = Wire(answer)
    with pytest.raises(ServiceRefusal) as caught:
        bucket_on(wire).put("b.wav", io.BytesIO(b"x" * 21), size_bytes=21, content_type="audio/wav")
    assert caught.value.reason == "store_forbidden"
    assert [method for method, _, _, _ in wire.requests][-1] == "DELETE"


def test_a_failure_to_give_an_upload_up_does_not_hide_the_first_failure(bucket_on):
    def answer(method: str, url: str) -> Answer:
        if method == "POST" and "uploads" in url:
            return 200, {}, b"<R><UploadId>u1</UploadId></R>"
        if method == "DELETE":
            return 400, {}, b"<Error><Code>SomethingElse</Code></Error>"
        return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"

    with pytest.raises(ServiceRefusal) as caught:
        bucket_on(Wire(answer)).put("b", io.BytesIO(b"x" * 21), size_bytes=21, content_type="audio/wav")
    assert caught.value.reason == "store_forbidden"


def test_a_store_that_sees_other_content_than_was_signed_blames_the_file(bucket_on):
    wire = Wire(lambda method, url: (400, {}, b"<Error><Code>XAmzContentSHA256Mismatch</Code></Error>"))
    bucket = bucket_on(wire, endpoint_url="http://127.0.0.1:9")
    put = {"size_bytes": 3, "content_type": "audio/wav", "sha256": hashlib.sha256(b"abc").hexdigest()}
    with pytest.raises(ChangedDuringUpload):
        bucket.put("k.wav", io.BytesIO(b"abd"), **put)
    with pytest.raises(StoreUnavailable):
        bucket.put("k.wav", io.BytesIO(b"abc"), **put)


# looking and reading


def test_head_tells_size_time_type_and_the_checksum_of_the_whole(bucket_on):
    wire = stored(
        **{"x-amz-checksum-crc64nvme": "AAAAAAAAAAE=", "x-amz-checksum-type": "FULL_OBJECT"},
    )
    info = bucket_on(wire).head("a.wav")
    assert info is not None
    assert (info.size_bytes, info.etag, info.content_type) == (9, "e1", "audio/wav")
    assert info.last_modified == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert info.checksum == Checksum(algorithm="crc64nvme", value="0000000000000001")
    assert wire.requests[0][2]["x-amz-checksum-mode"] == "ENABLED"


def test_the_strongest_checksum_is_taken(bucket_on):
    wire = stored(**{"x-amz-checksum-crc32": "AAAAAQ==", "x-amz-checksum-sha256": "q" * 43 + "="})
    info = bucket_on(wire).head("a.wav")
    assert info is not None
    assert info.checksum is not None
    assert info.checksum.algorithm == "sha256"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-sha256": "q" * 43 + "=", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-sha256": "q" * 43 + "=-3"},
        {"x-amz-checksum-sha256": "no base64!"},
        {},
    ],
)
def test_a_checksum_of_parts_or_nonsense_is_none(bucket_on, headers):
    info = bucket_on(stored(**headers)).head("a.wav")
    assert info is not None
    assert info.checksum is None


@pytest.mark.parametrize(
    ("headers", "archived"),
    [
        ({}, False),
        ({"x-amz-storage-class": "STANDARD_IA"}, False),
        ({"x-amz-storage-class": "GLACIER_IR"}, False),
        ({"x-amz-storage-class": "GLACIER"}, True),
        ({"x-amz-storage-class": "DEEP_ARCHIVE"}, True),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, True),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"'}, True),
        (
            {"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false", expiry-date="…"'},
            False,
        ),
    ],
)
def test_an_archived_object_is_told_from_one_that_can_be_read(bucket_on, headers, archived):
    info = bucket_on(stored(**headers)).head("a.wav")
    assert info is not None
    assert info.archived is archived


def test_a_missing_object_is_none_when_looked_at_and_a_fault_when_read(bucket_on):
    bucket = bucket_on(Wire(lambda method, url: (404, {}, b"<Error><Code>NoSuchKey</Code></Error>")))
    assert bucket.head("a.wav") is None
    assert bucket.read_small("a.json", limit_bytes=10) is None
    with pytest.raises(ObjectMissing):
        bucket.read_range("a.wav", 0, 4)
    bucket.delete("a.wav")


def test_a_read_of_an_archived_object_says_what_to_do(bucket_on):
    bucket = bucket_on(Wire(lambda method, url: (403, {}, b"<Error><Code>InvalidObjectState</Code></Error>")))
    with pytest.raises(ObjectArchived, match="restore it"):
        bucket.read_range("a.wav", 0, 4)


def test_a_range_of_an_object_that_was_replaced_is_a_fault_even_where_if_match_is_ignored(bucket_on):
    wire = Wire(lambda method, url: (206, {"ETag": '"e2"', "Content-Range": "bytes 0-3/9"}, b"abcd"))
    with pytest.raises(ObjectChanged):
        bucket_on(wire).read_range("a.wav", 0, 4, etag="e1")
    assert wire.requests[0][2]["if-match"] == '"e1"'


def test_a_store_that_serves_no_ranges_is_not_believed(bucket_on):
    wire = Wire(lambda method, url: (200, {"ETag": '"e1"', "Content-Length": "9"}, b"abcdefghi"))
    bucket = bucket_on(wire)
    with pytest.raises(StoreUnavailable):
        bucket.read_range("a.wav", 4, 2)
    assert bucket.read_range("a.wav", 0, 2) == b"ab"


def test_a_sidecar_of_the_limit_is_read_and_one_byte_more_is_too_large(bucket_on):
    wire = Wire(lambda method, url: (200, {"ETag": '"e1"', "Content-Length": "9"}, b"abcdefghi"))
    bucket = bucket_on(wire)
    assert bucket.read_small("a.json", limit_bytes=9) == b"abcdefghi"
    with pytest.raises(ObjectTooLarge):
        bucket.read_small("a.json", limit_bytes=8)


def test_a_listing_that_turns_in_circles_is_given_up(bucket_on):
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>same</NextContinuationToken></ListBucketResult>"
    )
    with pytest.raises(StoreUnavailable):
        list(bucket_on(Wire(lambda method, url: (200, {}, page))).list())


def test_a_listing_asks_for_restored_ones_and_believes_it(bucket_on):
    page = b"""<ListBucketResult><IsTruncated>false</IsTruncated>
      <Contents><Key>a</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-11-20T04:00:00.750Z</LastModified>
        <StorageClass>GLACIER</StorageClass></Contents>
      <Contents><Key>b</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-11-20T04:00:00.000Z</LastModified>
        <StorageClass>GLACIER</StorageClass><RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>
        <RestoreExpiryDate>2027-01-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus></Contents>
      </ListBucketResult>"""
    wire = Wire(lambda method, url: (200, {}, page))
    (only,) = bucket_on(wire).list()
    assert wire.requests[0][2]["x-amz-optional-object-attributes"] == "RestoreStatus"
    assert [info.archived for info in only.objects] == [True, False]
    assert {info.last_modified for info in only.objects} == {datetime(2026, 11, 20, 4, tzinfo=UTC)}


# credentials and how long a URL lives


def expiring(wire: Wire, left: timedelta, *, refreshed: timedelta | None = None):
    """Make sessions whose credentials end after `left`, and after `refreshed` once they were renewed."""

    def metadata(after: timedelta) -> dict[str, str]:
        return {
            "access_key": "ASIAEXAMPLE",
            "secret_key": "secret",
            "token": "session-token",
            "expiry_time": (datetime.now(UTC) + after).isoformat(),
        }

    def new_session(access: S3Access) -> boto3.Session:
        session = wire.session(access)
        session._session._credentials = RefreshableCredentials.create_from_metadata(
            metadata=metadata(left),
            refresh_using=lambda: metadata(left if refreshed is None else refreshed),
            method="test",
        )
        return session

    return new_session


@pytest.mark.parametrize(
    ("asked", "signed_for"), [(0, 1), (1, 1), (604_800, 604_800), (604_801, 604_800), (10**9, 604_800)]
)
def test_a_url_never_outlives_what_was_asked_nor_seven_days(bucket_on, asked, signed_for):
    before = datetime.now(UTC)
    signed = bucket_on(Wire()).presign_get("a.wav", lifetime_seconds=asked)
    assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == [str(signed_for)]
    assert before <= signed.expires_at - timedelta(seconds=signed_for) <= datetime.now(UTC)


@pytest.mark.parametrize(("asked", "least", "most"), [(10**6, 3500, 3600), (1800, 1800, 1800)])
def test_a_url_does_not_outlive_its_credentials(bucket_on, asked, least, most):
    wire = Wire()
    bucket = bucket_on(wire, new_session=expiring(wire, timedelta(hours=1)))
    signed = bucket.presign_get("a.wav", lifetime_seconds=asked)
    query = parse_qs(urlsplit(signed.url).query)
    assert least <= int(query["X-Amz-Expires"][0]) <= most
    assert query["X-Amz-Security-Token"] == ["session-token"]


@pytest.mark.parametrize("left", [timedelta(seconds=-5), timedelta(seconds=30)])
def test_credentials_that_end_within_a_minute_sign_nothing(bucket_on, left):
    wire = Wire()
    bucket = bucket_on(wire, new_session=expiring(wire, left))
    with pytest.raises(ServiceRefusal) as caught:
        bucket.presign_get("a.wav", lifetime_seconds=60)
    assert caught.value.reason == "store_credentials"


def test_credentials_that_can_be_renewed_are(bucket_on):
    wire = Wire()
    new_session = expiring(wire, timedelta(seconds=30), refreshed=timedelta(hours=1))
    signed = bucket_on(wire, new_session=new_session).presign_get("a.wav", lifetime_seconds=600)
    assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == ["600"]


def test_expired_credentials_refuse_any_other_request_with_the_same_reason(bucket_on):
    wire = Wire()
    bucket = bucket_on(wire, new_session=expiring(wire, timedelta(seconds=-5)))
    with pytest.raises(ServiceRefusal) as caught:
        bucket.head("a.wav")
    assert caught.value.reason == "store_credentials"
    assert wire.requests == []


def test_credentials_that_end_while_the_client_lives_are_said_so(bucket_on):
    wire = stored()
    bucket = bucket_on(wire, new_session=expiring(wire, timedelta(hours=1), refreshed=timedelta(seconds=-5)))
    assert bucket.head("a.wav") is not None
    bucket._session.get_credentials()._expiry_time = datetime.now(UTC)
    with pytest.raises(ServiceRefusal) as caught:
        bucket.head("a.wav")
    assert caught.value.reason == "store_credentials"
    assert len(wire.requests) == 1


def test_no_credentials_at_all_are_said_so(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    bucket = Bucket(S3Access(bucket="calls", region="eu-central-1"), clock=SystemClock())
    with pytest.raises(ServiceRefusal) as caught:
        bucket.head("a.wav")
    assert caught.value.reason == "store_credentials"


def test_a_profile_that_is_not_there_is_said_so(monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    bucket = Bucket(S3Access(bucket="calls", aws_profile="nobody"), clock=SystemClock())
    with pytest.raises(ServiceRefusal) as caught:
        bucket.head("a.wav")
    assert caught.value.reason == "store_credentials"
    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize("command", ["/no/such/program", "/bin/echo nonsense", "/bin/false"])
def test_a_credential_process_that_fails_is_said_so(tmp_path, monkeypatch, command):
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    bucket = Bucket(S3Access(bucket="calls", region="eu-central-1"), clock=SystemClock())
    with pytest.raises(ServiceRefusal) as caught:
        bucket.head("a.wav")
    assert caught.value.reason == "store_credentials"


def test_a_signed_url_does_not_show_in_what_is_printed(bucket_on):
    signed = bucket_on(Wire()).presign_get("a.wav", lifetime_seconds=60)
    assert "X-Amz-Signature" in signed.url
    for text in (repr(signed), str(signed), f"{signed}"):
        assert "Signature" not in text
        assert "a.wav" not in text
