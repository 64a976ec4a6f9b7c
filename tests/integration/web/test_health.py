"""Health, readiness and metrics over a real socket."""

from __future__ import annotations

import dataclasses
import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.ledger.kit import FakeClock
from uploader.errors import LedgerError
from uploader.platform.meters import Histogram
from uploader.service.metrics.family import Family, counters, gauge, gauges, histogram
from uploader.web.exposition import FRESH_SECONDS, Exposition
from uploader.web.health import Vitals, health_app
from uploader.web.server import HttpServer

WELL = Vitals(heartbeat_fresh=True, started=True, stopping=False, ledger_usable=True)


class Process:
    """What the application asks, in the test's hands."""

    def __init__(self) -> None:
        self.now = WELL
        self.clock = FakeClock()
        self.looks = 0
        self.ledger_broken = False
        self.waits = Histogram((0.1, 1.0))

    def vitals(self) -> Vitals:
        return self.now

    def families(self) -> Iterator[Family]:
        self.looks += 1
        if self.ledger_broken:
            raise LedgerError("the ledger cannot be read")
        yield gauge("waiting", "How many wait.", 12.5)
        yield gauge("missing", "What is not known.", None)
        yield gauges("open", 'With "quotes"\nand lines.', {('a"b\\c\nd',): 1}, "name")
        yield counters("sent", "What was sent.", {("yes",): 3, ("no",): 0}, "outcome")
        yield histogram("wait_seconds", "How long.", {("x",): self.waits.read()}, "who")


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture(params=[True])
def port(process: Process, request) -> Iterator[int]:
    exposition = Exposition(process.families, process.clock) if request.param else None
    app = health_app(vitals=process.vitals, exposition=exposition)
    server = HttpServer(app, "127.0.0.1", 0, max_connections=10, name="web", setting="web.listen")
    server.start()
    yield server.port
    server.stop(0)


def ask(port: int, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept})
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


def test_metrics_are_what_a_parser_reads_back(port: int, process: Process) -> None:
    process.waits.observe(0.5)
    assert process.looks == 0
    status, kind, body = ask(port, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {one.name: one for one in text_string_to_metric_families(body.decode())}
    assert found["qm_uploader_waiting"].samples[0].value == 12.5
    assert found["qm_uploader_missing"].samples == []
    assert found["qm_uploader_open"].samples[0].labels == {"name": 'a"b\\c\nd'}
    assert {s.labels["outcome"]: s.value for s in found["qm_uploader_sent"].samples} == {"yes": 3, "no": 0}
    assert all(s.name == "qm_uploader_sent_total" for s in found["qm_uploader_sent"].samples)
    waits = [(s.name, s.labels.get("le"), s.value) for s in found["qm_uploader_wait_seconds"].samples]
    assert waits == [
        ("qm_uploader_wait_seconds_bucket", "0.1", 0),
        ("qm_uploader_wait_seconds_bucket", "1.0", 1),
        ("qm_uploader_wait_seconds_bucket", "+Inf", 1),
        ("qm_uploader_wait_seconds_count", None, 1),
        ("qm_uploader_wait_seconds_sum", None, 0.5),
    ]
    assert found["process_resident_memory_bytes"].samples[0].value > 0


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
        ("application/openmetrics-text; version=9; escaping=\x7f'", True),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", False),
        ("x" * 5000, False),
    ],
)
def test_the_format_is_one_of_two_whatever_is_asked_for(port: int, accept: str, is_open: bool) -> None:
    status, kind, body = ask(port, "/metrics", accept=accept)
    assert status == 200
    wanted = "application/openmetrics-text; version=1.0.0" if is_open else "text/plain; version=0.0.4"
    assert kind == f"{wanted}; charset=utf-8"
    assert body.endswith(b"# EOF\n") is is_open


def test_many_who_ask_at_once_cost_one_look(port: int, process: Process) -> None:
    threads = [threading.Thread(target=ask, args=(port, "/metrics")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.looks == 1
    process.clock.advance(FRESH_SECONDS)
    ask(port, "/metrics")
    assert process.looks == 2


def test_a_ledger_that_can_be_read_again_is_shown_at_once(port: int, process: Process) -> None:
    process.ledger_broken = True
    assert ask(port, "/metrics")[0] == 503
    process.ledger_broken = False
    assert ask(port, "/metrics")[0] == 200


def test_metrics_without_a_ledger_are_503_and_health_goes_on(port: int, process: Process) -> None:
    process.ledger_broken = True
    assert ask(port, "/metrics")[0] == 503
    assert ask(port, "/healthz")[0] == 200


@pytest.mark.parametrize("port", [False], indirect=True)
def test_without_an_exposition_there_are_no_metrics(port: int) -> None:
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
