"""What is known of a bucket, an object and a signed URL: values, and nothing about how they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from uploader.errors import RecordingFault


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """Which bucket, where, and as whom. An empty string is "not given".

    `prefix` is taken as it stands, without a slash of ours. Credentials are never here: they come
    from boto3's usual chain, or from `aws_profile`.
    """

    bucket: str
    prefix: str = ""
    region: str = ""
    endpoint_url: str = ""
    aws_profile: str = ""
    kms_key_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A checksum over the whole object as the store keeps it; `value` is lower-case hex."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One object as HEAD or a listing tells it.

    `last_modified` is aware UTC in whole seconds: HEAD tells no more, and both must agree. `etag` is
    without quotes. A listing knows neither `content_type` nor `checksum`. `archived` means that a
    GET is refused until somebody restores the object.
    """

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime
    content_type: str | None = None
    storage_class: str = "STANDARD"
    archived: bool = False
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """One page of a listing, in the store's order; `last` when no page follows."""

    objects: tuple[ObjectInfo, ...]
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUrl:
    """A URL that lets anybody read one object until `expires_at`: a secret, so `repr` leaves it out."""

    url: str = field(repr=False)
    expires_at: datetime


class ObjectTooLarge(ValueError):
    """The object is larger than the caller is willing to read."""


class ChangedDuringUpload(RecordingFault):
    """What was read for an upload is not what was announced: other length or other content."""

    def __init__(self, message: str = "the file changed while it was being uploaded") -> None:
        super().__init__(message, code="source_changed")


class ObjectChanged(RecordingFault):
    """The object was replaced since it was first looked at."""

    def __init__(self) -> None:
        super().__init__("the object was replaced while it was being read", code="source_changed")


class ObjectMissing(RecordingFault):
    """There is no such object (any more)."""

    def __init__(self) -> None:
        super().__init__("the object is not in the bucket", code="file_vanished")


class ObjectArchived(RecordingFault):
    """The object lies in an archive storage class and cannot be read as it is."""

    def __init__(self) -> None:
        super().__init__("the object is archived (Glacier): restore it before it can be read", code="file_unreadable")
