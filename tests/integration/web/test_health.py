"""Health, readiness and metrics over a real socket."""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.web.health import HealthSnapshot, Vitals, health_app
from uploader.web.server import HttpServer

WELL = Vitals(heartbeat_fresh=True, started=True, stopping=False, ledger_usable=True)


class Process:
    """What the application asks, in the test's hands."""

    def __init__(self) -> None:
        self.now = WELL
        self.snapshots = 0
        self.ledger_broken = False
        self.waiting: float | None = 12.5

    def vitals(self) -> Vitals:
        return self.now

    def snapshot(self) -> HealthSnapshot:
        self.snapshots += 1
        if self.ledger_broken:
            raise LedgerError("the ledger cannot be read")
        return HealthSnapshot(recordings={State.READY: 3}, submission_open=False, oldest_waiting_seconds=self.waiting)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture(params=[True])
def port(process: Process, request) -> Iterator[int]:
    registry = CollectorRegistry() if request.param else None
    if registry is not None:
        Counter("qm_uploader_other", "Another metric of the same registry.", registry=registry).inc()
    app = health_app(vitals=process.vitals, snapshot=process.snapshot, registry=registry)
    server = HttpServer(app, "127.0.0.1", 0, max_connections=10, name="web", setting="web.listen")
    server.start()
    yield server.port
    server.stop(0)


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("content-type", ""), response.read()
    finally:
        connection.close()


def test_a_fresh_heartbeat_is_health_whatever_else(port: int, process: Process) -> None:
    process.now = dataclasses.replace(WELL, started=False, stopping=True, ledger_usable=False)
    assert ask(port, "/healthz")[0] == 200
    process.now = dataclasses.replace(WELL, heartbeat_fresh=False)
    status, _, body = ask(port, "/healthz")
    assert status == 503
    assert json.loads(body) == {"ok": False, "reasons": ["no heartbeat"]}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"started": False}, ["not started"]),
        ({"stopping": True}, ["stopping"]),
        ({"ledger_usable": False}, ["ledger not usable"]),
        ({"started": False, "ledger_usable": False}, ["not started", "ledger not usable"]),
    ],
)
def test_readiness_says_on_one_line_what_is_missing(
    port: int, process: Process, change: dict[str, bool], reasons: list[str]
) -> None:
    process.now = dataclasses.replace(WELL, **change)
    status, kind, body = ask(port, "/readyz")
    assert status == (503 if reasons else 200)
    assert kind == "application/json"
    assert json.loads(body) == {"ok": not reasons, "reasons": reasons}
    assert body.count(b"\n") == 1


def test_metrics_show_every_state_and_the_rest_of_the_registry(port: int, process: Process) -> None:
    assert process.snapshots == 0
    status, kind, body = ask(port, "/metrics")
    lines = body.decode().splitlines()
    assert status == 200
    assert kind.startswith("text/plain")
    assert 'qm_uploader_recordings{state="ready"} 3.0' in lines
    assert sum(line.startswith("qm_uploader_recordings{") for line in lines) == len(State)
    assert "qm_uploader_submission_open 0.0" in lines
    assert "qm_uploader_oldest_waiting_seconds 12.5" in lines
    assert "qm_uploader_other_total 1.0" in lines


def test_nothing_waiting_is_zero_seconds(port: int, process: Process) -> None:
    process.waiting = None
    assert b"\nqm_uploader_oldest_waiting_seconds 0.0\n" in ask(port, "/metrics")[2]


def test_metrics_without_a_ledger_are_503_and_health_goes_on(port: int, process: Process) -> None:
    process.ledger_broken = True
    assert ask(port, "/metrics")[0] == 503
    assert ask(port, "/healthz")[0] == 200


@pytest.mark.parametrize("port", [False], indirect=True)
def test_without_a_registry_there_are_no_metrics(port: int) -> None:
    assert ask(port, "/metrics")[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/healthz/"),
        ("GET", "/recordings/x"),
        ("POST", "/healthz"),
        ("DELETE", "/metrics"),
    ],
)
def test_nothing_else_is_answered(port: int, method: str, path: str) -> None:
    assert ask(port, path, method)[0] == 404


def test_head_has_no_body(port: int) -> None:
    status, _, body = ask(port, "/readyz", "HEAD")
    assert (status, body) == (200, b"")
