"""Wrong input of every kind: a sentence in the right place, and the good recording beside it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest

QUICK = {"source": {"sidecar_wait": "300ms"}}
CALL = {"start_time": "2026-01-01T08:00:00Z", "direction": "inbound"}
REPEATED = b'{"direction": "inbound", "direction": "outbound"}'

# name: sidecar, reason code, a word of the sentence
SIDECARS = {
    "not JSON": (b"direction: inbound", "sidecar_unreadable", "JSON"),
    "cut short": (b'{"direction": "inbo', "sidecar_unreadable", "JSON"),
    "a list": (b"[1, 2]", "sidecar_", ""),
    "empty": (b"", "sidecar_unreadable", "empty"),
    "not UTF-8": (b'{"disposition": "\xe9"}', "sidecar_unreadable", ""),
    "too large": (b'{"disposition": "' + b"x" * 1024 * 1024 + b'"}', "sidecar_too_large", "1 MiB"),
    "deeply nested": (b'{"custom": ' * 5000 + b"1" + b"}" * 5000, "sidecar_unreadable", "nested"),
    "nested lists": (b'{"custom": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "sidecar_unreadable", "nested"),
    "a number as direction": (b'{"direction": 7}', "sidecar_invalid", "direction"),
    "a list as number": (b'{"interaction_info": {"from": ["+12025550101"]}}', "sidecar_invalid", "from"),
    "text as interaction_info": (b'{"interaction_info": "none"}', "sidecar_invalid", "interaction_info"),
    "repeated keys": (REPEATED, "sidecar_", "direction"),
    "an unknown field": (json.dumps(CALL | {"directoin": "inbound"}).encode(), "sidecar_invalid", "direction"),
    "a huge number": (b'{"direction": 1e999}', "sidecar_", ""),
    "a number of many digits": (b'{"custom": {"n": ' + b"9" * 100_000 + b'}, "direction": 1}', "sidecar_", ""),
}


def good(program, tools, name: str = "good.wav", number: int = 1, **where) -> Path:
    return program.drop(name, tools.make_wav(name), tools.make_call(number), **where)


def assert_sent(program, *paths: Path) -> None:
    for path in paths:
        program.wait_state(path, "submitted", "analyzed")


def test_wrong_sidecars_are_quarantined_with_a_sentence_and_taken_up_when_mended(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    paths = {
        name: program.drop(f"{number}.wav", tools.make_wav(name), sidecar)
        for number, (name, (sidecar, _, _)) in enumerate(SIDECARS.items())
    }
    beside = good(program, tools)
    for name, path in paths.items():
        _, code, word = SIDECARS[name]
        row = program.wait_state(path, "quarantined")
        assert row.reason_code.startswith(code), f"{name}: {row.story()}"
        assert word in row.reason, f"{name}: {row.reason}"
        assert len(row.reason) < 500, f"{name}: {row.reason}"
    assert_sent(program, beside)
    for number, path in enumerate(paths.values()):
        path.with_name(path.name + ".json").write_text(json.dumps(tools.make_call(100 + number)))
    program.wait_settled(len(SIDECARS) + 1)


def test_two_sidecars_or_none_are_quarantined_until_it_is_clear(sandbox, daemon, tools):
    # That a file was taken away no event tells, the scan does.
    program = daemon(sandbox("--analyze-delay", "0s"), source={"sidecar_wait": "300ms", "rescan": "500ms"})
    program.start()
    two = good(program, tools, "two.wav")
    two.with_suffix(".json").write_text(json.dumps(tools.make_call(2)))
    none = program.drop("none.wav", tools.make_wav("none"))

    assert program.wait_state(two, "quarantined").reason_code == "sidecar_ambiguous"
    assert program.wait_state(none, "quarantined").reason_code == "sidecar_missing"
    two.with_suffix(".json").unlink()
    none.with_suffix(".json").write_text(json.dumps(tools.make_call(3)))
    assert_sent(program, two, none)


def test_damaged_recordings_are_quarantined_and_a_whole_copy_is_taken_up(sandbox, daemon, tools):
    program = daemon(sandbox("--analyze-delay", "0s"), **QUICK)
    program.start()
    whole = tools.make_wav("whole")
    mp3, m4a = (tools.recordings / name for name in ("charged-twice.mp3", "lieferung-verschieben.m4a"))
    wrong = {
        "empty.wav": (b"", {"media_empty"}),
        "header.wav": (tools.make_wav("none", milliseconds=0), {"media_empty"}),
        "truncated.wav": (whole[:-700], {"media_incomplete", "media_truncated"}),
        "half a header.wav": (whole[:20], {"media_incomplete", "media_truncated", "media_empty", "media_unknown"}),
        "text.mp3": (b"This is no audio. " * 200, {"media_unknown"}),
        "zeros.wav": (bytes(5000), {"media_incomplete"}),
        "cut.m4a": (m4a.read_bytes()[: m4a.stat().st_size // 2], {"media_incomplete", "media_truncated"}),
    }
    calls = {name: tools.make_call(number) for number, name in enumerate(wrong, start=2)}
    paths = {name: program.drop(name, audio, calls[name]) for name, (audio, _) in wrong.items()}
    beside = [good(program, tools), program.drop("good.mp3", mp3.read_bytes(), tools.make_call(50))]

    for name, path in paths.items():
        row = program.wait_state(path, "quarantined")
        assert row.reason_code in wrong[name][1], row.story()
    assert_sent(program, *beside)
    for name, path in paths.items():
        path.write_bytes(tools.make_wav(f"mended {name}"))
    assert_sent(program, *paths.values())


def test_an_unreadable_recording_or_folder_leaves_the_others_alone(sandbox, daemon, tools, drop_rights):
    program = daemon(sandbox("--analyze-delay", "0s"), source={"sidecar_wait": "300ms", "rescan": "500ms"})
    program.prefix = drop_rights
    secret = good(program, tools, "unreadable.wav", 2)
    hidden = program.drop("hidden.wav", tools.make_wav("hidden"), tools.make_call(3))
    sidecar = hidden.with_name("hidden.wav.json")
    closed = program.source / "closed"
    inside = good(program, tools, "inside.wav", 4, folder=closed)
    for path in (secret, sidecar, closed):
        path.chmod(0)
    try:
        program.start()
        beside = good(program, tools)

        row = program.wait_state(secret, "quarantined")
        assert row.reason_code == "file_unreadable"
        assert "read" in row.reason
        row = program.wait_state(hidden, "quarantined")
        assert row.reason_code == "sidecar_unreadable", row.story()
        assert_sent(program, beside)
        assert program.row(inside) is None
    finally:
        closed.chmod(0o755)
    assert_sent(program, inside)
    for path in (secret, sidecar):
        # Rights alone change no byte: it is a person who says that it is mended.
        path.chmod(0o644)
        os.utime(path)
    assert_sent(program, secret, hidden)


def two_sources(daemon, service, tools, **first):
    """Return a daemon with a second source, and that one's folder."""
    program = daemon(service, source={"rescan": "300ms"} | first)
    other = program.directory / "other"
    other.mkdir()
    source = program.settings["sources"][0] | {"name": "other", "path": str(other)}
    program.configure({"sources": [program.settings["sources"][0], source]})
    return program, other


