"""After acceptance: what is fetched, what is analysed, and what is left for ever."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from pathlib import Path

import pytest
import trustme


def first(books) -> dict:
    return books["interactions"][0]


def test_good_recording_is_fetched_once_unaltered_and_analysed(run, store, reply) -> None:
    audio = bytes(range(256)) * 1000
    store.replies["/a.wav"] = [reply(body=audio)]
    caller = run().log_in()
    caller.post(f"{store.url}/a.wav?sig=a%2Bb&x=1")
    books = caller.eventually(lambda books: first(books)["analyzed_at"])
    fetch = first(books)["fetches"][0]
    assert len(first(books)["fetches"]) == 1
    assert (fetch["status"], fetch["bytes"], fetch["error"]) == (200, len(audio), None)
    assert fetch["sha256"] == hashlib.sha256(audio).hexdigest()
    assert store.asked == ["/a.wav?sig=a%2Bb&x=1"]
    assert first(books)["download_path"] == "/a.wav"


def test_failure_is_tried_again_and_then_left_for_ever(run, store, reply) -> None:
    store.replies["/a"] = [reply(status=403, body=b"no")]
    caller = run(fetch_retries=2).log_in()
    interaction_id = caller.post(f"{store.url}/a").json()["interaction_id"]
    books = caller.eventually(lambda books: len(first(books)["fetches"]) == 3)
    assert [fetch["status"] for fetch in first(books)["fetches"]] == [403, 403, 403]
    assert first(books)["analyzed_at"] is None
    assert caller.detail(interaction_id).json().get("summary") is None


def test_second_try_can_succeed(run, store, reply) -> None:
    store.replies["/a"] = [reply(status=503, body=b""), reply()]
    caller = run().log_in()
    caller.post(f"{store.url}/a")
    books = caller.eventually(lambda books: first(books)["analyzed_at"])
    assert [fetch["status"] for fetch in first(books)["fetches"]] == [503, 200]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 302, "headers": {"Location": "/elsewhere"}, "body": b""}, None),
        ({"body": b""}, None),
        ({"body": b"short", "announced": 5000}, "cut_short"),
    ],
)
def test_answer_without_a_whole_recording_is_not_analysed(run, store, reply, answer, error) -> None:
    store.replies["/a"] = [reply(**answer)]
    caller = run(fetch_retries=0).log_in()
    caller.post(f"{store.url}/a")
    books = caller.eventually(lambda books: first(books)["fetches"])
    assert first(books)["fetches"][0]["error"] == error
    assert store.asked == ["/a"]  # no redirect is followed
    assert first(books)["analyzed_at"] is None


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:9/closed", "connection_refused"),
        ("http://a..b/", "name_resolution"),
        ("https://{store}/", "tls"),
    ],
)
def test_store_out_of_reach_is_said_in_a_word(run, store, url: str, error: str) -> None:
    caller = run(fetch_retries=0).log_in()
    caller.post(url.format(store=store.url.removeprefix("http://")))
    books = caller.eventually(lambda books: first(books)["fetches"])
    fetch = first(books)["fetches"][0]
    assert (fetch["status"], fetch["error"], fetch["sha256"]) == (None, error, None)


def test_https_needs_a_ca_that_is_known(run, store, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    store.server.socket = context.wrap_socket(store.server.socket, server_side=True)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = store.url.replace("http:", "https:") + "/a"
    for ca_file, error in ((None, "tls"), (tmp_path / "ca.pem", None)):
        caller = run(fetch_retries=0, ca_file=ca_file).log_in()
        caller.post(url)
        books = caller.eventually(lambda books: first(books)["fetches"])
        assert first(books)["fetches"][0]["error"] == error


def test_at_most_eight_are_fetched_at_once(run, store, reply) -> None:
    gate = threading.Event()
    caller = run().log_in()
    for index in range(20):
        store.replies[f"/{index}"] = [reply(hold=gate)]
        caller.post(f"{store.url}/{index}")
    deadline, pause = time.monotonic() + 10, threading.Event()
    while store.running < 8 and time.monotonic() < deadline:
        pause.wait(0.01)
    gate.set()
    caller.eventually(lambda books: all(item["analyzed_at"] for item in books["interactions"]))
    assert store.most_running == 8


def test_fetch_waits_for_its_delay(run, store) -> None:
    caller = run(fetch_delay_seconds=3600).log_in()
    caller.post(f"{store.url}/a")
    assert first(caller.books())["fetches"] == []


def test_stop_cuts_a_download_that_hangs(run, store, reply) -> None:
    gate = threading.Event()
    store.replies["/a"] = [reply(hold=gate)]
    caller = run().log_in()
    caller.post(f"{store.url}/a")
    deadline, pause = time.monotonic() + 10, threading.Event()
    while not store.running and time.monotonic() < deadline:
        pause.wait(0.01)
    began = time.monotonic()
    caller.sandbox.stop()
    took = time.monotonic() - began
    gate.set()
    assert took < 5


def test_restart_remembers_and_fetches_what_was_not_fetched(run, store, tmp_path: Path) -> None:
    state = tmp_path / "books.jsonl"
    caller = run(state_path=state, fetch_delay_seconds=3600).log_in()
    interaction_id = caller.post(f"{store.url}/late?sig=1").json()["interaction_id"]
    caller.sandbox.stop()
    again = run(state_path=state, fetch_delay_seconds=3600).log_in()
    books = again.eventually(lambda books: first(books)["analyzed_at"])
    assert first(books)["interaction_id"] == interaction_id
    assert store.asked == ["/late?sig=1"]
    assert again.detail(interaction_id).status_code == 200
