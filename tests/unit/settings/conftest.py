"""A configuration to spoil, and a loader that says what was wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from uploader.errors import ConfigurationError
from uploader.settings.load import load

GOOD = """
[zoom]
account_id = "account"
client_id = "client"
client_secret = "hush"

[[sources]]
name = "hq"
type = "folder"
path = "/srv/recordings"

[staging]
type = "s3"
bucket = "bucket"
"""


@pytest.fixture
def good():
    return GOOD


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, *, mode: int = 0o600, name: str = "config.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def problems(write):
    """Load a text and return its problems as {field: message}, none for a good one."""

    def problems(text: str, *, environ: dict[str, str] | None = None, need_secrets: bool = False):
        try:
            load(write(text), environ=environ or {}, need_secrets=need_secrets)
        except ConfigurationError as exc:
            fields = [p.field for p in exc.problems]
            assert len(fields) == len(set(fields)), f"a key was reported twice: {fields}"
            return {p.field: p.message for p in exc.problems}
        return {}

    return problems
