"""What the parts are told of each other: the copy of a recording whose analysis was seen is taken back."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from tests.unit.ledger.kit import Kit
from uploader.app.wiring import Wiring
from uploader.errors import ServiceRefusal, StoreUnavailable
from uploader.settings.load import load

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
