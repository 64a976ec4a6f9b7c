"""Recordings over real sockets: ranges, refusals, changes on the way, and what is reported."""

from __future__ import annotations

import concurrent.futures
import hashlib
import http.client
import os
import random
import socket
import struct
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uploader.staging.builtin import SELFTEST_WAV

CONTENT = random.Random(1).randbytes(700_001)  # three chunks
LARGE = 4 * 1024 * 1024  # more than the kernel keeps for a client that does not read


def test_a_whole_download_is_unaltered_and_reported_complete(site) -> None:
    site.offer(CONTENT)
    answer = site.ask(User_Agent="Fetcher/1.0")
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"].startswith('"')
    assert site.grants.wait_for(1) == [
        {
            "id": "ab12",
            "attempt": 1,
            "first_byte": 0,
            "last_byte": len(CONTENT) - 1,
            "complete": True,
            "status": 200,
            "agent": "Fetcher/1.0",
        }
    ]


@pytest.mark.parametrize("size", [1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 512 * 1024])
def test_sizes_about_the_chunk_arrive_whole(site, size: int) -> None:
    site.offer(CONTENT[:size])
    assert site.ask().body == CONTENT[:size]
    assert site.grants.wait_for(1)[0]["complete"] is True


@pytest.mark.parametrize(
    ("header", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=0-99", 206, 0, 99),
        ("bytes=262143-262144", 206, 262_143, 262_144),
        ("bytes=300000-", 206, 300_000, 700_000),
        ("bytes=-1", 206, 700_000, 700_000),
        ("bytes=-9999999", 206, 0, 700_000),
        ("bytes=0-9999999", 206, 0, 700_000),
        ("bytes=5-1", 200, 0, 700_000),
        ("bytes=0-1,4-5", 200, 0, 700_000),
        ("nonsense", 200, 0, 700_000),
    ],
)
def test_a_range_gives_its_bytes(site, header: str, status: int, first: int, last: int) -> None:
    site.offer(CONTENT)
    answer = site.ask(Range=header)
    assert answer.status == status
    assert answer.body == CONTENT[first : last + 1]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {first}-{last}/700001"
    record = site.grants.wait_for(1)[0]
    assert (record["first_byte"], record["last_byte"], record["status"]) == (first, last, status)
    assert record["complete"] is (last == 700_000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 700_000), st.integers(0, 700_000))
def test_any_valid_range_is_the_slice(site, one: int, other: int) -> None:
    first, last = sorted((one, other))
    site.offer(CONTENT)
    answer = site.ask(Range=f"bytes={first}-{last}")
    assert answer.status == 206
    assert answer.body == CONTENT[first : last + 1]


def test_a_range_beyond_the_end_is_416_with_the_size(site) -> None:
    site.offer(CONTENT)
    answer = site.ask(Range="bytes=700001-")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == "bytes */700001"
    record = site.grants.wait_for(1)[0]
    assert (record["first_byte"], record["last_byte"], record["complete"]) == (0, -1, False)


def test_head_tells_the_same_without_a_byte_and_is_no_download(site) -> None:
    site.offer(CONTENT)
    head = site.ask(method="HEAD", Range="bytes=0-9")
    record = site.grants.wait_for(1)[0]
    whole = site.ask()
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    assert (record["first_byte"], record["last_byte"], record["complete"]) == (0, -1, False)


def test_an_interrupted_download_goes_on_where_it_stopped_while_the_file_is_the_same(site) -> None:
    path = site.offer(CONTENT)
    etag = site.ask(Range="bytes=0-9").headers["etag"]
    assert site.ask(Range="bytes=10-", If_Range=etag).status == 206
    path.write_bytes(CONTENT[::-1])
    site.grant(path)
    answer = site.ask(Range="bytes=10-", If_Range=etag)
    assert (answer.status, answer.body) == (200, CONTENT[::-1])


def test_several_requests_share_a_connection(site) -> None:
    site.offer(CONTENT)
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=20)
    for first in (0, 300_000, 600_000):
        connection.request("GET", site.url(), headers={"Range": f"bytes={first}-{first + 9}"})
        assert connection.getresponse().read() == CONTENT[first : first + 10]
    connection.close()


def test_every_part_of_a_url_is_protected(site) -> None:
    site.offer(CONTENT)
    site.offer(b"other", identity="cd34", attempt=2, name="b.wav")
    good = site.url()
    for old, new in [
        ("ab12", "cd34"),
        ("-1.wav", "-2.wav"),
        (".wav", ".mp3"),
        ("expires=1", "expires=2"),
        ("key=k1", "key=k2"),
        ("signature=", "signature=x"),
        ("&signature", "&other"),
        ("recordings/", "recordings/%61"),
    ]:
        assert old in good
        answer = site.ask(good.replace(old, new, 1))
        assert answer.status == 403, new
        assert b"not signed" in answer.body
    assert site.ask(good).status == 200
    assert len(site.grants.wait_for(1)) == 1


