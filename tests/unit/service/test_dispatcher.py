"""The dispatcher: what it feeds and in which order, when it waits, and how it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from tests.unit.ledger.kit import DAY_MS
from tests.unit.pipeline.bench import call
from tests.unit.service.bench import ServiceBench
from uploader.domain.gates import Why
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.errors import LedgerError
from uploader.ledger.recordings import BACK_FILL, LIVE
from uploader.service.dispatcher import AHEAD, LONGEST_WAIT_SECONDS, STAGED_AHEAD, Dispatcher
from uploader.service.line import Admission


@pytest.fixture
def bench(tmp_path):
    bench = ServiceBench(tmp_path)
    yield bench
    bench.close()


@dataclass
class FakeLine:
    """A line that notes what it is given; `free` places at most, `act` is done with each row."""

    free: int = 10**6
    wait: float = 0.0
    carried: list = field(default_factory=list)
    returned: list = field(default_factory=list)
    asked: int = 0
    kept_back: tuple = ()

    def admits(self):
        self.asked += 1
        if self.free <= 0:
            return None
        self.free -= 1
        return Admission.FREELY

    def give_back(self, admission):
        self.returned.append(admission)

    def seconds_to_place(self):
        return self.wait

    def carry(self, row, *, admission):
        self.carried.append((row.location.rpartition(b"/")[2], admission))


class Turns(threading.Event):
    """A bell that does not wait: it notes for how long it would have, and stops after so many turns."""

    def __init__(self, stop, clock, turns):
        super().__init__()
        self.stop, self.clock, self.left = stop, clock, turns
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.clock.advance(timeout or 0)
        self.left -= 1
        if self.left <= 0:
            self.stop.set()
        return True


def turn(bench, dispatcher, turns=1):
    """Let the loop come round so often without workers; return the waits and what it fed."""
    bell = Turns(bench.stop, bench.clock, turns)
    dispatcher._bell = bell
    fed = []
    put = dispatcher._parcels.put
    dispatcher._parcels.put = lambda parcel: (fed.append(parcel), put(parcel)) if parcel.row else None
    dispatcher.run()
    bench.stop.clear()
    return bell.waits, [(parcel.row.location.rpartition(b"/")[2], parcel.admission) for parcel in fed]


def ready(bench, name, number):
    return bench.kit.again(bench.rested(name, call(number)))


def test_live_submissions_go_before_preparations_and_those_before_back_fill(bench):
    bench.drop("new.wav", call(1))
    bench.staged("staged.wav", call(2))
    bench.drop("fill.wav", call(3), lane=1)
    dispatcher = bench.new_dispatcher(workers=3, line=FakeLine())
    _, fed = turn(bench, dispatcher)
    assert fed == [(b"staged.wav", Admission.FREELY), (b"new.wav", None), (b"fill.wav", None)]


def test_back_fill_that_is_kept_back_is_not_fed_and_makes_no_busy_loop(bench):
    fill = bench.staged("fill.wav", call(1))
    bench.kit.force("UPDATE recording SET lane = ? WHERE n = ?", BACK_FILL, fill.n)
    dispatcher = bench.new_dispatcher(workers=3, line=FakeLine(kept_back=(BACK_FILL,)))
    waits, fed = turn(bench, dispatcher)
    assert (waits, fed) == ([LONGEST_WAIT_SECONDS], [])
    bench.staged("live.wav", call(2))
    bench.stop.clear()
    _, fed = turn(bench, dispatcher)
    assert fed == [(b"live.wav", Admission.FREELY)]


@pytest.mark.parametrize(("lane", "more"), [(BACK_FILL, 0), (LIVE, 1)])
def test_no_more_is_claimed_than_one_small_batch(bench, lane, more):
    for n in range(20):
        bench.drop(f"{n}.wav", call(n), lane=lane)
    dispatcher = bench.new_dispatcher(workers=2, line=FakeLine())
    _, fed = turn(bench, dispatcher, turns=3)
    assert len(fed) == 2 * (1 + AHEAD + more)


def test_a_live_recording_goes_at_once_before_all_that_was_claimed_ahead(bench):
    for n in range(2 + AHEAD):
        bench.drop(f"old-{n}.wav", call(n), lane=BACK_FILL)
    dispatcher = bench.new_dispatcher(workers=1, line=FakeLine())
    dispatcher._feed()
    assert dispatcher.busy == 1 + AHEAD
    bench.drop("live.wav", call(90))
    dispatcher._feed()
    assert dispatcher._parcels.get_nowait().row.location.endswith(b"live.wav")


def test_what_no_worker_has_begun_is_handed_back_at_the_end(bench):
    for n in range(3):
        bench.drop(f"{n}.wav", call(n))
    dispatcher = bench.new_dispatcher(workers=3, line=FakeLine())
    turn(bench, dispatcher)
    assert dispatcher.busy == 0
    assert bench.kit.ask("SELECT count(*) FROM recording WHERE claimed IS NULL AND due_at IS NOT NULL") == [(3,)]


def test_a_place_that_was_taken_for_a_row_handed_back_is_given_back(bench):
    bench.staged("a.wav", call(1))
    line = FakeLine()
    turn(bench, bench.new_dispatcher(line=line))
    assert line.returned == [Admission.FREELY]


def test_a_row_that_moved_meanwhile_does_not_spoil_the_handing_back(bench):
    rows = [bench.drop(f"{n}.wav", call(n)) for n in range(3)]
    dispatcher = bench.new_dispatcher(workers=3, line=FakeLine())
    bell = Turns(bench.stop, bench.clock, 1)
    wait = bell.wait

    def change_then_wait(timeout=None):
        bench.kit.apply(rows[0], Event.DISCARDED)
        return wait(timeout)

    bell.wait = change_then_wait
    dispatcher._bell = bell
    dispatcher.run()
    assert [bench.row(row).claimed for row in rows] == [None] * 3
    ends(dispatcher, 3)


def ends(dispatcher: Dispatcher, workers: int) -> None:
    """Every worker is told to end."""
    threads = [threading.Thread(target=dispatcher.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_the_workers_are_told_to_end_though_the_ledger_fails(bench):
    for n in range(2):
        bench.drop(f"{n}.wav", call(n))
    dispatcher = bench.new_dispatcher(workers=3, line=FakeLine())

    class Broken:
        def __getattr__(self, name):
            raise LedgerError("the disk is gone")

    class Bell(Turns):
        def wait(self, timeout=None):
            dispatcher._ledger = Broken()
            return True

    dispatcher._bell = Bell(bench.stop, bench.clock, 9)
    with pytest.raises(LedgerError):
        dispatcher.run()
    ends(dispatcher, 3)


def test_workers_carry_what_is_fed_and_ring_when_they_are_done(bench):
    for n in range(6):
        bench.drop(f"{n}.wav", call(n))
    line = FakeLine()
    dispatcher = bench.new_dispatcher(workers=2, line=line)
    threads = [threading.Thread(target=dispatcher.work, daemon=True) for _ in range(2)]
    runner = threading.Thread(target=dispatcher.run, daemon=True)
    for thread in (*threads, runner):
        thread.start()
    for _ in range(1000):
        if len(line.carried) == 6:
            break
        dispatcher.ring()
        runner.join(0.01)
    bench.stop.set()
    dispatcher.ring()
    for thread in (runner, *threads):
        thread.join(10)
    assert sorted(name for name, _ in line.carried) == [b"%d.wav" % n for n in range(6)]
    assert dispatcher.busy == 0


def test_a_worker_that_raises_lets_its_row_be_counted_off(bench):
    bench.drop("a.wav", call(1))

    class Raising(FakeLine):
        def carry(self, row, *, admission):
            raise ValueError("a bug")

    dispatcher = bench.new_dispatcher(workers=1, line=Raising())
    dispatcher._feed()
    with pytest.raises(ValueError, match="a bug"):
        dispatcher.work()
    assert dispatcher.busy == 0


def test_nothing_is_fed_while_everything_is_paused_and_it_is_heard_when_that_ends(bench):
    bench.staged("a.wav", call(1))
    bench.ledger.books.set_notes({"paused": "1"})
    bench.ledger.books.ring()
    dispatcher = bench.new_dispatcher(line=FakeLine())
    waits, fed = turn(bench, dispatcher, turns=3)
    assert fed == []
    assert waits == [LONGEST_WAIT_SECONDS] * 3
    assert dispatcher.is_paused
    bench.ledger.books.set_notes({"paused": "0"})
    bench.ledger.books.ring()
    _, fed = turn(bench, dispatcher)
    assert len(fed) == 1


def test_a_pause_from_before_the_start_is_heard_at_the_first_turn(bench):
    bench.staged("a.wav", call(1))
    bench.ledger.books.set_notes({"paused": "1"})
    _, fed = turn(bench, bench.new_dispatcher(line=FakeLine()))
    assert fed == []


def test_what_was_claimed_ahead_is_not_begun_once_everything_is_paused(bench):
    """Several rows wait for a worker, behind files that may take minutes to read: `pause` is for them too."""
    rows = [bench.drop("a.wav", call(1)), bench.staged("b.wav", call(2)), bench.drop("c.wav", call(3))]
    line = FakeLine()
    dispatcher = bench.new_dispatcher(workers=1, line=line)
    turn_once(dispatcher)
    bench.ledger.books.set_notes({"paused": "1"})
    bench.ledger.books.ring()
    bench.clock.advance(1)
    turn_once(dispatcher)
    assert (dispatcher.busy, [one for one in line.returned if one]) == (0, [Admission.FREELY])
    assert [(bench.row(row).claimed, bench.row(row).due_at is None) for row in rows] == [(None, False)] * 3


def test_what_was_claimed_ahead_of_a_source_is_not_begun_once_that_is_paused(bench):
    row = bench.drop("a.wav", call(1))
    dispatcher = bench.new_dispatcher(workers=1, line=FakeLine())
    turn_once(dispatcher)
    assert dispatcher.busy == 1
    bench.ledger.discovery.set_parked(at=bench.now, parked=True, source_n=bench.kit.source_n)
    bench.ledger.books.ring()
    bench.clock.advance(1)
    turn_once(dispatcher)
    assert (dispatcher.busy, bench.row(row).claimed) == (0, None)


def turn_once(dispatcher):
    """What the loop does when it comes round, but for its end."""
    dispatcher._listen()
    if not dispatcher.is_paused:
        dispatcher._feed()


def test_nothing_is_fed_while_the_disk_is_full(bench):
    bench.staged("a.wav", call(1))
    dispatcher = bench.new_dispatcher(line=FakeLine())
    dispatcher.disk_is_full = True
    assert turn(bench, dispatcher)[1] == []
    dispatcher.disk_is_full = False
    assert len(turn(bench, dispatcher)[1]) == 1


def test_a_command_that_rings_is_heard_once(bench):
    dispatcher = bench.new_dispatcher(line=FakeLine())
    turn(bench, dispatcher)
    before = bench.wakes
    bench.ledger.books.ring()
    turn(bench, dispatcher, turns=3)
    assert bench.wakes == before + 1


def test_with_nothing_to_do_it_comes_round_once_a_second_and_asks_nobody(bench):
    line = FakeLine()
    waits, _ = turn(bench, bench.new_dispatcher(line=line), turns=5)
    assert waits == [LONGEST_WAIT_SECONDS] * 5
    assert line.asked == 0


def test_it_waits_until_the_next_is_due(bench):
    bench.drop("a.wav", call(1), due_at=bench.now + 120)
    waits, _ = turn(bench, bench.new_dispatcher(line=FakeLine()))
    assert waits == [pytest.approx(0.12)]


def test_it_waits_for_the_pace(bench):
    bench.staged("a.wav", call(1))
    waits, fed = turn(bench, bench.new_dispatcher(line=FakeLine(free=0, wait=0.2)), turns=3)
    assert fed == []
    assert waits == [pytest.approx(0.2)] * 3


def test_a_closed_gate_makes_no_busy_loop(bench):
    for n in range(4):
        bench.staged(f"{n}.wav", call(n))
    bench.submit_gate.close(Why.UNREACHABLE)
    start = bench.clock.monotonic()
    waits, fed = turn(bench, bench.dispatcher, turns=20)
    assert fed == []
    assert bench.clock.monotonic() - start >= 20 * 0.05
    assert min(waits) >= 0.05


def test_a_gate_whose_probe_is_out_makes_no_busy_loop(bench):
    bench.close_by_refusals()
    bench.after_probe_time(bench.submit_gate)
    assert bench.line.admits() is Admission.PROBE
    waits, fed = turn(bench, bench.dispatcher, turns=5)
    assert fed == []
    assert min(waits) >= 0.05


def test_rows_of_others_make_no_busy_loop_for_an_import_alone(bench):
    made = bench.ledger.discovery.begin_import(name="i", source_n=bench.kit.source_n, settings="{}", at=bench.now)
    bench.staged("live.wav", call(1))
    bench.drop("new.wav", call(2))
    dispatcher = bench.new_dispatcher(line=FakeLine(), import_n=made.n)
    waits, fed = turn(bench, dispatcher, turns=5)
    assert fed == []
    assert waits == [LONGEST_WAIT_SECONDS] * 5


def test_an_import_alone_is_fed_its_own(bench):
    made = bench.ledger.discovery.begin_import(name="i", source_n=bench.kit.source_n, settings="{}", at=bench.now)
    bench.drop("new.wav", call(2))
    bench.drop("old.wav", call(3), import_n=made.n, lane=1)
    _, fed = turn(bench, bench.new_dispatcher(line=FakeLine(), import_n=made.n))
    assert fed == [(b"old.wav", None)]


def test_a_back_fill_that_is_prepared_far_enough_ahead_makes_no_busy_loop(bench):
    """So much is staged that no more is prepared, though more is due."""
    bench.drop("old.wav", call(1), lane=1)
    first = bench.staged("staged.wav", call(2))
    columns = [row[1] for row in bench.kit.ask("PRAGMA table_info(recording)") if row[1] not in {"n", "id"}]
    bench.kit.force("UPDATE recording SET lane = 1, claims = 0 WHERE n = ?", first.n)
    bench.kit.force(
        f"INSERT INTO recording (id, {', '.join(columns)}) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL "
        f"SELECT i + 1 FROM c WHERE i < {STAGED_AHEAD}) SELECT 'x' || i, {', '.join(columns)} FROM c, recording "
        f"WHERE n = {first.n}"
    )
    waits, fed = turn(bench, bench.new_dispatcher(line=FakeLine(free=0, wait=0.25)), turns=5)
    assert fed == []
    assert min(waits) >= 0.1


def test_busy_hands_make_no_busy_loop(bench):
    for n in range(3 + AHEAD):
        bench.drop(f"{n}.wav", call(n))
    waits, _ = turn(bench, bench.new_dispatcher(workers=1, line=FakeLine()), turns=5)
    assert waits == [LONGEST_WAIT_SECONDS] * 5


def test_its_beat_shows_that_it_comes_round(bench):
    dispatcher = bench.new_dispatcher(line=FakeLine())
    turn(bench, dispatcher, turns=4)
    assert bench.clock.monotonic() - dispatcher.beat <= LONGEST_WAIT_SECONDS


def test_a_stop_before_the_start_feeds_nothing(bench):
    bench.drop("a.wav", call(1))
    bench.stop.set()
    line = FakeLine()
    dispatcher = bench.new_dispatcher(line=line)
    dispatcher.run()
    ends(dispatcher, 2)
    assert line.carried == []
    assert bench.kit.ledger.recordings.next_due([State.DISCOVERED]) is not None


def test_the_whole_way_with_real_hands(bench):
    for n in range(8):
        bench.drop(f"{n}.wav", call(n))
    bench.clock.advance(DAY_MS / 1000)
    dispatcher = bench.new_dispatcher(workers=3)
    stepping = threading.Event()
    wait = dispatcher._bell.wait

    def waiting(timeout=None):
        # time passes only while it waits
        bench.clock.advance(timeout or 0)
        return wait(0.01)

    dispatcher._bell.wait = waiting
    threads = [threading.Thread(target=dispatcher.work, daemon=True) for _ in range(3)]
    runner = threading.Thread(target=dispatcher.run, daemon=True)
    for thread in (*threads, runner):
        thread.start()
    for _ in range(2000):
        if set(bench.kit.states().values()) == {"submitted"}:
            break
        stepping.wait(0.01)
    bench.stop.set()
    dispatcher.ring()
    for thread in (runner, *threads):
        thread.join(10)
    assert list(bench.kit.states().values()) == ["submitted"] * 8
    assert len(bench.service.interactions) == 8
