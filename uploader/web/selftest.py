"""The built-in server with nothing but its test file, for a check while no daemon runs; knows no ledger."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from uploader.errors import LedgerError
from uploader.platform.clock import Clock
from uploader.staging.builtin import SELFTEST_NAME, Grant, SigningKey, SigningKeys, UrlSigner
from uploader.web.files import files_app
from uploader.web.server import HttpServer

_CONNECTIONS: Final = 32
_GRACE_SECONDS: Final = 1.0


@contextmanager
def served_selftest(*, public_url: str, host: str, port: int, clock: Clock) -> Iterator[UrlSigner]:
    """Serve the test file while the context lasts; yield what signs its URL, with a key made for the purpose.

    Raises UsageError when the address cannot be listened on.
    """
    keys = SigningKeys(current=SigningKey(id=secrets.token_hex(4), secret=secrets.token_bytes(32)))
    signer = UrlSigner(public_url, lambda: keys, clock)
    app = _OnlySelftest(files_app(_NoGrants(), signer))
    server = HttpServer(app, host, port, max_connections=_CONNECTIONS, name="selftest", setting="[staging] listen")
    server.start()
    try:
        yield signer
    finally:
        server.stop(_GRACE_SECONDS)


class _OnlySelftest:
    """Answers 503 to all else: a recording's URL that is asked for meanwhile must not be taken for gone."""

    def __init__(self, files: ASGIApp) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(f"/{SELFTEST_NAME}"):
            await self._files(scope, receive, send)
            return
        later = PlainTextResponse("Not for now; ask again.\n", status_code=503, headers={"Retry-After": "60"})
        await later(scope, receive, send)


class _NoGrants:
    """There is no ledger to ask."""

    def grant(self, recording_id: str, attempt: int) -> Grant | None:
        raise LedgerError("there is no ledger to ask")

    def fetched(
        self,
        recording_id: str,
        attempt: int,
        *,
        first_byte: int,
        last_byte: int,
        complete: bool,
        status: int,
        agent: str,
    ) -> None:
        """Take note of nothing."""

    def source_changed(self, recording_id: str) -> None:
        """Take note of nothing."""
