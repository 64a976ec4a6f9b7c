"""What our credentials may do with a bucket, found out by doing it; knows no settings and no terminal."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uploader.errors import UploaderError
from uploader.platform.s3.bucket import Bucket

PROBE_LIFETIME_SECONDS = 300
_CONTENT = b"qm-uploader: this may be deleted"

Fetch = Callable[[str, Mapping[str, str]], tuple[int, bytes]]
"""GET a URL with these headers: the status and the (bounded) body. Raises `UploaderError`s only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightCheck:
    """One right: `right` is `put`, `get`, `delete` or `list`; `message` says what is wrong, or is empty."""

    right: str
    ok: bool
    message: str = ""


def probe_staging(bucket: Bucket, fetch: Fetch) -> list[RightCheck]:
    """Put a small object, GET it by a signed URL with a Range, delete it.

    HEAD would prove nothing: only GET is signed. What follows on a failed `put` is left out.
    """
    key = f"{bucket.access.prefix}qm-uploader-check-{secrets.token_hex(8)}.txt"
    put = _attempt("put", lambda: _put(bucket, key))
    if not put.ok:
        return [put]
    get = _attempt("get", lambda: _get(bucket, key, fetch, first_byte=_CONTENT[:1]))
    return [put, get, _attempt("delete", lambda: _delete(bucket, key))]


def probe_source(bucket: Bucket, fetch: Fetch) -> list[RightCheck]:
    """List the prefix, and GET the first object with bytes in it by a signed URL with a Range."""
    keys: list[str] = []

    def look() -> str:
        page = next(bucket.list())
        keys.extend(entry.key for entry in page.objects if entry.size_bytes and not entry.archived)
        return ""

    listed = _attempt("list", look)
    if not keys:
        return [listed]
    return [listed, _attempt("get", lambda: _get(bucket, keys[0], fetch, first_byte=None))]


def _attempt(right: str, act: Callable[[], str]) -> RightCheck:
    try:
        message = act()
    except UploaderError as exc:
        message = str(exc)
    return RightCheck(right=right, ok=not message, message=message)


def _put(bucket: Bucket, key: str) -> str:
    bucket.put(key, io.BytesIO(_CONTENT), size_bytes=len(_CONTENT), content_type="text/plain")
    return ""


def _get(bucket: Bucket, key: str, fetch: Fetch, *, first_byte: bytes | None) -> str:
    signed = bucket.presign_get(key, lifetime_seconds=PROBE_LIFETIME_SECONDS)
    status, body = fetch(signed.url, {"Range": "bytes=0-0"})
    if status in {401, 403}:
        return f"a signed URL is refused (HTTP {status}): the credentials lack s3:GetObject, or kms:Decrypt"
    if status not in {200, 206}:
        return f"a signed URL gives HTTP {status} instead of the object"
    if first_byte is not None and body[:1] != first_byte:
        return "a signed URL gives something else than the object"
    return ""


def _delete(bucket: Bucket, key: str) -> str:
    bucket.delete(key)
    return ""
