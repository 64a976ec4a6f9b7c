"""Every error of botocore becomes one of ours, with a sentence that gives nothing away."""

from __future__ import annotations

import inspect
import traceback

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import ProtocolError

from uploader.errors import RecordingFault, ServiceRefusal, StoreUnavailable, UploaderError
from uploader.platform.s3.failures import translated

CANARY = "s3cr3t-canary"
BOTOCORE_ERRORS = sorted(
    (kind for kind in vars(botocore.exceptions).values() if inspect.isclass(kind) and issubclass(kind, BotoCoreError)),
    key=lambda kind: kind.__name__,
)


def raised(exc: Exception) -> UploaderError:
    with pytest.raises(UploaderError) as caught, translated():
        raise exc
    return caught.value


def made(kind: type[BotoCoreError]) -> BotoCoreError:
    class Anything(dict):
        def __missing__(self, name: str) -> str:
            return CANARY

    exc = kind.__new__(kind)
    exc.kwargs = {}
    Exception.__init__(exc, kind.fmt.format_map(Anything()))
    return exc


def answer(code: str, status: int, headers: dict[str, str] | None = None) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": CANARY},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},  # type: ignore[typeddict-item]
        },
        "PutObject",
    )


@pytest.mark.parametrize("kind", BOTOCORE_ERRORS, ids=lambda kind: kind.__name__)
def test_no_botocore_error_is_left_untranslated_and_none_tells_its_values(kind):
    error = raised(made(kind))
    assert isinstance(error, ServiceRefusal | StoreUnavailable)
    assert CANARY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("exc", [ResponseParserError("x"), ProtocolError("x")])
def test_errors_outside_botocores_own_tree_are_translated_too(exc):
    assert isinstance(raised(exc), StoreUnavailable)


@pytest.mark.parametrize(
    "name",
    [
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "ProxyConnectionError",
        "SSLError",
        "HTTPClientError",
        "ResponseStreamingError",
        "IncompleteReadError",
        "FlexibleChecksumError",
    ],
)
def test_a_broken_connection_or_answer_means_unavailable(name):
    assert isinstance(raised(made(getattr(botocore.exceptions, name))), StoreUnavailable)


@pytest.mark.parametrize(
    "name",
    [
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "ConfigParseError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "InfiniteLoopConfigError",
    ],
)
def test_missing_credentials_close_the_gate_for_credentials(name):
    error = raised(made(getattr(botocore.exceptions, name)))
    assert isinstance(error, ServiceRefusal)
    assert error.reason == "store_credentials"
    assert error.hint


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("InvalidAccessKeyId", 403, "store_credentials"),
        ("SignatureDoesNotMatch", 403, "store_credentials"),
        ("ExpiredToken", 400, "store_credentials"),
        ("RequestTimeTooSkewed", 403, "store_credentials"),
        ("AccessDenied", 403, "store_forbidden"),
        ("403", 403, "store_forbidden"),
        ("KMS.DisabledException", 400, "store_forbidden"),
        ("SomethingNew", 403, "store_forbidden"),
        ("NoSuchBucket", 404, "store_bucket"),
        ("PermanentRedirect", 301, "store_bucket"),
        ("301", 301, "store_bucket"),
        ("AuthorizationHeaderMalformed", 400, "store_bucket"),
        ("NotImplemented", 501, "store_bucket"),
        ("SomethingNew", 400, "store_bucket"),
    ],
)
def test_a_refusal_names_the_gate(code, status, reason):
    error = raised(answer(code, status))
    assert isinstance(error, ServiceRefusal)
    assert error.reason == reason
    assert error.hint
    assert CANARY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalError", 500),
        ("503", 503),
        ("SlowDown", 503),
        ("Throttling", 400),
        ("SomethingNew", 429),
        ("RequestTimeout", 400),
        ("BadDigest", 400),
        ("NoSuchUpload", 404),
    ],
)
def test_overload_and_damage_on_the_way_mean_unavailable(code, status):
    assert isinstance(raised(answer(code, status)), StoreUnavailable)


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after_is_passed_on_when_it_is_a_number(value, seconds):
    error = raised(answer("SlowDown", 503, {"retry-after": value}))
    assert isinstance(error, StoreUnavailable)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("NoSuchKey", 404, "file_vanished"),
        ("404", 404, "file_vanished"),
        ("PreconditionFailed", 412, "source_changed"),
        ("InvalidObjectState", 403, "file_unreadable"),
    ],
)
def test_what_concerns_one_object_is_that_recordings_fault(code, status, reason):
    error = raised(answer(code, status))
    assert isinstance(error, RecordingFault)
    assert error.code == reason


def test_a_code_that_is_no_plain_word_is_not_repeated():
    error = raised(answer(f"<b>{CANARY} is wrong</b>", 400))
    assert CANARY not in str(error)


def test_our_own_errors_pass_through():
    fault = RecordingFault("as it is", code="source_changed")
    assert raised(fault) is fault
