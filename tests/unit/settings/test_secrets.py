"""Secrets from files and credentials: who may read them, and who has to."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from uploader.errors import ConfigurationError
from uploader.settings.load import load
from uploader.settings.secrets import credential_names


@pytest.fixture
def config(write, good, tmp_path):
    """Write a configuration whose secret is in a file; return its path and the file's."""

    def config(content: bytes | None = b"from file\n", mode: int = 0o600) -> tuple[Path, Path]:
        secret = tmp_path / "secret"
        if content is not None:
            secret.write_bytes(content)
            secret.chmod(mode)
        return write(good.replace('client_secret = "hush"', f'client_secret_file = "{secret}"')), secret

    return config


def _secret(path: Path, environ: dict[str, str] | None = None) -> str:
    value = load(path, environ=environ or {}, need_secrets=True).settings.zoom.client_secret
    assert value is not None
    return value.get_secret_value()


def test_a_secret_file_is_read_without_its_last_line_break(config):
    assert _secret(config(b"s3cret \n")[0]) == "s3cret "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_secret_file_that_others_may_use_is_refused(config, mode):
    path, _ = config(mode=mode)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={}, need_secrets=True)
    (problem,) = caught.value.problems
    assert problem.field == "zoom.client_secret_file"
    assert "chmod 600" in problem.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"\xff\xfe", "not text"),
        (b"x" * (64 * 1024 + 1), "larger than 64 KiB"),
    ],
)
def test_a_secret_file_that_cannot_be_one_is_refused_with_the_reason(config, content, said):
    path, _ = config(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={}, need_secrets=True)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret_file"]
    assert said in caught.value.problems[0].message


def test_a_named_pipe_in_place_of_the_secret_is_refused_and_not_waited_for(config, tmp_path):
    path, secret = config(None)
    os.mkfifo(secret, 0o600)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={}, need_secrets=True)
    assert "regular file" in caught.value.problems[0].message


def test_links_that_go_round_in_a_ring_are_a_mistake_and_no_crash(config, tmp_path):
    path, secret = config(None)
    secret.symlink_to(secret)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, need_secrets=True)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret_file"]


def test_without_need_the_secret_file_is_not_even_opened(config):
    path, secret = config(None)
    os.mkfifo(secret, 0o644)
    assert load(path, environ={}, need_secrets=False).settings.zoom.client_secret is None


def test_a_missing_secret_is_a_mistake_only_where_it_is_needed(write, good):
    path = write(good.replace('client_secret = "hush"', ""))
    assert load(path, environ={}, need_secrets=False).settings.zoom.client_secret is None
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={}, need_secrets=True)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret"]


@pytest.mark.parametrize("name", credential_names("zoom.client_secret"))
def test_a_credential_wins_over_the_file_and_may_have_any_mode(config, tmp_path, name):
    path, _ = config(None)
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / name).write_text("from credentials\n")
    (directory / name).chmod(0o444)
    environ = {"CREDENTIALS_DIRECTORY": str(directory)}
    assert _secret(path, environ) == "from credentials"
    origins = load(path, environ=environ, need_secrets=True).origins
    assert origins["zoom.client_secret"] == "credentials"
    assert "zoom.client_secret_file" not in origins


def test_the_environment_wins_over_a_credential(config, tmp_path):
    path, _ = config()
    (tmp_path / "zoom_client_secret").write_text("from credentials")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "QM_UPLOADER_ZOOM__CLIENT_SECRET": "from env"}
    assert _secret(path, environ) == "from env"


def test_a_file_named_by_the_environment_wins_over_a_secret_in_the_file(write, good, tmp_path):
    (tmp_path / "other").write_text("other")
    (tmp_path / "other").chmod(0o600)
    environ = {"QM_UPLOADER_ZOOM__CLIENT_SECRET_FILE": str(tmp_path / "other")}
    assert _secret(write(good), environ) == "other"


def test_a_secret_file_inside_the_credentials_directory_may_have_any_mode(config, tmp_path):
    path, _ = config(b"from file", mode=0o440)
    assert _secret(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from file"


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"\xff\xfe", b"x" * (64 * 1024 + 1)])
def test_a_broken_credential_is_a_mistake_and_nothing_else_is_taken_in_its_place(config, tmp_path, content):
    path, _ = config()
    (tmp_path / "zoom-client-secret").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, need_secrets=True)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret (credential)"]


@pytest.mark.parametrize("blank", ["", "\n", " \r\n"])
def test_a_blank_credential_counts_as_none(config, tmp_path, blank):
    path, _ = config()
    (tmp_path / "zoom_client_secret").write_text(blank)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert _secret(path, environ) == "from file"
    assert load(path, environ=environ, need_secrets=True).origins["zoom.client_secret"] == "file"


def test_a_blank_credential_does_not_hide_one_of_another_name(config, tmp_path):
    path, _ = config()
    (tmp_path / "zoom_client_secret").write_text("\n")
    (tmp_path / "client-secret").write_text("from credentials\n")
    assert _secret(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from credentials"


def test_a_blank_credential_alone_leaves_the_secret_missing(write, good, tmp_path):
    (tmp_path / "zoom_client_secret").write_text("\n")
    path = write(good.replace('client_secret = "hush"', ""))
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, need_secrets=True)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret"]
    assert "is required" in caught.value.problems[0].message


@pytest.mark.parametrize("name", ["QM_UPLOADER_ZOOM__CLIENT_SECRET", "QM_UPLOADER_ZOOM__CLIENT_SECRET_FILE"])
def test_an_empty_variable_does_not_hide_the_secret_of_the_file(write, good, name):
    assert _secret(write(good), {name: ""}) == "hush"


def test_a_credential_is_not_looked_at_where_no_secret_is_needed(config, tmp_path):
    path, _ = config()
    os.mkfifo(tmp_path / "zoom_client_secret", 0o644)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load(path, environ=environ, need_secrets=False).settings.zoom.client_secret is None


def test_a_relative_path_of_a_secret_file_is_refused(problems, good):
    found = problems(good.replace('client_secret = "hush"', 'client_secret_file = "secret"'))
    assert "absolute" in found["zoom.client_secret_file"]


def test_secret_and_secret_file_side_by_side_are_a_mistake(write, good, tmp_path):
    path = write(good.replace("client_secret =", f'client_secret_file = "{tmp_path}/s"\nclient_secret ='))
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={}, need_secrets=False)
    assert [p.field for p in caught.value.problems] == ["zoom.client_secret"]


def test_a_secret_shows_in_no_representation_and_no_error(write, good):
    canary = "canary-in-the-mine"
    path = write(good.replace("hush", canary))
    loaded = load(path, environ={}, need_secrets=True)
    assert canary not in f"{loaded!r}{loaded.settings!r}{loaded.settings.model_dump()}"
    with pytest.raises(ConfigurationError) as caught:
        load(write(good.replace('"hush"', f'["{canary}"]')), environ={}, need_secrets=True)
    assert canary not in f"{caught.value}{caught.value.problems}"


def test_no_debug_log_of_a_library_shows_what_the_sources_hold(write, good, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    load(write(good), environ={"QM_UPLOADER_RUN__WORKERS": "3"}, need_secrets=True)
    assert caplog.text == ""
