"""Limits of the system, reached on purpose: the program says so, with the line to set, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing

MIB = 1024 * 1024
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def good(program, tools, *numbers, folder=None):
    """Drop recordings; return their paths."""
    paths = []
    for number in numbers:
        name, audio = f"{number}.wav", tools.make_wav(number)
        paths.append(program.drop(name, audio, tools.make_call(number), folder=folder))
    return paths


def expected(tools, *numbers):
    return [tools.expected(tools.make_wav(n), tools.make_call(n)) for n in numbers]


def says(program, word):
    """Return what `status` and `doctor` say that has `word` in it."""
    status = json.loads(program.command("status", "--json").stdout)
    (source,) = status["sources"]
    checks = json.loads(program.command("doctor", "--json").stdout)["checks"]
    (watches,) = [check for check in checks if check["name"] == "watch limits"]
    return word in source["polled"], word in watches["message"]


@pytest.fixture
def own_limits():
    """Return what to put before a command so that it has limits of its own, and a function that changes them."""
    if subprocess.run(["unshare", "-Ur", "true"], check=False, capture_output=True).returncode:
        missing("a user namespace cannot be made: run the tests as root, or install util-linux")
    if os.geteuid() != 0:
        missing("only root may change limits of another's namespace: run the tests as root")
    place = "/proc/sys/user/max_inotify_watches"

    def change(pid, watches):
        command = ["nsenter", "-t", str(pid), "-U", "--preserve-credentials", "sh", "-c", f"echo {watches} > {place}"]
        subprocess.run(command, check=True, capture_output=True)

    return ["unshare", "-Ur", "sh", "-c", f'echo 5 > {place} && exec "$0" "$@"'], change


def test_with_too_few_watches_it_says_so_scans_the_rest_and_watches_all_once_they_are_there(
    sandbox, daemon, tools, own_limits
):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, source={"rescan": "1s", "settle": "0s"})
    prefix, change = own_limits
    program.prefix = prefix
    for n in range(8):
        (program.source / f"{n}").mkdir()
    program.start()
    program.prefix = []
    assert program.process is not None

    polled = program.wait_for(lambda d: d.events("source.polled"), what="the limit to be said")
    assert "some folders are only scanned" in polled[0]["why"]
    assert "set `user.max_inotify_watches=1048576`" in polled[0]["why"]
    assert says(program, "max_inotify_watches") == (True, True)
    for n in range(8):
        good(program, tools, n, folder=program.source / f"{n}")
    (program.source / "later").mkdir()
    good(program, tools, 8, folder=program.source / "later")
    program.wait_settled(9)
    assert len(program.events("source.polled")) == 1, "at every scan, or with every folder"

    change(program.process.pid, 1000)
    program.wait_for(lambda d: d.events("source.watched"), what="events to be had again")
    assert "max_inotify_watches" not in program.command("status").stdout
    tools.compare(program, service, expected(tools, *range(9)))


def test_a_kernel_queue_that_overflows_loses_nothing_and_nothing_spins(sandbox, daemon, tools):
    """A burst by a program in C, into a queue that holds next to nothing."""
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service, source={"rescan": "1h", "settle": "0s"})
    for n in range(1_000):
        (program.source / f"{n % 10}" / f"{n}").mkdir(parents=True)
    before = QUEUE.read_text()
    try:
        QUEUE.write_text("16")
    except OSError:
        missing("only root may change the kernel's limits: run the tests as root")
    try:
        program.start()
        program.wait_for(lambda d: d.events("source.scanned") or d.get("/readyz")[0] == 200, what="the first scan")
    finally:
        QUEUE.write_text(before)
    outside = program.directory / "outside"
    outside.mkdir()
    for n in range(20):
        good(program, tools, n, folder=outside)
    names = [f"{n}.noise" for n in range(3_000)]
    subprocess.run(["touch", *names], cwd=program.source / "0", check=True)
    subprocess.run(["cp", "-r", f"{outside}/.", str(program.source / "9" / "999")], check=True)
    subprocess.run(["rm", *names], cwd=program.source / "0", check=True)
    program.wait_for(lambda d: d.events("watch.replaced"), what="the overflow to be noticed")
    program.wait_settled(20)
    tools.compare(program, service, expected(tools, *range(20)))

    assert program.process is not None
    used = cpu_seconds(program.process.pid)
    tools.rest(1)
    assert cpu_seconds(program.process.pid) - used < 0.3
    last = good(program, tools, 100, folder=program.source / "9" / "999")
    program.wait_state(last[0], "submitted", "analyzed")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_where_no_events_come_it_polls_after_two_scans_that_found_files_and_says_so(sandbox, daemon, tools, small_disk):
    """An overlay tells nothing of what is written below it, as a share does of what other hosts write."""
    below = small_disk(8)
    program = daemon(sandbox("--analyze-delay", "0s"), source={"rescan": "200ms", "settle": "0s"})
    (below / "low").mkdir()
    (below / "up").mkdir()
    (below / "work").mkdir()
    options = f"lowerdir={below}/low,upperdir={below}/up,workdir={below}/work"
    command = ["mount", "-t", "overlay", "qm-uploader-test", "-o", options, str(program.source)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        missing("an overlay can be mounted by root only: run the tests as root, or in `unshare -Urm`")
    try:
        program.start()
        program.wait_for(lambda d: d.events("source.scanned") or d.get("/readyz")[0] == 200, what="the first scan")
        for n in range(2):
            path = program.source / good(program, tools, n, folder=below / "low")[0].name
            program.wait_state(path, "submitted", "analyzed")
        program.wait_for(lambda d: d.events("source.polled"), what="the missing events to be noticed")
        assert len(program.events("watch.missed")) == 2
        assert "no event told of" in program.command("status").stdout
        last = program.source / good(program, tools, 2, folder=below / "low")[0].name
        program.wait_state(last, "submitted", "analyzed")
        assert len(program.events("source.polled")) == 1
    finally:
        subprocess.run(["umount", "-l", str(program.source)], check=True)


def test_with_few_open_files_a_flood_of_connections_ends_nothing_and_loses_nothing(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    program.prefix = ["prlimit", "--nofile=320:320"]
    program.start()
    program.prefix = []
    assert len(program.events("open_files.few")) == 1
    assert "LimitNOFILE=" in program.events("open_files.few")[0]["hint"]
    with contextlib.ExitStack() as stack:
        for section in ("staging", "web"):
            host, _, port = program.settings[section]["listen"].rpartition(":")
            for _ in range(400):
                connection = stack.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex((host, int(port)))
        good(program, tools, *range(10))
        program.wait_settled(10)
        assert program.running
    tools.compare(program, service, expected(tools, *range(10)))
    assert len(program.events("open_files.few")) == 1
    assert "out of system resource" not in program.log()


def test_with_next_to_no_open_files_it_does_not_start_and_says_what_to_set(sandbox, daemon):
    program = daemon(sandbox())
    program.prefix = ["prlimit", "--nofile=120:120"]
    program.start(ready=False)
    assert program.wait() == 2
    assert "too few to work" in program.log()
    assert "LimitNOFILE=" in program.log()


def fill(place, *, leave=0):
    """Fill a file system but for `leave` bytes; return the file that does it."""
    path = place / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        stat = os.statvfs(place)
        left = stat.f_bavail * stat.f_frsize - leave
        while left > 0 or not leave:
            left -= file.write(bytes(min(MIB, left) if leave else 4096))
    return path


def test_a_disk_that_is_full_at_the_start_is_waited_for(sandbox, daemon, tools, small_disk):
    """With the room kept in reserve it runs and sends nothing; without that it waits, and goes on by itself."""
    disk = small_disk(120)
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    program.ledger = disk / "ledger.db"
    program.configure({"ledger": {"path": str(program.ledger)}})
    program.start()
    good(program, tools, 0)
    program.wait_settled(1)
    assert program.terminate() == 0

    ballast = fill(disk)
    paths = good(program, tools, 1, 2)
    program.start()
    program.wait_for(lambda d: d.gates().get("disk"), what="the disk gate")
    assert not (disk / "ledger.db.reserve").exists()
    assert program.terminate() == 0

    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    program.start(ready=False)
    program.wait_for(lambda d: d.events("ledger.full"), what="the full disk to be said")
    assert len(service.accepted()) == 1
    ballast.unlink()
    for path in paths:
        program.wait_state(path, "submitted", "analyzed")
    assert len(program.events("ledger.full")) == 1
    tools.compare(program, service, expected(tools, 0, 1, 2))


def test_it_can_be_stopped_while_it_waits_for_room(sandbox, daemon, small_disk):
    disk = small_disk(1)
    program = daemon(sandbox())
    program.configure({"ledger": {"path": str(disk / "ledger.db")}})
    fill(disk)
    program.start(ready=False)
    program.wait_for(lambda d: d.events("ledger.full"), what="the full disk to be said")
    assert program.terminate() == 0


def test_a_disk_without_an_inode_left_closes_submission_and_ends_nothing(sandbox, daemon, tools, small_disk):
    disk = small_disk(120)
    tools.run("mount", "-o", "remount,size=120m,nr_inodes=60", str(disk))
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    program.ledger = disk / "ledger.db"
    program.configure({"ledger": {"path": str(program.ledger)}})
    program.start()
    good(program, tools, 0)
    program.wait_settled(1)
    made = []
    with contextlib.suppress(OSError):
        for n in range(100):
            (disk / f"{n}").touch()
            made.append(disk / f"{n}")
    program.wait_for(lambda d: d.gates().get("disk"), what="the disk gate")
    waiting = good(program, tools, 1)[0]
    tools.wait_until(lambda: program.row(waiting), seconds=10, what="the recording to be discovered")
    for path in made:
        path.unlink()
    program.wait_state(waiting, "submitted", "analyzed")
    assert not program.gates()
    assert program.terminate() == 0
