"""`config`, `completion` and the frame as a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "uploader"]


@pytest.fixture
def qm(tmp_path):
    """Run the program in a clean environment and return the finished process."""
    checkout = Path(__file__).parents[3]

    def qm(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *args],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout), "HOME": str(tmp_path), **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return qm


@pytest.fixture
def good(tmp_path):
    """A configuration that is right, its secret in a file."""
    secret = tmp_path / "secret"
    secret.write_text("canary-secret\n")
    secret.chmod(0o600)
    path = tmp_path / "config.toml"
    path.write_text(
        f'[zoom]\naccount_id = "a"\nclient_id = "c"\nclient_secret_file = "{secret}"\n'
        f'[[sources]]\nname = "hq"\ntype = "folder"\npath = "{tmp_path}"\n'
        '[staging]\ntype = "s3"\nbucket = "b"\n'
    )
    path.chmod(0o600)
    return path


def test_init_writes_the_example_for_its_owner_only_and_never_twice(qm, tmp_path):
    path = tmp_path / "new" / "config.toml"
    first = qm("config", "init", str(path))
    assert first.returncode == 0
    assert f"--config {path} config check" in first.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) <= 25
    path.write_text("mine")
    second = qm("config", "init", str(path))
    assert second.returncode == 2
    assert second.stderr.startswith("error: ")
    assert "hint: " in second.stderr
    assert path.read_text() == "mine"


def test_init_without_a_path_writes_where_the_file_is_looked_for(qm, tmp_path):
    path = tmp_path / "here.toml"
    done = qm("config", "init", QM_UPLOADER_CONFIG=str(path))
    assert done.returncode == 0
    assert "qm-uploader config check" in done.stdout
    other = tmp_path / "there.toml"
    written = qm("--config", str(other), "config", "init", "--json")
    assert json.loads(written.stdout) == {"path": str(other)}
    assert path.exists()
    assert other.exists()


def test_init_does_not_follow_a_link_that_dangles(qm, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    assert qm("config", "init", str(link)).returncode == 2
    assert not (tmp_path / "target").exists()


def test_init_where_nothing_can_be_written_says_so(qm, tmp_path):
    (tmp_path / "file").write_text("")
    done = qm("config", "init", str(tmp_path / "file" / "config.toml"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_check_is_0_for_a_good_file(qm, good):
    done = qm("config", "check", "--config", str(good))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ok: {good}\n", "")


def test_check_is_1_with_a_warning(qm, good):
    good.write_text(good.read_text() + '[log]\nlevel = "info"\n')
    text = good.read_text()
    good.write_text(text.replace(next(x for x in text.splitlines() if "_file" in x), 'client_secret = "x"'))
    good.chmod(0o644)
    done = qm("config", "check", "--config", str(good), "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert [w["field"] for w in document["warnings"]] == ["zoom.client_secret"]
    assert "warning: zoom.client_secret" in done.stderr


def test_check_is_1_when_there_is_nothing_to_watch(qm):
    environ = {f"QM_UPLOADER_ZOOM__{key}": "x" for key in ("ACCOUNT_ID", "CLIENT_ID", "CLIENT_SECRET")}
    done = qm("config", "check", **environ)
    assert done.returncode == 1
    assert "warning: sources: " in done.stderr


def test_check_is_2_with_every_mistake(qm, good):
    good.write_text(good.read_text().replace('"folder"', '"floder"').replace('bucket = "b"', "buckett = 3"))
    plain = qm("config", "check", "--config", str(good))
    assert plain.returncode == 2
    assert str(good) in plain.stderr
    assert '  sources.hq.type: must be one of "folder" or "s3"' in plain.stderr
    assert "  staging.buckett: is unknown (did you mean bucket?)" in plain.stderr
    scripted = qm("config", "check", "--config", str(good), "--json")
    assert scripted.returncode == 2
    document = json.loads(scripted.stdout)
    assert document["ok"] is False
    assert {p["field"] for p in document["problems"]} >= {"sources.hq.type", "staging.buckett"}


def test_check_finds_a_secret_file_that_others_may_read(qm, good):
    (good.parent / "secret").chmod(0o644)
    done = qm("config", "check", "--config", str(good))
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


def test_show_is_toml_with_origins_and_without_secrets(qm, good):
    environ = {"QM_UPLOADER_RUN__WORKERS": "3", "QM_UPLOADER_ZOOM__CLIENT_SECRET": "canary-env"}
    done = qm("config", "show", "--config", str(good), **environ)
    assert done.returncode == 0
    shown = tomllib.loads(done.stdout)
    assert shown["zoom"]["client_secret"] == "********"
    assert shown["sources"][0]["settle"] == "2s"
    assert "workers = 3  # environment" in done.stdout
    assert 'account_id = "a"  # file' in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_what_show_prints_is_a_configuration_with_the_same_meaning(qm, good, tmp_path):
    good.write_text(
        good.read_text().replace("[staging]", '[sources.defaults]\nqueue_id = "a \\"b\\" \\\\ ü"\n[staging]')
    )
    copy = tmp_path / "copy.toml"
    copy.write_text(qm("config", "show", "--config", str(good)).stdout)
    first = json.loads(qm("config", "show", "--json", "--config", str(good)).stdout)
    second = json.loads(qm("config", "show", "--json", "--config", str(copy)).stdout)
    assert first["settings"] == second["settings"]
    assert first["settings"]["sources"][0]["defaults"] == {"queue_id": 'a "b" \\ ü'}


def test_show_needs_no_secret(qm, good):
    (good.parent / "secret").unlink()
    assert qm("config", "show", "--config", str(good)).returncode == 0


def test_show_as_json_is_one_line_with_origins(qm, good):
    done = qm("config", "show", "--config", str(good), "--json")
    (line,) = done.stdout.splitlines()
    document = json.loads(line)
    assert document["path"] == str(good)
    assert document["origins"]["sources.hq.path"] == "file"
    assert "client_secret" not in document["settings"]["zoom"]


def test_a_missing_file_says_how_to_write_one(qm):
    done = qm("config", "show", "--config", "/no/such/file")
    assert done.returncode == 2
    assert "hint: write one with `qm-uploader config init`" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_every_shell(qm, shell):
    done = qm("completion", shell)
    assert done.returncode == 0
    assert "_QM_UPLOADER_COMPLETE" in done.stdout


def test_completion_completes_commands_without_importing_them(qm):
    environ = {"COMP_WORDS": "qm-uploader st", "COMP_CWORD": "1", "_QM_UPLOADER_COMPLETE": "bash_complete"}
    assert qm(**environ).stdout == "plain,status\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("list --state quarantined,sub", "plain,quarantined,submitting\nplain,quarantined,submitted\n"),
        ("retry --reason same_c", "plain,same_call\n"),
        ("explain /srv/re", "file,/srv/re\n"),
        ("import /srv/re", "file,/srv/re\n"),
        ("show /srv/re", "file,/srv/re\n"),
    ],
)
def test_completion_completes_words_of_closed_lists_and_leaves_paths_to_the_shell(qm, typed, offered):
    words = f"qm-uploader {typed}"
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_QM_UPLOADER_COMPLETE": "bash_complete"}
    assert qm(**environ).stdout == offered


def test_a_broken_pipe_is_silent(good):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "config", "show", "--config", str(good)],
        cwd=Path(__file__).parents[3],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_output_is_no_internal_error(qm, good):
    script = f"exec {sys.executable} -m uploader config show --config {good} >&-"
    done = subprocess.run(
        ["bash", "-c", script], cwd=Path(__file__).parents[3], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_gives_130_without_a_traceback(tmp_path):
    fifo = tmp_path / "config.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [*COMMAND, "config", "show", "--config", str(fifo)], cwd=Path(__file__).parents[3], stderr=subprocess.PIPE
    )
    # opening for writing returns once the program opens for reading: then it is inside the command
    with fifo.open("wb"):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"error: interrupted\n")


def test_help_is_quick():
    start = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], cwd=Path(__file__).parents[3], capture_output=True, timeout=30, check=True)
    # 0.3 s is the aim; a loaded machine gets room
    assert time.perf_counter() - start < 3
