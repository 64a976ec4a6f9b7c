"""A large backlog: the daemon's memory does not grow with it, nor with what it follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.backlog_maker import make_backlog
from uploader.domain.recording import State

BACKLOG = {
    State.DISCOVERED: 40_000,
    State.STAGED: 40_000,
    State.SUBMITTED: 10_000,
    State.UNCONFIRMED: 20,
    State.QUARANTINED: 10_000,
}
MOST_MIB = 120
"""Bare Python with the libraries is 60 MiB of it, SQLite's pages of a few connections 20."""
MOST_GROWTH_MIB = 12
"""SQLite's pages fill up: 8 MiB for what writes, 2 for each connection that reads."""
ROUND = 500
"""So many submitted recordings are followed in one round."""


def memory_mib(process: int) -> tuple[float, float]:
    """Return what a process has in memory, and the most that it ever had."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def handles(process: int) -> int:
    """Return how many files, sockets and pipes a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def followed(count: int) -> Callable[[object], bool]:
    """Say when so many were looked for in the service's listing."""
    return lambda daemon: daemon.ask("SELECT count(*) AS c FROM recording WHERE looks > 0")[0]["c"] >= count


def test_a_daemon_with_a_hundred_thousand_open_recordings_keeps_a_batch_of_them_in_memory(sandbox, daemon):
    service = sandbox()
    slow = {"submissions_per_second": 1, "submissions_per_day": 0, "reads_per_second": 200}
    running = daemon(service, budget=slow, tracking={"poll_interval": "1h"})
    make_backlog(running.ledger, BACKLOG, root=str(running.source))
    running.start()
    process = running.process.pid
    running.wait_for(followed(ROUND), what="a round of following")
    early, open_early = memory_mib(process)[0], handles(process)
    running.wait_for(followed(3 * ROUND), what="three rounds of following")
    late, peak = memory_mib(process)
    assert peak < MOST_MIB
    assert late - early < MOST_GROWTH_MIB
    assert handles(process) <= open_early + 4
    assert running.terminate() == 0
