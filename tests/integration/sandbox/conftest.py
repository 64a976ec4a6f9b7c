"""A sandbox in this process, a store that recordings are fetched from, and the documented shapes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from uploader.sandbox.config import Credentials, SandboxConfig
from uploader.sandbox.server import Sandbox

APP = Credentials(account_id="acc", client_id="id", client_secret="secret")
NUMBER = (int, float)

INTERACTION_INFO = {
    "interaction_id": str, "from": str, "to": str, "agent_name": str, "consumer_name": str,
    "channel_type": str, "associated_ids": [str],
    "evaluations": [{"evaluation_id": str, "evaluation_type": str}],
}  # fmt: skip
SUMMARY = {"evaluation_score": NUMBER, "sentiment_score": NUMBER, "engagement_score": NUMBER}
COMMON = {
    "start_time": str, "duration": NUMBER, "queue_id": str, "queue_name": str, "engagement_id": str,
    "direction": str, "screen_recording_status": str, "summary": SUMMARY,
}  # fmt: skip
LIST_ITEM = COMMON | {
    "interaction_info": INTERACTION_INFO, "disposition": str, "primary_language": str, "scorecard_name": str,
    "silence_event_count": int, "crosstalk_event_count": int, "hold_event_count": int,
}  # fmt: skip
LIST = {"total_records": int, "page_size": int, "next_page_token": str, "interactions": [LIST_ITEM]}
SPEAKER = {"speaker_id": str, "zoom_user_id": str, "email_address": str, "username": str, "role": str}
TRANSCRIPT = {
    "account_id": str, "host_id": str, "meeting_id": str, "language": str, "recording_start": str,
    "recording_end": str, "speakers": [SPEAKER],
    "items": [
        {"item_id": str, "speaker_id": str, "zoom_user_id": str, "email": str, "start_time": str,
         "end_time": str, "text": str, "comments": str}
    ],
}  # fmt: skip
SPAN = {"start_time": str, "end_time": str}
DETAIL = COMMON | {
    "interaction_info": INTERACTION_INFO | {"evaluation_score": NUMBER}, "language": str,
    "recording_url": str, "screen_recording_urls": [str], "interaction_summary": str,
    "analysis": {
        "good_questions": [{"good_question": str}], "indicators": [{"indicator_name": str}],
        "next_steps": [{"next_step": str}], "topics": [{"topic_name": str, "type": str}],
    },
    "metrics": {}, "crosstalk_events": [SPAN], "hold_events": [SPAN], "silence_events": [SPAN],
    "transcript_body": TRANSCRIPT,
}  # fmt: skip
CREATED = {"interaction_id": str}
TOKEN = {"access_token": str, "token_type": str, "expires_in": int, "scope": str, "api_url": str}
SHAPES = {"list": LIST, "detail": DETAIL, "created": CREATED, "token": TOKEN}


def _check(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert set(value) <= set(shape), f"{where} has fields that are not documented"
        for name, inner in value.items():
            _check(inner, shape[name], f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for inner in value:
            _check(inner, shape[0], f"{where}[]")
    else:
        assert isinstance(value, shape) and not isinstance(value, bool), where


@pytest.fixture
def has_shape() -> Callable[[Any, str], None]:
    """Fail unless the value has only documented fields, of the documented types."""
    return lambda value, name: _check(value, SHAPES[name], name)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b"RIFF" + bytes(1000)
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    hold: threading.Event | None = None


class Store:
    """Serves what `replies` has by path, anything else as a good recording, and notes each request."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[str] = []
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Say nothing of clients that leave early or distrust the certificate."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self.asked.append(handler.path)
            queued = self.replies.get(handler.path.partition("?")[0])
            reply = Reply() if not queued else queued.pop(0) if len(queued) > 1 else queued[0]
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        if reply.hold:
            reply.hold.wait(20)
        handler.send_response(reply.status)
        length = len(reply.body) if reply.announced is None else reply.announced
        handler.send_header("Content-Length", str(length))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.announced is not None:
            handler.close_connection = True
        handler.end_headers()
        handler.wfile.write(reply.body)
        with self.lock:
            self.running -= 1


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


class Caller:
    """A client of a running sandbox that has nothing of ours in it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(base_url=sandbox.url, timeout=10, limits=httpx.Limits(max_connections=64))
        self.bearer: dict[str, str] = {}

    def token(self, **form: str) -> httpx.Response:
        data = {"grant_type": "account_credentials", "account_id": "acc"} | form
        return self.http.post("/oauth/token", data=data, auth=("id", "secret"))

    def log_in(self) -> Caller:
        self.bearer = {"Authorization": f"Bearer {self.token().json()['access_token']}"}
        return self

    def post(self, url: str = "http://127.0.0.1:9/gone", **fields: Any) -> httpx.Response:
        body = {"download_url": url} | fields
        return self.http.post("/v2/qm/interactions", json=body, headers=self.bearer)

    def list(self, **query: Any) -> httpx.Response:
        return self.http.get("/v2/qm/interactions", params=query, headers=self.bearer)

    def detail(self, interaction_id: str) -> httpx.Response:
        return self.http.get(f"/v2/qm/interactions/{interaction_id}", headers=self.bearer)

    def books(self) -> dict[str, Any]:
        document: dict[str, Any] = self.http.get("/sandbox/books").json()
        return document

    def eventually(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the books as soon as they are as wished; fail after ten seconds."""
        deadline, pause = time.monotonic() + 10, threading.Event()
        while True:
            books = self.sandbox.books()
            if condition(books):
                return books
            assert time.monotonic() < deadline, books["counters"]
            pause.wait(0.01)


@pytest.fixture
def run() -> Iterator[Callable[..., Caller]]:
    """Start a sandbox with the settings given and return a client that is logged in."""
    callers: list[Caller] = []

    def start(*, now: Any = None, **settings: Any) -> Caller:
        quick: dict[str, Any] = {"credentials": APP, "analyze_delay_seconds": 0, "fetch_retry_delay_seconds": 0}
        config = SandboxConfig(**quick | settings)
        sandbox = Sandbox(config) if now is None else Sandbox(config, now=now)
        sandbox.start()
        callers.append(Caller(sandbox))
        return callers[-1]

    yield start
    for caller in callers:
        caller.http.close()
        caller.sandbox.stop()
