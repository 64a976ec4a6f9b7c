"""The promises that users rely on, each with what would break it. The fourth is in test_privacy."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

QUICK = {"source": {"sidecar_wait": "500ms"}, "reconcile": {"wait": "500ms"}}


def send(program, tools, name: str, number: int) -> tuple[Path, object]:
    """Drop one and wait until it is submitted."""
    audio, call = tools.make_wav(f"promise {name}"), tools.make_call(number)
    path = program.drop(name, audio, call)
    program.wait_state(path, "submitted", "analyzed")
    return path, tools.expected(audio, call)


# 1. Nothing is lost


def test_every_recording_that_was_discovered_stays_in_the_ledger_with_a_reason(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    good, _ = send(program, tools, "good.wav", 1)
    lonely = program.drop("lonely.wav", tools.make_wav("lonely"))
    broken = program.drop("broken.wav", b"no audio at all" * 50, tools.make_call(2))
    gone = program.drop("gone.wav", tools.make_wav("gone"))
    program.wait_state(gone, "discovered", "quarantined")
    gone.unlink()
    program.wait_state(lonely, "quarantined")
    program.wait_state(broken, "quarantined")

    program.kill()
    program.start()

    rows = {bytes(row.location): row for row in program.rows()}
    assert rows.keys() == {os.fsencode(path) for path in (good, lonely, broken, gone)}
    assert rows[os.fsencode(lonely)].reason_code == "sidecar_missing"
    assert rows[os.fsencode(broken)].reason_code == "media_unknown"
    assert rows[os.fsencode(gone)].state in {"discovered", "quarantined"}
    assert all(row.history for row in rows.values())
    # What is mended goes its way, and what was gone and comes back as well.
    lonely.with_suffix(".json").write_text(json.dumps(tools.make_call(3)))
    program.drop("gone.wav", tools.make_wav("gone"), tools.make_call(4))
    broken.write_bytes(tools.make_wav("whole"))
    program.wait_settled(4)


# 2. Nothing is sent twice


def test_a_recording_that_comes_again_in_any_manner_is_not_sent_again(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    sent = [send(program, tools, f"again{n}.wav", n)[0] for n in range(5)]
    touched, rewritten, renamed, copied, resaved = sent

    os.utime(touched)
    audio = rewritten.read_bytes()
    rewritten.unlink()
    rewritten.write_bytes(audio)
    os.rename(renamed, renamed.with_name("new name.wav"))
    os.rename(f"{renamed}.json", renamed.with_name("new name.wav.json"))
    shutil.copy(copied, copied.with_name("copy.wav"))
    shutil.copy(f"{copied}.json", copied.with_name("copy.wav.json"))
    sidecar = resaved.with_name(resaved.name + ".json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()), indent=2))

    for path in (renamed.with_name("new name.wav"), copied.with_name("copy.wav"), rewritten):
        program.wait_state(path, "duplicate")
    # A marker that is sent after them shows that the daemon has seen them all, also after a restart.
    send(program, tools, "marker.wav", 10)
    assert program.terminate() == 0
    program.start()
    program.wait_state(touched, "duplicate")
    send(program, tools, "second marker.wav", 11)
    assert len(service.accepted()) == 7, service.accepted()
    assert program.row(resaved).state in {"submitted", "analyzed"}


def test_a_restored_ledger_sends_nothing_again(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    expected = []
    program.start()
    for number in range(4):
        expected.append(send(program, tools, f"before{number}.wav", number)[1])
    assert program.terminate() == 0
    backup = program.directory / "backup.db"
    shutil.copy(program.ledger, backup)
    program.start()
    for number in range(4, 10):
        expected.append(send(program, tools, f"after{number}.wav", number)[1])
    assert program.terminate() == 0

    for suffix in ("-wal", "-shm"):
        Path(f"{program.ledger}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, program.ledger)
    # One came while the daemon was down: it is new, and is sent.
    audio, call = tools.make_wav("while down"), tools.make_call(20)
    late = program.drop("late.wav", audio, call)
    program.start()
    program.wait_settled(11)
    program.wait_state(late, "submitted", "analyzed")
    tools.compare_hashes(service, [*expected, tools.expected(audio, call)])
    doubted = program.rows("location LIKE ?", os.fsencode(program.source) + b"/after%")
    assert all("matched" in [event for _, event, _, _ in row.history] for row in program.rows() if row in doubted)


def test_a_request_of_unknown_outcome_is_not_repeated_while_the_listing_proves_nothing(sandbox, daemon, tools):
    service = sandbox("--list-lag", "1h", "--fault=lost-answer:1")
    program = daemon(service, **QUICK)
    program.start()
    path = program.drop("lost.wav", tools.make_wav("lost"), tools.make_call(1))
    held = program.wait_for(
        lambda d: (row := d.row(path)) and row.held and row, seconds=20, what="the recording to be held"
    )
    service.faults({})

    assert held.state == "unconfirmed"
    assert held.reason_code in {"no_proof", "fetched_unlisted"}
    program.kill()
    program.start()
    other = program.drop("other.wav", tools.make_wav("other"), tools.make_call(2))
    program.wait_state(other, "submitted", "analyzed")
    assert program.row(path).state == "unconfirmed"
    assert service.counters()["posts"] == 2


# 3. Never guessed

UNREADABLE = {
    "a time without a zone": {"start_time": "2026-01-01T08:00:00"},
    "a time in words": {"start_time": "this morning"},
    "a direction": {"direction": "sideways"},
    "a language": {"primary_language": "xx-XX"},
    "an unknown field": {"strat_time": "2026-01-01T08:00:00Z"},
}


def test_what_cannot_be_read_is_quarantined_or_left_out_but_never_made_up(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    wrong = {}
    for number, (name, change) in enumerate(UNREADABLE.items()):
        wrong[name] = program.drop(f"{number}.wav", tools.make_wav(name), tools.make_call(number) | change)
    national = tools.make_call(20)
    national["interaction_info"] = {"from": "(202) 555-0143", "to": "+13035550101"}
    left_out = program.drop("national.wav", tools.make_wav("national"), national)
    bare = program.drop("bare.wav", tools.make_wav("bare"), {"direction": "inbound"})

    for name, path in wrong.items():
        row = program.wait_state(path, "quarantined")
        assert row.reason_code == "sidecar_invalid", f"{name}: {row.story()}"
        field = "start_time" if name == "an unknown field" else next(iter(UNREADABLE[name]))
        assert field in row.reason, f"{name}: {row.reason}"
    for path in (left_out, bare):
        program.wait_state(path, "submitted", "analyzed")
    bodies = {tools.recording_id(one): one["body"] for one in service.accepted()}
    assert len(bodies) == 2
    assert "from" not in bodies[program.row(left_out).id]["interaction_info"]
    assert bodies[program.row(left_out).id]["interaction_info"]["to"] == "+13035550101"
    body = bodies[program.row(bare).id]
    assert body.keys() == {"direction", "interaction_info", "download_url"}
    assert body["interaction_info"] == {"channel_type": "voice"}


# 5. Nothing is ever written into a source


def snapshot(root: Path) -> dict[str, tuple]:
    """Return everything of a tree but the times of reading."""
    found = {}
    for folder, _, names in os.walk(root):
        for path in [folder, *(os.path.join(folder, name) for name in names)]:
            stat = os.lstat(path)
            content = Path(path).read_bytes() if os.path.isfile(path) else b""
            found[path] = (stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, content)
    return found


@pytest.mark.parametrize("rights", [0o755, 0o555])
def test_a_source_is_left_as_it_was_whatever_becomes_of_its_recordings(sandbox, daemon, tools, drop_rights, rights):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.prefix = drop_rights
    deep = program.source / "deep"
    files = [
        program.drop("good.wav", tools.make_wav("good"), tools.make_call(1)),
        program.drop("deep.wav", tools.make_wav("deep"), tools.make_call(2), folder=deep),
        program.drop("bad.wav", b"", tools.make_call(3)),
        program.drop("wrong.wav", tools.make_wav("wrong"), b"{"),
        program.drop("lonely.wav", tools.make_wav("lonely")),
    ]
    for folder in (deep, program.source):
        folder.chmod(rights)
    try:
        before = snapshot(program.source)
        program.start()
        for path in files[:2]:
            program.wait_state(path, "analyzed")
        for path in files[2:]:
            program.wait_state(path, "quarantined")
        assert program.terminate() == 0
        assert snapshot(program.source) == before
    finally:
        for folder in (deep, program.source):
            folder.chmod(0o755)
