"""`sandbox` as a process of its own: what it prints, how it ends, that it can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
from click.testing import CliRunner

from uploader.cli.sandbox import command
from uploader.errors import UsageError

START = [sys.executable, "-c", "from uploader.cli.main import main; main()", "sandbox"]


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*START, "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def token(told: dict) -> httpx.Response:
    form = {"grant_type": "account_credentials", "account_id": told["account_id"]}
    return httpx.post(told["token_url"], data=form, auth=(told["client_id"], told["client_secret"]))


def submit(told: dict) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {token(told).json()['access_token']}"}
    body = {"download_url": "http://127.0.0.1:9/secret-path?sig=secret-signature"}
    return httpx.post(f"{told['api_url']}/qm/interactions", json=body, headers=bearer)


def test_json_is_one_line_once_it_listens(spawn, tmp_path: Path) -> None:
    process = spawn("--dir", tmp_path, "--json")
    told = json.loads(line_of(process.stdout))
    assert set(told) == {
        "url", "api_url", "token_url", "account_id", "client_id", "client_secret", "config", "recordings", "pid",
    }  # fmt: skip
    assert told["pid"] == process.pid
    assert submit(told).status_code == 201
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_configuration_is_printed_and_written_privately(spawn, tmp_path: Path) -> None:
    process = spawn("--dir", tmp_path, "--account-id", "acc", "--client-id", "id", "--client-secret", 'a"\\b')
    errors = ""
    while "/sandbox/books" not in errors:
        errors += line_of(process.stderr)
    assert f"qm-uploader --config {tmp_path}/config.toml run" in errors
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    written = (tmp_path / "config.toml").read_text()
    assert printed.rstrip("\n") == written.rstrip("\n")
    assert tomllib.loads(written)["zoom"]["client_secret"] == 'a"\\b'
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600


def test_second_ctrl_c_changes_nothing(spawn, tmp_path: Path) -> None:
    process = spawn("--dir", tmp_path, "--json")
    line_of(process.stdout)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_printed_configuration_is_one_the_program_takes(spawn, tmp_path: Path) -> None:
    from uploader.settings.load import load

    process = spawn("--dir", tmp_path, "--json", "--date-axis", "created_at")
    told = json.loads(line_of(process.stdout))
    loaded = load(Path(told["config"]), environ={}, overrides={}, need_secrets=True)
    assert loaded.warnings == ()
    assert str(loaded.settings.zoom.api_url).rstrip("/") == told["api_url"]


def test_verbose_logs_path_and_status_without_secrets(spawn, tmp_path: Path) -> None:
    process = spawn("--dir", tmp_path, "--json", "-v")
    told = json.loads(line_of(process.stdout))
    submit(told)
    httpx.get(f"{told['api_url']}/qm/interactions?from=secret-query")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert errors.splitlines() == [
        "POST /oauth/token 200",
        "POST /v2/qm/interactions 201",
        "GET /v2/qm/interactions 401",
    ]


def test_killed_and_started_again_it_is_the_same_service(spawn, tmp_path: Path) -> None:
    first = spawn("--dir", tmp_path, "--json", "--fetch-delay", "1h")
    told = json.loads(line_of(first.stdout))
    interaction_id = submit(told).json()["interaction_id"]
    first.kill()
    first.wait()
    second = spawn("--dir", tmp_path, "--json")
    again = json.loads(line_of(second.stdout))
    assert [again[name] for name in ("account_id", "client_id", "client_secret")] == [
        told[name] for name in ("account_id", "client_id", "client_secret")
    ]
    books = httpx.get(f"{again['url']}/sandbox/books").json()
    assert [item["interaction_id"] for item in books["interactions"]] == [interaction_id]


def test_options_reach_the_service(spawn, tmp_path: Path) -> None:
    process = spawn(
        "--dir", tmp_path, "--json", "--token-ttl", "5", "--fault", "429:1", "--seed", "4", "--slow-seconds", "100ms",
        "--scopes", "qm_interactions:write", "--fault-on", "post,list",
    )  # fmt: skip
    told = json.loads(line_of(process.stdout))
    assert token(told).json()["expires_in"] == 5
    assert token(told).json()["scope"] == "qm_interactions:write"
    assert submit(told).status_code == 429
    assert httpx.get(f"{told['url']}/sandbox/books").json()["seed"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "nonsense:0.1"], "lost-answer"),
        (["--fault", "reset"], "NAME:PROBABILITY"),
        (["--fault", "reset:x"], "number from 0 to 1"),
        (["--fault-on", "everything"], "choose from post"),
        (["--scopes", "all"], "choose from zoom_quality_management"),
        (["--token-ttl", "soon"], "500ms"),
        (["--port", "70000"], "0<=x<=65535"),
    ],
)
def test_wrong_option_is_a_usage_error(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "reset:0.6", "--fault", "429:0.6"], "over 1"),
        (["--fault", "reset:7"], "from 0 to 1"),
        (["--host", "0.0.0.0"], "this machine only"),
        (["--ca", "/nonexistent"], "CA file"),
        (["--state", "/nonexistent/books"], "state file"),
    ],
)
def test_wrong_value_is_a_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(command, ["--dir", str(tmp_path / "box"), "--port", "0", *arguments])
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_help_needs_nothing() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "--fault" in result.output
