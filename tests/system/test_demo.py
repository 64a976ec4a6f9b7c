"""`demo` as a newcomer runs it: in a pipe, on a terminal, broken off, twice at once, in poor surroundings."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from uploader.cli.main import main; main()", "demo"]
INTENDED = {
    entry["name"]: entry["intended"]
    for entry in json.loads((CHECKOUT / "uploader/demo/demo.json").read_text())["files"]
}


@pytest.fixture
def temporary(tmp_path):
    """Where the demonstration makes its directory, and nothing else lies."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def poor(tmp_path, temporary):
    """An environment without a home, with a proxy that nobody answers and settings that are wrong."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": str(temporary),
        "QM_UPLOADER_CONFIG": str(tmp_path / "none.toml"),
        "QM_UPLOADER_ZOOM__API_URL": "https://nobody.invalid/v2",
        "QM_UPLOADER_RUN__WORKERS": "none",
        "QM_UPLOADER_SOURCES": "no JSON",
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }


@pytest.fixture
def start(poor, tmp_path):
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=poor | environ,
            cwd="/proc",  # nothing can be written here
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def processes_in(directory: Path) -> list[int]:
    """Return who works in `directory` or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
    return found


def wait_until(condition, seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, select.poll()
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        pause.poll(20)


def test_it_shows_what_happens_to_each_and_ends_well_in_time_with_nothing_left(start, temporary):
    began = time.monotonic()
    process = start()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert time.monotonic() - began < 20
    for name, intended in INTENDED.items():
        # a line for each change, and the last row of the table
        assert re.search(rf"^ *\d+\.\d s  {re.escape(name)} +{intended} ", out, re.MULTILINE), name
        assert re.search(rf"^{re.escape(name)} +{intended} +{intended} +\S", out, re.MULTILINE), name
    assert "7 accepted, 7 fetched whole (equal SHA-256), 7 analysed" in out
    assert "qm-uploader config init" in out
    assert "\x1b" not in out + err
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_two_at_once_do_not_meet_and_each_is_one_document(start, temporary):
    both = [start("--json"), start("--json")]
    documents = []
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        (line,) = out.splitlines()
        documents.append(json.loads(line))
    for document in documents:
        assert document["as_intended"] is True
        assert document["seconds"] < 20
        assert {r["recording"]: (r["intended"], r["state"]) for r in document["recordings"]} == {
            name: (intended, intended) for name, intended in INTENDED.items()
        }
        for recording in document["recordings"]:
            assert (recording["interaction_id"] is not None) == (recording["state"] == "analyzed")
            assert (recording["reason_code"] is not None) == (recording["state"] != "analyzed")
    first, second = ({r["interaction_id"] for r in d["recordings"]} - {None} for d in documents)
    assert not first & second
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_broken_off_it_is_130_and_nothing_is_left(start, temporary, sign):
    process = start()
    assert process.stdout is not None
    assert "dropped" in process.stdout.readline()  # both are running now
    assert len(processes_in(temporary)) == 2
    process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.endswith("error: interrupted\n")
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_broken_off_while_it_starts_it_is_130_and_nothing_is_left(start, temporary):
    process = start()
    wait_until(lambda: list(temporary.iterdir()))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_when_the_daemon_dies_it_says_so_and_is_1(start, temporary):
    process = start()
    assert process.stdout is not None
    process.stdout.readline()
    (daemon,) = [
        number for number in processes_in(temporary) if b"\0run\0" in Path(f"/proc/{number}/cmdline").read_bytes()
    ]
    os.kill(daemon, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: the daemon has ended by itself" in err
    assert "hint: " in err
    assert list(temporary.iterdir()) == []


def test_a_reader_that_goes_away_ends_it_silently(start, temporary):
    process = start()
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(30) == 0
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_kept_the_directory_is_named_and_its_ledger_can_be_asked(start, temporary):
    process = start("--keep")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    (kept,) = temporary.iterdir()
    assert str(kept) in err
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "ledger.db").exists()
    assert {path.name for path in (kept / "recordings").iterdir()} >= set(INTENDED)


def test_on_a_terminal_it_draws_in_place_and_ctrl_c_ends_it(poor, temporary):
    ours, theirs = pty.openpty()
    environ = {**poor, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        COMMAND, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        screen = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(ours, 65536):
                screen += chunk
                if b"analyzed" in screen and process.returncode is None and b"interrupted" not in screen:
                    process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    os.close(ours)
    assert b"state now" in screen
    assert b"\x1b[" in screen
    assert b"Traceback" not in screen
    assert list(temporary.iterdir()) == []
