"""Promise 4: no number, name, path, token, secret or signed URL in anything that is written.

Canaries are put everywhere a person may have put a name or a number, everything is made to go wrong
that can, and then all that was written is searched, in every form a value may take.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from uploader.ledger.packing import unpack

NUMBER = "+12025550187"
OTHER = "+49301234567"
NAME = "Zebulon Quackenbush"
MAIL = "wilhelmina.thistlewood@example.org"
FOLDER = "Ignatius Pemberton"
FILE = "call of Balthazar Grimsby +13475550166"
CASE = "Persephone-Case-991"
CANARIES = [
    NUMBER,
    OTHER,
    NAME,
    MAIL,
    FOLDER,
    FILE,
    CASE,
    "Balthazar Grimsby",
    "13475550166",
    "Quackenbush",
    "2025550187",
]


def forms(value: str) -> set[bytes]:
    """Return every form in which a value may be written: plain, percent-encoded, JSON-escaped, base64."""
    plain = value.encode()
    made = {plain, quote(value).encode(), quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}
    made |= {value.replace(" ", "+").encode(), "".join(f"%{b:02x}" for b in plain).encode(), plain.hex().encode()}
    for before in range(3):
        # In base64 a value looks different by where it begins: the characters that depend on it alone.
        padded = b"\0" * before + plain
        begin, end = -(-before * 8 // 6), (before + len(plain)) * 8 // 6
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            made.add(code(padded + b"\0" * (-len(padded) % 3))[begin:end])
    return {one for one in made if len(one) >= 8}


def found_in(data: bytes, values: dict[str, str]) -> list[str]:
    lowered = data.lower()
    return [what for what, value in values.items() if any(form.lower() in lowered for form in forms(value))]


@pytest.fixture
def rude_service():
    """A service that answers every POST of an interaction with 400 and repeats in it all that it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stop, bodies = threading.Event(), []

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                answer(connection)

    def answer(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        line, headers = stream.readline().decode("latin-1"), {}
        while (header := stream.readline().strip()) != b"":
            key, _, value = header.decode("latin-1").partition(":")
            headers[key.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        status, document = 200, {"interactions": [], "total_records": 0, "next_page_token": "", "page_size": 99}
        if "/token" in line:
            document = {"access_token": "tok-CanaryToken-Aa1", "expires_in": 3600, "token_type": "bearer"}
        elif line.startswith("POST"):
            bodies.append(body)
            status = 400
            text = f"{body.decode()} {headers.get('authorization')} {NAME} {NUMBER}"
            document = {"code": 300, "message": text, "errors": [{"field": NAME, "message": text}]}
        data = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} {NAME}\r\nContent-Type: application/json\r\nX-Echo: {NUMBER}\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", bodies
    stop.set()
    thread.join()
    listener.close()


def canary_call(number: int = 1) -> dict:
    return {
        "disposition": CASE,
        "start_time": f"2026-01-01T08:{number:02}:00Z",
        "interaction_info": {"from": NUMBER, "to": OTHER, "consumer_name": NAME, "agent_email": MAIL},
    }


def drop_all(program, tools) -> dict[str, Path]:
    """Drop recordings that fare in every way, all of them with canaries."""
    folder = program.source / FOLDER
    wrong = canary_call(2)
    wrong["interaction_info"] |= {"from": f"{NUMBER} ext {NAME}", "direction": NAME, NAME: NUMBER}
    wrong |= {"start_time": f"{NAME} o'clock", NAME: 1, NUMBER: {NAME: NUMBER}, "primary_language": NAME}
    half = json.dumps(canary_call(3)).encode()[:-20]
    return {
        "good": program.drop(f"{FILE}.wav", tools.make_wav("canary"), canary_call(), folder=folder),
        "wrong": program.drop(f"{FILE} wrong.wav", tools.make_wav("wrong"), wrong, folder=folder),
        "half": program.drop(f"{FILE} half.wav", tools.make_wav("half"), half, folder=folder),
        "latin": program.drop(f"{FILE} latin.wav", tools.make_wav("latin"), f'{{"{NAME}": "\xe9'.encode("latin-1")),
        "empty": program.drop(f"{FILE} empty.wav", b"", canary_call(4), folder=folder),
        "junk": program.drop(f"{FILE} junk.wav", f"{NAME} {NUMBER}".encode() * 99, canary_call(5), folder=folder),
        "lonely": program.drop(f"{FILE} lonely.wav", tools.make_wav("lonely"), folder=folder / FILE),
    }


def written(program, *extra: str) -> dict[str, bytes]:
    """Return all that the daemon wrote, but the ledger, by where it was written."""
    found = {path.name: path.read_bytes() for path in (program.out, program.err)}
    return found | {f"extra {n}": text.encode() for n, text in enumerate(extra)}


def assert_clean(places: dict[str, bytes], values: dict[str, str]) -> None:
    leaks = []
    for place, data in places.items():
        for line in data.splitlines():
            leaks += [f"{place}: {what}: {line[:400]!r}" for what in found_in(line, values)]
    assert not leaks, "\n".join(leaks)


def ledger_bytes(program) -> bytes:
    """All that lies beside the ledger and in it, its packed documents as they are read."""
    files = b"".join(path.read_bytes() for path in program.ledger.parent.iterdir() if path.is_file())
    packed = program.ask("SELECT body, media, staged FROM recording UNION ALL SELECT sent, NULL, NULL FROM attempt")
    documents = [unpack(document) or "" for row in packed for document in row.values()]
    return files + "\n".join(documents).encode()


def canaries(program) -> dict[str, str]:
    values = {f"canary {value}": value for value in CANARIES}
    return values | {"source path": str(program.source), "secret": program.settings["zoom"]["client_secret"]}


def test_the_search_finds_a_canary_in_every_form():
    for value in (NUMBER, NAME, FILE):
        for form in (
            value,
            quote(value),
            json.dumps(value),
            *(base64.b64encode(b"x" * n + value.encode() + b"y" * 5).decode() for n in range(3)),
        ):
            assert found_in(f"some {form} text".encode(), {"it": value}), form
    assert not found_in(b"some other text", {"it": NAME})


def test_nothing_personal_is_written_when_recordings_are_sent_and_quarantined(sandbox, daemon, tools):
    faults = [f"--fault={name}:0.1" for name in ("reset", "lost-answer", "garbage", "5xx", "expired-token")]
    service = sandbox(*faults, "--seed", "5", "--fault-on", "post list detail", "--analyze-delay", "0s")
    program = daemon(service, source={"sidecar_wait": "500ms"}, log={"level": "debug"})
    program.start()
    paths = drop_all(program, tools)
    for number in range(20):
        # Trees that are made while they are watched: the library that watches warns of some.
        (program.source / FOLDER / f"{FILE} {number}" / NAME / "deep" / "deeper").mkdir(parents=True)
    for number in range(6, 16):
        program.drop(f"{FILE} {number}.wav", tools.make_wav(f"more {number}"), canary_call(number))
    for name in ("wrong", "half", "latin", "empty", "junk", "lonely"):
        program.wait_state(paths[name], "quarantined")
    program.wait_settled(11)
    # A file that is taken away while it is followed, and a folder that vanishes with all in it.
    os.rename(program.source, program.directory / NAME)
    program.kill()
    program.start()
    program.wait_for(lambda d: d.events("source.unavailable"), what="the source to be missed")
    pages = [program.get(path)[1] for path in ("/healthz", "/readyz", "/metrics", f"/{quote(FILE)}")]
    staging = [program.get(f"/recordings/{quote(NAME)}-1.wav?sig={quote(NUMBER)}", section="staging")[1]]
    assert program.terminate() == 0

    assert_clean(written(program, *pages, *staging), canaries(program))
    reasons = json.dumps([row["reason"] for row in program.ask("SELECT reason FROM recording")]).encode()
    assert_clean({"reasons": reasons}, canaries(program))
    assert program.events("recording.quarantined")


def test_what_a_service_says_of_our_values_is_not_repeated(sandbox, daemon, tools, rude_service):
    url, bodies = rude_service
    program = daemon(
        sandbox(),
        zoom={"api_url": f"{url}/v2", "token_url": f"{url}/token"},
        retry={"attempts": 2},
        log={"level": "debug"},
    )
    program.start()
    paths = [
        program.drop(f"{FILE} {n}.wav", tools.make_wav(f"rude {n}"), canary_call(n), folder=program.source / FOLDER)
        for n in range(1, 4)
    ]
    for path in paths:
        program.wait_state(path, "refused")
    assert program.terminate() == 0

    signed = json.loads(bodies[0])["download_url"]
    secrets = {"token": "tok-CanaryToken-Aa1", "signed URL": signed, "signature": signed.partition("?")[2]}
    assert_clean(written(program), canaries(program) | secrets)
    kept = json.dumps(program.ask("SELECT reason FROM recording") + program.ask("SELECT message FROM attempt"))
    assert_clean({"reasons": kept.encode()}, canaries(program) | secrets)
    assert "refused" in kept or "does not take" in kept
    secrets |= {"secret": program.settings["zoom"]["client_secret"]}
    assert found_in(ledger_bytes(program), secrets) == []


def test_neither_token_nor_url_is_kept_in_the_ledger_while_it_is_at_work(sandbox, daemon, tools, rude_service):
    url, bodies = rude_service
    program = daemon(sandbox(), zoom={"api_url": f"{url}/v2", "token_url": f"{url}/token"}, retry={"attempts": 9})
    program.start()
    program.drop("one.wav", tools.make_wav("one"), canary_call())
    tools.wait_until(lambda: len(bodies) >= 2, seconds=20, what="two requests")
    program.kill()

    data = ledger_bytes(program)
    assert NAME.encode() in data, "the body is in the ledger: the search sees what is there"
    for body in list(bodies):
        signed = json.loads(body)["download_url"]
        values = {"token": "tok-CanaryToken-Aa1", "URL": signed, "query": signed.partition("?")[2]}
        values["secret"] = program.settings["zoom"]["client_secret"]
        assert found_in(data, values) == []


def test_errors_of_the_command_line_name_no_value(sandbox, daemon, tools):
    program = daemon(sandbox())
    secret = program.settings["zoom"]["client_secret"]
    program.configure({"zoom": {"token_url": "http://127.0.0.1:9/token", "api_url": "http://127.0.0.1:9/v2"}})
    outputs = []
    for arguments in (("doctor",), ("config", "check"), ("config", "show"), ("config", "show", "--json")):
        done = program.command(*arguments)
        outputs += [done.stdout, done.stderr]
    program.configure({"zoom": {"request_timeout": "soon", "client_id": 7}, "nonsense": {"client_secret": secret}})
    for arguments in (("config", "check"), ("run",), ("status",)):
        done = program.command(*arguments)
        assert done.returncode in {1, 2}
        outputs += [done.stdout, done.stderr]
    assert_clean({"output": "\n".join(outputs).encode()}, {"secret": secret})
