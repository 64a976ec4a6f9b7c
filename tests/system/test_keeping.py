"""Keeping the ledger for years: backups that are put back, and pruning, send nothing a second time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

QUICK = {
    "source": {"sidecar_wait": "500ms", "rescan": "1s"}, "reconcile": {"wait": "500ms"},
    "ledger": {"backup_interval": "0"},
}  # fmt: skip


def drop(program, tools, name: str, number: int):
    audio, call = tools.make_wav(f"keeping {name}"), tools.make_call(number)
    return program.drop(name, audio, call), tools.expected(audio, call)


def test_what_was_sent_after_a_backup_is_not_sent_again_when_it_is_put_back_after_a_kill(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    expected = [drop(program, tools, f"before{number}.wav", number)[1] for number in range(3)]
    program.wait_settled(3)
    assert program.command("pause").returncode == 0
    waiting = [drop(program, tools, f"waiting{number}.wav", 10 + number) for number in range(2)]
    for path, _ in waiting:
        program.wait_state(path, "discovered", "ready", "staged")
    made = program.command("ledger", "backup", "--json")
    assert made.returncode == 0, made.stderr
    backup = Path(json.loads(made.stdout)["path"])
    assert backup.parent == program.ledger.parent / "backups"
    assert program.command("resume").returncode == 0
    expected += [one for _, one in waiting]
    expected += [drop(program, tools, f"after{number}.wav", 20 + number)[1] for number in range(2)]
    program.wait_settled(7)
    # At once, and with its log left behind: the generation is not raised by what was sent since.
    program.kill()
    assert program.ledger.with_name("ledger.db-wal").stat().st_size

    shutil.copy(backup, program.ledger)
    program.start()
    assert program.command("resume").returncode == 0, "it was paused when it was backed up"
    program.wait_settled(7)
    assert program.command("verify").returncode == 0
    tools.compare_hashes(service, expected)
    for path, _ in waiting:
        assert "matched" in [event for _, event, _, _ in program.row(path).history]


def test_the_daemon_makes_a_backup_and_goes_on(sandbox, daemon, tools):
    program = daemon(
        sandbox("--analyze-delay", "0s"), **QUICK | {"ledger": {"backup_interval": "1s", "backup_keep": 2}}
    )
    program.start()
    drop(program, tools, "a.wav", 1)
    program.wait_for(lambda d: len(d.events("backup.made")) > 2, what="three backups")
    program.wait_settled(1)
    assert program.terminate() == 0
    kept = sorted(path.name for path in (program.ledger.parent / "backups").iterdir())
    assert len(kept) == 2
    assert json.loads(program.command("status", "--json").stdout)["backup"]["problem"] == ""


def test_files_that_come_again_after_pruning_are_not_sent_again(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, **QUICK)
    program.start()
    dropped = [drop(program, tools, f"{number}.wav", number) for number in range(3)]
    for path, _ in dropped:
        program.wait_state(path, "analyzed")
    with sqlite3.connect(program.ledger, timeout=30) as db:
        db.execute("UPDATE step SET at = at - 2 * 86400000")
    db.close()
    pruned = program.command("ledger", "prune", "--older-than", "1d", "--json")
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["states"] == {"analyzed": 3}
    assert not any(row.body or row.sidecar or row.media for row in program.rows())

    os.utime(dropped[0][0])
    moved = dropped[1][0].rename(program.source / "moved.wav")
    shutil.copy(f"{dropped[1][0]}.json", f"{moved}.json")
    copied = program.source / "copy" / "copy.wav"
    copied.parent.mkdir()
    shutil.copy(f"{dropped[2][0]}.json", f"{copied}.json")
    shutil.copy(dropped[2][0], copied)
    for path in (moved, copied):
        program.wait_state(path, "duplicate")
    program.wait_for(lambda d: d.row(dropped[0][0]).state == "duplicate", what="the touched one to be judged")
    again = program.command("import", str(program.source), "--name", "again", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["submitted"] == 0
    assert program.command("verify").returncode == 0
    tools.compare_hashes(service, [one for _, one in dropped])
