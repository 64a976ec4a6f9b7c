"""A ledger of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.ledger.kit import Kit


@pytest.fixture
def kit(tmp_path: Path):
    kit = Kit(tmp_path / "ledger.db")
    yield kit
    kit.close()


@pytest.fixture
def sender(tmp_path: Path):
    """A ledger opened as the daemon opens it: by its one sender, with the writer's thread."""
    kit = Kit(tmp_path / "sender.db", sending=True)
    yield kit
    kit.close()
