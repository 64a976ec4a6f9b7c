"""Where values come from, and which wins."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from uploader.errors import ConfigurationError
from uploader.settings.load import DEFAULT_PATH, config_path, load
from uploader.settings.model import Settings

ENVIRON = {"QM_UPLOADER_ZOOM__ACCOUNT_ID": "a", "QM_UPLOADER_ZOOM__CLIENT_ID": "c"}


def test_the_file_is_the_named_one_else_the_environments_else_the_default():
    environ = {"QM_UPLOADER_CONFIG": "/env.toml"}
    assert config_path(Path("/named.toml"), environ=environ) == Path("/named.toml")
    assert config_path(None, environ=environ) == Path("/env.toml")
    assert config_path(None, environ={"QM_UPLOADER_CONFIG": ""}) == DEFAULT_PATH


def test_the_command_line_wins_over_environment_over_file_over_default(write, good):
    path = write(good + '[log]\nlevel = "error"\nformat = "json"\n[run]\nworkers = 3\n')
    environ = {"QM_UPLOADER_LOG__LEVEL": "warning", "QM_UPLOADER_LOG__FORMAT": "text"}
    loaded = load(path, environ=environ, overrides={"log.level": "debug"}, need_secrets=False)
    settings = loaded.settings
    assert (settings.log.level, settings.log.format, settings.run.workers) == ("debug", "text", 3)
    assert settings.retry.attempts == 5
    assert loaded.origins["log.level"] == "command line"
    assert loaded.origins["log.format"] == "environment"
    assert loaded.origins["run.workers"] == "file"
    assert loaded.origins["sources.hq.path"] == "file"
    assert "retry.attempts" not in loaded.origins


def test_every_kind_of_value_can_come_from_the_environment(tmp_path):
    environ = ENVIRON | {
        "QM_UPLOADER_ZOOM__IDEMPOTENCY_KEY": "true",
        "QM_UPLOADER_ZOOM__REQUEST_TIMEOUT": "500ms",
        "QM_UPLOADER_BUDGET__SUBMISSIONS_PER_SECOND": "0.5",
        "QM_UPLOADER_BUDGET__SUBMISSIONS_PER_DAY": "0",
        "QM_UPLOADER_STAGING__TYPE": "builtin",
        "QM_UPLOADER_STAGING__PUBLIC_URL": "https://example.com/r/",
        "QM_UPLOADER_SOURCES": json.dumps(
            [{"name": "a", "type": "folder", "path": str(tmp_path), "enabled": False, "require": ["agent"]}]
        ),
    }
    loaded = load(None, environ=environ, need_secrets=False)
    settings = loaded.settings
    assert loaded.path is None
    assert settings.zoom.idempotency_key is True
    assert settings.zoom.request_timeout == timedelta(milliseconds=500)
    assert settings.budget.submissions_per_second == 0.5
    assert settings.budget.submissions_per_day == 0
    assert settings.staging is not None
    assert settings.staging.public_url == "https://example.com/r"
    assert settings.sources[0].require == ("agent",)
    assert loaded.origins["sources.a.path"] == "environment"


def test_sources_from_the_environment_replace_those_of_the_file(write, good):
    environ = {"QM_UPLOADER_SOURCES": '[{"name": "env", "type": "s3", "bucket": "b"}]'}
    loaded = load(write(good), environ=environ, need_secrets=False)
    assert [source.name for source in loaded.settings.sources] == ["env"]


@pytest.mark.parametrize("text", ["[{", "3", '{"name": "x"}', "[" * 100_000])
def test_sources_that_are_no_json_list_are_a_mistake(write, good, text):
    with pytest.raises(ConfigurationError) as caught:
        load(write(good), environ={"QM_UPLOADER_SOURCES": text}, need_secrets=False)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("QM_UPLOADER_ZOM__CLIENT_ID", "QM_UPLOADER_ZOOM__CLIENT_ID"),
        ("QM_UPLOADER_ZOOM_CLIENT_ID", "QM_UPLOADER_ZOOM__CLIENT_ID"),
        ("QM_UPLOADER_CONFG", "QM_UPLOADER_CONFIG"),
        ("QM_UPLOADER_SOURCES__0__PATH", "QM_UPLOADER_SOURCES"),
        ("QM_UPLOADER_X", "belongs to no key"),
    ],
)
def test_a_variable_that_matches_no_key_names_the_nearest(problems, good, name, said):
    found = problems(good, environ={name: "x"})
    assert list(found) == [name]
    assert said in found[name]


def test_a_mistake_in_a_variable_names_the_variable(problems, good):
    found = problems(good, environ={"QM_UPLOADER_RUN__WORKERS": "many"})
    assert "QM_UPLOADER_RUN__WORKERS" in found["run.workers"]


@pytest.mark.parametrize("environ", [{}, {"QM_UPLOADER_CONFIG": "/no/such/file"}])
def test_a_missing_file_is_an_error_that_says_how_to_write_one(environ):
    with pytest.raises(ConfigurationError) as caught:
        load(Path("/no/such/file") if not environ else None, environ=environ | ENVIRON, need_secrets=False)
    assert "config init" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_syntax_error_is_one_problem_with_the_line(write):
    with pytest.raises(ConfigurationError, match=r"config\.toml") as caught:
        load(write('[zoom]\naccount_id = "a\n'), environ={}, need_secrets=True)
    assert len(caught.value.problems) == 1
    assert "line 2" in caught.value.problems[0].message


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 5000])
def test_hostile_toml_is_a_mistake_and_no_crash(problems, text):
    assert list(problems(text)) == ["file"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (4 * 1024 * 1024 + 1)])
def test_a_file_that_is_no_text_or_huge_is_refused(tmp_path, content):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="the configuration file"):
        load(path, environ={}, need_secrets=False)


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path, environ={}, need_secrets=False)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path, good):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode())
    assert load(path, environ={}, need_secrets=False).settings.sources[0].name == "hq"


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o644, True)])
def test_a_secret_inside_a_file_that_others_can_read_is_warned_of(write, good, mode, warned):
    loaded = load(write(good, mode=mode), environ={}, need_secrets=False)
    assert [w.field for w in loaded.warnings] == (["zoom.client_secret"] if warned else [])


def test_settings_cannot_be_changed(write, good):
    settings = load(write(good), environ={}, need_secrets=False).settings
    with pytest.raises(ValidationError):
        settings.run.workers = 9
    assert isinstance(settings, Settings)


def test_the_settings_take_nothing_from_the_processs_own_environment(write, good, monkeypatch):
    monkeypatch.setenv("QM_UPLOADER_RUN__WORKERS", "3")
    monkeypatch.setenv("RUN", '{"workers": 4}')
    assert load(write(good), environ={}, need_secrets=False).settings.run.workers == 8
    assert Settings().run.workers == 8


def test_what_is_loaded_twice_is_equal_and_of_one_class(write, good):
    first, second = (load(write(good), environ={}, need_secrets=True).settings for _ in range(2))
    assert type(first) is Settings
    assert first == second


def test_a_table_is_merged_key_by_key_over_all_places(write, good):
    environ = {"QM_UPLOADER_STAGING__REGION": "eu-central-1"}
    overrides = {"staging.prefix": "calls/"}
    staging = load(write(good), environ=environ, overrides=overrides, need_secrets=False).settings.staging
    assert staging is not None
    assert (staging.type, staging.bucket, staging.region, staging.prefix) == ("s3", "bucket", "eu-central-1", "calls/")