def availability(program) -> dict[str, tuple]:
    return {s["name"]: (s["available"], s["detail"]) for s in program.ask("SELECT * FROM source")}


def wait_available(program, name: str, *, available: bool) -> str:
    program.wait_for(
        lambda d: availability(d).get(name, (None,))[0] == int(available), what=f"{name} available: {available}"
    )
    return availability(program)[name][1]


def test_a_missing_folder_is_waited_for_and_does_not_block_the_others(sandbox, daemon, tools):
    program, other = two_sources(daemon, sandbox("--analyze-delay", "0s"), tools)
    shutil.rmtree(program.source)
    program.start()

    assert wait_available(program, "hq", available=False)
    assert_sent(program, good(program, tools, folder=other))
    program.source.mkdir()
    assert_sent(program, good(program, tools, "later.wav", 2))
    wait_available(program, "hq", available=True)


def test_a_folder_that_goes_away_loses_nothing_and_comes_back(sandbox, daemon, tools):
    program, other = two_sources(daemon, sandbox("--analyze-delay", "0s"), tools, sidecar_wait="1h")
    program.start()
    sent = good(program, tools)
    waits = program.drop("waits.wav", tools.make_wav("waits"))
    assert_sent(program, sent)
    program.wait_state(waits, "discovered")

    away = program.source.rename(program.directory / "away")
    assert wait_available(program, "hq", available=False)
    assert_sent(program, good(program, tools, "other.wav", 2, folder=other))
    assert program.row(waits).state == "discovered"

    away.rename(program.source)
    wait_available(program, "hq", available=True)
    waits.with_suffix(".json").write_text(json.dumps(tools.make_call(3)))
    assert_sent(program, waits)
    # The watch was lost with the folder: what comes now is seen again.
    assert_sent(program, good(program, tools, "after.wav", 4))
    assert program.states().total() == 4


