"""A bench of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pipeline.bench import Bench


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()
