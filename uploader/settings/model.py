"""The shape of the configuration: every table, key and default; nothing about where values come from.

What one value must look like is in `values`, what keys must be to each other in `checks`, the places
that values come from in `sources`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from uploader.settings.values import (
    MOST,
    AbsolutePath,
    Bucket,
    Constants,
    Count,
    Duration,
    Listen,
    Patterns,
    PerSecond,
    Region,
    Requirables,
    Size,
    SourceName,
    Text,
    Url,
    Whole,
    Zone,
)

# with PYDANTIC_SETTINGS_DEBUG set it would log what every place holds, secrets too
logging.getLogger("pydantic_settings").setLevel(logging.WARNING)

DEFAULT_INCLUDE = tuple(
    f"*.{extension}"
    for extension in (
        "3gp", "aac", "aif", "aiff", "amr", "au", "avi", "flac", "g722", "gsm", "m4a", "m4v", "mka", "mkv",
        "mov", "mp3", "mp4", "mpeg", "mpg", "oga", "ogg", "ogv", "opus", "wav", "webm", "wma", "wmv",
    )
)  # fmt: skip


_PLACES = "*places"
"""How places pass through pydantic-settings' constructor; no key of a file can be confused with it."""


class Section(BaseModel):
    """One table of the file: frozen, unknown keys refused, values kept out of pydantic's messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ZoomSettings(Section):
    """The account and where its API is. `client_secret` is filled in only for who needs it."""

    account_id: Text = ""
    client_id: Text = ""
    client_secret: SecretStr | None = None
    client_secret_file: AbsolutePath = ""
    api_url: Url = "https://api.zoom.us/v2"
    token_url: Url = "https://zoom.us/oauth/token"
    request_timeout: Duration = timedelta(seconds=30)
    idempotency_key: bool = False
    marker: Literal["none", "disposition", "consumer_name"] = "none"


class BudgetSettings(Section):
    """What of the account's shared limits this program may use. `submissions_per_day` 0 is none."""

    submissions_per_second: PerSecond = 4
    submissions_per_day: Count = 12_000
    reads_per_second: PerSecond = 4


class ReconcileSettings(Section):
    """How requests of unknown outcome are judged."""

    wait: Duration = timedelta(seconds=60)
    on_unconfirmed: Literal["hold", "resubmit"] = "hold"


class RetrySettings(Section):
    """Waits between attempts, and how many a recording has for what is its own fault."""

    initial: Duration = timedelta(seconds=5)
    maximum: Duration = timedelta(hours=1)
    attempts: Annotated[Whole, Field(ge=1, le=1000)] = 5


class TrackingSettings(Section):
    """How analyses are waited for."""

    poll_interval: Duration = timedelta(minutes=5)
    analysis_deadline: Duration = timedelta(hours=72)


class LedgerSettings(Section):
    """Where the ledger is, and how it is backed up. `backup_dir` empty: `backups` beside the ledger."""

    path: AbsolutePath = "/var/lib/qm-uploader/ledger.db"
    backup_dir: AbsolutePath = ""
    backup_interval: Duration = timedelta(hours=24)
    backup_keep: Annotated[Whole, Field(ge=1, le=MOST)] = 7

    @property
    def backup_place(self) -> str:
        """The directory of the backups."""
        return self.backup_dir or str(PurePath(self.path).with_name("backups"))


class SourceSettings(Section):
    """One place that recordings come from. `sidecar` None is what the profile says."""

    name: SourceName
    type: Literal["folder", "s3"]
    path: AbsolutePath = ""
    bucket: Bucket = ""
    prefix: Text = ""
    region: Text = ""
    endpoint_url: Url = ""
    aws_profile: Text = ""
    role_arn: Text = ""
    external_id: Text = ""
    enabled: bool = True
    profile: Text = "native"
    sidecar: Literal["required", "optional", "none"] | None = None
    sidecar_wait: Duration = timedelta(minutes=15)
    require: Requirables = ()
    timezone: Zone = ""
    phone_region: Region = ""
    settle: Duration = timedelta(seconds=2)
    rescan: Duration = timedelta(minutes=5)
    watch: Literal["auto", "events", "polling"] = "auto"
    include: Annotated[Patterns, Field(min_length=1)] = DEFAULT_INCLUDE
    exclude: Patterns = ()
    backlog_limit: Count = 500
    same_call: Literal["hold", "send", "duplicate"] = "hold"
    on_success: Literal["keep", "move", "delete", "tag"] = "keep"
    move_to: Text = ""
    defaults: Constants = Field(default_factory=dict)


class StagingSettings(Section):
    """Where the service fetches recordings of folder sources from."""

    type: Literal["s3", "builtin"]
    bucket: Bucket = ""
    prefix: Text = ""
    region: Text = ""
    endpoint_url: Url = ""
    kms_key_id: Text = ""
    aws_profile: Text = ""
    role_arn: Text = ""
    external_id: Text = ""
    url_ttl: Duration = timedelta(hours=72)
    listen: Listen = "127.0.0.1:8080"
    public_url: Url = ""
    spool: AbsolutePath = "/var/lib/qm-uploader/spool"
    spool_max: Size = 20 << 30


class RunSettings(Section):
    """How the daemon works."""

    workers: Annotated[Whole, Field(ge=1, le=64)] = 8
    stop_grace: Duration = timedelta(seconds=30)


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class WebSettings(Section):
    """Where health and metrics are served."""

    listen: Listen = "127.0.0.1:8765"


class Settings(Section, BaseSettings):
    """The whole configuration, read once and frozen."""

    model_config = SettingsConfigDict(case_sensitive=True)

    zoom: ZoomSettings = ZoomSettings()
    budget: BudgetSettings = BudgetSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    retry: RetrySettings = RetrySettings()
    tracking: TrackingSettings = TrackingSettings()
    ledger: LedgerSettings = LedgerSettings()
    sources: Annotated[tuple[SourceSettings, ...], Field(max_length=1000)] = ()
    staging: StagingSettings | None = None
    run: RunSettings = RunSettings()
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()

    @classmethod
    def gathered(cls, places: Sequence[PydanticBaseSettingsSource]) -> Self:
        """Return what `places`, highest precedence first, come to. Raises pydantic's ValidationError."""
        handed: dict[str, Any] = {_PLACES: places}
        return cls(**handed)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the places that were handed in; pydantic-settings' own would read this process's environment."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        places = cast(InitSettingsSource, init_settings).init_kwargs.get(_PLACES)
        return (init_settings,) if places is None else tuple(places)