def test_an_unmounted_folder_is_not_taken_for_an_emptied_one(sandbox, daemon, tools, small_disk):
    disk = small_disk(8)
    program, other = two_sources(
        daemon, sandbox("--analyze-delay", "0s"), tools, path=str(disk), sidecar_wait="1h", watch="polling"
    )
    program.start()
    waits = program.drop("waits.wav", tools.make_wav("waits"), folder=disk)
    program.wait_state(waits, "discovered")
    point = program.directory / "empty"
    point.mkdir()
    tools.run("mount", "--bind", str(point), str(disk))
    try:
        assert "mounted" in wait_available(program, "hq", available=False)
        assert_sent(program, good(program, tools, folder=other))
        assert program.row(waits).state == "discovered"
    finally:
        tools.run("umount", str(disk))
    wait_available(program, "hq", available=True)
    waits.with_suffix(".json").write_text(json.dumps(tools.make_call(3)))
    assert_sent(program, waits)


def test_an_unreadable_source_is_unavailable_until_it_can_be_read(sandbox, daemon, tools, drop_rights):
    program, other = two_sources(daemon, sandbox("--analyze-delay", "0s"), tools)
    program.prefix = drop_rights
    path = good(program, tools)
    program.source.chmod(0)
    try:
        program.start()
        wait_available(program, "hq", available=False)
        assert_sent(program, good(program, tools, "other.wav", 2, folder=other))
    finally:
        program.source.chmod(0o755)
    assert_sent(program, path)


MIB = 1024 * 1024


def fill(place: Path, name: str, *, leave: int) -> Path:
    """Fill a file system but for `leave` bytes."""
    path = place / name
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        stat = os.statvfs(place)
        left = stat.f_bavail * stat.f_frsize - leave
        while left > 0 or not leave:
            left -= file.write(bytes(min(MIB, left) if leave else 4096))
    return path


def test_a_full_disk_closes_submission_and_space_opens_it_again(sandbox, daemon, tools, small_disk):
    disk = small_disk(160)
    program = daemon(sandbox("--analyze-delay", "0s"))
    program.ledger = disk / "ledger.db"
    program.configure({"ledger": {"path": str(program.ledger)}})
    program.start()
    assert_sent(program, good(program, tools))

    ballast = fill(disk, "ballast", leave=20 * MIB)
    gate = program.wait_for(lambda d: d.gates().get("disk"), what="the disk gate")
    assert gate["reason"] == "disk_full"
    assert "disk" in gate["message"]
    waiting = good(program, tools, "waiting.wav", 2)
    tools.wait_until(lambda: program.row(waiting), seconds=10, what="the recording to be discovered")
    assert program.get("/healthz")[0] == 200
    ballast.unlink()
    assert_sent(program, waiting)
    assert not program.gates()
    assert program.terminate() == 0


def test_a_disk_without_a_byte_left_loses_nothing(sandbox, daemon, tools, small_disk):
    disk = small_disk(120)
    service = sandbox("--analyze-delay", "0s", "--fault=slow:1", "--slow-seconds", "2s")
    program = daemon(service)
    program.ledger = disk / "ledger.db"
    program.configure({"ledger": {"path": str(program.ledger)}})
    program.start()
    paths = [good(program, tools, f"{n}.wav", n) for n in range(6)]
    program.wait_for(lambda d: d.states()["submitting"] >= 2, what="POSTs under way")
    ballast = fill(disk, "ballast", leave=0)
    # The answers in flight are still written, into the space that was kept for them.
    program.wait_for(lambda d: not d.states()["submitting"], what="the answers to be written")
    service.faults({})
    tools.rest(1)
    ballast.unlink()
    if not program.running:
        assert program.wait() == 3
        program.start()
    assert_sent(program, *paths)
    assert len(service.accepted()) == len(paths)


