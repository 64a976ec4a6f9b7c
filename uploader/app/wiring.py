"""An engine put together around an open ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from uploader.app.monitoring import monitoring_app
from uploader.app.values import (
    FILE_CONNECTIONS,
    SENDER_NOTE,
    WEB_CONNECTIONS,
    bucket_of,
    connections_of,
    place_of_import,
    register,
    root_of,
    service_of,
    spec_of,
    spec_of_import,
)
from uploader.domain.gates import GateName
from uploader.domain.retry import RetryPolicy
from uploader.errors import ServiceRefusal, Unavailable, UsageError
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow
from uploader.pipeline.intake import Intake
from uploader.pipeline.listing import Listing
from uploader.pipeline.meters import LineMeters
from uploader.pipeline.places import BucketPlace, FolderNames, FolderPlace
from uploader.pipeline.reconcile import Reconciler
from uploader.pipeline.stage import BucketStager, BuiltinStager, InPlaceStager, Stager
from uploader.pipeline.submit import Sending, Submission
from uploader.pipeline.track import Tracker
from uploader.platform import open_files
from uploader.platform.clock import Clock, SystemClock
from uploader.platform.s3 import Bucket, S3Access
from uploader.service.backups import BackupDuty
from uploader.service.bucket_scanner import BucketScanner
from uploader.service.dispatcher import Dispatcher
from uploader.service.engine import Engine, Parts
from uploader.service.folder_scanner import FolderScanner
from uploader.service.follower import Follower, Prober
from uploader.service.gate import Gate
from uploader.service.governor import Governor
from uploader.service.grants import LedgerGrants
from uploader.service.line import Line, Route
from uploader.service.meters import FetchMeters
from uploader.service.metrics.metrics import Meters
from uploader.service.operations.upkeep import BackupPlace
from uploader.service.scanner import Rhythm, Scanner
from uploader.settings.model import Settings, SourceSettings, StagingSettings
from uploader.settings.order import ImportOrder
from uploader.settings.units import split_listen
from uploader.sources.folder.rules import Rules
from uploader.sources.s3.listing import S3Lister
from uploader.staging.builtin import SELFTEST_WAV, SigningKey, SigningKeys, UrlSigner
from uploader.staging.s3 import S3Stager
from uploader.web.files import files_app
from uploader.web.server import HttpServer

log = structlog.get_logger()

_ROUTES_KEPT = 64
"""Ways of imports that were used lately: there may be any number of imports."""
_SELFTEST_SECONDS = 10.0
_SELFTEST_LIFE_SECONDS = 300.0


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
        self._meters = Meters(service=self._service.meters, line=LineMeters(), fetches=FetchMeters())
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
        self._buckets: dict[S3Access, Bucket] = {}
        self._staging_bucket = self._make_staging_bucket()
        self._routes: dict[tuple[int, int], Route] = {}
        self._routes_lock = threading.Lock()
        self._names = FolderNames()
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
            backups=self._backups(),
        )
        engine = Engine(parts, self._stop)
        servers += self._servers(engine, parts, with_web=with_web)
        return engine

    def _backups(self) -> Callable[[], None] | None:
        settings = self._settings.ledger
        if not settings.backup_interval:
            return None
        place = BackupPlace(directory=Path(settings.backup_place), keep=settings.backup_keep)
        duty = BackupDuty(
            ledger=self._ledger, place=place, interval=settings.backup_interval, clock=self._clock, stop=self._stop
        )
        return duty.run

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
            meters=self._meters.line,
        )
        return Line(
            ledger=self._ledger,
            intake=Intake(self._ledger, self._clock),
            submission=submission,
            governor=self._governor,
            routes=self.route,
            clock=self._clock,
            meters=self._meters.line,
        )

    def _follower(self) -> Follower:
        settings, service = self._settings, self._service
        poll = settings.tracking.poll_interval.total_seconds()
        listing = Listing(
            ledger=self._ledger, client=service.client, governor=self._governor, clock=self._clock, stop=self._stop,
            meters=self._meters.line,
        )  # fmt: skip
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
                meters=self._meters.line,
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
            found = self._routes.pop(key, None) or self._new_route(row)
            if found is not None:
                self._routes[key] = found
                if len(self._routes) > _ROUTES_KEPT:
                    del self._routes[next(iter(self._routes))]
            return found

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
        place = place_of_import(order, bucket, names=self._names)
        if bucket is not None and isinstance(place, BucketPlace):
            return Route(spec=spec_of_import(order), place=place, stager=self._in_place(bucket, place))
        return Route(spec=spec_of_import(order), place=place, stager=self._stager())

    def _bucket(self, source: SourceSettings | StagingSettings) -> Bucket:
        """Return a bucket, whose connections all have in common that reach it alike."""
        made = bucket_of(source, self._clock, workers=self._settings.run.workers)
        return self._buckets.setdefault(made.access, made)

    def _in_place(self, bucket: Bucket, place: BucketPlace) -> Stager:
        return InPlaceStager(bucket, place, lifetime_seconds=self._url_ttl())

    def _siblings(self, row: RecordingRow) -> Callable[[bytes, bytes], list[bytes]]:
        return partial(self._ledger.scan_cache.siblings, row.source_n)

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
        return self._bucket(staging)

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
        configured = {source.name: (source.type, root_of(source)) for source in self._settings.sources}
        for old, new in self._ledger.discovery.rename(configured=configured).items():
            log.info("source.renamed", source=new, before=old)
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
                trusted=source.watch == "events",
                backlog_limit=source.backlog_limit,
            ),
            "clock": self._clock,
            "stop": self._stop,
            "found": ring,
        }
        if source.type == "folder":
            return FolderScanner(root=root_of(source), **common)
        return BucketScanner(lister=S3Lister(self._bucket(source), wanted=lambda key: True), **common)

    def _servers(self, engine: Engine, parts: Parts, *, with_web: bool) -> list[HttpServer]:
        files = open_files.provide(workers=self._settings.run.workers, connections=connections_of(self._settings))
        servers: list[HttpServer] = []
        if self._signer is not None and self._settings.staging is not None:
            host, port = split_listen(self._settings.staging.listen)
            app = files_app(LedgerGrants(self._ledger, self._clock, self._meters.fetches), self._signer)
            most = files.connections(FILE_CONNECTIONS)
            servers.append(
                HttpServer(app, host, port, max_connections=most, name="staging", setting="[staging] listen")
            )
        if with_web:
            host, port = split_listen(self._settings.web.listen)
            health = monitoring_app(
                self._settings, engine, parts, meters=self._meters, servers=servers, stop=self._stop
            )
            most = files.connections(WEB_CONNECTIONS)
            servers.append(HttpServer(health, host, port, max_connections=most, name="web", setting="[web] listen"))
        return servers

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
        except (ServiceRefusal, Unavailable) as error:
            # The right to delete may be missing; that is no reason to follow no other recording.
            log.warning("store.not_removed", id=row.id, error=type(error).__name__)

    def _close(self) -> None:
        self._service.http.close()
        for bucket in self._buckets.values():
            bucket.close()
