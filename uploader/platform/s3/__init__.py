"""S3 and what speaks like it: buckets, objects, signed URLs, errors. The only boto3 import; no recordings."""

from uploader.platform.s3.bucket import Bucket
from uploader.platform.s3.ranged import RangedObject
from uploader.platform.s3.rights import Fetch, RightCheck, probe_source, probe_staging
from uploader.platform.s3.values import (
    ChangedDuringUpload,
    Checksum,
    ObjectArchived,
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    ObjectPage,
    ObjectTooLarge,
    PresignedUrl,
    S3Access,
)

__all__ = [
    "Bucket",
    "ChangedDuringUpload",
    "Checksum",
    "Fetch",
    "ObjectArchived",
    "ObjectChanged",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectPage",
    "ObjectTooLarge",
    "PresignedUrl",
    "RangedObject",
    "RightCheck",
    "S3Access",
    "probe_source",
    "probe_staging",
]
