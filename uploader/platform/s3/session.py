"""How a session and a client for one bucket are made; knows no object and no caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uploader.errors import ServiceRefusal
from uploader.platform.s3.failures import BUCKET, CREDENTIALS, of_answer, translated
from uploader.platform.s3.values import ObjectMissing, S3Access

if TYPE_CHECKING:
    import boto3
    from botocore.client import Config
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 60
TOTAL_ATTEMPTS = 3
DEFAULT_REGION = "us-east-1"


def open_session(access: S3Access) -> boto3.Session:
    """Make a session of boto3's usual credentials chain, or of the profile that is named.

    Raises `ServiceRefusal` when the profile or the AWS configuration files cannot be used.
    """
    import boto3

    with translated():
        return boto3.Session(profile_name=access.aws_profile or None)


def open_client(session: boto3.Session, access: S3Access, *, max_pool_connections: int) -> S3Client:
    """Make the client for the bucket, in the bucket's region.

    Not safe for two threads at once: a session is not. On AWS a region that is not given is asked for
    (one HeadBucket). Raises `ServiceRefusal` (credentials, bucket, region) and `StoreUnavailable`.
    """
    require_credentials(session)
    region = access.region or _find_region(session, access)
    return _client(session, access, region=region, max_pool_connections=max_pool_connections)


def require_credentials(session: boto3.Session) -> None:
    """Make sure that the session has credentials which are good now, renewed if need be.

    Safe from any thread. Raises `ServiceRefusal("store_credentials")`.
    """
    try:
        with translated():
            credentials = session.get_credentials()
            if credentials is not None:
                credentials.get_frozen_credentials()
    except RuntimeError:  # botocore: renewed, and expired all the same
        raise expired() from None
    except (OSError, ValueError):  # a `credential_process` that cannot be started, or prints nonsense
        raise ServiceRefusal(
            "the AWS credentials cannot be obtained", reason=CREDENTIALS, hint="mend the AWS profile"
        ) from None
    if credentials is None:
        raise ServiceRefusal(
            "no AWS credentials were found",
            reason=CREDENTIALS,
            hint="give credentials in a way that boto3 knows: environment, profile or instance role",
        )


def expired() -> ServiceRefusal:
    """Make the refusal for credentials at their end."""
    return ServiceRefusal(
        "the AWS credentials have expired, or have less than a minute left",
        reason=CREDENTIALS,
        hint="renew them; credentials without an end let signed URLs live longest",
    )


def client_config(access: S3Access, *, max_pool_connections: int) -> Config:
    """Say how the client signs, addresses, waits and retries.

    SigV4 throughout: boto3 still presigns with SigV2 in old regions, which KMS refuses. Virtual hosts on
    AWS with the region in the name (the global host redirects, and a signed URL does not survive that);
    botocore itself falls back to paths for names with dots. Custom endpoints get paths, and no checksum
    trailers: over HTTPS many stores cannot read them. Endpoints from the environment are not used, so
    that the configuration tells the whole truth.
    """
    from botocore.client import Config

    if access.endpoint_url:
        s3 = {"addressing_style": "path"}
        checksums = {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
    else:
        s3 = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        checksums = {}
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "s3": s3,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": READ_TIMEOUT_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
        "max_pool_connections": max_pool_connections,
        "tcp_keepalive": True,
        "ignore_configured_endpoint_urls": True,
    }
    return Config(**(options | checksums))


def _client(session: boto3.Session, access: S3Access, *, region: str, max_pool_connections: int) -> S3Client:
    config = client_config(access, max_pool_connections=max_pool_connections)
    try:
        with translated():
            return session.client("s3", region_name=region, endpoint_url=access.endpoint_url or None, config=config)
    except ValueError:  # botocore: "Invalid endpoint"
        raise ServiceRefusal(
            "endpoint_url or region is not one that can be used", reason=BUCKET, hint="mend it"
        ) from None


def _find_region(session: boto3.Session, access: S3Access) -> str:
    """Ask AWS where the bucket lies; HeadBucket tells it even to those whom it refuses."""
    from botocore.exceptions import ClientError

    guess = session.region_name or DEFAULT_REGION
    if access.endpoint_url:
        return guess
    client = _client(session, access, region=guess, max_pool_connections=1)
    try:
        with translated():
            try:
                return client.head_bucket(Bucket=access.bucket).get("BucketRegion") or guess
            except ClientError as exc:
                headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                told = headers.get("x-amz-bucket-region")
                if told:
                    return str(told)
                raise of_answer(exc) from None
    except ObjectMissing:
        raise ServiceRefusal(
            "the bucket does not exist", reason=BUCKET, hint="check bucket, region and endpoint_url"
        ) from None
    finally:
        client.close()
