"""The commands that look at the ledger, as real processes: on a terminal, in a pipe, beside each other."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ledger_maker import ROOT, LedgerMaker
from uploader.domain.recording import State

CHECKOUT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "uploader"]


@pytest.fixture
def maker(tmp_path):
    made = LedgerMaker(tmp_path / "ledger.db")
    yield made
    made.close()


@pytest.fixture
def environ(tmp_path):
    """An environment that has nothing but a configuration without secrets."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[zoom]\naccount_id = "a"\nclient_id = "c"\nclient_secret_file = "/none/secret"\n'
        f'[ledger]\npath = "{tmp_path}/ledger.db"\n'
        f'[[sources]]\nname = "hq"\ntype = "folder"\npath = "{ROOT}"\n[staging]\ntype = "s3"\nbucket = "b"\n'
    )
    config.chmod(0o600)
    names = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color"}
    return {**names, "QM_UPLOADER_CONFIG": str(config)}


@pytest.fixture
def qm(environ):
    """Run the program in a pipe and return the finished process."""

    def qm(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *args], env=environ, capture_output=True, text=True, timeout=60, check=False)

    return qm


@pytest.fixture
def on_terminal(environ):
    """Run the program on a terminal so many columns wide, and return what it shows."""

    def on_terminal(columns: int, *args: str, **extra: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            [*COMMAND, *args], env={**environ, **extra}, stdout=theirs, stderr=theirs, stdin=theirs
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
        assert process.wait(timeout=60) == 0
        return shown.decode().replace("\r\n", "\n")

    return on_terminal


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_pipe_that_is_closed_early_ends_a_long_list_silently(maker, environ):
    for _ in range(3000):
        maker.discovered()
    with subprocess.Popen([*COMMAND, "list"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"ID")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_json_is_alone_on_standard_output_whatever_the_names(maker, qm):
    maker.quarantined(name=b"\xff\n\x1b[31m.wav")
    ran = qm("list", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        json.loads(ran.stdout)["location"].encode("utf-8", "surrogateescape") == ROOT.encode() + b"/\xff\n\x1b[31m.wav"
    )


def test_in_a_pipe_nothing_is_cut_or_coloured(maker, qm):
    name = "x" * 200
    maker.quarantined(name=f"{name}.wav".encode())
    for args in (["list"], ["status"], ["show", f"{ROOT}/{name}.wav"], ["verify"]):
        assert "\x1b" not in qm(*args).stdout
    assert name in qm("list").stdout


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal_tables_keep_to_its_width(maker, on_terminal, columns):
    for state in State:
        maker.in_state(state)
    maker.quarantined(name=("通話" * 60).encode())
    maker.sidecar(b"left.json")
    for args in (["list"], ["list", "--group", "reason"], ["status"]):
        shown = plain(on_terminal(columns, *args))
        assert shown.count("\n") > 3
        too_wide = [line for line in shown.splitlines() if cell_len(line) > columns]
        assert too_wide == []


def test_on_a_terminal_states_are_coloured_unless_nobody_wants_it(maker, on_terminal):
    maker.quarantined()
    assert "\x1b[31m" in on_terminal(100, "list")
    assert "\x1b[3" not in on_terminal(100, "list", NO_COLOR="1")
    assert "\x1b[3" not in on_terminal(100, "list", "--no-color")


def test_commands_work_while_another_process_writes(maker, qm):
    rows = [maker.quarantined() for _ in range(20)]
    processes = [
        subprocess.Popen(
            [*COMMAND, "retry", "--json", *(row.id for row in rows)],
            env={
                **os.environ,
                "PYTHONPATH": str(CHECKOUT),
                "QM_UPLOADER_CONFIG": str(maker.path.parent / "config.toml"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    changed = [json.loads(process.communicate(timeout=60)[0])["changed"] for process in processes]
    # Each recording went round once, whoever came first.
    assert sum(changed) == 20
    assert qm("verify").returncode == 0
