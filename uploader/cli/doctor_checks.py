"""Which checks `doctor` makes of a configuration, and what each gets of it; nothing about how they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from uploader.app.values import Service, bucket_of, connections_of, root_of, service_of
from uploader.cli.output import printable
from uploader.ledger.inspection import polled_sources, signing_keys
from uploader.platform.clock import Clock
from uploader.service.doctor.api import ApiChecks
from uploader.service.doctor.backups import BackupChecks
from uploader.service.doctor.folders import Folder, check_folder, check_watches
from uploader.service.doctor.machine import LedgerChecks, check_daemon, check_files, check_sqlite
from uploader.service.doctor.report import Check, Finding, ok, warn
from uploader.service.doctor.store import check_bucket_source, check_builtin, check_staging_bucket, fetcher
from uploader.settings.load import LoadedSettings
from uploader.settings.model import Settings, SourceSettings, StagingSettings
from uploader.settings.units import split_listen
from uploader.sources.folder.inotify import WatchLimits
from uploader.sources.folder.rules import Rules
from uploader.staging.builtin import SigningKey, SigningKeys, UrlSigner

_STORE_SECONDS = 60.0
_LIMIT_SECONDS = 30.0


class Checklist:
    """The checks of one configuration, and the clients they share."""

    def __init__(self, loaded: LoadedSettings, clock: Clock) -> None:
        """Make the clients; nothing is asked yet. Raises ConfigurationError for a wrong proxy."""
        self._loaded = loaded
        self._settings: Settings = loaded.settings
        self._clock = clock
        self._service: Service = service_of(loaded.settings, clock)
        self._fetch = fetcher(self._service.http)
        self._ledger = LedgerChecks(
            path=Path(self._settings.ledger.path),
            account_id=self._settings.zoom.account_id,
            api_url=self._settings.zoom.api_url,
        )

    def close(self) -> None:
        """End what is under way."""
        self._service.http.close()

    def checks(self) -> list[Check]:
        """Return the checks in the order of the configuration."""
        return [
            Check(name="configuration", act=partial(judge_configuration, self._loaded)),
            *self._of_the_service(),
            *self._of_sources(),
            *self._of_staging(),
            *self._of_the_machine(),
        ]

    def _of_the_service(self) -> Iterator[Check]:
        zoom = self._settings.zoom
        # a token and an answer, each with one more try
        limit = 4 * zoom.request_timeout.total_seconds() + 5
        api = ApiChecks(
            http=self._service.http,
            tokens=self._service.tokens,
            client=self._service.client,
            clock=self._clock,
            api_url=zoom.api_url,
            timeout_seconds=zoom.request_timeout.total_seconds(),
        )
        yield Check(name="clock", act=api.skew, limit_seconds=limit)
        yield Check(name="token", act=api.token, limit_seconds=limit)
        yield Check(name="scopes", act=api.scopes, limit_seconds=limit)
        yield Check(name="api", act=api.listing, limit_seconds=limit)

    def _of_sources(self) -> Iterator[Check]:
        watched: list[Folder] = []
        for source in self._settings.sources:
            name = f"source {source.name}"
            if source.type == "s3":
                act = partial(self._bucket_source, source)
                yield Check(name=name, act=act, limit_seconds=_STORE_SECONDS)
                continue
            folder = _folder(source)
            yield Check(name=name, act=partial(check_folder, folder, self._clock), limit_seconds=_LIMIT_SECONDS)
            watched += [folder] if folder.enabled and folder.events else []
        if watched:
            act = partial(check_watches, watched, self._clock, WatchLimits.read(), self._polled)
            yield Check(name="watch limits", act=act, limit_seconds=_LIMIT_SECONDS * len(watched))

    def _of_staging(self) -> Iterator[Check]:
        staging = self._settings.staging
        if staging is None:
            return
        if staging.type == "s3":
            act = partial(self._staging_bucket, staging)
        else:
            act = partial(
                check_builtin,
                partial(self._served, staging),
                self._fetch,
                public_url=staging.public_url,
                api_url=self._settings.zoom.api_url,
            )
        yield Check(name="staging", act=act, limit_seconds=_STORE_SECONDS)

    def _of_the_machine(self) -> Iterator[Check]:
        host, port = split_listen(self._settings.web.listen)
        yield Check(name="ledger", act=self._ledger.ledger, limit_seconds=_LIMIT_SECONDS)
        yield Check(name="disk", act=self._ledger.disk)
        yield Check(name="backups", act=self._backups().check)
        yield Check(name="sqlite", act=check_sqlite)
        yield Check(
            name="daemon",
            act=partial(check_daemon, is_running=self._ledger.is_running, host=host, port=port, setting="[web] listen"),
        )
        files = partial(check_files, workers=self._settings.run.workers, connections=connections_of(self._settings))
        yield Check(name="open files", act=files)

    def _polled(self) -> dict[str, str]:
        """Return what a running daemon says of sources that it only scans; another's word is out of date."""
        return polled_sources(Path(self._settings.ledger.path)) if self._ledger.is_running() else {}

    def _backups(self) -> BackupChecks:
        ledger = self._settings.ledger
        return BackupChecks(
            ledger=Path(ledger.path),
            directory=Path(ledger.backup_place),
            interval=ledger.backup_interval,
            clock=self._clock,
        )

    def _bucket_source(self, source: SourceSettings) -> Finding:
        return check_bucket_source(bucket_of(source, self._clock, workers=1), self._fetch)

    def _staging_bucket(self, staging: StagingSettings) -> Finding:
        bucket = bucket_of(staging, self._clock, workers=1)
        return check_staging_bucket(bucket, self._fetch, self._clock, url_ttl=staging.url_ttl)

    @contextmanager
    def _served(self, staging: StagingSettings) -> Iterator[UrlSigner]:
        """Let the running daemon serve the test file, or serve it meanwhile."""
        from uploader.web.selftest import served_selftest

        if self._ledger.is_running():
            rows = signing_keys(self._ledger.path)
            if rows:
                keys = [SigningKey(id=row.id, secret=row.secret) for row in rows]
                signing = SigningKeys(current=keys[0], older=tuple(keys[1:]))
                yield UrlSigner(staging.public_url, lambda: signing, self._clock)
                return
        host, port = split_listen(staging.listen)
        with served_selftest(public_url=staging.public_url, host=host, port=port, clock=self._clock) as signer:
            yield signer


def judge_configuration(loaded: LoadedSettings) -> Finding:
    """Say where the configuration is from and what is doubtful in it; one that is wrong never comes here."""
    where = "from the environment" if loaded.path is None else printable(str(loaded.path))
    if loaded.warnings:
        first, *rest = loaded.warnings
        more = f", and {len(rest)} more (`config check` tells)" if rest else ""
        return warn(f"{first.field} {first.message}{more}")
    if not any(source.enabled for source in loaded.settings.sources):
        return warn("no source is there or enabled: `run` has nothing to watch", hint="add a [[sources]] table")
    return ok(where)


def _folder(source: SourceSettings) -> Folder:
    return Folder(
        name=source.name,
        root=root_of(source),
        rules=Rules(include=source.include, exclude=source.exclude),
        events=source.watch != "polling",
        enabled=source.enabled,
    )
