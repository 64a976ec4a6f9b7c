"""Commands run in this process, on a real ledger and a configuration of their own."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.ledger_maker import ROOT, LedgerMaker
from uploader.cli.main import run


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The documents on standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration without any secret, for sources `hq` and `branch`."""
    path = tmp_path / "config.toml"
    path.write_text(
        f"""
        [zoom]
        account_id = "a"
        client_id = "c"
        [ledger]
        path = "{tmp_path}/ledger.db"
        [[sources]]
        name = "hq"
        type = "folder"
        path = "{ROOT}"
        [[sources]]
        name = "branch"
        type = "folder"
        path = "{tmp_path}/branch"
        [[sources]]
        name = "bucket"
        type = "s3"
        bucket = "recordings"
        prefix = "calls/"
        enabled = false
        [staging]
        type = "s3"
        bucket = "b"
        """
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def maker(tmp_path: Path):
    """The ledger of that configuration, and what writes it."""
    made = LedgerMaker(tmp_path / "ledger.db")
    yield made
    made.close()


@pytest.fixture
def qm(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run a command with that configuration (or `config=None`: with none)."""
    root, ours = logging.getLogger(), logging.getLogger("uploader")
    levels = root.level, ours.level

    def qm(*args: str, config: Path | None = config, answer: bool | None = None) -> Ran:
        capsys.readouterr()
        if answer is not None:
            monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
            monkeypatch.setattr("click.confirm", lambda *_, **__: answer)
        code = run([*(["--config", str(config)] if config else []), *args])
        out, err = capsys.readouterr()
        return Ran(code=code, out=out, err=err)

    yield qm
    root.handlers = [h for h in root.handlers if not type(h).__module__.startswith("uploader")]
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    structlog.reset_defaults()
