"""Opening a ledger that is not there yet, by several at once."""

from __future__ import annotations

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
