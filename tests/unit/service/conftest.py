"""A real ledger to work on."""

from __future__ import annotations

import pytest

from tests.ledger_maker import LedgerMaker


@pytest.fixture
def maker(tmp_path):
    """An open ledger, and what writes it."""
    made = LedgerMaker(tmp_path / "ledger.db")
    yield made
    made.close()
