"""A store that refuses us, or is not there: the right exception, and a sentence without values."""

from __future__ import annotations

import dataclasses
import io
import socket
import traceback

import pytest

from uploader.errors import ServiceRefusal, StoreUnavailable, UploaderError
from uploader.platform.clock import SystemClock
from uploader.platform.s3 import Bucket, S3Access

KEY = "Müller 4915112345678.wav"

CALLS = {
    "put": lambda bucket: bucket.put(KEY, io.BytesIO(b"x"), size_bytes=1, content_type="audio/wav"),
    "head": lambda bucket: bucket.head(KEY),
    "read_range": lambda bucket: bucket.read_range(KEY, 0, 4),
    "read_small": lambda bucket: bucket.read_small(KEY, limit_bytes=10),
    "list": lambda bucket: next(bucket.list()),
    "delete": lambda bucket: bucket.delete(KEY),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def raised_by(call, bucket) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        call(bucket)
    told = "".join(traceback.format_exception(caught.value))
    for secret in (KEY, "4915112345678", bucket.access.bucket, "Signature="):
        # the traceback shows this file's lines, never what they held
        assert secret not in str(caught.value)
        assert secret not in told
    return caught.value


@EVERY_CALL
def test_a_wrong_secret_closes_the_store(server, make_bucket, call):
    wrong = dataclasses.replace(server.admin, secret_key="mistyped")
    error = raised_by(call, make_bucket(server, keys=wrong))
    assert isinstance(error, ServiceRefusal)
    # HEAD has no body to say more than 403
    assert error.reason == ("store_forbidden" if call is CALLS["head"] else "store_credentials")


def test_an_unknown_key_closes_the_store(server, make_bucket):
    unknown = dataclasses.replace(server.admin, access_key="AKNOBODY")
    error = raised_by(CALLS["put"], make_bucket(server, keys=unknown))
    assert isinstance(error, ServiceRefusal)
    assert error.reason == "store_credentials"


@pytest.mark.parametrize("name", ["put", "read_range", "read_small", "list"])
def test_a_missing_bucket_closes_the_store(server, make_bucket, name):
    error = raised_by(CALLS[name], make_bucket(server, name="no-such-bucket"))
    assert isinstance(error, ServiceRefusal)
    assert error.reason == "store_bucket"


@pytest.mark.parametrize(
    ("identity", "name"),
    [("reader", "put"), ("reader", "delete"), ("writer", "read_range"), ("writer", "head"), ("lister", "put")],
)
def test_a_missing_right_closes_the_store(server, make_bucket, identity, name):
    error = raised_by(CALLS[name], make_bucket(server, keys=getattr(server, identity)))
    assert isinstance(error, ServiceRefusal)
    assert error.reason == "store_forbidden"


def test_a_certificate_of_an_unknown_authority_is_said_so(s3_https, make_bucket):
    error = raised_by(CALLS["head"], make_bucket(s3_https))
    assert isinstance(error, StoreUnavailable)
    assert "AWS_CA_BUNDLE" in error.hint


def test_a_ca_file_that_is_not_there_is_unavailable(s3_https, make_bucket, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/ca.pem")
    error = raised_by(CALLS["head"], make_bucket(s3_https, name="calls-canary"))
    assert isinstance(error, StoreUnavailable)


def test_nobody_listening_is_unavailable(s3_http, make_bucket, monkeypatch):
    s3_http.admin.use(monkeypatch)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused
        access = S3Access(bucket="calls-canary", endpoint_url=f"http://127.0.0.1:{held.getsockname()[1]}")
        bucket = Bucket(access, clock=SystemClock())
        error = raised_by(CALLS["head"], bucket)
        bucket.close()
    assert isinstance(error, StoreUnavailable)


def test_https_spoken_to_a_plain_port_is_unavailable(s3_http, make_bucket):
    crossed = dataclasses.replace(s3_http, endpoint_url=s3_http.endpoint_url.replace("http:", "https:"))
    error = raised_by(CALLS["head"], make_bucket(crossed, name="calls-canary"))
    assert isinstance(error, StoreUnavailable)
