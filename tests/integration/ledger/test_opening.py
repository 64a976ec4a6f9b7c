"""Opening a ledger that is not there yet, by several at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from uploader.ledger.ledger import Ledger


def test_two_that_open_a_new_ledger_at_once_both_can(tmp_path: Path):
    for number in range(10):
        path, together = tmp_path / f"{number}.db", threading.Barrier(4)
        failures: list[BaseException] = []

        def open_one(path: Path = path, together: threading.Barrier = together, failures: list = failures) -> None:
            together.wait(10)
            try:
                Ledger.open_beside(path).close()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=open_one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []


def test_another_process_that_comes_and_goes_leaves_the_write_ahead_log_of_this_one(tmp_path: Path):
    ledger = Ledger.open_beside(tmp_path / "ledger.db")
    log = tmp_path / "ledger.db-wal"
    ledger.books.set_notes({"first": "1"})  # the log has something in it, and this process connections
    Ledger.open_beside(tmp_path / "ledger.db").close()
    before = log.stat().st_ino
    # The last one to close the ledger removes its log; SQLite tells who is the last by the locks.
    coming = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM note'); db.close()"
    subprocess.run([sys.executable, "-c", coming, str(tmp_path / "ledger.db")], check=True, timeout=30)
    assert log.exists()
    assert log.stat().st_ino == before
    ledger.close()
