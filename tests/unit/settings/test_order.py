"""What an import was ordered with: it comes back from the ledger as it was, and equal orders are one import."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from uploader.settings.model import SourceSettings
from uploader.settings.order import ImportOrder
from uploader.settings.values import SOURCE_NAME

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOURCE = SourceSettings(
    name="hq", type="folder", path="/srv/calls", require=("agent",), timezone="Europe/Berlin",
    settle=timedelta(seconds=7), defaults={"primary_language": "en-US"},
)  # fmt: skip
ORDER = ImportOrder(source=SOURCE, paths=(b"/data/Old Calls (2024)/", b"/data/\xff.wav"), since=NOON)


def test_order_comes_back_as_far_as_it_matters():
    document = ORDER.to_document()
    assert document.isascii()
    found = ImportOrder.from_document(document)
    assert (found.paths, found.since, found.until, found.key) == (ORDER.paths, NOON, None, ORDER.key)
    for name in ("name", "type", "require", "timezone", "defaults", "include", "profile"):
        assert getattr(found.source, name) == getattr(SOURCE, name)


def test_document_holds_no_key_that_imports_do_not_use():
    kept = json.loads(ORDER.to_document())["source"]
    assert not {"settle", "rescan", "watch", "backlog_limit", "sidecar_wait", "on_success", "enabled", "path"} & set(
        kept
    )


def test_paths_in_another_order_or_twice_are_the_same_import():
    again = replace(ORDER, paths=(*reversed(ORDER.paths), ORDER.paths[0]))
    assert again.key == ORDER.key


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, paths=ORDER.paths[:1]),
        replace(ORDER, since=None),
        replace(ORDER, until=NOON),
        replace(ORDER, source=SOURCE.model_copy(update={"timezone": ""})),
        replace(ORDER, source=SOURCE.model_copy(update={"include": ("*.wav",)})),
    ],
)
def test_other_paths_filters_or_settings_are_another_import(other: ImportOrder):
    assert other.key != ORDER.key
    assert other.default_name != ORDER.default_name or other.paths != ORDER.paths


def test_settings_that_imports_do_not_use_do_not_matter():
    other = replace(ORDER, source=SOURCE.model_copy(update={"settle": timedelta(0), "enabled": False}))
    assert other.key == ORDER.key


def test_same_moment_in_another_zone_is_the_same_import():
    zone = datetime.fromisoformat("2026-11-20T13:00:00+01:00")
    assert replace(ORDER, since=zone).key == ORDER.key


@pytest.mark.parametrize("path", [b"/data/Old Calls (2024)/", b"/", b"/\xff\xfe", b"s3://bucket/", "/ü".encode()])
def test_default_name_is_a_name_and_always_the_same(path: bytes):
    order = replace(ORDER, paths=(path,))
    assert SOURCE_NAME.fullmatch(order.default_name)
    assert ImportOrder.from_document(order.to_document()).default_name == order.default_name


def test_default_name_tells_the_folder():
    assert ORDER.default_name.startswith("old-calls-2024-")
