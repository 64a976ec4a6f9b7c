"""`run` on a ledger that was lost: what it logs."""

from __future__ import annotations

import structlog

from uploader import daemon
from uploader.ledger.ledger import Ledger


def test_run_logs_that_the_ledger_is_new_where_there_was_one(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger.open_for_sending(path).close()
    with structlog.testing.capture_logs() as logs:
        ledger = Ledger.open_for_sending(path)
        daemon._tell_doubt(ledger)
        ledger.close()
    assert logs == []
    path.unlink()
    with structlog.testing.capture_logs() as logs:
        ledger = Ledger.open_for_sending(path)
        daemon._tell_doubt(ledger)
        ledger.close()
    [entry] = logs
    assert (entry["event"], entry["is_new"], entry["since"]) == ("ledger.in_doubt", True, None)
    assert entry["found"]
