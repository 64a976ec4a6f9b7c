"""What botocore raises, as our errors; knows no request and keeps no value of one.

Botocore puts addresses and keys into its messages, so none of its text is carried over, and the chain is
cut (`from None`): a traceback in a log would print it after all (promise 4).
Codes: S3 API reference, "Error responses"; the bare numbers are answers to HEAD, which have no body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uploader.errors import ServiceRefusal, StoreUnavailable, UploaderError
from uploader.platform.s3.values import ObjectArchived, ObjectChanged, ObjectMissing

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

CREDENTIALS = "store_credentials"
FORBIDDEN = "store_forbidden"
BUCKET = "store_bucket"

_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404"})
_CHANGED_CODES = frozenset({"PreconditionFailed", "412"})
_BUCKET_CODES = frozenset({"NoSuchBucket", "InvalidBucketName"})
_CREDENTIAL_CODES = frozenset(
    {
        "AccountProblem",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingSecurityHeader",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_REGION_CODES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "IllegalLocationConstraintException",
        "InvalidRegion",
        "PermanentRedirect",
        "Redirect",
        "TemporaryRedirect",
        "301",
        "307",
        "308",
    }
)
_FORBIDDEN_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "Forbidden",
        "UnauthorizedAccess",
        "401",
        "403",
    }
)
_BUSY_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
_DAMAGED_CODES = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InvalidDigest",
        "NoSuchUpload",
        "RequestTimeout",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn everything that botocore raises inside into an `UploaderError`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as exc:
        raise of_answer(exc) from None
    except (BotoCoreError, ResponseParserError, HTTPError) as exc:
        raise of_attempt(exc) from None


def of_attempt(exc: Exception) -> UploaderError:
    """Judge an exception that came without an answer of the store."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    kind = type(exc).__name__
    if isinstance(exc, boto.SSLError):
        return StoreUnavailable(
            "the TLS connection to the object store failed",
            hint="if its certificate is from a private CA, name the CA's file in AWS_CA_BUNDLE",
        )
    if isinstance(exc, _credential_errors()):
        return ServiceRefusal(
            f"no usable AWS credentials ({kind})",
            reason=CREDENTIALS,
            hint="give credentials in a way that boto3 knows: environment, profile or instance role",
        )
    garbled = (ResponseParserError, HTTPError, boto.FlexibleChecksumError, boto.ChecksumError)
    broken = (boto.ResponseStreamingError, boto.IncompleteReadError)
    unreached = (boto.ConnectionError, boto.HTTPClientError)
    if isinstance(exc, unreached):
        return StoreUnavailable(f"the object store cannot be reached ({kind})")
    if isinstance(exc, (*garbled, *broken)):
        return StoreUnavailable(f"the object store's answer was broken off or garbled ({kind})")
    return ServiceRefusal(
        f"the settings of the object store do not work ({kind})",
        reason=BUCKET,
        hint="check bucket, region and endpoint_url",
    )


def of_answer(exc: ClientError) -> UploaderError:
    """Judge an answer of the store that is an error."""
    code, status = code_of(exc), status_of(exc)
    about_one_object = _of_object(code)
    if about_one_object is not None:
        return about_one_object
    if code in _BUSY_CODES or status == 429:
        return StoreUnavailable(
            "the object store asks for fewer requests", retry_after_seconds=_retry_after_seconds(exc)
        )
    if code in _DAMAGED_CODES:
        return StoreUnavailable(f"the object store did not take the data ({code})")
    if status >= 500 and status != 501:
        return StoreUnavailable(
            f"the object store answers HTTP {status}", retry_after_seconds=_retry_after_seconds(exc)
        )
    return _of_access(code, status)


def _of_object(code: str) -> UploaderError | None:
    if code in _MISSING_CODES:
        return ObjectMissing()
    if code in _CHANGED_CODES:
        return ObjectChanged()
    if code == "InvalidObjectState":
        return ObjectArchived()
    return None


def _of_access(code: str, status: int) -> ServiceRefusal:
    if code in _BUCKET_CODES:
        return ServiceRefusal("the bucket does not exist", reason=BUCKET, hint="check bucket, region and endpoint_url")
    if code in _REGION_CODES or status in {301, 307, 308}:
        return ServiceRefusal(
            "the bucket lies in another region than the one asked",
            reason=BUCKET,
            hint="mend or remove region",
        )
    if code in _CLOCK_CODES:
        return ServiceRefusal(
            "the clocks of this machine and of the object store differ too much",
            reason=CREDENTIALS,
            hint="set this machine's clock (NTP)",
        )
    if code in _CREDENTIAL_CODES:
        return ServiceRefusal(
            f"the object store does not take the AWS credentials ({code})",
            reason=CREDENTIALS,
            hint="renew the access key or the session",
        )
    if code in _FORBIDDEN_CODES or code.startswith("KMS.") or status in {401, 403}:
        return ServiceRefusal(
            "the object store refuses access: these credentials lack the right",
            reason=FORBIDDEN,
            hint="needed are s3:ListBucket on the bucket, s3:GetObject and (staging) s3:PutObject, "
            "s3:DeleteObject on its objects, and kms:Decrypt, kms:GenerateDataKey where a KMS key is used",
        )
    return ServiceRefusal(
        f"the object store does not take the request (HTTP {status}, {code})",
        reason=BUCKET,
        hint="check bucket, region and endpoint_url",
    )


def code_of(exc: ClientError) -> str:
    """Return the error's code, or `unknown` where it is no plain word."""
    code = str(exc.response.get("Error", {}).get("Code", ""))
    return code if re.fullmatch(r"[A-Za-z0-9._]{1,64}", code) else "unknown"


def status_of(exc: ClientError) -> int:
    """Return the HTTP status, 0 where there is none."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _retry_after_seconds(exc: ClientError) -> float | None:
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    value = headers.get("retry-after", "")
    return float(value) if re.fullmatch(r"[0-9]{1,6}", value) else None


def _credential_errors() -> tuple[type[Exception], ...]:
    from botocore import exceptions as boto

    return (
        boto.ConfigNotFound,
        boto.ConfigParseError,
        boto.CredentialRetrievalError,
        boto.InfiniteLoopConfigError,
        boto.InvalidConfigError,
        boto.LoginError,
        boto.MetadataRetrievalError,
        boto.MissingDependencyException,
        boto.NoAuthTokenError,
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.ProfileNotFound,
        boto.RefreshWithMFAUnsupportedError,
        boto.SSOError,
        boto.TokenRetrievalError,
        boto.UnknownCredentialError,
    )
