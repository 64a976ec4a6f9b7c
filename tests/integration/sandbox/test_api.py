"""The endpoints over real HTTP, in the documented shapes."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from uploader.errors import UsageError
from uploader.sandbox.config import READ_SCOPES, SandboxConfig
from uploader.sandbox.server import Sandbox

CALL = {
    "direction": "inbound",
    "disposition": "Sold",
    "primary_language": "de-DE",
    "queue_id": "q1",
    "start_time": "2026-11-19T08:30:00Z",
    "interaction_info": {
        "channel_type": "voice",
        "agent_email": "agent@example.org",
        "consumer_name": "Zoë",
        "from": "+14155550100",
        "to": "+4930123456",
    },
}
DAY = {"from": "2026-11-19T00:00:00Z", "to": "2026-11-19T23:59:59Z"}


def test_token_has_the_documented_shape(run, has_shape) -> None:
    caller = run(token_ttl_seconds=5)
    answer = caller.token()
    assert answer.status_code == 200
    has_shape(answer.json(), "token")
    assert answer.json()["expires_in"] == 5
    assert answer.json()["api_url"] == caller.sandbox.url


def test_token_parameters_in_the_query_are_not_read(run) -> None:
    caller = run()
    query = {"grant_type": "account_credentials", "account_id": "acc"}
    assert caller.http.post("/oauth/token", params=query, auth=("id", "secret")).status_code == 400


def test_wrong_secret_is_refused(run) -> None:
    answer = run().http.post("/oauth/token", data={"grant_type": "account_credentials"}, auth=("id", "x"))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_client"


def test_submission_listing_and_detail_tell_the_same(run, store, has_shape) -> None:
    caller = run().log_in()
    created = caller.post(f"{store.url}/a.wav?sig=1", **CALL)
    assert created.status_code == 201
    has_shape(created.json(), "created")
    interaction_id = created.json()["interaction_id"]
    assert len(interaction_id) == 22
    caller.eventually(lambda books: books["interactions"][0]["analyzed_at"])

    page = caller.list(**DAY)
    has_shape(page.json(), "list")
    item = page.json()["interactions"][0]
    assert page.json()["total_records"] == 1
    assert item["interaction_info"] == {
        "interaction_id": interaction_id,
        "from": "+14155550100",
        "to": "+4930123456",
        "agent_name": "agent",
        "consumer_name": "Zoë",
        "channel_type": "AUDIO",
        "associated_ids": [],
        "evaluations": [],
    }
    assert {
        name: item[name] for name in ("start_time", "queue_id", "direction", "disposition", "primary_language")
    } == {
        "start_time": "2026-11-19T08:30:00Z",
        "queue_id": "q1",
        "direction": "inbound",
        "disposition": "Sold",
        "primary_language": "de",
    }
    assert set(item["summary"]) == {"sentiment_score", "engagement_score"}

    detail = caller.detail(interaction_id)
    has_shape(detail.json(), "detail")
    assert detail.json()["summary"] == item["summary"]
    assert detail.json()["transcript_body"]["items"][0]["text"]
    assert detail.json()["interaction_summary"]


def test_without_analysis_there_is_no_sign_of_one(run, store, has_shape) -> None:
    caller = run(analyze_delay_seconds=3600).log_in()
    interaction_id = caller.post(f"{store.url}/a.wav", **CALL).json()["interaction_id"]
    caller.eventually(lambda books: books["interactions"][0]["fetches"])
    item = caller.list(**DAY).json()["interactions"][0]
    detail = caller.detail(interaction_id).json()
    has_shape(detail, "detail")
    assert item["summary"] == {}
    assert not {"summary", "interaction_summary", "analysis", "transcript_body"} & set(detail)


def test_least_body_is_accepted_and_listed_as_of_now(run, has_shape) -> None:
    caller = run().log_in()
    assert caller.post().status_code == 201
    page = caller.list().json()
    has_shape(page, "list")
    assert page["total_records"] == 1
    assert page["interactions"][0]["interaction_info"]["channel_type"] == "AUDIO"


def test_video_is_video(run) -> None:
    caller = run().log_in()
    caller.post(interaction_info={"channel_type": "video"})
    assert caller.list(channels="VIDEO").json()["total_records"] == 1


def test_latest_possible_call_can_be_shown(run, store) -> None:
    caller = run().log_in()
    created = caller.post(f"{store.url}/a", start_time="9999-12-31T23:59:59Z").json()
    caller.eventually(lambda books: books["interactions"][0]["analyzed_at"])
    assert caller.detail(created["interaction_id"]).status_code == 200


def test_twins_are_two_interactions(run) -> None:
    caller = run().log_in()
    made = {caller.post(**CALL).json()["interaction_id"] for _ in range(3)}
    assert len(made) == 3
    assert caller.books()["counters"]["accepted"] == 3


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic eDp5", "Bearer"])
def test_without_a_good_token_everything_is_code_124(run, authorization: str | None) -> None:
    caller = run()
    caller.bearer = {"Authorization": authorization} if authorization else {}
    for answer in (caller.post(), caller.list(), caller.detail("x")):
        assert answer.status_code == 401
        assert answer.json() == {"code": 124, "message": "Invalid access token."}
    assert caller.books()["counters"]["refused"] == {"401": 1}


def test_token_expires_by_the_clock(run) -> None:
    moments = [datetime(2026, 11, 20, tzinfo=UTC)]
    caller = run(now=lambda: moments[0], token_ttl_seconds=5).log_in()
    assert caller.post().status_code == 201
    moments[0] += timedelta(seconds=5)
    assert caller.post().json()["code"] == 124
    assert caller.log_in().post().status_code == 201


def test_missing_scope_is_code_4711_for_that_operation_only(run) -> None:
    caller = run(scopes=(READ_SCOPES[0],)).log_in()
    answer = caller.post()
    assert (answer.status_code, answer.json()["code"]) == (400, 4711)
    assert "does not contain scopes:[" in answer.json()["message"]
    assert caller.list().status_code == 200


def test_wrong_body_is_refused_and_not_recorded(run) -> None:
    caller = run().log_in()
    assert caller.post("ftp://h/x").json()["errors"][0]["field"] == "download_url"
    assert caller.post(start_time="yesterday").json()["code"] == 1001
    raw = caller.http.post("/v2/qm/interactions", content=b"{", headers=caller.bearer)
    assert raw.json()["message"] == "Request Body should be a valid JSON object."
    counters = caller.books()["counters"]
    assert (counters["posts"], counters["accepted"], counters["refused"]) == (3, 0, {"400": 3})


def test_body_over_the_limit_is_refused_at_once(run) -> None:
    caller = run().log_in()
    answer = caller.http.post("/v2/qm/interactions", content=b" " * 1_100_000, headers=caller.bearer)
    assert answer.status_code == 413
    assert caller.post().status_code == 201


def test_post_above_the_rate_is_429_and_says_when_again(run) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    caller = run(now=lambda: noon, rate_limit_per_second=2, daily_limit=10).log_in()
    answers = [caller.post() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[1].headers["x-ratelimit-remaining"] == "0"
    assert answers[2].json()["code"] == 429
    assert answers[2].headers["retry-after"] == "1"
    assert caller.list().status_code == 200
    assert caller.books()["counters"]["answered_429"] == 1


def test_unknown_interaction_is_404(run) -> None:
    answer = run().log_in().detail("QMp3e6_WShCVuifNbrQd4w")
    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "message"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/qm/evaluation"), ("DELETE", "/v2/qm/interactions"), ("GET", "/")]
)
def test_what_is_no_part_of_the_api_is_404_in_json(run, method: str, path: str) -> None:
    answer = run().http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["code"] == 2300


def test_books_are_shown_to_this_machine_only(run) -> None:
    caller = run()
    foreign = {"Host": "rebound.example"}
    assert caller.http.get("/sandbox/books", headers=foreign).status_code == 404
    assert caller.http.post("/sandbox/faults", json={}, headers=foreign).status_code == 404


def test_pages_are_complete_and_stable_while_new_ones_arrive(run, has_shape) -> None:
    caller = run().log_in()
    there = [caller.post(**CALL).json()["interaction_id"] for _ in range(25)]
    found, token = [], ""
    while True:
        page = caller.list(**DAY, page_size=7, next_page_token=token).json()
        has_shape(page, "list")
        assert page["total_records"] == 25
        found += [item["interaction_info"]["interaction_id"] for item in page["interactions"]]
        token = page["next_page_token"]
        if not token:
            break
        caller.post(**CALL)
    assert found == there[::-1]
    assert caller.list(**DAY).json()["total_records"] == 28


def test_sixty_four_connections_at_once_are_each_served_once(run, store) -> None:
    caller = run().log_in()
    gate = threading.Barrier(64)

    def submit(worker: int) -> list[str]:
        gate.wait(20)
        return [
            caller.post(f"{store.url}/{worker}-{turn}", start_time=f"2026-11-19T08:{worker % 60:02}:00Z").json()[
                "interaction_id"
            ]
            for turn in range(4)
        ]

    with ThreadPoolExecutor(64) as pool:
        made = [each for batch in pool.map(submit, range(64)) for each in batch]
    books = caller.eventually(lambda books: all(item["analyzed_at"] for item in books["interactions"]))
    assert len(set(made)) == 256
    assert {item["interaction_id"] for item in books["interactions"]} == set(made)
    assert sorted(store.asked) == sorted(f"/{worker}-{turn}" for worker in range(64) for turn in range(4))


def test_one_connection_serves_many_requests(run) -> None:
    caller = run().log_in()
    address = caller.sandbox.url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(20):
        connection.request("GET", "/v2/qm/interactions", headers=caller.bearer)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        assert connection.sock is first
    connection.close()


def test_client_that_leaves_in_the_middle_of_its_body_is_no_post(run) -> None:
    caller = run().log_in()
    connection = http.client.HTTPConnection(caller.sandbox.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v2/qm/interactions")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"download_url":')
    connection.close()
    assert caller.post().status_code == 201
    assert caller.books()["counters"]["posts"] == 1


def test_taken_port_is_a_usage_error(run) -> None:
    port = httpx.URL(run().sandbox.url).port
    with pytest.raises(UsageError, match="port"):
        Sandbox(SandboxConfig(port=port or 0)).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])
def test_host_beyond_loopback_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match="this machine only"):
        Sandbox(SandboxConfig(host=host))


def test_stop_is_prompt_and_harmless_twice(run) -> None:
    caller = run().log_in()
    caller.sandbox.stop()
    caller.sandbox.stop()
    assert not caller.sandbox.is_alive()
    with pytest.raises(httpx.TransportError):
        caller.post()


def test_books_can_be_read_after_the_end(run) -> None:
    caller = run().log_in()
    caller.post()
    caller.sandbox.stop()
    assert caller.sandbox.books()["counters"]["accepted"] == 1


def test_foreign_state_file_is_a_usage_error_and_let_go_of(tmp_path) -> None:
    state = tmp_path / "books"
    state.write_text("nonsense\n")
    sandbox = Sandbox(SandboxConfig(state_path=state))
    with pytest.raises(UsageError, match="damaged at line 1"):
        sandbox.start()
    state.write_text("")
    with sandbox:
        assert sandbox.is_alive()
