"""One bucket: its objects put, looked at, read, listed, deleted and signed for; knows no recording."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from uploader.errors import StoreUnavailable, UploaderError
from uploader.platform.clock import Clock
from uploader.platform.s3 import answers, upload
from uploader.platform.s3.failures import code_of, of_answer, translated
from uploader.platform.s3.session import expired, open_client, open_session, require_credentials
from uploader.platform.s3.values import (
    ChangedDuringUpload,
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    ObjectPage,
    ObjectTooLarge,
    PresignedUrl,
    S3Access,
)

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

MAX_LIFETIME_SECONDS = 7 * 24 * 3600
"""The longest that SigV4 signs for; botocore does not refuse more by itself, the store does."""
LEAST_CREDENTIALS_SECONDS = 60
MAX_PAGE_SIZE = 1000
_CHUNK_BYTES = 64 * 1024


class Bucket:
    """A bucket under one set of credentials; every method is safe from any thread.

    Session and client are made when first needed. Keys are whole keys, prefix included. Every method
    raises `StoreUnavailable` when the store cannot be reached, is busy or answers nonsense, and
    `ServiceRefusal` (`store_credentials`, `store_forbidden`, `store_bucket`) when it refuses us.
    """

    def __init__(
        self,
        access: S3Access,
        *,
        clock: Clock,
        max_pool_connections: int = 10,
        whole_up_to_bytes: int = 64 * upload.MIB,
        part_size_bytes: int = 16 * upload.MIB,
        page_size: int = MAX_PAGE_SIZE,
        new_session: Callable[[S3Access], boto3.Session] = open_session,
    ) -> None:
        self.access = access
        self._clock = clock
        self._max_pool_connections = max_pool_connections
        self._whole_up_to_bytes = whole_up_to_bytes
        self._part_size_bytes = part_size_bytes
        self._page_size = page_size
        self._new_session = new_session
        self._lock = threading.Lock()
        self._session: boto3.Session | None = None
        self._client: S3Client | None = None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client, self._session = self._client, None, None
        if client is not None:
            client.close()

    def put(self, key: str, fileobj: BinaryIO, *, size_bytes: int, content_type: str, sha256: str | None = None) -> str:
        """Upload a file from its start and return the ETag; large ones in parts, one in memory at a time.

        Raises `ChangedDuringUpload` unless exactly `size_bytes` were there to be read and, where `sha256`
        (hex) is given, were that content: then nothing is left under the key.
        """
        body = upload.Body(fileobj, size_bytes=size_bytes, sha256=sha256)
        target = upload.Target(
            bucket=self.access.bucket,
            key=key,
            content_type=content_type,
            encryption=self._encryption(),
            checksums=not self.access.endpoint_url,
        )
        client = self._ready()
        try:
            if size_bytes > self._whole_up_to_bytes:
                return upload.put_parts(client, target, body, part_size_bytes=self.part_size_for(size_bytes))
            etag = upload.put_whole(client, target, body, size_bytes=size_bytes)
        except UploaderError:
            if body.fault is not None:
                raise body.fault from None
            if body.has_changed():  # the store saw that what came is not what was signed
                raise ChangedDuringUpload from None
            raise
        self._verify_or_take_back(body, key)
        return etag

    def part_size_for(self, size_bytes: int) -> int:
        """Return the part size that `put` uses for a file of this size, 0 when it goes as a whole."""
        if size_bytes <= self._whole_up_to_bytes:
            return 0
        return upload.part_size_for(size_bytes, smallest_bytes=self._part_size_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        """Look at one object; None when it is not there (or, by S3's HEAD, when the bucket is not)."""
        try:
            with translated():
                answer = self._ready().head_object(
                    Bucket=self.access.bucket,
                    Key=key,
                    **cast("Any", {} if self.access.endpoint_url else {"ChecksumMode": "ENABLED"}),
                )
        except ObjectMissing:
            return None
        return answers.of_head(key, cast("Mapping[str, Any]", answer))

    def read_range(self, key: str, offset: int, length: int, *, etag: str | None = None) -> bytes:
        """Read `length` bytes from `offset`, fewer at the object's end, none beyond it.

        With `etag`, only of that object. Raises `ObjectMissing`, `ObjectChanged`, `ObjectArchived`.
        """
        from botocore.exceptions import ClientError

        if length <= 0:
            return b""
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        with translated():
            try:
                answer = self._ready().get_object(Bucket=self.access.bucket, Key=key, **cast("Any", wanted | condition))
            except ClientError as exc:
                if code_of(exc) in {"InvalidRange", "416"}:
                    return b""
                raise of_answer(exc) from None
            with closing(answer["Body"]):
                if etag and answer["ETag"].strip('"') != etag:
                    raise ObjectChanged
                if offset and not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
                    raise StoreUnavailable("the object store does not serve parts of objects")
                return _read_at_most(answer, length)

    def read_small(self, key: str, *, limit_bytes: int) -> bytes | None:
        """Read a whole small object; None when it is not there.

        Raises `ObjectTooLarge` when it is larger than `limit_bytes`, `ObjectArchived`.
        """
        try:
            with translated():
                answer = self._ready().get_object(Bucket=self.access.bucket, Key=key)
                with closing(answer["Body"]):
                    if answer["ContentLength"] > limit_bytes:
                        raise ObjectTooLarge
                    data = _read_at_most(answer, limit_bytes + 1)
        except ObjectMissing:
            return None
        if len(data) > limit_bytes:
            raise ObjectTooLarge
        return data

    def list(self, *, start_after: str | None = None, prefix: str | None = None) -> Iterator[ObjectPage]:
        """List the prefix (another than its own, if given) page by page, one request each.

        `start_after` leaves out what the store's order has up to that key.
        """
        request: dict[str, Any] = {
            "Bucket": self.access.bucket,
            "Prefix": self.access.prefix if prefix is None else prefix,
            "MaxKeys": self._page_size,
        }
        if start_after:
            request["StartAfter"] = start_after
        if not self.access.endpoint_url:
            request["OptionalObjectAttributes"] = ["RestoreStatus"]
        while True:
            with translated():
                answer = self._ready().list_objects_v2(**request)
            token = answer.get("NextContinuationToken") if answer.get("IsTruncated") else None
            if answer.get("IsTruncated") and token in {None, request.get("ContinuationToken")}:
                raise StoreUnavailable("the object store's listing does not go on")
            objects = tuple(answers.of_entry(cast("Mapping[str, Any]", entry)) for entry in answer.get("Contents", ()))
            yield ObjectPage(objects=objects, last=token is None)
            if token is None:
                return
            request["ContinuationToken"] = token

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        with suppress(ObjectMissing), translated():
            self._ready().delete_object(Bucket=self.access.bucket, Key=key)

    def presign_get(self, key: str, *, lifetime_seconds: int) -> PresignedUrl:
        """Sign a URL that GETs the object; call it just before the URL is given away.

        It lives min(`lifetime_seconds`, 7 days, what the credentials have left). Only GET is signed, HEAD is
        refused; Range works. Raises `ServiceRefusal("store_credentials")` when the credentials have
        less than a minute left (S3 user guide, "Sharing objects with presigned URLs").
        """
        client, now = self._ready(), self._clock.now()
        lifetime = max(1, min(lifetime_seconds, MAX_LIFETIME_SECONDS))
        left = self._credentials_left_seconds(now)
        if left is not None:
            if left < LEAST_CREDENTIALS_SECONDS:
                raise expired()
            lifetime = min(lifetime, left)
        with translated():
            url = client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.access.bucket, "Key": key},
                ExpiresIn=lifetime,
                HttpMethod="GET",
            )
        return PresignedUrl(url=url, expires_at=now + timedelta(seconds=lifetime))

    def _ready(self) -> S3Client:
        """Return the client, made if need be, with credentials that are good for a request now."""
        with self._lock:
            if self._client is None:
                self._session = self._new_session(self.access)
                self._client = open_client(self._session, self.access, max_pool_connections=self._max_pool_connections)
            client, session = self._client, self._session
        if session is not None:
            require_credentials(session)
        return client

    def _credentials_left_seconds(self, now: datetime) -> int | None:
        """Return how long the credentials live, None when they do not expire or do not say."""
        with self._lock:
            session = self._session
        credentials = session.get_credentials() if session is not None else None
        # botocore keeps it private and offers no other way to see it
        expires_at = getattr(credentials, "_expiry_time", None)
        return int((expires_at - now).total_seconds()) if isinstance(expires_at, datetime) else None

    def _encryption(self) -> dict[str, str]:
        if not self.access.kms_key_id:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.access.kms_key_id}

    def _verify_or_take_back(self, body: upload.Body, key: str) -> None:
        try:
            body.verify()
        except ChangedDuringUpload:
            with suppress(UploaderError):
                self.delete(key)
            raise


def _read_at_most(answer: GetObjectOutputTypeDef, limit_bytes: int) -> bytes:
    """Read to the end or the limit; botocore checks the checksum only at the end."""
    chunks: list[bytes] = []
    left = limit_bytes
    while left > 0 and (chunk := answer["Body"].read(min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