def test_a_wrong_secret_closes_the_gate_and_names_what_to_check(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, zoom={"client_secret": "wrong"})
    program.start()
    path = good(program, tools)
    gate = program.wait_for(lambda d: d.gates().get("token"), what="the token gate")
    assert gate["reason"] == "credentials"
    assert "credentials" in gate["message"]
    assert "secret" in gate["hint"]
    assert program.wait_state(path, "staged", "ready").attempts == 0

    assert program.terminate() == 0
    program.configure({"zoom": {"client_secret": service.info["client_secret"]}})
    program.start()
    assert_sent(program, path)


@pytest.mark.parametrize("missing", ["write", "read"])
def test_a_missing_scope_is_named_and_no_recording_uses_attempts_up(sandbox, daemon, tools, missing):
    scopes = {
        "write": "zoom_quality_management:read:interactions:admin",
        "read": "zoom_quality_management:write:interactions:admin",
    }
    service = sandbox("--scopes", scopes[missing], "--analyze-delay", "0s", "--token-ttl", "4s")
    program = daemon(service)
    program.start()
    path = good(program, tools)
    if missing == "write":
        gate = program.wait_for(lambda d: d.gates().get("submit"), what="the submit gate")
        assert gate["reason"] == "scope"
        assert "scope" in gate["message"]
        assert service.accepted() == []
        row = program.row(path)
        assert row.state in {"staged", "submitting"}
        assert row.faults == 0
    else:
        # Submitting needs no right to read; what cannot be followed is said.
        program.wait_state(path, "submitted")
        program.wait_for(lambda d: d.ask("SELECT 1 FROM note WHERE key = 'tracking_problem' AND value LIKE '%scope%'"))

    service.stop()
    both = " ".join(scopes.values())
    service.start("--scopes", both, "--analyze-delay", "0s", port=service.port)
    program.wait_state(path, "analyzed")
    assert len(service.accepted()) == 1


def test_an_unreachable_service_is_waited_for(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    port = service.port
    service.stop()
    program.start()
    paths = [good(program, tools, f"{n}.wav", n) for n in range(5)]
    gate = program.wait_for(lambda d: d.gates(), what="a closed gate")
    assert all(one["reason"] == "unreachable" for one in gate.values())
    assert all("cannot be reached" in one["message"] for one in gate.values())

    service.start(port=port)
    assert_sent(program, *paths)
    assert not program.gates()
    assert len(service.accepted()) == 5


def test_an_expired_url_leaves_the_interaction_without_analysis_and_is_shown_as_overdue(sandbox, daemon, tools):
    service = sandbox("--fetch-delay", "3s", "--fetch-retries", "0", "--analyze-delay", "0s")
    program = daemon(service, staging={"url_ttl": "1s"}, tracking={"poll_interval": "500ms", "analysis_deadline": "1s"})
    program.start()
    path = good(program, tools)
    assert_sent(program, path)
    tools.wait_until(lambda: service.accepted()[0]["fetches"], seconds=10, what="the fetch")
    assert service.accepted()[0]["fetches"][0]["status"] in {403, 410}
    assert program.row(path).state == "submitted"
    status = json.loads(program.command("--json", "status").stdout)
    assert status["overdue"] == 1
    listed = program.command("--json", "list", "--overdue").stdout.splitlines()
    assert [json.loads(line)["id"] for line in listed] == [program.row(path).id]


def test_another_accounts_ledger_is_refused_with_both_named(sandbox, daemon, tools):
    first = sandbox("--analyze-delay", "0s")
    program = daemon(first)
    program.start()
    assert_sent(program, good(program, tools))
    assert program.terminate() == 0

    mine = program.settings["zoom"]["account_id"]
    program.configure({"zoom": {"account_id": "another-account"}})
    done = program.command("run")
    assert done.returncode == 2
    assert mine in done.stderr
    assert "another-account" in done.stderr
    assert "hint: " in done.stderr
    program.configure({"zoom": {"account_id": mine}})
    program.start()
    assert_sent(program, good(program, tools, "second.wav", 2))


def test_a_ledger_without_its_folder_or_damaged_ends_with_3(sandbox, daemon, tools):
    program = daemon(sandbox())
    program.configure({"ledger": {"path": str(program.directory / "nowhere" / "ledger.db")}})
    done = program.command("run")
    assert done.returncode == 3
    assert "mkdir" in done.stderr
    damaged = program.directory / "var" / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\0" + os.urandom(8192))
    program.configure({"ledger": {"path": str(damaged)}})
    done = program.command("run")
    assert done.returncode == 3
    assert "damaged" in done.stderr
