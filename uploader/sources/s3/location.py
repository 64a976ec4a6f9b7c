"""Where an object lies, as a text for people and commands: `s3://bucket/key`."""

from __future__ import annotations

SCHEME = "s3://"


def location_of(bucket: str, key: str) -> str:
    """Write a location; the key stands there as it is, without escapes."""
    return f"{SCHEME}{bucket}/{key}"


def parse_location(location: str) -> tuple[str, str]:
    """Read a location back into bucket and key (or prefix, which may be empty).

    Raises `ValueError` when it is none.
    """
    bucket, _, key = location.removeprefix(SCHEME).partition("/")
    if not location.startswith(SCHEME) or not bucket:
        raise ValueError("not of the form s3://bucket/key")
    return bucket, key
