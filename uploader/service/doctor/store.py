"""Checks of where recordings are fetched from: rights in a bucket, and the built-in server by its public URL."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from urllib.parse import urlsplit

from uploader.platform.clock import Clock
from uploader.platform.http import HttpClient, HttpFailure
from uploader.platform.s3 import Bucket, Fetch, RightCheck, probe_source, probe_staging
from uploader.service.doctor.report import Finding, fail, ok, warn
from uploader.staging.builtin import SELFTEST_WAV, UrlSigner

FETCH_SECONDS = 10.0
_LIFE_SECONDS = 300.0
_FETCH_BYTES = 4096
_SLACK = timedelta(minutes=1)
_PROXY_HINT = "check the reverse proxy: it must pass /recordings/ with its query on to [staging] listen"
_RIGHTS_HINT = "see the rights in the README; the credentials come from boto3's usual chain"

Served = Callable[[], AbstractContextManager[UrlSigner]]
"""Have the built-in server serve while the context lasts; raises what keeps it from it."""


def fetcher(http: HttpClient) -> Fetch:
    """Return what GETs a signed URL as the service would."""

    def fetch(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        reply = http.request("GET", url, headers=headers, deadline_seconds=FETCH_SECONDS, max_body_bytes=_FETCH_BYTES)
        return reply.status, reply.body

    return fetch


def check_bucket_source(bucket: Bucket, fetch: Fetch) -> Finding:
    """List the source's prefix and fetch its first object by a signed URL."""
    try:
        rights = probe_source(bucket, fetch)
    finally:
        bucket.close()
    if _faults(rights):
        return fail(_faults(rights), hint=_RIGHTS_HINT)
    if len(rights) == 1:
        return ok("can be listed; nothing is in it yet that could be fetched")
    return ok("can be listed, and fetched from by signed URL")


def check_staging_bucket(bucket: Bucket, fetch: Fetch, clock: Clock, *, url_ttl: timedelta) -> Finding:
    """Put a small object, fetch it by a signed URL, delete it; see how long the credentials live."""
    try:
        faults = _faults(probe_staging(bucket, fetch))
        if faults:
            return fail(faults, hint=_RIGHTS_HINT)
        signed = bucket.presign_get(f"{bucket.access.prefix}none", lifetime_seconds=int(url_ttl.total_seconds()))
        left = signed.expires_at - clock.now()
    finally:
        bucket.close()
    if left < url_ttl - _SLACK:
        minutes = left.total_seconds() / 60
        message = (
            f"put, signed GET and delete work, but a URL signed now dies with the credentials, in {minutes:.0f} min"
        )
        return warn(
            message, hint="use credentials that live longer than the service may take to fetch, or shorten url_ttl"
        )
    return ok("put, signed GET with a range and delete work")


def _faults(rights: list[RightCheck]) -> str:
    return "; ".join(f"{right.right}: {right.message}" for right in rights if not right.ok)


def check_builtin(served: Served, fetch: Fetch, *, public_url: str, api_url: str) -> Finding:
    """Fetch the test file through `public_url`, whole and in part. Raises UsageError for a port that is taken."""
    with served() as signer:
        url = signer.sign_selftest(lifetime_seconds=_LIFE_SECONDS).url
        try:
            status, body = fetch(url, {})
            part_status, part = fetch(url, {"Range": "bytes=0-3"})
        except HttpFailure as failure:
            hint = failure.hint or _PROXY_HINT
            return fail(f"the test file cannot be fetched through public_url: {failure.kind.value}", hint=hint)
    if status != 200:
        return fail(f"the test file cannot be fetched through public_url: it answers {status}", hint=_PROXY_HINT)
    if body != SELFTEST_WAV:
        return fail("public_url gives something else than the test file", hint=_PROXY_HINT)
    if is_loopback(public_url) and not is_loopback(api_url):
        return warn(
            "public_url is a loopback address, which the service cannot reach: fine for the sandbox only",
            hint="set it to the https address of a reverse proxy that the service can reach",
        )
    if part_status != 206 or part != SELFTEST_WAV[:4]:
        return warn(
            "the test file comes through public_url, but not in parts",
            hint="let the reverse proxy pass the Range header on",
        )
    return ok("the test file comes back through public_url, whole and in part")


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
