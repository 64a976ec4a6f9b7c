"""What tells of the daemon to whoever watches it: health, readiness and metrics, put together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from uploader.service.engine import Engine, Parts
from uploader.service.metrics.metrics import Bounds, Meters, Metrics
from uploader.settings.model import Settings
from uploader.settings.order import PSEUDO_SOURCE
from uploader.web.exposition import Exposition
from uploader.web.health import Vitals, health_app
from uploader.web.server import AsgiApp, HttpServer


def monitoring_app(
    settings: Settings,
    engine: Engine,
    parts: Parts,
    *,
    meters: Meters,
    servers: Sequence[HttpServer],
    stop: threading.Event,
) -> AsgiApp:
    """Return the application that answers for this engine; `servers` are looked at when somebody asks."""

    def vitals() -> Vitals:
        return Vitals(
            heartbeat_fresh=engine.is_healthy,
            started=engine.started,
            stopping=stop.is_set(),
            ledger_usable=engine.failure is None,
        )

    metrics = Metrics(
        ledger=parts.ledger,
        governor=parts.governor,
        dispatcher=parts.dispatcher,
        scanners=parts.scanners,
        servers=lambda: {server.name: server.load() for server in servers},
        meters=meters,
        bounds=_bounds(settings),
        clock=parts.clock,
    )
    return health_app(vitals=vitals, exposition=Exposition(metrics.families, parts.clock))


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        sources=frozenset({PSEUDO_SOURCE, *(source.name for source in settings.sources)}),
        workers=settings.run.workers,
        submissions_per_day=settings.budget.submissions_per_day,
        analysis_deadline=settings.tracking.analysis_deadline,
    )
