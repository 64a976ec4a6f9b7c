"""The client secret: read again from where it lies, else kept."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from uploader.app.secret import CurrentSecret
from uploader.settings.model import ZoomSettings


@pytest.fixture
def file(tmp_path):
    def write(text, name="zoom-secret"):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def zoom(secret, file=""):
    return ZoomSettings(account_id="a", client_id="c", client_secret=SecretStr(secret), client_secret_file=str(file))


def test_a_rotated_file_is_taken_at_the_next_question(file):
    secret = CurrentSecret(zoom("old", file("old")), environ={})
    assert secret() == "old"
    file("new")
    assert secret() == "new"


@pytest.mark.parametrize("how", ["gone", "empty", "open to others"])
def test_while_the_file_cannot_be_read_the_last_good_one_is_given(file, how):
    path = file("old")
    secret = CurrentSecret(zoom("old", path), environ={})
    if how == "gone":
        path.unlink()
    elif how == "empty":
        file("")
    else:
        file("new").chmod(0o644)
    with capture_logs() as logs:
        assert secret() == "old"
    assert logs == [{"event": "secret.unreadable", "log_level": "warning"}]
    file("new")
    assert secret() == "new"


def test_a_credential_is_read_again_and_one_that_did_not_count_is_not(file, tmp_path):
    file("old", name="client_secret")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    counts, other = CurrentSecret(zoom("old"), environ=environ), CurrentSecret(zoom("mine"), environ=environ)
    file("new", name="client_secret")
    assert (counts(), other()) == ("new", "mine")


def test_a_secret_of_the_configuration_itself_is_kept():
    assert CurrentSecret(zoom("mine"), environ={})() == "mine"


def test_no_log_names_secret_or_file(file):
    path = file("old-canary")
    secret = CurrentSecret(zoom("old-canary", path), environ={})
    file("new-canary")
    with capture_logs() as logs:
        secret()
        path.unlink()
        secret()
    assert "canary" not in str(logs)
    assert "zoom-secret" not in str(logs)
