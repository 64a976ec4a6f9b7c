"""What the settings mean to each part: plain values, places and clients; nothing is started here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from uploader.app.secret import CurrentSecret
from uploader.domain.identity import SameCall
from uploader.ledger.discovery import SourceRow
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.pipeline.places import BucketPlace, FolderNames, FolderPlace, Place, list_siblings
from uploader.pipeline.spec import SidecarPolicy, SourceSpec
from uploader.platform.clock import Clock
from uploader.platform.http import HttpClient
from uploader.platform.s3 import Bucket, S3Access
from uploader.settings.model import Settings, SourceSettings, StagingSettings
from uploader.settings.order import ImportOrder
from uploader.sidecars.mapping import MappingContext
from uploader.sources.folder.rules import Rules
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient
from uploader.zoom.meters import ServiceMeters

log = structlog.get_logger()

_MOST_SIBLINGS = 1000
FILE_CONNECTIONS = 256
"""Downloads of recordings at once."""
WEB_CONNECTIONS = 64
SENDER_NOTE = "sender"
"""The note that says for which import alone the one sender sends; empty for the daemon."""
IMPORT_REST_SECONDS = 2.0
"""So long must a file that an import takes have been left alone."""


def open_beside(settings: Settings) -> Ledger:
    """Open the ledger for a command. Raises LedgerError."""
    return Ledger.open_beside(Path(settings.ledger.path))


def spec_of(source: SourceSettings, *, is_import: bool = False) -> SourceSpec:
    """Return how a source's recordings are treated."""
    return SourceSpec(
        name=source.name,
        rules=Rules(include=source.include, exclude=source.exclude),
        mapping=MappingContext(
            profile=source.profile,
            timezone=source.timezone,
            phone_region=source.phone_region,
            require=source.require,
            defaults=dict(source.defaults),
        ),
        sidecar=SidecarPolicy(source.sidecar or "required"),
        same_call=SameCall(source.same_call),
        sidecar_wait_seconds=source.sidecar_wait.total_seconds(),
        settle_seconds=source.settle.total_seconds(),
        is_import=is_import,
    )


def fingerprint(source: SourceSettings) -> str:
    """Return what of a source's settings decides what is sent: when it changes, what waits is judged again."""
    deciding = {
        "profile": source.profile,
        "sidecar": source.sidecar,
        "require": list(source.require),
        "timezone": source.timezone,
        "phone_region": source.phone_region,
        "same_call": source.same_call,
        "defaults": dict(sorted(source.defaults.items())),
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def root_of(source: SourceSettings) -> bytes:
    """Return where a source begins: a folder, or `s3://bucket/prefix`."""
    if source.type == "folder":
        return os.fsencode(source.path.rstrip("/") or "/")
    return f"s3://{source.bucket}/{source.prefix}".rstrip("/").encode()


def bucket_of(source: SourceSettings | StagingSettings, clock: Clock, *, workers: int, bucket: str = "") -> Bucket:
    """Return the bucket that settings name, or another with the same access."""
    access = S3Access(
        bucket=bucket or source.bucket,
        prefix="" if bucket else source.prefix,
        region=source.region,
        endpoint_url=source.endpoint_url,
        aws_profile=source.aws_profile,
        kms_key_id=source.kms_key_id if isinstance(source, StagingSettings) else "",
    )
    return Bucket(access, clock=clock, max_pool_connections=max(10, 2 * workers))


def place_of(source: SourceSettings, clock: Clock, *, workers: int = 8) -> Place:
    """Return a source's files for a command that has no scan cache. A bucket's siblings are listed."""
    rules = Rules(include=source.include, exclude=source.exclude)
    if source.type == "folder":
        return FolderPlace(root_of(source), rules=rules, siblings=list_siblings)
    bucket = bucket_of(source, clock, workers=workers)
    return BucketPlace(bucket, rules=rules, siblings=bucket_siblings(bucket))


def bucket_siblings(bucket: Bucket) -> Callable[[bytes, bytes], list[bytes]]:
    """Answer for names beside an object by listing those that begin alike."""
    start = f"s3://{bucket.access.bucket}".encode()

    def siblings(folder: bytes, prefix: bytes) -> list[bytes]:
        below = folder.removeprefix(start).lstrip(b"/")
        key = (below + b"/" if below else b"") + prefix.rstrip(b".")
        found: list[bytes] = []
        for page in bucket.list(prefix=key.decode("utf-8", "surrogateescape")):
            names = (info.key.encode("utf-8", "surrogateescape").rpartition(b"/") for info in page.objects)
            found += [name for head, _, name in names if head == below]
            if len(found) > _MOST_SIBLINGS:
                break
        return found

    return siblings


def spec_of_import(order: ImportOrder) -> SourceSpec:
    """Return how an import's recordings are treated: nothing is waited for but a file that has just changed."""
    spec = spec_of(order.source, is_import=True)
    return replace(spec, settle_seconds=IMPORT_REST_SECONDS, since=order.since, until=order.until)


def import_roots(order: ImportOrder) -> tuple[bytes, ...]:
    """Return the folders that an import's files may lie in, links resolved."""
    roots: dict[bytes, None] = {}
    for path in order.paths:
        if path.endswith(b"/"):
            roots[path.rstrip(b"/") or b"/"] = None
        else:
            # A person has named this very file: where a link of that name leads is meant too.
            roots |= dict.fromkeys((os.path.dirname(path), os.path.dirname(os.path.realpath(path))))  # noqa: PTH120
    return tuple(roots)


def place_of_import(order: ImportOrder, bucket: Bucket | None, *, names: FolderNames) -> Place:
    """Return where an import's files are: folders on this machine, or `bucket`."""
    rules = Rules(include=order.source.include, exclude=order.source.exclude)
    if bucket is not None:
        return BucketPlace(bucket, rules=rules, siblings=bucket_siblings(bucket))
    first, *further = import_roots(order)
    return FolderPlace(first, rules=rules, siblings=names, further=further)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The clients of everything outside, for the daemon and for `doctor`."""

    http: HttpClient
    tokens: TokenKeeper
    client: ZoomClient
    meters: ServiceMeters


def service_of(settings: Settings, clock: Clock) -> Service:
    """Return the clients that the settings name; nothing is asked yet."""
    timeout = settings.zoom.request_timeout.total_seconds()
    http, meters = HttpClient(max_connections=settings.run.workers + 4), ServiceMeters()
    tokens = TokenKeeper(
        http,
        token_url=settings.zoom.token_url,
        account_id=settings.zoom.account_id,
        client_id=settings.zoom.client_id,
        client_secret=CurrentSecret(settings.zoom, environ=os.environ),
        clock=clock,
        timeout_seconds=timeout,
        meters=meters,
    )
    client = ZoomClient(
        http, tokens, api_url=settings.zoom.api_url, request_timeout_seconds=timeout, clock=clock, meters=meters
    )
    return Service(http=http, tokens=tokens, client=client, meters=meters)


def register(ledger: Ledger, source: SourceSettings, clock: Clock) -> SourceRow:
    """Make a configured source known to the ledger."""
    return ledger.discovery.register(
        name=source.name,
        type_=source.type,
        root=root_of(source),
        settings=fingerprint(source),
        at=to_ms(clock.now()),
    )


def connections_of(settings: Settings) -> int:
    """Return how many connections all servers of the daemon together may take."""
    serves = settings.staging is not None and settings.staging.type == "builtin"
    return WEB_CONNECTIONS + (FILE_CONNECTIONS if serves else 0)
