"""Real processes and real disks: what is told is on disk, also when a process is killed at any instant."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.unit.ledger.kit import Kit
from uploader.errors import LedgerBusy, LedgerError, LedgerFull
from uploader.ledger.ledger import Ledger

REPOSITORY = Path(__file__).parents[3]


def run(code: str, path: Path, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


SENDING = """
    import sys
    from pathlib import Path
    from tests.unit.ledger.kit import Kit, accepted, refused, unknown
    kit = Kit(Path(sys.argv[1]), sending=True)
    print("open", flush=True)
    n = len(kit.states())
    while True:
        n += 1
        attempt, row = kit.begin(kit.staged(b"%d.wav" % n, content_id=f"c{n}"))
        # what is printed is what the world knows: the request of this attempt has begun
        print("begun", row.n, flush=True)
        row = kit.finish(attempt, [accepted(f"i-{n}"), unknown(), refused()][n % 3])
        print("settled", row.n, row.state.value, flush=True)
"""


def killed_after(lines: int, path: Path) -> list[list[str]]:
    """Let a process send until so many lines were told, kill it, and return what it told."""
    process = run(SENDING, path)
    told = []
    try:
        for line in process.stdout:
            told.append(line.split())
            if len(told) >= lines:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
    return told + [line.split() for line in rest.splitlines()]


def test_whatever_instant_it_is_killed_at_what_was_told_is_on_disk(tmp_path):
    path = tmp_path / "ledger.db"
    begun, settled = set(), {}
    for lines in (1, 2, 3, 4, 6, 9, 14, 23):
        for word, *rest in killed_after(lines, path):
            if word == "begun":
                begun.add(int(rest[0]))
            elif word == "settled":
                settled[int(rest[0])] = rest[1]
        kit = Kit(path, sending=True)
        try:
            states = kit.states()
            for n, state in settled.items():
                assert states[n] == state
            for n in begun - set(settled):
                assert states[n] in {"submitting", "unconfirmed", "submitted", "staged"}
                assert kit.ask("SELECT count(*) FROM attempt WHERE recording_n = ?", n) == [(1,)]
            kit.ledger.attempts.sweep(at=kit.now)
            assert "submitting" not in kit.states().values()
            findings = kit.ledger.audit.findings(open_before=0)
            assert [one for one in findings if one.count] == []
            kit.ledger.audit.integrity()
            assert kit.ledger.doubt == (None, None)
            settled |= {n: s for n, s in kit.states().items() if n in begun}
        finally:
            kit.close()


def test_a_sender_in_another_process_is_noticed_and_its_death_too(tmp_path):
    path = tmp_path / "ledger.db"
    process = run(SENDING, path)
    try:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(LedgerBusy):
            Ledger.open_for_sending(path)
        beside = Ledger.open_beside(path)
        assert beside.is_sender_running()
        beside.books.ring()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert not beside.is_sender_running()
    beside.close()
    Ledger.open_for_sending(path).close()
    for reserve in tmp_path.glob("*.reserve"):
        reserve.unlink()


def test_many_processes_open_a_new_ledger_at_once(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from uploader.ledger.ledger import Ledger
        ledger = Ledger.open_beside(Path(sys.argv[1]))
        ledger.books.ring()
        print(ledger.books.counter("wake") > 0)
        ledger.close()
    """
    processes = [run(code, tmp_path / "ledger.db", stderr=subprocess.PIPE) for _ in range(8)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, process.returncode) == ("True\n", 0), err
    ledger = Ledger.open_beside(tmp_path / "ledger.db")
    assert ledger.books.counter("wake") == 8
    ledger.close()


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)


def test_on_a_full_disk_answers_in_flight_are_still_written(small_disk):
    disk = small_disk(40)
    from tests.unit.ledger.kit import accepted

    kit = Kit(disk / "ledger.db", sending=True)
    try:
        attempts = [kit.begin(kit.staged(b"%d.wav" % n))[0] for n in range(20)]
        fill(disk)
        assert os.statvfs(disk).f_bavail < 16
        for number, attempt in enumerate(attempts):
            assert kit.finish(attempt, accepted(f"i-{number}")).state.value == "submitted"
        assert not (disk / "ledger.db.reserve").exists()
        assert kit.ask("SELECT count(*) FROM attempt WHERE outcome = 'accepted'") == [(20,)]
        (disk / "filler").unlink()
        kit.ledger.keep_reserve()
        assert (disk / "ledger.db.reserve").exists()
    finally:
        kit.close()


def test_on_a_disk_without_any_room_it_is_said_so_and_nothing_is_half_written(small_disk):
    disk = small_disk(3)
    kit = Kit(disk / "ledger.db", sending=True)
    try:
        fill(disk)
        with pytest.raises(LedgerError, match="full"):
            for n in range(5000):
                kit.record(b"%05d.wav" % n)
        (disk / "filler").unlink()
        kit.record(b"after.wav")
        assert [one for one in kit.ledger.audit.findings(open_before=0) if one.count] == []
    finally:
        kit.close()


def test_on_a_full_disk_it_opens_in_the_room_of_the_reserve_and_without_that_says_so(small_disk):
    disk = small_disk(40)
    Ledger.open_for_sending(disk / "ledger.db").close()
    fill(disk)
    with pytest.raises(LedgerFull):
        Ledger.open_beside(disk / "ledger.db")
    ledger = Ledger.open_for_sending(disk / "ledger.db")
    ledger.books.set_notes({"a": "b"})
    ledger.close()
    assert not (disk / "ledger.db.reserve").exists()
    with (disk / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    for _ in range(2):
        with pytest.raises(LedgerFull, match="disk is full"):
            Ledger.open_for_sending(disk / "ledger.db")
    (disk / "filler").unlink()
    Ledger.open_for_sending(disk / "ledger.db").close()
    assert (disk / "ledger.db.reserve").exists()