def test_a_url_is_served_until_it_expires_and_then_refused_with_a_sentence(site) -> None:
    site.offer(CONTENT)
    url = site.url(lifetime=60)
    site.clock.time += timedelta(seconds=59)
    assert site.ask(url).status == 200
    site.grants.wait_for(1)
    site.clock.time += timedelta(seconds=1)
    answer = site.ask(url)
    assert (answer.status, answer.body) == (403, b"This address has expired.\n")
    record = site.grants.wait_for(2)[1]
    assert (record["status"], record["attempt"], record["complete"]) == (403, 1, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/recordings"),
        ("GET", "/recordings/"),
        ("GET", "/recordings/a/b"),
        ("GET", "/other"),
        ("GET", "//recordings/x"),
        ("POST", "/recordings/x"),
        ("DELETE", "/recordings/x"),
        ("OPTIONS", "*"),
    ],
)
def test_everything_else_is_not_found(site, method: str, path: str) -> None:
    answer = site.ask(path, method=method)
    assert (answer.status, answer.body) == (404, b"Not found.\n")
    assert "location" not in answer.headers


def test_a_recording_that_nobody_knows_is_not_found(site) -> None:
    assert site.ask().status == 404
    assert site.grants.wait_for(1)[0]["status"] == 404


def test_a_revoked_attempt_is_gone_while_the_next_is_served(site) -> None:
    path = site.offer(CONTENT, attempt=2)
    site.grant(path, attempt=1, revoked=True)
    assert site.ask(site.url(attempt=1)).status == 410
    assert site.ask(site.url(attempt=2)).status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(CONTENT + b"x"),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.rename(f"{path}.old"), path.write_bytes(CONTENT)),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
    ids=["size", "mtime", "inode", "directory", "pipe"],
)
def test_a_file_that_is_not_the_one_understood_is_gone_and_reported(site, change) -> None:
    path = site.offer(CONTENT)
    change(path)
    assert site.ask().status == 410
    assert site.grants.changed == ["ab12"]


def test_a_missing_file_is_gone_when_its_directory_is_there(site) -> None:
    path = site.offer(CONTENT)
    (site.folder / "another.wav").touch()
    path.unlink()
    assert site.ask().status == 410
    assert site.grants.changed == []


def test_a_missing_or_empty_directory_cannot_be_told_from_a_lost_mount(site) -> None:
    folder = site.folder / "mount"
    folder.mkdir()
    path = site.offer(CONTENT, name="mount/a.wav")
    path.unlink()
    empty = site.ask()
    folder.rmdir()
    missing = site.ask()
    assert (empty.status, missing.status) == (503, 503)
    assert int(missing.headers["retry-after"]) > 0


def test_a_ledger_that_cannot_be_read_is_503_and_never_a_refusal(site) -> None:
    site.offer(CONTENT)
    site.grants.ledger_broken = True
    answer = site.ask()
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


def test_an_access_that_cannot_be_written_down_does_not_spoil_the_answer(site) -> None:
    site.offer(CONTENT)
    site.grants.records_broken = True
    assert site.ask().body == CONTENT
    site.grants.wait_for(1)
    assert site.ask().body == CONTENT


def large(site, identity: str = "ab12"):
    """A sparse file, larger than the kernel keeps on the way."""
    path = site.folder / f"{identity}.wav"
    with path.open("wb") as file:
        file.truncate(LARGE)
    site.grant(path, identity=identity)
    return path


