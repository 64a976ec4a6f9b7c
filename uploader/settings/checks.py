"""What keys must be to each other, and what this version does not do yet; nothing about files.

Works on a model whose single keys are already good, and returns every mistake at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePath

from uploader.errors import Problem
from uploader.settings.model import Section, Settings, SourceSettings, StagingSettings
from uploader.settings.units import format_duration

_LONGEST_PRESIGNED = timedelta(days=7)
"""Signature Version 4 signs no URL for longer."""
_ONE_VALUE = frozenset({"marker", "profile", "on_success"})
_REQUIRED = "is required"


def check(settings: Settings) -> tuple[Problem, ...]:
    """Return every mistake between keys, in the order of the file."""
    return (*_general(settings), *_sources(settings), *_staging(settings))


def check_source(source: SourceSettings, *, label: str) -> tuple[Problem, ...]:
    """Return the mistakes inside one source; `label` is how its keys are named, as `sources.hq`."""
    return tuple(_source(source, label))


def _general(settings: Settings) -> Iterator[Problem]:
    zoom, retry = settings.zoom, settings.retry
    for key in ("account_id", "client_id", "api_url", "token_url"):
        if not getattr(zoom, key):
            yield Problem(field=f"zoom.{key}", message=_REQUIRED)
    yield from _unsupported(zoom, "zoom", "marker")
    if retry.initial > retry.maximum:
        yield Problem(field="retry.initial", message="must not be longer than retry.maximum")
    if not settings.ledger.path:
        yield Problem(field="ledger.path", message=_REQUIRED)
    backups = PurePath(settings.ledger.backup_dir)
    if settings.ledger.path and PurePath(settings.ledger.backup_place).is_relative_to(settings.ledger.path):
        yield Problem(field="ledger.backup_dir", message="must be a directory, and not the ledger itself")
    if any(s.type == "folder" and s.path and backups.is_relative_to(s.path) for s in settings.sources):
        message = "must not lie in a source: nothing is ever written there"
        yield Problem(field="ledger.backup_dir", message=message)


def _sources(settings: Settings) -> Iterator[Problem]:
    seen: set[str] = set()
    for source in settings.sources:
        folded = source.name.lower()
        if folded in seen:
            message = "is the name of another source too (capitals make no difference)"
            yield Problem(field=f"sources.{source.name}.name", message=message)
        seen.add(folded)
        yield from _source(source, f"sources.{source.name}")


def _source(source: SourceSettings, label: str) -> Iterator[Problem]:
    place = "path" if source.type == "folder" else "bucket"
    if not getattr(source, place):
        yield Problem(field=f"{label}.{place}", message=f'is required with type = "{source.type}"')
    yield from _unsupported(source, label, "profile", "role_arn", "external_id", "on_success", "move_to")


def _staging(settings: Settings) -> Iterator[Problem]:
    staging = settings.staging
    if staging is None:
        if any(source.type == "folder" for source in settings.sources):
            message = 'is required for sources of type "folder": add [staging] with type = "s3" or "builtin"'
            yield Problem(field="staging", message=message)
        return
    yield from _store(staging)
    yield from _unsupported(staging, "staging", "role_arn", "external_id", "spool", "spool_max")


def _store(staging: StagingSettings) -> Iterator[Problem]:
    place = "bucket" if staging.type == "s3" else "public_url"
    if not getattr(staging, place):
        yield Problem(field=f"staging.{place}", message=f'is required with type = "{staging.type}"')
    if staging.type == "s3" and staging.url_ttl > _LONGEST_PRESIGNED:
        message = f"must be at most {format_duration(_LONGEST_PRESIGNED)}: S3 signs no URL for longer"
        yield Problem(field="staging.url_ttl", message=message)


def _unsupported(section: Section, label: str, *keys: str) -> Iterator[Problem]:
    for key in keys:
        default = type(section).model_fields[key].default
        if getattr(section, key) == default:
            continue
        if key in _ONE_VALUE:
            message = f'has one value in this version, "{default}": other ones are not supported yet'
        else:
            message = "is not supported in this version: leave it out"
        yield Problem(field=f"{label}.{key}", message=message)
