"""An engine put together around an open ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from uploader.app.values import (
    SENDER_NOTE,
    bucket_of,
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
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.pipeline.intake import Intake
from uploader.pipeline.listing import Listing
from uploader.pipeline.places import BucketPlace, FolderPlace
from uploader.pipeline.reconcile import Reconciler
from uploader.pipeline.stage import BucketStager, BuiltinStager, InPlaceStager, Stager
from uploader.pipeline.submit import Sending, Submission
from uploader.pipeline.track import Tracker
from uploader.platform.clock import Clock, SystemClock
from uploader.platform.s3 import Bucket
from uploader.service.bucket_scanner import BucketScanner
from uploader.service.dispatcher import Dispatcher
from uploader.service.engine import Engine, Parts
from uploader.service.folder_scanner import FolderScanner
from uploader.service.follower import Follower, Prober
from uploader.service.gate import Gate
from uploader.service.governor import Governor
from uploader.service.grants import LedgerGrants
from uploader.service.line import Line, Route
from uploader.service.scanner import Rhythm, Scanner
from uploader.settings.model import Settings, SourceSettings, StagingSettings
from uploader.settings.order import ImportOrder
from uploader.settings.units import split_listen
from uploader.sources.folder.rules import Rules
from uploader.sources.s3.listing import S3Lister
from uploader.staging.builtin import SELFTEST_WAV, SigningKey, SigningKeys, UrlSigner
from uploader.staging.s3 import S3Stager
from uploader.web.files import files_app
from uploader.web.health import HealthSnapshot, Vitals, health_app
from uploader.web.server import HttpServer

log = structlog.get_logger()

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
            health = health_app(
                vitals=lambda: self._vitals(engine), snapshot=self._snapshot, registry=CollectorRegistry()
            )
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
        except (ServiceRefusal, Unavailable) as error:
            # The right to delete may be missing; that is no reason to follow no other recording.
            log.warning("store.not_removed", id=row.id, error=type(error).__name__)

    def _close(self) -> None:
        self._service.http.close()
        for bucket in self._buckets:
            bucket.close()
