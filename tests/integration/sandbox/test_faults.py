"""Every fault over real connections: what the client sees, what the books say."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from uploader.sandbox.config import Fault, FaultAim, Operation


def aim(*names: str, on: str = "post", probability: float = 1, seed: int = 1) -> FaultAim:
    return FaultAim(
        probabilities=dict.fromkeys(names, probability),
        operations=frozenset(Operation(name) for name in on.split(",")),
        seed=seed,
    )


def adds_up(books) -> bool:
    counters = books["counters"]
    return counters["posts"] == counters["accepted"] + sum(counters["refused"].values()) and counters[
        "accepted"
    ] == len(books["interactions"])


def test_lost_answer_is_recorded_and_then_silence(run) -> None:
    caller = run(faults=aim("lost-answer")).log_in()
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post()
    books = caller.books()
    assert books["interactions"][0]["attempt_fault"] == "lost-answer"
    assert books["counters"]["faults"] == {"lost-answer": 1}


def test_reset_records_nothing_and_resets_the_connection(run) -> None:
    caller = run(faults=aim("reset")).log_in()
    with pytest.raises(httpx.ReadError) as caught:
        caller.post()
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ConnectionResetError):
        cause = cause.__cause__ or cause.__context__
    assert cause is not None
    assert caller.books()["counters"]["refused"] == {"none": 1}
    assert adds_up(caller.books())


def test_429_records_nothing_and_says_when_again(run) -> None:
    caller = run(faults=aim("429")).log_in()
    answer = caller.post()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, 429, "1")
    assert caller.books()["counters"]["accepted"] == 0


def test_expired_token_is_said_of_a_good_one(run) -> None:
    caller = run(faults=aim("expired-token")).log_in()
    answer = caller.post()
    assert (answer.status_code, answer.json()["code"]) == (401, 124)
    assert caller.list().status_code == 200


def test_5xx_is_either_recorded_or_not(run) -> None:
    caller = run(faults=aim("5xx")).log_in()
    statuses = [caller.post().status_code for _ in range(40)]
    books = caller.books()
    assert set(statuses) == {502, 503}
    assert books["counters"]["accepted"] == statuses.count(502)
    assert books["counters"]["refused"] == {"503": statuses.count(503)}


def test_garbage_is_200_with_a_page_or_cut_json_recorded_or_not(run) -> None:
    caller = run(faults=aim("garbage")).log_in()
    answers = [caller.post() for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200}
    pages = [answer for answer in answers if answer.headers["content-type"].startswith("text/html")]
    cut = [answer for answer in answers if answer not in pages]
    assert pages and cut
    for answer in cut:
        with pytest.raises(ValueError):
            answer.json()
    counters = caller.books()["counters"]
    assert len(cut) <= counters["accepted"] < 60
    assert adds_up(caller.books())


def test_slow_answers_properly_and_the_client_may_give_up_before(run) -> None:
    caller = run(faults=aim("slow"), slow_seconds=0.05).log_in()
    for _ in range(6):
        answer = caller.post()
        assert answer.status_code == 201
        assert answer.elapsed.total_seconds() >= 0.05
    assert caller.books()["counters"]["faults"] == {"slow": 6}


def test_client_that_gave_up_does_not_keep_a_slow_post_from_being_recorded(run) -> None:
    caller = run(faults=aim("slow"), slow_seconds=0.3).log_in()
    for _ in range(4):
        with pytest.raises(httpx.ReadTimeout):
            caller.http.post(
                "/v2/qm/interactions", json={"download_url": "http://127.0.0.1:9/"}, headers=caller.bearer, timeout=0.05
            )
    caller.eventually(lambda books: books["counters"]["accepted"] == 4)


def test_stop_does_not_wait_for_slow_answers(run) -> None:
    caller = run(faults=aim("slow"), slow_seconds=3600).log_in()
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post("/v2/qm/interactions", json={}, headers=caller.bearer, timeout=0.05)
    caller.sandbox.stop()
    assert not caller.sandbox.is_alive()


@pytest.mark.parametrize("operation", ["list", "detail", "token"])
@pytest.mark.parametrize("fault", ["lost-answer", "reset", "429", "5xx", "slow", "garbage"])
def test_faults_befall_what_they_are_aimed_at_and_nothing_else(run, operation: str, fault: str) -> None:
    caller = run(faults=aim(fault, on=operation), slow_seconds=0.01)
    if operation != "token":
        caller.log_in()
        assert caller.post().status_code == 201
    act = {"list": caller.list, "detail": lambda: caller.detail("x"), "token": caller.token}[operation]
    if fault in {"lost-answer", "reset"}:
        with pytest.raises(httpx.TransportError):
            act()
    else:
        answer = act()
        expected = {"429": {429}, "5xx": {502, 503}, "slow": {200, 404}, "garbage": {200}}
        assert answer.status_code in expected[fault]
    assert caller.books()["counters"]["faults"] == {fault: 1}


def test_faults_can_be_changed_while_it_runs(run) -> None:
    caller = run(faults=aim("429")).log_in()
    assert caller.post().status_code == 429
    assert caller.http.post("/sandbox/faults", json={}).json() == {}
    assert caller.post().status_code == 201
    assert caller.http.post("/sandbox/faults", json={"5xx": 1}).json() == {"5xx": 1}
    assert caller.post().status_code in {502, 503}
    caller.sandbox.set_faults({})
    assert caller.post().status_code == 201
    assert caller.books()["faults_in_force"] == {}


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"5", b'{"nonsense":1}', b'{"reset":2}', b'{"reset":"x"}', b'{"reset":[]}']
)
def test_wrong_change_is_refused_and_changes_nothing(run, body: bytes) -> None:
    caller = run(faults=aim("429"))
    answer = caller.http.post("/sandbox/faults", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert caller.books()["faults_in_force"] == {"429": 1}


def test_same_seed_gives_the_same_fate_twice(run) -> None:
    def fate() -> list[str]:
        caller = run(faults=aim(*Fault, probability=0.1, seed=11), slow_seconds=0).log_in()
        fates = []
        for _ in range(60):
            try:
                fates.append(str(caller.post().status_code))
            except httpx.TransportError as exc:
                fates.append(type(exc).__name__)
        return fates

    assert fate() == fate()


def test_books_add_up_under_all_faults_from_many_clients(run, store) -> None:
    caller = run(faults=aim(*Fault, probability=0.1), slow_seconds=0.01).log_in()
    lock, known = threading.Lock(), set()

    def submit(number: int) -> None:
        try:
            answer = caller.post(f"{store.url}/{number}")
        except httpx.TransportError:
            return
        if answer.status_code == 201:
            with lock:
                known.add(answer.json()["interaction_id"])

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(submit, range(400)))
    books = caller.eventually(
        lambda books: books["counters"]["posts"] >= 400 and all(item["analyzed_at"] for item in books["interactions"])
    )
    assert adds_up(books)
    assert books["counters"]["posts"] == 400
    recorded = {item["interaction_id"] for item in books["interactions"]}
    clean = {item["interaction_id"] for item in books["interactions"] if item["attempt_fault"] in {None, "slow"}}
    assert clean == known < recorded
    paths = [item["download_path"] for item in books["interactions"]]
    assert sorted(paths) == sorted(set(store.asked))