@pytest.mark.parametrize("change", ["append", "overwrite", "truncate"])
def test_a_file_changed_on_the_way_is_never_delivered_to_the_end(site, read_all, caplog, change: str) -> None:
    path = large(site)
    client = site.slow()
    client.recv(100)
    with path.open("r+b") as file:
        if change == "append":
            file.seek(0, os.SEEK_END)
        if change == "truncate":
            file.truncate(LARGE // 2)
        else:
            file.write(b"x")
    assert len(read_all(client)) < LARGE
    assert site.grants.changed == ["ab12"]
    record = site.grants.wait_for(1)[0]
    assert record["complete"] is False
    assert record["last_byte"] < LARGE - 1
    site.server.stop(5)
    assert caplog.records == []  # a cut is meant: uvicorn has nothing to complain about


def test_a_file_replaced_on_the_way_is_delivered_as_it_was(site, read_all) -> None:
    path = large(site)
    client = site.slow()
    client.recv(1)
    path.rename(f"{path}.old")
    path.write_bytes(b"another")
    body = b""
    while len(body) < LARGE:
        body += client.recv(1 << 20)
    assert set(body[-LARGE // 2 :]) == {0}
    assert site.grants.wait_for(1)[0]["complete"] is True


def test_a_revocation_stops_what_is_under_way(site, read_all) -> None:
    path = large(site)
    client = site.slow()
    client.recv(100)
    site.grant(path, revoked=True)
    assert len(read_all(client)) < LARGE
    assert site.grants.wait_for(1)[0]["complete"] is False


def test_a_ledger_lost_on_the_way_leaves_the_answer_unfinished(site, read_all) -> None:
    large(site)
    client = site.slow()
    client.recv(100)
    site.grants.ledger_broken = True
    assert len(read_all(client)) < LARGE
    assert site.grants.wait_for(1)[0]["complete"] is False


@pytest.mark.parametrize("abrupt", [True, False])
def test_a_client_that_leaves_early_has_not_fetched(site, abrupt: bool) -> None:
    large(site)
    client = site.slow()
    client.recv(100)
    if abrupt:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    record = site.grants.wait_for(1)[0]
    assert record["complete"] is False
    assert record["last_byte"] < LARGE - 1


def test_bytes_that_only_our_kernel_has_are_not_delivered(site) -> None:
    site.offer(CONTENT[:100_000])  # more than the client's window, less than our send buffer
    client = site.slow()
    client.recv(100)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    record = site.grants.wait_for(1)[0]
    assert record["complete"] is False
    assert record["last_byte"] < 99_999


def test_a_client_that_has_all_and_leaves_at_once_has_fetched(site) -> None:
    site.offer(CONTENT)
    for turn in range(20):
        with socket.create_connection(("127.0.0.1", site.server.port), timeout=20) as client:
            client.sendall(f"GET {site.url()} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < len(CONTENT):
                received += client.recv(1 << 20)
        assert site.grants.wait_for(turn + 1)[turn]["complete"] is True


def test_a_client_that_takes_nothing_is_cut_off(open_site, read_all) -> None:
    site = open_site(stall_seconds=0.1)
    large(site)
    client = site.slow()
    record = site.grants.wait_for(1)[0]
    assert record["complete"] is False
    assert len(read_all(client)) < LARGE


def test_64_downloads_at_once_are_all_unaltered(site) -> None:
    contents = {f"r{number}": random.Random(number).randbytes(400_000) for number in range(64)}
    for identity, content in contents.items():
        site.offer(content, identity=identity, name=f"{identity}.wav")
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        bodies = dict(zip(contents, pool.map(lambda one: site.ask(site.url(one)).body, contents), strict=True))
    assert {one: hashlib.sha256(body).digest() for one, body in bodies.items()} == {
        one: hashlib.sha256(content).digest() for one, content in contents.items()
    }
    assert all(record["complete"] for record in site.grants.wait_for(64))


def test_the_test_path_serves_its_recording_and_reports_nothing(site) -> None:
    made = urlsplit(site.signer.sign_selftest(lifetime_seconds=60).url)
    target = f"{made.path}?{made.query}"
    answer = site.ask(target)
    assert (answer.status, answer.body) == (200, SELFTEST_WAV)
    assert answer.headers["content-type"] == "audio/wav"
    part = site.ask(target, Range="bytes=4-7")
    assert (part.status, part.body) == (206, SELFTEST_WAV[4:8])
    head = site.ask(target, method="HEAD")
    assert (head.body, head.headers["content-length"]) == (b"", str(len(SELFTEST_WAV)))
    assert site.ask(made.path).status == 403
    site.clock.time += timedelta(seconds=61)
    assert site.ask(target).status == 403
    assert site.grants.records == []


def test_the_path_of_the_public_url_may_be_passed_on_or_taken_off(open_site) -> None:
    site = open_site(base="https://calls.example.com/qm")
    site.offer(CONTENT)
    assert site.url().startswith("/qm/recordings/")
    assert site.ask(site.url()).status == 200
    assert site.ask(site.url().removeprefix("/qm")).status == 200
    assert site.ask("/other" + site.url().removeprefix("/qm")).status == 404


def test_a_name_that_is_not_utf8_is_served(site) -> None:
    path = os.fsencode(site.folder) + b"/na\xefve \n'.wav"
    with open(path, "wb") as file:
        file.write(b"abc")
    site.grant(type(site.folder)(os.fsdecode(path)))
    assert site.ask().body == b"abc"


def test_a_user_agent_is_kept_short_and_printable(site) -> None:
    site.offer(CONTENT)
    site.ask(User_Agent="a\tb" + "x" * 500)
    agent = site.grants.wait_for(1)[0]["agent"]
    assert agent == "ab" + "x" * 198


def test_nothing_of_a_request_is_logged(site, caplog, capsys) -> None:
    caplog.set_level("DEBUG")
    path = site.offer(CONTENT, name="canary-4915112345678.wav")
    site.ask(User_Agent="canary-agent")
    path.unlink()
    site.ask()
    site.ask("/canary-path?canary-query")
    site.ask("/recordings/canary-1.wav?canary-query")
    site.grants.wait_for(2)
    site.server.stop(5)
    shown = capsys.readouterr()
    assert "recording.asked_for" in shown.out + shown.err + caplog.text
    assert "canary" not in shown.out + shown.err + caplog.text
    assert "signature" not in shown.out + shown.err + caplog.text
