"""The ledger at the size of years: what a recording takes of the disk, what queries, claims and a recording cost."""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, Result
from tests.benchmarks.years import Years, interaction_id, years
from uploader.domain.outcome import Cause
from uploader.domain.recording import State
from uploader.ledger.connection import connect
from uploader.ledger.filters import Filter
from uploader.ledger.ledger import Ledger
from uploader.ledger.writer import GroupWriter

RECORDINGS, SMALL = 1_000_000, 10_000
OPEN = 2_000
"""Recordings that wait while queries are measured."""
TRIES, CLAIMED = 7, 8
ROUNDS, A_ROUND, A_COMMIT = 15, 400, 32
"""To compare: so many rounds of so many recordings, with so many pieces of work in a commit."""


def measure(scale: float = 1.0) -> Result:
    """A ledger of 1,000,000 recordings, half of them analyzed: bytes, queries, claims, the cost of one more."""
    folder = Path(tempfile.mkdtemp(prefix="qm-benchmark-ledger-"))
    try:
        count = max(2 * SMALL, int(RECORDINGS * scale))
        small, large = folder / "small.db", folder / "large.db"
        with _grown(small, SMALL):
            pass
        with _grown(large, count):
            pass
        size = _size(large, count)
        return Result(figures=[*size, *_times(large, count), *_cost(small, large)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _grown(path: Path, count: int) -> Iterator[Years]:
    """Make a ledger of `count` recordings as they come: found, sent and analyzed a few thousand at a time."""
    with years(path) as made:
        for _ in range(0, count, SMALL):
            made.discover(SMALL)
            made.send_all()
            made.analyze_all()
        yield made


def _size(path: Path, count: int) -> list[Figure]:
    db = connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    named = db.execute("SELECT avg(length(location)) FROM recording").fetchone()[0]
    tables = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC LIMIT 5").fetchall()
    db.close()
    each = path.stat().st_size / count
    most = ", ".join(f"{name} {size / count:.0f}" for name, size in tables)
    return [
        Figure(what=f"file size a recording at {count:,}", value=each, unit="bytes", beside=most),
        Figure(what="the same less twice the path", value=each - 2 * named, unit="bytes", bar="<= 900",
               beside=f"a path of {named:.0f} bytes"),
    ]  # fmt: skip


def _times(path: Path, count: int) -> list[Figure]:
    """Time every query of commands and pages, and claims, with some recordings open."""
    with years(path) as more:
        more.go_on_from(count)
        more.discover(OPEN)
        for row in more.claim(State.DISCOVERED, OPEN // 4):
            more.stage(more.understand(row))
    ledger = Ledger(path, writer=GroupWriter(path), role=None)
    try:
        taken = {name: _milliseconds(lambda query=query: query(ledger)) for name, query in _queries(count).items()}
        now = more.at(count + 2 * OPEN)
        claims = [_milliseconds(lambda: ledger.recordings.claim(WAITING, limit=CLAIMED, now=now), 1) for _ in range(60)]
    finally:
        ledger.close()
    longest = sorted(taken, key=lambda name: taken[name], reverse=True)
    beside = ", ".join(f"{name} {taken[name]:.1f}" for name in longest[1:4])
    return [
        Figure(what=f"longest of {len(taken)} queries: {longest[0]}", value=taken[longest[0]], unit="ms", bar="<= 50",
               beside=f"then {beside}"),
        Figure(what=f"claim of {CLAIMED}, with its commit", value=statistics.median(claims), unit="ms", bar="<= 2"),
    ]  # fmt: skip


WAITING = (State.STAGED, State.READY, State.DISCOVERED)


def _queries(count: int) -> dict[str, Callable[[Ledger], Any]]:
    """Return every query that a command, a page or a part of the daemon asks again and again."""
    middle = count // 2
    filters = {
        "all": Filter(), "an import": Filter(import_name="none"),
        "quarantined": Filter(states=(State.QUARANTINED,)), "analyzed": Filter(states=(State.ANALYZED,)),
        "a source": Filter(source="hq"), "another source": Filter(source="none"), "a reason": Filter(reason="twin"),
        "overdue": Filter(overdue_before=1 << 44), "not overdue": Filter(overdue_before=0),
        "since": Filter(since=1 << 44),
    }  # fmt: skip
    made: dict[str, Callable[[Ledger], Any]] = {
        f"list {name}": lambda led, one=one: list(led.recordings.search(one, limit=100))
        for name, one in filters.items()
    }
    made |= {
        f"count {name}": lambda led, one=one: led.recordings.count(one) for name, one in filters.items() if one.states
    }
    made |= {
        "show id": lambda led: led.recordings.by_id(led.recordings.get(middle).id),
        "show prefix": lambda led: led.recordings.find(led.recordings.get(middle).id[:6]),
        "show letter": lambda led: led.recordings.find("k"),
        "show interaction": lambda led: led.recordings.find(interaction_id(middle)),
        "show path": lambda led: led.recordings.find(led.recordings.get(middle).location.decode()),
        "show unknown path": lambda led: led.recordings.find("/no/such/file.wav"),
        "history": lambda led: led.recordings.history(middle),
        "attempts": lambda led: led.attempts.of(middle),
        "counts": lambda led: led.recordings.counts(),
        "tally": lambda led: led.recordings.tally(),
        "held": lambda led: led.recordings.held(),
        "oldest waiting": lambda led: led.recordings.oldest_waiting(),
        "attention": lambda led: led.recordings.attention_reasons(),
        "waiting": lambda led: led.recordings.waiting_reasons(),
        "list --group reason": lambda led: led.recordings.reasons(Filter()),
        "count overdue": lambda led: led.recordings.count(Filter(overdue_before=1 << 44)),
        "next due": lambda led: led.recordings.next_due(list(State)),
        "live waiting": lambda led: led.recordings.is_live_waiting(now=1 << 44),
        "back-fill ahead": lambda led: led.recordings.is_back_fill_ahead(now=1 << 44, limit=1000),
        "open attempts": lambda led: led.attempts.open_attempts(),
        "in flight": lambda led: led.attempts.in_flight(),
        "unlisted": lambda led: led.attempts.unlisted(since=0, limit=3),
        "recently": lambda led: led.attempts.recently(Cause.RATE_SECOND, among=500),
        "owners": lambda led: led.attempts.owners([interaction_id(n) for n in range(1, 100)]),
        "glance": lambda led: led.glance(now=1 << 44, overdue_before=1 << 44, day="2026-11-20", notes=("paused",)),
    }
    return made


def _milliseconds(work: Callable[[], Any], tries: int = TRIES) -> float:
    """Return the median time of `work`."""
    times = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _cost(small: Path, large: Path) -> list[Figure]:
    """Take recordings the whole way in both, turn by turn, and compare the processor's time."""
    spent: dict[Path, list[float]] = {small: [], large: []}
    with ExitStack() as stack:
        makers = {path: stack.enter_context(years(path, commit_every=A_COMMIT)) for path in spent}
        for made in makers.values():
            made.go_on_from(made.highest())
            _round(made)  # what is read once
        for _ in range(ROUNDS):
            for path, made in makers.items():
                spent[path].append(_round(made))
    each = {path: statistics.median(times) for path, times in spent.items()}
    return [
        Figure(what="processor time of the ledger's calls alone, large beside small", value=each[large] / each[small],
               unit="", beside=f"{each[large]:.0f} and {each[small]:.0f} µs a recording"),
    ]  # fmt: skip


def _round(made: Years) -> float:
    """Return the microseconds of processor time that one recording takes from discovery to acceptance."""
    gc.collect()
    began = time.process_time()
    made.discover(A_ROUND)
    made.send_all(together=8)
    return (time.process_time() - began) / A_ROUND * 1e6
