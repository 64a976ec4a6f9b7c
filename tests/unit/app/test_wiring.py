"""What the parts are told of each other, and what is kept of the ways of recordings."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from tests.unit.ledger.kit import Kit
from uploader.app.wiring import Wiring
from uploader.errors import ServiceRefusal, StoreUnavailable
from uploader.settings.load import load
from uploader.settings.model import SourceSettings
from uploader.settings.order import ImportOrder

CONFIG = """
[zoom]
account_id = "account"
client_id = "client"
client_secret = "hush"

[staging]
type = "builtin"
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:1"
"""


@pytest.fixture
def wiring(tmp_path):
    """The wiring of a ledger that has imports of one bucket, as many as are asked for."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    kit = Kit(tmp_path / "ledger.db")
    settings = load(config, environ={}, need_secrets=True).settings
    made = Wiring(settings, kit.ledger, stop=threading.Event(), clock=kit.clock)
    yield made
    made._close()
    kit.close()


def test_of_any_number_of_imports_the_last_ways_are_kept_and_one_set_of_connections(wiring):
    discovery, rows = wiring._ledger.discovery, []
    for number in range(70):
        source = SourceSettings(name="import", type="s3", bucket="archive")
        order = ImportOrder(source=source, paths=(b"s3://archive/%d" % number,))
        made = discovery.begin_import(name=f"i-{number}", source_n=1, settings=order.to_document(), at=1)
        rows.append(SimpleNamespace(source_n=1, import_n=made.n, source="import"))
    routes = [wiring.route(row) for row in rows]
    assert len(wiring._routes) == 64
    assert len(wiring._buckets) == 1
    assert wiring.route(rows[6]) is routes[6]
    assert wiring.route(rows[5]) is not routes[5]
    assert wiring.route(rows[6]) is routes[6]
    assert wiring.route(rows[7]) is not routes[7]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("the store is away"), ServiceRefusal("no right to delete", reason="store_forbidden")]
)
def test_a_copy_that_cannot_be_removed_keeps_no_other_recording_from_being_followed(tmp_path, error):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    kit, removed = Kit(tmp_path / "ledger.db"), []

    def remove(row):
        removed.append(row.n)
        raise error

    try:
        wiring = Wiring(
            load(config, environ={}, need_secrets=True).settings, kit.ledger, stop=threading.Event(), clock=kit.clock
        )
        wiring.route = lambda row: SimpleNamespace(stager=SimpleNamespace(remove=remove))
        row = kit.submitted()
        wiring._on_analyzed(row)
        assert removed == [row.n]
        wiring._close()
    finally:
        kit.close()
