"""One upload: what is read of the file, and the requests that carry it; knows no credentials."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import structlog

from uploader.errors import RecordingFault, UploaderError
from uploader.platform.s3.failures import translated
from uploader.platform.s3.values import ChangedDuringUpload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIB = 1024 * 1024
MAX_PARTS = 10_000
"""S3 user guide, "Multipart upload limits"."""

log = structlog.get_logger()


class Body:
    """A file as botocore reads it: from the start, exactly `size_bytes`, as often as botocore likes.

    Botocore turns whatever a body raises into an error of the connection, and tries again. So the fault is
    kept in `fault`, and rewinding raises it once more, which ends the trying. The SHA-256 is that of the
    last reading from start to end: the bytes that were sent.
    """

    def __init__(self, fileobj: BinaryIO, *, size_bytes: int, sha256: str | None) -> None:
        self.fault: RecordingFault | None = None
        self._file = fileobj
        self._size_bytes = size_bytes
        self._expected = sha256
        self._position = 0
        self._digest = hashlib.sha256()
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, none past `size_bytes`; a file that ends earlier raises."""
        left = self._size_bytes - self._position
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        try:
            chunk = self._file.read(wanted)
        except OSError:
            raise self._failed(RecordingFault("the file cannot be read", code="file_unreadable")) from None
        if not chunk:
            raise self._failed(ChangedDuringUpload("the file became shorter while it was being uploaded"))
        self._position += len(chunk)
        self._digest.update(chunk)
        return chunk

    def read_part(self, size: int) -> bytes:
        """Return exactly `size` bytes, or all that is left where that is less."""
        chunks = []
        while size > 0 and (chunk := self.read(size)):
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the start; any other place is refused, for the digest's sake."""
        if self.fault is not None:
            raise self.fault
        if whence != io.SEEK_SET or offset not in {0, self._position}:
            raise io.UnsupportedOperation("seek")
        if offset == 0:
            self._file.seek(0)
            self._position = 0
            self._digest = hashlib.sha256()
        return self._position

    def tell(self) -> int:
        """Return how many bytes were read since the start."""
        return self._position

    def verify(self) -> None:
        """Check what was read once it was read to the end: no more bytes, and the expected content.

        Raises `ChangedDuringUpload`.
        """
        if self._position != self._size_bytes or self._file.read(1):
            raise self._failed(ChangedDuringUpload("the file grew while it was being uploaded"))
        if self._expected is not None and self._digest.hexdigest() != self._expected:
            raise self._failed(ChangedDuringUpload("the file's content is no longer what it was"))

    def has_changed(self) -> bool:
        """Say whether a reading to the end gave other content than expected."""
        at_end = self._position == self._size_bytes
        return at_end and self._expected is not None and self._digest.hexdigest() != self._expected

    def _failed(self, fault: RecordingFault) -> RecordingFault:
        self.fault = fault
        return fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an upload goes. `encryption` are the request's SSE parameters; `checksums` for AWS itself."""

    bucket: str
    key: str
    content_type: str
    encryption: Mapping[str, str]
    checksums: bool


def part_size_for(size_bytes: int, *, smallest_bytes: int) -> int:
    """Return the size of a part: `smallest_bytes`, or as much more as keeps within 10,000 parts.

    Whole mebibytes above the smallest, and the same for the same size: the ETag depends on it.
    """
    least = -(-size_bytes // MAX_PARTS)
    return smallest_bytes if least <= smallest_bytes else -(-least // MIB) * MIB


def put_whole(client: S3Client, target: Target, body: Body, *, size_bytes: int) -> str:
    """Send everything in one request and return the ETag."""
    with translated():
        answer = client.put_object(
            Bucket=target.bucket,
            Key=target.key,
            Body=cast("BinaryIO", body),
            ContentLength=size_bytes,
            ContentType=target.content_type,
            **cast("Any", target.encryption),
        )
    return answer["ETag"].strip('"')


def put_parts(client: S3Client, target: Target, body: Body, *, part_size_bytes: int) -> str:
    """Send part by part, one in memory at a time, and return the ETag.

    Whatever fails, the parts are given up: an upload left open costs its storage.
    """
    with translated():
        upload_id = client.create_multipart_upload(
            Bucket=target.bucket,
            Key=target.key,
            ContentType=target.content_type,
            # a part's default checksum is refused where the upload was not begun with its kind
            **cast("Any", {"ChecksumAlgorithm": "CRC32"} if target.checksums else {}),
            **cast("Any", target.encryption),
        )["UploadId"]
    completed = False
    try:
        parts: list[CompletedPartTypeDef] = []
        while data := body.read_part(part_size_bytes):
            parts.append(_put_part(client, target, upload_id, number=len(parts) + 1, data=data))
        body.verify()
        with translated():
            answer = client.complete_multipart_upload(
                Bucket=target.bucket,
                Key=target.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            )
        completed = True
    finally:
        if not completed:
            _abort(client, target, upload_id)
    return answer["ETag"].strip('"')


def _put_part(client: S3Client, target: Target, upload_id: str, *, number: int, data: bytes) -> CompletedPartTypeDef:
    with translated():
        answer = client.upload_part(
            Bucket=target.bucket, Key=target.key, UploadId=upload_id, PartNumber=number, Body=data
        )
    part: CompletedPartTypeDef = {"PartNumber": number, "ETag": answer["ETag"]}
    if "ChecksumCRC32" in answer:
        part["ChecksumCRC32"] = answer["ChecksumCRC32"]
    return part


def _abort(client: S3Client, target: Target, upload_id: str) -> None:
    try:
        with translated():
            client.abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=upload_id)
    except UploaderError:
        log.warning("store.upload_left_open")  # the failure before this one is what gets told
