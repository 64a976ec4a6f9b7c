"""Commands that read many rows keep a page of them in memory, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backlog_maker import make_backlog
from uploader.domain.recording import State

CHECKOUT = Path(__file__).parents[3]
MOST_GROWTH_KIB = 16 * 1024
"""A page of rows, and the pages of the file that SQLite keeps: 8 MiB."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a ledger of 30,000 recordings and its configuration."""
    folder = tmp_path_factory.mktemp("long")
    counts = {State.ANALYZED: 15_000, State.QUARANTINED: 15_000}
    make_backlog(folder / "ledger.db", counts, root=str(folder))
    config = folder / "config.toml"
    config.write_text(
        f'[zoom]\naccount_id = "a"\nclient_id = "c"\n[ledger]\npath = "{folder}/ledger.db"\n'
        f'[[sources]]\nname = "hq"\ntype = "folder"\npath = "{folder}"\n[staging]\ntype = "s3"\nbucket = "b"\n'
    )
    config.chmod(0o600)
    return folder


def peak_kib(place: Path, *args: str) -> tuple[int, int]:
    """Run a command to its end; return the most that it had in memory, and how many lines it wrote."""
    command = [sys.executable, "-m", "uploader", "--config", str(place / "config.toml"), *args]
    names = {"PATH": os.environ["PATH"], "HOME": str(place), "PYTHONPATH": str(CHECKOUT)}
    output = place / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=names, stdout=file)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0
    return usage.ru_maxrss, output.read_bytes().count(b"\n")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_list_of_all_takes_no_more_memory_than_a_short_one(place, form):
    short, _ = peak_kib(place, "list", *form, "--limit", "1")
    whole, lines = peak_kib(place, "list", *form)
    assert lines >= 30_000
    assert whole - short < MOST_GROWTH_KIB
