"""`import` as a real process, as far as it comes without a service: what is refused, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        '[zoom]\naccount_id = "a"\nclient_id = "c"\nclient_secret = "s"\napi_url = "http://127.0.0.1:9/v2"\n'
        f'[ledger]\npath = "{tmp_path}/ledger.db"\n'
        f'[[sources]]\nname = "hq"\ntype = "folder"\npath = "{tmp_path}"\n'
        '[staging]\ntype = "builtin"\nlisten = "127.0.0.1:0"\npublic_url = "http://127.0.0.1:9"\n'
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def qm(config: Path, tmp_path: Path):
    def qm(*arguments: str | bytes) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "uploader", "--config", str(config), "import", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    return qm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "does not exist"),
        (["--source", "nope", "."], "there is no source of that name"),
        (["--name", "a/b", "."], "--name is no name"),
        (["--timezone", "Mars", "."], "--timezone: must be an IANA time zone"),
        (["--require", "agents", "."], "--require: has an unknown field"),
        (["--since", "7d", "."], "--since"),
        (["--limit", "0", "."], "--limit"),
        (["--detach", "."], "no daemon is running"),
        (["--detach", "--dry-run", "."], "--dry-run hands nothing over"),
        (["s3://bucket/x", "."], "cannot be imported together"),
        ([], "PATH_OR_S3_URI"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(qm, arguments: list[str], words: str):
    done = qm(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stdout == ""


def test_empty_folder_is_a_finished_import_of_nothing(qm, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = qm(str(tmp_path / "empty"), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["discovered"] == 0
    assert not (tmp_path / "ledger.db").exists()


def test_import_without_staging_is_refused_before_anything_is_written(qm, config: Path, tmp_path: Path):
    (tmp_path / "calls").mkdir()
    config.write_text(config.read_text().partition("[[sources]]")[0])
    done = qm(str(tmp_path / "calls"))
    assert done.returncode == 2
    assert "[staging] is missing" in done.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_ledger_that_cannot_be_made_is_3(qm, config: Path, tmp_path: Path):
    (tmp_path / "calls").mkdir()
    config.write_text(config.read_text().replace(f"{tmp_path}/ledger.db", f"{tmp_path}/no/ledger.db"))
    done = qm(str(tmp_path / "calls"))
    assert done.returncode == 3
    assert "hint: " in done.stderr


def test_ledger_of_another_account_is_2_and_names_both(qm, tmp_path: Path):
    from uploader.ledger.ledger import Ledger

    (tmp_path / "calls").mkdir()
    ledger = Ledger.open_beside(tmp_path / "ledger.db")
    ledger.remember_account(account_id="other", api_url="https://api.zoom.us/v2")
    ledger.close()
    done = qm(str(tmp_path / "calls"))
    assert done.returncode == 2
    assert "account other" in done.stderr
    assert "account a" in done.stderr


def test_name_of_another_import_is_refused(qm, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    from uploader.ledger.ledger import Ledger
    from uploader.settings.model import SourceSettings
    from uploader.settings.order import ImportOrder

    order = ImportOrder(
        source=SourceSettings(name="import", type="folder"), paths=(os.fsencode(tmp_path / "one") + b"/",)
    )
    ledger = Ledger.open_beside(tmp_path / "ledger.db")
    ledger.discovery.begin_import(name="old", source_n=1, settings=order.to_document(), at=1)
    ledger.close()
    done = qm(str(tmp_path / "two"), "--name", "old")
    assert done.returncode == 2
    assert "begun with other paths or settings" in done.stderr
    assert qm(str(tmp_path / "one"), "--name", "old", "--dry-run").returncode == 0


def test_names_and_numbers_of_files_are_in_no_message(qm, tmp_path: Path):
    folder = tmp_path / "Anna Schmidt +14155550100"
    folder.mkdir()
    (folder / "+14155550101.wav").write_bytes(b"")
    (folder / "+14155550102.txt").write_bytes(b"")
    wrong = qm(str(folder / "+14155550102.txt"))
    assert wrong.returncode == 2
    done = qm(str(folder), "--dry-run", "-v")
    assert done.returncode == 1
    for text in (wrong.stderr, wrong.stdout, done.stderr):
        assert "1415555" not in text
        assert "Anna" not in text
