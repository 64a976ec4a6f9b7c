"""How fast and how much: pace, budget, and what outcomes do to the gates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.unit.ledger.kit import FakeClock, Kit, accepted, refused, unknown
from uploader.domain.allowance import Allowance, Span
from uploader.domain.gates import GateName, Why
from uploader.domain.outcome import Cause
from uploader.domain.retry import RetryPolicy
from uploader.errors import ApiUnavailable, NotYet, RateLimited, ServiceRefusal, StoreUnavailable, TokenUnavailable
from uploader.ledger.books import count_submission
from uploader.service.gate import Gate
from uploader.service.governor import LEAD_SECONDS, Governor

POLICY = RetryPolicy(initial=timedelta(seconds=4), maximum=timedelta(seconds=64))


class Desk:
    def __init__(self, path, *, per_second=4.0, per_day=0, moment=None):
        self.clock = FakeClock(moment) if moment else FakeClock()
        self.kit = Kit(path, clock=self.clock)
        self.start(per_second=per_second, per_day=per_day)

    def start(self, *, per_second=4.0, per_day=0):
        """Begin anew, as a new process would: only the ledger is left."""
        books = self.kit.ledger.books
        self.gates = {name: Gate(name, books, self.clock, POLICY) for name in GateName}
        self.governor = Governor(
            submissions_per_second=per_second, submissions_per_day=per_day, reads_per_second=per_second,
            gates=self.gates, books=books, clock=self.clock, pause=self.clock.advance,
        )  # fmt: skip
        self.submit = self.gates[GateName.SUBMIT]

    def send(self, outcome):
        """Wait for a place and a turn, make a request that takes no time, and learn from it."""
        while wait := self.governor.submission_wait():
            self.clock.advance(wait)
        turn = self.governor.take_turn()
        self.governor.submission_starts(turn)
        self.governor.submission_ended(turn)
        return self.told(outcome)

    def begin(self, count=1):
        """Count so many submissions of the day."""
        day = self.governor.day()
        self.kit.ledger.recordings.write(lambda db: [count_submission(db, day) for _ in range(count)])

    def pace(self):
        return self.governor.paces()["submission"].pace_per_second

    def told(self, outcome, n=1, *, is_probe=False):
        return self.governor.saw_submission(outcome, n, is_probe=is_probe)

    def fit_to_probe(self):
        self.clock.advance((self.submit.seconds_to_probe() or 0) + 0.01)
        return self.submit.admits_probe()


@pytest.fixture
def desk(tmp_path):
    made = []

    def make(**options):
        made.append(Desk(tmp_path / f"{len(made)}.db", **options))
        return made[-1]

    yield make
    for one in made:
        one.kit.close()


def places(desk, seconds):
    """Take every turn that there is within so many seconds, and return when."""
    taken, end = [], desk.clock.monotonic() + seconds
    while desk.clock.monotonic() < end:
        if wait := desk.governor.submission_wait():
            desk.clock.advance(wait)
            continue
        turn = desk.governor.take_turn()
        desk.governor.submission_starts(turn)
        desk.governor.submission_ended(turn)
        taken.append(desk.clock.monotonic())
    return taken


def a_second(limit, remaining=None):
    return Allowance(span=Span.SECOND, limit=limit, remaining=remaining)


def a_day(limit, remaining=None):
    return Allowance(span=Span.DAY, limit=limit, remaining=remaining)


def test_places_come_at_the_configured_pace_and_never_in_a_burst(desk):
    taken = places(desk(per_second=4), 10)
    assert 39 <= len(taken) <= 41
    assert all(b - a >= 0.249 for a, b in pairwise(taken))


def test_looking_at_the_next_place_does_not_take_it(desk):
    one = desk()
    assert one.governor.seconds_to_submission() == 0
    assert one.governor.submission_wait() == 0
    assert one.governor.seconds_to_submission() == pytest.approx(0.25 - LEAD_SECONDS)
    assert one.governor.seconds_to_submission() == pytest.approx(0.25 - LEAD_SECONDS)


def test_a_place_that_is_not_near_is_not_taken(desk):
    one = desk()
    assert one.governor.submission_wait() == 0
    for _ in range(10):
        assert one.governor.submission_wait() == pytest.approx(0.25 - LEAD_SECONDS)


def test_who_has_a_place_waits_for_the_turn_itself(desk):
    one = desk()
    before = one.clock.monotonic()
    for _ in range(3):
        one.send(accepted("i"))
    assert one.clock.monotonic() - before == pytest.approx(0.5)


def test_a_turn_that_is_too_far_off_is_not_waited_for(desk):
    one = desk()
    one.told(refused(Cause.RATE_SECOND, retry_at=one.clock.now() + timedelta(seconds=20)))
    with pytest.raises(NotYet) as caught:
        one.governor.take_turn()
    one.governor.saw_refusal(caught.value)
    assert all(gate.is_open for gate in one.gates.values())


def test_reads_queue_behind_one_another(desk):
    one = desk(per_second=4)
    assert [one.governor.read_wait() for _ in range(4)] == [pytest.approx(n / 4) for n in range(4)]
    assert one.governor.read_wait() == pytest.approx(1, abs=0.01)


def test_asked_too_fast_it_pauses_slows_down_and_recovers_by_time(desk):
    one = desk(per_second=4)
    for _ in range(6):
        one.told(refused(Cause.RATE_SECOND))
        assert one.governor.seconds_to_submission() == pytest.approx(1 - LEAD_SECONDS)
        one.clock.advance(1)
    slow = len(places(one, 4))
    assert slow <= 10
    one.clock.advance(120)
    assert len(places(one, 10)) >= 39


def test_the_time_that_a_too_fast_named_is_waited_for(desk):
    one = desk()
    one.told(refused(Cause.RATE_SECOND, retry_at=one.clock.now() + timedelta(seconds=20)))
    assert one.governor.seconds_to_submission() == pytest.approx(20 - LEAD_SECONDS, abs=0.01)


def test_a_long_time_that_a_too_fast_named_closes_the_gate_until_then_over_restarts(desk):
    one = desk()
    assert one.told(refused(Cause.RATE_SECOND, retry_at=one.clock.now() + timedelta(minutes=20))) is Why.RATE_LIMIT
    one.told(accepted("i"))
    one.clock.advance(60)
    one.start()
    assert one.submit.why is Why.RATE_LIMIT
    assert one.submit.seconds_to_probe() == pytest.approx(19 * 60)


def test_a_too_fast_closes_no_gate(desk):
    one = desk()
    for n in range(20):
        assert one.told(refused(Cause.RATE_SECOND), n) is None
    assert one.submit.is_open


def test_a_read_that_was_too_fast_slows_reads_only(desk):
    one = desk()
    one.governor.saw_read(RateLimited("x", until=one.clock.now() + timedelta(seconds=5)))
    assert one.governor.read_wait() == pytest.approx(5, abs=0.01)
    assert one.governor.submission_wait() == 0


@pytest.mark.parametrize("error", [None, ApiUnavailable("x")])
def test_another_end_of_a_read_does_not_slow(desk, error):
    one = desk()
    one.governor.saw_read(error)
    assert one.governor.read_wait() == 0


def test_the_budget_is_that_of_the_utc_day_and_whole_again_at_midnight(desk):
    one = desk(per_day=3, moment=datetime(2026, 11, 20, 23, 59, 50, tzinfo=UTC))
    for n in range(3):
        assert one.governor.left_today() == 3 - n
        one.kit.ledger.attempts.begin(
            one.kit.claim(one.kit.staged(b"%d.wav" % n)), at=one.kit.now, day=one.governor.day()
        )
    assert one.governor.left_today() == 0
    assert one.governor.resets_at() == datetime(2026, 11, 21, tzinfo=UTC)
    one.clock.advance(10)
    assert one.governor.day() == "2026-11-21"
    assert one.governor.left_today() == 3


def test_without_a_budget_there_is_no_end(desk):
    assert desk(per_day=0).governor.left_today() is None


def test_a_limit_a_second_that_an_answer_names_is_kept_without_a_refusal(desk):
    one = desk(per_second=10)
    one.send(accepted("i", allowance=a_second(2, 1)))
    assert len(places(one, 10)) <= 21
    one.send(accepted("i", allowance=a_second(40, 30)))
    assert one.pace() == 10


def test_a_restart_begins_with_what_was_learned_and_it_is_forgotten_after_a_day(desk):
    one = desk(per_second=10)
    one.send(accepted("i", allowance=a_second(2, 1)))
    one.start(per_second=10)
    assert one.pace() == 2
    one.clock.advance(25 * 3600)
    assert one.pace() == 10


def test_a_restart_begins_as_slowed_as_it_was_left_less_what_time_gives_back(desk):
    one = desk(per_second=10)
    for _ in range(5):
        one.told(refused(Cause.RATE_SECOND))
        one.clock.advance(1)
    slowed = one.pace()
    assert slowed < 7
    one.start(per_second=10)
    assert one.pace() == pytest.approx(slowed, abs=0.01)
    one.clock.advance(120)
    one.start(per_second=10)
    assert one.pace() == 10


def test_others_that_use_the_limit_up_are_made_room_for(desk):
    one = desk(per_second=10)
    for n in range(20):
        one.send(accepted("i", allowance=a_second(10, max(0, 9 - n))))
    assert one.pace() == 10  # it is we who use it up
    one.start(per_second=2)
    for _ in range(20):
        one.send(accepted("i", allowance=a_second(10, 0)))
    assert one.pace() < 1.5


def test_what_the_service_has_left_of_the_day_ends_it_though_our_own_budget_has_more(desk):
    one = desk(per_day=100)
    one.begin(3)
    one.send(accepted("i", allowance=a_day(30_000, 5)))
    assert one.governor.left_today() == 5
    one.begin(2)
    assert one.governor.left_today() == 3
    one.clock.advance(10)
    one.send(accepted("i", allowance=a_day(30_000, 1)))  # other apps of the account have sent two
    assert one.governor.left_today() == 1
    one.start(per_day=100)
    assert one.governor.left_today() == 1
    one.clock.advance(12 * 3600)
    assert one.governor.left_today() == 100


def test_requests_under_way_are_not_yet_in_what_the_service_has_left(desk):
    one = desk(per_day=0)
    one.begin(3)
    for _ in range(2):
        one.clock.advance(1)
        one.governor.submission_starts(one.governor.take_turn())
    one.told(accepted("i", allowance=a_day(30_000, 5)))
    assert one.governor.left_today() == 3


def test_a_day_that_the_service_ended_stays_ended_over_a_restart_and_begins_again_when_told(desk):
    one = desk(per_day=100)
    one.begin(7)
    one.told(refused(Cause.RATE_DAY))
    one.start(per_day=1000)
    assert one.submit.why is Why.DAILY_LIMIT
    assert one.governor.left_today() == 0
    one.governor.reopen_day()
    assert one.governor.left_today() == 993


def test_a_daily_limit_that_names_a_moment_soon_is_not_asked_every_second(desk):
    one = desk()
    one.told(refused(Cause.RATE_DAY, retry_at=one.clock.now() + timedelta(seconds=1)))
    assert one.submit.seconds_to_probe() == 60


def test_a_budget_of_ours_that_was_made_larger_lets_a_restart_go_on(desk):
    one = desk(per_day=2)
    one.begin(2)
    one.submit.close(Why.DAILY_LIMIT, until=one.governor.resets_at())
    one.start(per_day=2)
    assert one.submit.why is Why.DAILY_LIMIT
    one.start(per_day=3)
    assert one.submit.is_open


def test_the_end_of_the_days_budget_is_kept_for_live_recordings_and_less_of_it_the_later_it_is(desk):
    one = desk(per_day=100, moment=datetime(2026, 11, 20, 0, 0, 0, tzinfo=UTC))
    one.begin(94)
    assert not one.governor.keeps_for_live
    one.begin(1)
    assert one.governor.keeps_for_live
    one.clock.advance(23 * 3600)
    assert not one.governor.keeps_for_live
    one.start(per_day=0)
    assert not one.governor.keeps_for_live


@pytest.mark.parametrize(("cause", "why"), [(Cause.TRANSPORT, Why.UNREACHABLE), (Cause.SERVER, Why.SERVER_ERRORS)])
def test_three_failures_in_a_row_close_the_gate(desk, cause, why):
    one = desk()
    assert [one.told(unknown(cause)) for _ in range(3)] == [None, None, why]
    assert one.submit.why is why


def test_a_daily_limit_closes_until_the_day_resets_or_when_the_service_says(desk):
    one = desk()
    one.told(refused(Cause.RATE_DAY))
    assert one.submit.seconds_to_probe() == 12 * 3600
    other = desk()
    other.told(refused(Cause.RATE_DAY, retry_at=other.clock.now() + timedelta(hours=2)))
    assert other.submit.seconds_to_probe() == 2 * 3600


def test_five_equal_refusals_close_and_the_count_begins_anew(desk):
    one = desk()
    for n in range(5):
        one.told(refused(), n)
    assert one.submit.why is Why.EQUAL_REFUSALS
    assert one.fit_to_probe()
    one.told(accepted("i"), is_probe=True)
    assert one.submit.is_open
    assert [one.told(refused(), n) for n in range(4)] == [None] * 4


@pytest.mark.parametrize("why", [Why.SCOPE, Why.PLAN, Why.FORBIDDEN, Why.CREDENTIALS])
def test_a_probe_that_the_service_answers_for_itself_opens_though_the_recording_has_a_fault(desk, why):
    one = desk()
    one.submit.close(why)
    assert one.fit_to_probe()
    one.told(refused(), is_probe=True)
    assert one.submit.is_open


def test_a_probe_of_equal_refusals_that_is_refused_keeps_it_closed_and_waits_longer(desk):
    one = desk()
    for n in range(5):
        one.told(refused(), n)
    waits = []
    for _ in range(4):
        waits.append(one.submit.seconds_to_probe())
        assert one.fit_to_probe()
        assert one.told(refused(), 1, is_probe=True) is None
        assert one.submit.why is Why.EQUAL_REFUSALS
        assert not one.submit.is_probing
    assert waits[3] > waits[0]


@pytest.mark.parametrize(
    "outcome", [unknown(), refused(Cause.RATE_SECOND), refused(Cause.TOKEN), unknown(Cause.SERVER)]
)
def test_a_probe_that_meets_something_else_keeps_the_gate_closed_for_what_it_was(desk, outcome):
    one = desk()
    one.submit.close(Why.SCOPE)
    assert one.fit_to_probe()
    one.told(outcome, is_probe=True)
    assert one.submit.why is Why.SCOPE
    assert not one.submit.is_probing
    assert one.submit.seconds_to_probe() > 0


@pytest.mark.parametrize("outcome", [refused(), unknown(), refused(Cause.RATE_SECOND)])
def test_what_was_under_way_says_nothing_about_the_probe(desk, outcome):
    one = desk()
    one.submit.close(Why.SCOPE)
    assert one.fit_to_probe()
    one.told(outcome, 7)
    assert one.submit.is_probing
    assert one.submit.why is Why.SCOPE


def test_an_acceptance_opens_whoever_brings_it(desk):
    one = desk()
    one.submit.close(Why.UNREACHABLE)
    one.told(accepted("i"))
    assert one.submit.is_open


def test_an_acceptance_from_before_does_not_open_what_the_days_limit_closed(desk):
    one = desk()
    one.told(refused(Cause.RATE_DAY))
    one.told(accepted("i"))
    assert one.submit.why is Why.DAILY_LIMIT
    one.clock.advance(12 * 3600)
    assert one.submit.admits_probe()
    one.told(accepted("i"), is_probe=True)
    assert one.submit.is_open


@pytest.mark.parametrize(
    ("error", "gate", "why"),
    [
        (ServiceRefusal("x", reason="credentials"), GateName.TOKEN, Why.CREDENTIALS),
        (ServiceRefusal("x", reason="scope"), GateName.SUBMIT, Why.SCOPE),
        (ServiceRefusal("x", reason="plan"), GateName.SUBMIT, Why.PLAN),
        (ServiceRefusal("x", reason="listing"), GateName.SUBMIT, Why.LISTING),
        (ServiceRefusal("x", reason="store_forbidden"), GateName.STORE, Why.STORE_FORBIDDEN),
        (ServiceRefusal("x", reason="store_bucket"), GateName.STORE, Why.STORE_BUCKET),
        (StoreUnavailable("x"), GateName.STORE, Why.STORE_UNREACHABLE),
        (TokenUnavailable("x"), GateName.TOKEN, Why.UNREACHABLE),
        (RateLimited("x"), GateName.TOKEN, Why.UNREACHABLE),
    ],
)
def test_a_refusal_closes_the_gate_of_the_service_that_gave_it(desk, error, gate, why):
    one = desk()
    one.governor.saw_refusal(error)
    assert {name: g.why for name, g in one.gates.items() if not g.is_open} == {gate: why}


def test_the_token_endpoints_own_time_is_kept(desk):
    one = desk()
    one.governor.saw_refusal(RateLimited("x", until=one.clock.now() + timedelta(minutes=9)))
    assert one.gates[GateName.TOKEN].seconds_to_probe() == 540


def test_a_probe_of_the_token_that_is_refused_for_something_else_leaves_its_gate_free(desk):
    """The token endpoint answers again, and says what the app lacks: that is for the gate of submissions."""
    one = desk()
    token = one.gates[GateName.TOKEN]
    token.close(Why.UNREACHABLE)
    one.clock.advance(60)
    assert token.admits_probe()
    one.governor.saw_refusal(ServiceRefusal("x", reason="scope"), probed=GateName.TOKEN)
    assert token.is_open
    assert one.submit.why is Why.SCOPE


def test_a_probe_that_fails_for_its_own_gate_waits_longer(desk):
    one = desk()
    store = one.gates[GateName.STORE]
    store.close(Why.STORE_UNREACHABLE)
    waits = []
    for _ in range(4):
        one.clock.advance(store.seconds_to_probe() + 0.01)
        assert store.admits_probe()
        one.governor.saw_refusal(StoreUnavailable("x"), probed=GateName.STORE)
        waits.append(store.seconds_to_probe())
    assert waits[0] >= 4
    assert waits[-1] >= 16
