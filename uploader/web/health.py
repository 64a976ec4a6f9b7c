"""Health, readiness and metrics over HTTP; knows what it is told, names no recording and nothing personal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from uploader.errors import LedgerError
from uploader.web.exposition import Exposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How the process fares, told from memory alone: asking must not wait for disk or lock."""

    heartbeat_fresh: bool
    started: bool
    stopping: bool
    ledger_usable: bool


def health_app(*, vitals: Callable[[], Vitals], exposition: Exposition | None = None) -> ASGIApp:
    """Return the application for `/healthz`, `/readyz` and, with an exposition, `/metrics`.

    `vitals` is called in the event loop and must not block; the exposition in a thread, and may raise
    LedgerError, which makes `/metrics` answer 503.
    """
    return _HealthApp(vitals, exposition)


class _HealthApp:
    def __init__(self, vitals: Callable[[], Vitals], exposition: Exposition | None) -> None:
        self._vitals = vitals
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope))
        response.headers["Cache-Control"] = "no-store"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("Not found.\n", status_code=404)
        if path == "/healthz":
            return _judged([] if self._vitals().heartbeat_fresh else ["no heartbeat"])
        if path == "/readyz":
            return _judged(_not_ready(self._vitals()))
        if path == "/metrics" and self._exposition is not None:
            return await to_thread.run_sync(_metrics, self._exposition, request.headers.get("accept", ""))
        return PlainTextResponse("Not found.\n", status_code=404)


def _not_ready(vitals: Vitals) -> list[str]:
    reasons = []
    if not vitals.started:
        reasons.append("not started")
    if vitals.stopping:
        reasons.append("stopping")
    if not vitals.ledger_usable:
        reasons.append("ledger not usable")
    return reasons


def _judged(reasons: list[str]) -> Response:
    body = {"ok": not reasons, "reasons": reasons}
    return Response(json.dumps(body) + "\n", status_code=503 if reasons else 200, media_type="application/json")


def _metrics(exposition: Exposition, accept: str) -> Response:
    try:
        kind, text = exposition.text(accept)
    except LedgerError:
        return PlainTextResponse("The ledger cannot be read.\n", status_code=503)
    return Response(text, headers={"Content-Type": kind})
