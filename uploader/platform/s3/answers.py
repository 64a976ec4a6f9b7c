"""Answers of the store, as values; sends nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from uploader.platform.s3.values import Checksum, ObjectInfo

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before a GET (S3 user guide, "Archived objects")."""
_ALGORITHMS = ("SHA512", "SHA256", "XXHASH128", "SHA1", "MD5", "CRC64NVME", "CRC32C", "CRC32")


def of_head(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    """Read the answer of HeadObject."""
    storage_class = answer.get("StorageClass") or "STANDARD"
    restored = 'ongoing-request="false"' in answer.get("Restore", "")
    archived = storage_class in ARCHIVE_CLASSES or "ArchiveStatus" in answer
    return ObjectInfo(
        key=key,
        size_bytes=answer["ContentLength"],
        etag=answer.get("ETag", "").strip('"'),
        last_modified=_whole_seconds(answer["LastModified"]),
        content_type=answer.get("ContentType"),
        storage_class=storage_class,
        archived=archived and not restored,
        checksum=_full_checksum(answer),
    )


def of_entry(entry: Mapping[str, Any]) -> ObjectInfo:
    """Read one entry of a listing."""
    storage_class = entry.get("StorageClass") or "STANDARD"
    restored = "RestoreExpiryDate" in entry.get("RestoreStatus", {})
    return ObjectInfo(
        key=entry["Key"],
        size_bytes=entry["Size"],
        etag=entry.get("ETag", "").strip('"'),
        last_modified=_whole_seconds(entry["LastModified"]),
        storage_class=storage_class,
        archived=storage_class in ARCHIVE_CLASSES and not restored,
    )


def _full_checksum(answer: Mapping[str, Any]) -> Checksum | None:
    """Take the strongest checksum over the whole object; those made of parts' checksums do not count."""
    if answer.get("ChecksumType") == "COMPOSITE":
        return None
    for algorithm in _ALGORITHMS:
        value = answer.get(f"Checksum{algorithm}", "")
        if value and "-" not in value:  # "…-3" is made of three parts
            with suppress(ValueError):
                return Checksum(algorithm=algorithm.lower(), value=base64.b64decode(value, validate=True).hex())
    return None


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
