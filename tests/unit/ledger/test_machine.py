"""Random histories over the ledger's whole API: whatever happens in whatever order, the books add up."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.ledger.kit import AGAIN, DAY_MS, FINAL, Kit, accepted, refused, unknown
from uploader.domain.identity import SameCall
from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger import changes
from uploader.ledger.identity import Contents
from uploader.ledger.settlement import Obstacle

NAMES = st.sampled_from([b"a.wav", b"b.wav", b"c.wav", b"d.wav"])
VERSIONS = st.integers(1, 3)
KEYS = st.sampled_from([None, "at:1.2.3", "at:1..", "at:4.5.6"])
CONTENTS = st.sampled_from(["sha256:1", "sha256:2", "sha256:3"])
MATCH = st.sampled_from([None, "m1", "m2"])
IDS = st.sampled_from([f"i-{n}" for n in range(6)])
OUTCOMES = st.one_of(st.builds(accepted, IDS), st.builds(refused), st.builds(unknown))
REFUSALS = st.sampled_from([AGAIN, FINAL])
PICK = st.integers(0, 100)
LEFT_BY = {
    Event.ACCEPTED, Event.NOT_CREATED, Event.REFUSED, Event.OUTCOME_UNKNOWN,
}  # fmt: skip


class Ledgers(RuleBasedStateMachine):
    """Workers that hold rows for as long as they like, a scan, a reconciler, people, and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="qm-machine-"))
        self.kit = Kit(self.folder / "ledger.db")
        self.held: list = []
        self.flying: list = []

    def teardown(self) -> None:
        self.kit.close()
        shutil.rmtree(self.folder)

    def try_(self, work):
        try:
            return work()
        except RowMoved:
            return None

    def pick(self, things, number):
        return things[number % len(things)]

    @rule(seconds=st.integers(-5, 4000))
    def time_goes_on_or_steps_back(self, seconds):
        self.kit.clock.advance(seconds)

    @rule(name=NAMES, version=VERSIONS, held=st.sampled_from([None, None, Reason.BACKLOG]))
    def scan_sees(self, name, version, held):
        self.kit.record(name, version=version, held=held)

    @rule(name=NAMES)
    def scan_misses(self, name):
        self.kit.record(gone=(name,))

    @rule(name=NAMES)
    def sidecar_changes(self, name):
        self.kit.record(wake=(name,))

    @rule(limit=st.integers(1, 3), state=st.sampled_from([State.DISCOVERED, State.READY, State.STAGED]))
    def claim(self, limit, state):
        far = self.kit.now + DAY_MS
        rows = self.kit.ledger.recordings.claim([state], limit=limit, now=far)
        assert not {row.n for row in rows} & {row.n for row in self.truly_held()}
        self.held += rows

    def truly_held(self):
        return [row for row in self.held if self.kit.again(row).claimed == row.claimed]

    def take(self, number, *states):
        fitting = [row for row in self.held if row.state in states]
        if not fitting:
            return None
        row = self.pick(fitting, number)
        self.held.remove(row)
        return row

    @rule(number=PICK, content=CONTENTS, call=KEYS, match=MATCH, same_call=st.sampled_from(SameCall))
    def understand(self, number, content, call, match, same_call):
        row = self.take(number, State.DISCOVERED)
        if row is None:
            return
        known = self.kit.identity(content_id=content, call_key=call, match_key=match, same_call=same_call)
        contents = Contents(body="{}", media="{}", sidecar=None)
        after = self.try_(lambda: self.kit.ledger.recordings.make_ready(row, known, contents, at=self.kit.now))
        if after is not None and after.claimed is not None:
            self.held.append(after)

    @rule(number=PICK)
    def quarantine(self, number):
        row = self.take(number, State.DISCOVERED, State.READY, State.STAGED)
        if row:
            self.try_(lambda: self.kit.ledger.recordings.apply(
                row, Event.FAULTED, at=self.kit.now, **changes.reason_of(Reason.MEDIA_UNKNOWN)))  # fmt: skip

    @rule(number=PICK)
    def release(self, number):
        row = self.take(number, State.DISCOVERED, State.READY, State.STAGED)
        if row:
            self.try_(lambda: self.kit.ledger.recordings.release(row, due_at=self.kit.now))

    @rule(number=PICK)
    def stage(self, number):
        row = self.take(number, State.READY)
        if row:
            after = self.try_(lambda: self.kit.ledger.recordings.apply(
                row, Event.STAGED, at=self.kit.now, staged='{"key": "k"}', claimed=row.claimed))  # fmt: skip
            if after:
                self.held.append(after)

    @rule(number=PICK)
    def begin(self, number):
        row = self.take(number, State.STAGED)
        if row is None:
            return
        begun = self.try_(lambda: self.kit.ledger.attempts.begin(row, at=self.kit.now, day="d"))
        if isinstance(begun, tuple):
            self.flying.append(begun)
        elif begun is Obstacle.TWIN:
            self.try_(lambda: self.kit.ledger.recordings.release(
                row, due_at=self.kit.now, **changes.reason_of(Reason.TWIN)))  # fmt: skip

    @rule(number=PICK)
    def doubt(self, number):
        row = self.take(number, State.STAGED)
        if row:
            self.try_(lambda: self.kit.ledger.attempts.doubt(row, since=0, at=self.kit.now))

    @rule(number=PICK, outcome=OUTCOMES, refusal=REFUSALS)
    def answer(self, number, outcome, refusal):
        """The answer comes; it may be that of any request so far, and it may come a second time."""
        if self.flying:
            attempt, _ = self.pick(self.flying, number)
            if not self.is_settled(attempt.n):
                self.kit.finish(attempt, outcome, refusal)

    def is_settled(self, n):
        """A definite answer is not followed by another one to the same request."""
        ((outcome, id_),) = self.kit.ask("SELECT outcome, interaction_id FROM attempt WHERE n = ?", n)
        return outcome in {"accepted", "not_created"} or id_ is not None

    @rule(number=PICK, id_=IDS)
    def match(self, number, id_):
        found = [one for one in self.kit.ledger.attempts.open_attempts()
                 if one.recording.state is State.UNCONFIRMED]  # fmt: skip
        if found:
            one = self.pick(found, number)
            self.try_(lambda: self.kit.ledger.attempts.tie(
                one.attempt.n, id_, at=self.kit.now, event=Event.MATCHED, track_at=self.kit.now))  # fmt: skip

    @rule(number=PICK, id_=IDS)
    def adopt(self, number, id_):
        rows = [row for row in self.rows() if (row.state, Event.ADOPTED) in TRANSITIONS]
        if rows:
            row = self.pick(rows, number)
            self.try_(lambda: self.kit.ledger.attempts.adopt(row, id_, at=self.kit.now))

    @rule(number=PICK, event=st.sampled_from(
        [Event.CLEARED, Event.SEND_AGAIN, Event.DISCARDED, Event.RETRIED, Event.ANALYZED]))  # fmt: skip
    def move(self, number, event):
        rows = [row for row in self.rows() if (row.state, event) in TRANSITIONS]
        if rows:
            cleared = {"cleared": 1} if event in {Event.CLEARED, Event.SEND_AGAIN} else {}
            self.kit.apply(self.pick(rows, number), event, due_at=self.kit.now, **cleared)

    @rule(number=PICK)
    def new_interaction(self, number):
        rows = [row for row in self.rows() if (row.state, Event.NEW_INTERACTION) in TRANSITIONS]
        if rows:
            row = self.pick(rows, number)
            self.kit.apply(
                row, Event.NEW_INTERACTION, due_at=self.kit.now, copy=row.n, claims=int(row.content_id is not None),
                faults=0, cleared=0, looks=0, duplicate_of=None, interaction_id=None, submitted_at=None,
            )  # fmt: skip

    @rule(number=PICK)
    def relocate(self, number):
        rows = [row for row in self.rows() if row.state is State.DUPLICATE and row.duplicate_of]
        if rows:
            row = self.pick(rows, number)
            first = self.kit.row(row.duplicate_of)
            if first.state in {State.READY, State.STAGED}:
                self.kit.ledger.recordings.relocate(first, by=row, at=self.kit.now)
                assert self.kit.again(first).location == row.location

    @rule(parked=st.booleans())
    def pause(self, parked):
        self.kit.ledger.discovery.set_parked(at=self.kit.now, parked=parked, source_n=self.kit.source_n)

    @rule()
    def forgive(self):
        self.kit.ledger.recordings.forgive_refusals(at=self.kit.now)

    @rule(age=st.sampled_from([0, 0, DAY_MS]))
    def prune(self, age):
        self.kit.ledger.pruning.prune(low=0, high=10**6, before=self.kit.now - age, at=self.kit.now)

    @rule()
    def resume_backlog(self):
        self.kit.ledger.discovery.release_backlog(self.kit.source_n, at=self.kit.now)

    @precondition(lambda self: self.flying)
    @rule(doubt=st.booleans())
    def crash(self, doubt):
        """Everyone dies; what they held is free, what was under way is looked for."""
        self.held, self.flying = [], []
        at = self.kit.now
        self.kit.ledger.attempts.sweep(at=at, doubt=(0, at) if doubt else (None, None))
        assert "submitting" not in self.kit.states().values()

    def rows(self):
        return [self.kit.row(n) for n in self.kit.states()]

    @invariant()
    def the_books_add_up(self):
        for finding in self.kit.ledger.audit.findings(open_before=-(10**15)):
            if finding.check != "open":
                assert not finding.count, finding

    @invariant()
    def every_step_was_legal(self):
        for step in self.kit.ledger.audit.steps():
            if step.event in set(Event):
                if step.before is not None:
                    assert TRANSITIONS[State(step.before), Event(step.event)] == step.after
                if step.before == "submitting":
                    assert step.event in LEFT_BY
            else:
                assert step.before == step.after, step

    @invariant()
    def no_two_claim_the_same_content_and_call(self):
        assert not self.kit.ask(
            "SELECT 1 FROM recording WHERE claims = 1 GROUP BY content_id, coalesce(call_key, n), copy "
            "HAVING count(*) > 1"
        )

    @invariant()
    def an_attempt_is_open_exactly_while_its_outcome_is_unknown(self):
        for outcome, id_, is_open in self.kit.ask("SELECT outcome, interaction_id, open FROM attempt"):
            settled = id_ is not None or outcome in {"accepted", "not_created", "adopted"}
            assert is_open == int(not settled), (outcome, id_, is_open)

    @invariant()
    def submitting_is_one_attempt_without_an_outcome(self):
        for n, number in self.kit.ask("SELECT n, attempts FROM recording WHERE state = 'submitting'"):
            rows = self.kit.ask("SELECT number FROM attempt WHERE recording_n = ? AND outcome IS NULL", n)
            assert rows == [(number,)]
        waiting = self.kit.ask(
            "SELECT count(*) FROM attempt a JOIN recording r ON r.n = a.recording_n "
            "WHERE a.outcome IS NULL AND r.state <> 'submitting'"
        )
        assert waiting == [(0,)]

    @invariant()
    def twins_are_not_under_way_together(self):
        assert not self.kit.ask(
            "SELECT 1 FROM recording WHERE state = 'submitting' AND match_key IS NOT NULL "
            "GROUP BY match_key HAVING count(*) > 1"
        )

    @invariant()
    def what_was_accepted_is_not_on_its_way_again_unless_somebody_wants_a_second_one(self):
        """A recording whose request was accepted is settled, whatever became of its other requests."""
        bad = self.kit.ask(
            "SELECT r.id, r.state FROM recording r JOIN attempt a ON a.recording_n = r.n "
            "WHERE a.outcome = 'accepted' AND r.copy = 0 AND r.state NOT IN ('submitting', 'submitted', 'analyzed')"
        )
        assert not bad

    @invariant()
    def attempts_are_numbered_without_a_gap(self):
        for attempts, count, highest in self.kit.ask(
            "SELECT r.attempts, count(a.n), coalesce(max(a.number), 0) FROM recording r "
            "LEFT JOIN attempt a ON a.recording_n = r.n GROUP BY r.n"
        ):
            assert attempts == count == highest

    @invariant()
    def nothing_that_goes_on_by_itself_is_forgotten(self):
        """Every row that is not final, held, or in somebody's hands is due some time."""
        lost = self.kit.ask(
            "SELECT id, state FROM recording WHERE state IN ('discovered', 'ready', 'staged', 'unconfirmed', "
            "'submitted') AND due_at IS NULL AND claimed IS NULL AND held IS NULL"
        )
        assert not lost

    @invariant()
    def a_repeat_is_counted(self):
        (repeats,) = self.kit.ask("SELECT count(*) FROM attempt WHERE repeat = 1")[0]
        assert self.kit.ledger.books.counter("resent_after_unknown") == repeats


Ledgers.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
TestLedgers = Ledgers.TestCase
