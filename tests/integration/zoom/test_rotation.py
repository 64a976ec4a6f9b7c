"""A client secret that is rotated while the program runs, at the sandbox."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from uploader.app.secret import CurrentSecret
from uploader.errors import ServiceRefusal
from uploader.platform.clock import SystemClock
from uploader.platform.http import HttpClient
from uploader.sandbox.config import SandboxConfig
from uploader.sandbox.server import Sandbox
from uploader.settings.model import ZoomSettings
from uploader.zoom.auth import TokenKeeper


@pytest.fixture
def sandbox():
    with Sandbox(SandboxConfig()) as running:
        yield running


def test_a_mended_secret_file_is_taken_at_the_next_try(sandbox, tmp_path):
    path = tmp_path / "zoom-secret"
    path.write_text(sandbox.credentials.client_secret)
    path.chmod(0o600)
    given = sandbox.credentials
    secret = SecretStr(given.client_secret)
    zoom = ZoomSettings(
        account_id=given.account_id, client_id=given.client_id, client_secret=secret, client_secret_file=str(path)
    )
    http = HttpClient(max_connections=2)
    try:
        tokens = TokenKeeper(
            http, token_url=sandbox.token_url, account_id=given.account_id, client_id=given.client_id,
            client_secret=CurrentSecret(zoom, environ={}), clock=SystemClock(), timeout_seconds=10,
        )  # fmt: skip
        first = tokens.token()
        answer = httpx.post(f"{sandbox.url}/sandbox/secret", json={"client_secret": "rotated"})
        assert answer.status_code == 200
        authorization = {"Authorization": f"Bearer {first.value}"}
        assert httpx.get(f"{sandbox.api_url}/qm/interactions", headers=authorization).status_code == 401
        # An hour later, as far as the keeper knows.
        tokens = TokenKeeper(
            http, token_url=sandbox.token_url, account_id=given.account_id, client_id=given.client_id,
            client_secret=CurrentSecret(zoom, environ={}), clock=SystemClock(), timeout_seconds=10,
        )  # fmt: skip
        for _ in range(2):
            with pytest.raises(ServiceRefusal):
                tokens.token()
        path.write_text("rotated")
        assert tokens.token().value != first.value
    finally:
        http.close()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"client_secret": 7}', '{"client_secret": ""}', "[" * 5000])
def test_a_rotation_that_names_no_secret_changes_nothing(sandbox, body):
    assert httpx.post(f"{sandbox.url}/sandbox/secret", content=body).status_code == 400
    elsewhere = httpx.post(f"{sandbox.url}/sandbox/secret", content=body, headers={"Host": "evil.example"})
    assert elsewhere.status_code == 404
