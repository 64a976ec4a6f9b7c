"""Health, readiness and metrics over HTTP; knows what it is told, names no recording and nothing personal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from uploader.domain.recording import State
from uploader.errors import LedgerError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How the process fares, told from memory alone: asking must not wait for disk or lock."""

    heartbeat_fresh: bool
    started: bool
    stopping: bool
    ledger_usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSnapshot:
    """What the metrics show. `oldest_waiting_seconds` is None when nothing waits."""

    recordings: Mapping[State, int]
    submission_open: bool
    oldest_waiting_seconds: float | None


def health_app(
    *,
    vitals: Callable[[], Vitals],
    snapshot: Callable[[], HealthSnapshot],
    registry: CollectorRegistry | None = None,
) -> ASGIApp:
    """Return the application for `/healthz`, `/readyz` and, with a registry, `/metrics`.

    `vitals` is called in the event loop and must not block; `snapshot` in a thread, and may raise
    LedgerError, which makes `/metrics` answer 503. The snapshot's metrics are added to `registry`.
    """
    if registry is not None:
        registry.register(_SnapshotCollector(snapshot))
    return _HealthApp(vitals, registry)


class _HealthApp:
    def __init__(self, vitals: Callable[[], Vitals], registry: CollectorRegistry | None) -> None:
        self._vitals = vitals
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(scope["method"], scope["path"])
        response.headers["Cache-Control"] = "no-store"
        await response(scope, receive, send)

    async def _answer(self, method: str, path: str) -> Response:
        if method not in {"GET", "HEAD"}:
            return PlainTextResponse("Not found.\n", status_code=404)
        if path == "/healthz":
            return _judged([] if self._vitals().heartbeat_fresh else ["no heartbeat"])
        if path == "/readyz":
            return _judged(_not_ready(self._vitals()))
        if path == "/metrics" and self._registry is not None:
            return await to_thread.run_sync(_metrics, self._registry)
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


def _metrics(registry: CollectorRegistry) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    try:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
    except LedgerError:
        return PlainTextResponse("The ledger cannot be read.\n", status_code=503)


class _SnapshotCollector:
    """Turns a snapshot into metrics at each scrape."""

    def __init__(self, snapshot: Callable[[], HealthSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering must not read the ledger."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of one snapshot; every state is there, also with 0."""
        from prometheus_client.core import GaugeMetricFamily

        snapshot = self._snapshot()
        recordings = GaugeMetricFamily("qm_uploader_recordings", "Recordings in the ledger by state.", labels=["state"])
        for state in State:
            recordings.add_metric([state.value], snapshot.recordings.get(state, 0))
        yield recordings
        yield GaugeMetricFamily(
            "qm_uploader_submission_open",
            "1 while recordings may be submitted, 0 while submission is closed.",
            value=float(snapshot.submission_open),
        )
        yield GaugeMetricFamily(
            "qm_uploader_oldest_waiting_seconds",
            "Age of the oldest recording that waits to be submitted; 0 when none does.",
            value=snapshot.oldest_waiting_seconds or 0.0,
        )
