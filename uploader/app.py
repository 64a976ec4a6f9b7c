"""The composition root: the only place that knows the settings and everything else."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from uploader.domain.gates import GateName
from uploader.domain.identity import SameCall
from uploader.domain.retry import RetryPolicy
from uploader.errors import Unavailable, UsageError
from uploader.ledger.discovery import SourceRow
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.pipeline.intake import Intake
from uploader.pipeline.listing import Listing
from uploader.pipeline.places import BucketPlace, FolderNames, FolderPlace, Place, list_siblings
from uploader.pipeline.reconcile import Reconciler
from uploader.pipeline.spec import SidecarPolicy, SourceSpec
from uploader.pipeline.stage import BucketStager, BuiltinStager, InPlaceStager, Stager
from uploader.pipeline.submit import Sending, Submission
from uploader.pipeline.track import Tracker
from uploader.platform.clock import Clock, SystemClock
from uploader.platform.http import HttpClient
from uploader.platform.s3 import Bucket, S3Access
from uploader.service.dispatcher import Dispatcher
from uploader.service.engine import Engine, Parts
from uploader.service.follower import Follower, Prober
from uploader.service.gate import Gate
from uploader.service.governor import Governor
from uploader.service.grants import LedgerGrants
from uploader.service.line import Line, Route
from uploader.service.scanner import BucketScanner, FolderScanner, Rhythm, Scanner
from uploader.settings.model import Settings, SourceSettings, StagingSettings
from uploader.settings.order import ImportOrder
from uploader.settings.units import split_listen
from uploader.sidecars.mapping import MappingContext
from uploader.sources.folder.rules import Rules
from uploader.sources.s3.listing import S3Lister
from uploader.staging.builtin import SELFTEST_WAV, SigningKey, SigningKeys, UrlSigner
from uploader.staging.s3 import S3Stager
from uploader.web.files import files_app
from uploader.web.health import HealthSnapshot, Vitals, health_app
from uploader.web.server import HttpServer
from uploader.zoom.auth import TokenKeeper
from uploader.zoom.client import ZoomClient

log = structlog.get_logger()

_SELFTEST_SECONDS = 10.0
_SELFTEST_LIFE_SECONDS = 300.0
_MOST_SIBLINGS = 1000
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


def place_of_import(order: ImportOrder, bucket: Bucket | None) -> Place:
    """Return where an import's files are: folders on this machine, or `bucket`."""
    rules = Rules(include=order.source.include, exclude=order.source.exclude)
    if bucket is not None:
        return BucketPlace(bucket, rules=rules, siblings=bucket_siblings(bucket))
    first, *further = import_roots(order)
    return FolderPlace(first, rules=rules, siblings=FolderNames(), further=further)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The clients of everything outside, for the daemon and for `doctor`."""

    http: HttpClient
    tokens: TokenKeeper
    client: ZoomClient


def service_of(settings: Settings, clock: Clock) -> Service:
    """Return the clients that the settings name; nothing is asked yet."""
    secret = settings.zoom.client_secret
    timeout = settings.zoom.request_timeout.total_seconds()
    http = HttpClient(max_connections=settings.run.workers + 4)
    tokens = TokenKeeper(
        http,
        token_url=settings.zoom.token_url,
        account_id=settings.zoom.account_id,
        client_id=settings.zoom.client_id,
        client_secret=lambda: secret.get_secret_value() if secret else "",
        clock=clock,
        timeout_seconds=timeout,
    )
    client = ZoomClient(http, tokens, api_url=settings.zoom.api_url, request_timeout_seconds=timeout, clock=clock)
    return Service(http=http, tokens=tokens, client=client)


class Wiring:
    """Puts an engine together around an open ledger."""

    def __init__(
        self, settings: Settings, ledger: Ledger, *, stop: threading.Event, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._stop = stop
        self._clock = clock or SystemClock()
        self._service = service_of(settings, self._clock)
        self._retry = RetryPolicy(initial=settings.retry.initial, maximum=settings.retry.maximum)
        self._gates = {name: Gate(name, ledger.books, self._clock, self._retry) for name in GateName}
        self._governor = Governor(
            submissions_per_second=settings.budget.submissions_per_second,
            submissions_per_day=settings.budget.submissions_per_day,
            reads_per_second=settings.budget.reads_per_second,
            gates=self._gates,
            books=ledger.books,
            clock=self._clock,
        )
        self._signer = self._make_signer()
        self._staging_bucket = self._make_staging_bucket()
        self._routes: dict[tuple[int, int], Route] = {}
        self._routes_lock = threading.Lock()
        self._buckets: list[Bucket] = [] if self._staging_bucket is None else [self._staging_bucket]
        self._probes_seen = 0

    @property
    def governor(self) -> Governor:
        """The governor of this engine."""
        return self._governor

    def engine(self, *, import_n: int | None = None, with_sources: bool = True, with_web: bool = True) -> Engine:
        """Return an engine for the daemon, or for one import alone."""
        settings, ledger = self._settings, self._ledger
        ledger.belongs_to(account_id=settings.zoom.account_id, api_url=settings.zoom.api_url)
        ledger.books.set_notes({SENDER_NOTE: "" if import_n is None else str(import_n)})
        line = self._line()
        dispatcher = Dispatcher(
            ledger=ledger,
            line=line,
            workers=settings.run.workers,
            clock=self._clock,
            stop=self._stop,
            on_wake=self._on_wake,
            import_n=import_n,
        )
        scanners = self._scanners(dispatcher.ring) if with_sources else []
        servers: list[HttpServer] = []
        parts = Parts(
            ledger=ledger,
            governor=self._governor,
            dispatcher=dispatcher,
            follower=self._follower(),
            scanners=scanners,
            servers=servers,
            workers=settings.run.workers,
            grace_seconds=settings.run.stop_grace.total_seconds(),
            clock=self._clock,
            selftest=self._selftest if self._signer else None,
            cut=self._service.http.close,
            close=self._close,
        )
        engine = Engine(parts, self._stop)
        servers += self._servers(engine, with_web=with_web)
        return engine

    def _line(self) -> Line:
        settings = self._settings
        submission = Submission(
            ledger=self._ledger,
            client=self._service.client,
            tokens=self._service.tokens,
            governor=self._governor,
            clock=self._clock,
            sending=Sending(
                account_id=settings.zoom.account_id,
                api_url=settings.zoom.api_url,
                idempotency_key=settings.zoom.idempotency_key,
                attempts=settings.retry.attempts,
                retry=self._retry,
                poll_seconds=settings.tracking.poll_interval.total_seconds(),
            ),
        )
        return Line(
            ledger=self._ledger,
            intake=Intake(self._ledger, self._clock),
            submission=submission,
            governor=self._governor,
            routes=self.route,
            clock=self._clock,
        )

    def _follower(self) -> Follower:
        settings, service = self._settings, self._service
        poll = settings.tracking.poll_interval.total_seconds()
        listing = Listing(
            ledger=self._ledger, client=service.client, governor=self._governor, clock=self._clock, stop=self._stop
        )
        return Follower(
            ledger=self._ledger,
            reconciler=Reconciler(
                ledger=self._ledger,
                listing=listing,
                clock=self._clock,
                wait_seconds=settings.reconcile.wait.total_seconds(),
                resubmit_unproven=settings.reconcile.on_unconfirmed == "resubmit",
                poll_seconds=poll,
            ),
            tracker=Tracker(
                ledger=self._ledger,
                listing=listing,
                client=service.client,
                governor=self._governor,
                clock=self._clock,
                stop=self._stop,
                poll_seconds=poll,
                on_analyzed=self._on_analyzed,
            ),
            prober=Prober(
                governor=self._governor,
                client=service.client,
                tokens=service.tokens,
                clock=self._clock,
                selftest=self._selftest if self._signer else None,
            ),
            governor=self._governor,
            clock=self._clock,
            stop=self._stop,
            retry=self._retry,
        )

    def route(self, row: RecordingRow) -> Route | None:
        """Return how one recording is treated, read and staged; None when its source is not configured."""
        key = (row.source_n, row.import_n)
        with self._routes_lock:
            if key not in self._routes:
                made = self._new_route(row)
                if made is None:
                    return None
                self._routes[key] = made
            return self._routes[key]

    def _new_route(self, row: RecordingRow) -> Route | None:
        if row.import_n:
            found = next(one for one in self._ledger.discovery.imports() if one.n == row.import_n)
            return self._import_route(ImportOrder.from_document(found.settings))
        source = next((s for s in self._settings.sources if s.name == row.source), None)
        return None if source is None else self._source_route(source, row)

    def _source_route(self, source: SourceSettings, row: RecordingRow) -> Route:
        rules = Rules(include=source.include, exclude=source.exclude)
        if source.type == "s3":
            bucket = self._bucket(source)
            place = BucketPlace(bucket, rules=rules, siblings=self._siblings(row))
            return Route(spec=spec_of(source), place=place, stager=self._in_place(bucket, place))
        folder = FolderPlace(root_of(source), rules=rules, siblings=self._siblings(row))
        return Route(spec=spec_of(source), place=folder, stager=self._stager())

    def _import_route(self, order: ImportOrder) -> Route:
        bucket = self._bucket(order.source) if order.source.type == "s3" else None
        place = place_of_import(order, bucket)
        if bucket is not None and isinstance(place, BucketPlace):
            return Route(spec=spec_of_import(order), place=place, stager=self._in_place(bucket, place))
        return Route(spec=spec_of_import(order), place=place, stager=self._stager())

    def _bucket(self, source: SourceSettings) -> Bucket:
        bucket = bucket_of(source, self._clock, workers=self._settings.run.workers)
        self._buckets.append(bucket)
        return bucket

    def _in_place(self, bucket: Bucket, place: BucketPlace) -> Stager:
        return InPlaceStager(bucket, place, lifetime_seconds=self._url_ttl())

    def _siblings(self, row: RecordingRow) -> Callable[[bytes, bytes], list[bytes]]:
        discovery = self._ledger.discovery

        def siblings(folder: bytes, prefix: bytes) -> list[bytes]:
            found = discovery.entries_with_prefix(row.source_n, folder, prefix)
            return [name for name, stamp in found.items() if stamp.size_bytes >= 0]

        return siblings

    def _stager(self) -> Stager:
        if self._signer is not None:
            return BuiltinStager(self._signer, lifetime_seconds=self._url_ttl())
        if self._staging_bucket is None:
            raise UsageError("[staging] is missing", hint="local recordings need a place to be fetched from")
        return BucketStager(S3Stager(self._staging_bucket), lifetime_seconds=self._url_ttl())

    def _url_ttl(self) -> int:
        staging = self._settings.staging or StagingSettings(type="builtin")
        return max(1, int(staging.url_ttl.total_seconds()))

    def _make_signer(self) -> UrlSigner | None:
        staging = self._settings.staging
        if staging is None or staging.type != "builtin":
            return None
        return UrlSigner(staging.public_url, self._keys, self._clock)

    def _keys(self) -> SigningKeys:
        keys = [SigningKey(id=k.id, secret=k.secret) for k in self._ledger.books.signing_keys()]
        return SigningKeys(current=keys[0], older=tuple(keys[1:]))

    def _make_staging_bucket(self) -> Bucket | None:
        staging = self._settings.staging
        if staging is None or staging.type != "s3":
            return None
        return bucket_of(staging, self._clock, workers=self._settings.run.workers)

    def _selftest(self) -> bool:
        """Fetch the built-in test file through `public_url`, as the service would."""
        if self._signer is None:
            return True
        url = self._signer.sign_selftest(lifetime_seconds=_SELFTEST_LIFE_SECONDS).url
        try:
            reply = self._service.http.request(
                "GET", url, headers={}, deadline_seconds=_SELFTEST_SECONDS, max_body_bytes=len(SELFTEST_WAV) + 1
            )
        except Unavailable as error:
            log.warning("selftest.failed", why=str(error))
            return False
        if reply.status != 200 or reply.body != SELFTEST_WAV:
            log.warning("selftest.failed", status=reply.status)
            return False
        return True

    def _scanners(self, ring: Callable[[], None]) -> list[Scanner]:
        return [self._scanner(source, ring) for source in self._settings.sources if source.enabled]

    def _scanner(self, source: SourceSettings, ring: Callable[[], None]) -> Scanner:
        common: dict[str, Any] = {
            "ledger": self._ledger,
            "source": register(self._ledger, source, self._clock),
            "rules": Rules(include=source.include, exclude=source.exclude),
            "rhythm": Rhythm(
                rescan_seconds=max(0.05, source.rescan.total_seconds()),
                settle_seconds=source.settle.total_seconds() if source.type == "folder" else 0.0,
                events=source.watch != "polling",
                backlog_limit=source.backlog_limit,
            ),
            "clock": self._clock,
            "stop": self._stop,
            "found": ring,
        }
        if source.type == "folder":
            return FolderScanner(root=root_of(source), **common)
        return BucketScanner(lister=S3Lister(self._bucket(source), wanted=lambda key: True), **common)

    def _servers(self, engine: Engine, *, with_web: bool) -> list[HttpServer]:
        servers = []
        if self._signer is not None and self._settings.staging is not None:
            host, port = split_listen(self._settings.staging.listen)
            app = files_app(LedgerGrants(self._ledger, self._clock), self._signer)
            servers.append(HttpServer(app, host, port, max_connections=256, name="staging", setting="[staging] listen"))
        if with_web:
            host, port = split_listen(self._settings.web.listen)
            health = health_app(vitals=lambda: self._vitals(engine), snapshot=self._snapshot)
            servers.append(HttpServer(health, host, port, max_connections=64, name="web", setting="[web] listen"))
        return servers

    def _vitals(self, engine: Engine) -> Vitals:
        return Vitals(
            heartbeat_fresh=engine.is_healthy,
            started=engine.started,
            stopping=self._stop.is_set(),
            ledger_usable=engine.failure is None,
        )

    def _snapshot(self) -> HealthSnapshot:
        recordings = self._ledger.recordings
        oldest = recordings.oldest_waiting()
        now = to_ms(self._clock.now())
        return HealthSnapshot(
            recordings=recordings.counts(),
            submission_open=all(gate.is_open for gate in self._gates.values()),
            oldest_waiting_seconds=None if oldest is None else (now - oldest) / 1000,
        )

    def _on_wake(self) -> None:
        """A command has changed something: a person may say that a closed gate can be tried."""
        probes = self._ledger.books.counter("probe_gates")
        if probes != self._probes_seen:
            self._probes_seen = probes
            for gate in self._gates.values():
                gate.probe_now()

    def _on_analyzed(self, row: RecordingRow) -> None:
        """Take back the staged copy of a recording whose analysis was seen, unless another needs it."""
        route = self.route(row)
        if route is None or self._ledger.recordings.shares_staged(row):
            return
        try:
            route.stager.remove(row)
        except Unavailable as error:
            log.warning("store.not_removed", id=row.id, error=type(error).__name__)

    def _close(self) -> None:
        self._service.http.close()
        for bucket in self._buckets:
            bucket.close()


def register(ledger: Ledger, source: SourceSettings, clock: Clock) -> SourceRow:
    """Make a configured source known to the ledger."""
    return ledger.discovery.register(
        name=source.name,
        type_=source.type,
        root=root_of(source),
        settings=fingerprint(source),
        at=to_ms(clock.now()),
    )
