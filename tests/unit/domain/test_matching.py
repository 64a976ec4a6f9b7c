"""The decisions of reconciling, by examples and by laws over a model of services that behave ill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uploader.domain.echo import ECHO_FIELDS, TRUST_SHIFT, Echo, learn
from uploader.domain.interaction import Particulars
from uploader.domain.listing import Listed
from uploader.domain.matching import (
    Decision,
    Kind,
    Look,
    Open,
    candidates,
    could_be,
    decide,
    is_,
    match_key,
    resembles,
)
from uploader.domain.reasons import Reason

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, B, C = "+493012345678", "+14155550100", "+442079460000"
SENT = Particulars(start_time=NOON, from_=A, to=B, direction="inbound", disposition="sold", channel_type="voice")
BEFORE, SINCE, AFTER = NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)
MINUTE = timedelta(minutes=1)


def shown(sent: Particulars = SENT, interaction_id: str = "i1", **changes: object) -> Listed:
    values = {name: getattr(sent, name) for name in ECHO_FIELDS} | changes
    return Listed(interaction_id=interaction_id, **values)


ALL = learn(
    replace(SENT, queue_id="q", consumer_name="n", primary_language="ja"),
    shown(replace(SENT, queue_id="q", consumer_name="n", primary_language="ja")),
    Echo(),
)
NOTHING = Echo()


def unproven(*names: str) -> Echo:
    return replace(ALL, fields={k: v for k, v in ALL.fields.items() if k not in names})


def looking(*listed: Listed, **changes: object) -> Look:
    base = Look(
        first=listed, second=listed, first_seen={}, claimed=(), rivals=(), complete=True, proof=True, waited=True
    )
    return replace(base, **changes)


CASE = Open(sent=SENT, since=SINCE)


def hold(reason: Reason, *ids: str) -> Decision:
    return Decision(kind=Kind.HOLD, reason=reason, candidates=ids)


SEND = Decision(kind=Kind.SEND_AGAIN)
ADOPT = Decision(kind=Kind.ADOPT, interaction_id="i1")


# --- the relations


def test_what_is_shown_as_sent_is_ours():
    assert is_(SENT, shown(), ALL) and could_be(SENT, shown(), ALL) and resembles(SENT, shown(), ALL, since=SINCE)


@pytest.mark.parametrize("name", ["start_time", "from_", "to", "direction", "disposition", "channel_type"])
def test_missing_field_could_be_but_is_not(name):
    assert could_be(SENT, shown(**{name: None}), ALL)
    assert not is_(SENT, shown(**{name: None}), ALL)
    assert is_(SENT, shown(**{name: None}), unproven(name)) is (name != "start_time")


@pytest.mark.parametrize(
    ("name", "value", "similar"),
    [
        ("start_time", NOON + timedelta(minutes=7), False),
        ("start_time", NOON - timedelta(hours=1), True),
        ("start_time", NOON - timedelta(hours=2), False),
        ("start_time", SINCE - timedelta(minutes=6), False),
        ("start_time", SINCE + timedelta(minutes=7), True),
        ("start_time", NOON - timedelta(minutes=30), True),
        ("start_time", NOON - timedelta(seconds=59), True),
        ("from_", C, False),
        ("from_", A[1:], True),
        ("from_", "030 12345678", True),
        ("from_", B, True),
        ("to", "anonymous", True),
        ("to", C, False),
        ("direction", "outbound", True),
        ("disposition", "lost", True),
        ("channel_type", "video", True),
    ],
)
def test_proven_field_that_differs_excludes_and_only_clear_ones_allow_a_repeat(name, value, similar):
    other = shown(**{name: value})
    assert not could_be(SENT, other, ALL) and not is_(SENT, other, ALL)
    assert resembles(SENT, other, ALL, since=SINCE) is similar
    assert could_be(SENT, other, unproven(name)) and resembles(SENT, other, unproven(name), since=SINCE)


def test_without_a_proven_start_or_number_nothing_is_surely_ours():
    assert not is_(SENT, shown(), NOTHING)
    assert not is_(SENT, shown(), unproven("start_time"))
    assert not is_(SENT, shown(), unproven("from_", "to"))
    assert is_(SENT, shown(), unproven("from_"))
    undated = replace(SENT, start_time=None)
    assert not is_(undated, shown(undated), ALL)


def test_what_shows_a_number_that_was_never_sent_is_not_ours():
    numberless = replace(SENT, to=None)
    assert is_(numberless, shown(numberless), ALL)
    assert not is_(numberless, shown(), ALL)


def test_recording_without_numbers_resembles_whatever_starts_with_it():
    bare = Particulars(start_time=NOON)
    assert resembles(bare, shown(), ALL, since=SINCE)
    assert not resembles(bare, shown(start_time=NOON - timedelta(days=1)), ALL, since=SINCE)
    assert resembles(Particulars(), shown(), ALL, since=SINCE)


# --- the decision


def test_only_candidate_that_is_ours_is_adopted_even_without_proof_or_wait():
    assert decide(CASE, looking(shown()), ALL) == ADOPT
    assert decide(CASE, looking(shown(), proof=False, waited=False), ALL) == ADOPT


def test_nothing_listed_is_sent_again_with_proof_and_after_the_wait():
    assert decide(CASE, looking(), ALL) == SEND
    assert decide(CASE, looking(proof=False), ALL) == hold(Reason.NO_PROOF)
    assert decide(CASE, looking(waited=False), ALL) == hold(Reason.LOOKING)
    assert decide(CASE, looking(complete=False), ALL) == hold(Reason.NO_PROOF)


def test_recording_that_was_fetched_to_its_end_is_not_sent_again():
    fetched = replace(CASE, fetched_to_end=True)
    assert decide(fetched, looking(), ALL) == hold(Reason.FETCHED_UNLISTED)
    assert decide(fetched, looking(waited=False), ALL) == hold(Reason.LOOKING)
    assert decide(fetched, looking(shown()), ALL) == ADOPT


def test_interactions_of_other_calls_do_not_keep_it_from_being_sent_again():
    other = shown(start_time=NOON + timedelta(hours=5), from_=C)
    assert decide(CASE, looking(other, shown(start_time=NOON - MINUTE * 7)), ALL) == SEND
    assert decide(CASE, looking(other), ALL) == SEND


def test_interaction_that_was_seen_before_or_is_claimed_is_nobodys_candidate():
    assert decide(CASE, looking(shown(), first_seen={"i1": BEFORE}), ALL) == SEND
    assert decide(CASE, looking(shown(), claimed={"i1"}), ALL) == SEND
    assert decide(CASE, looking(shown(), first_seen={"i1": SINCE}), ALL) == ADOPT
    assert decide(CASE, looking(shown(), shown(interaction_id="i2"), claimed={"i2"}), ALL) == ADOPT


def test_two_candidates_are_held():
    two = looking(shown(), shown(interaction_id="i2", to=None))
    assert decide(CASE, two, ALL) == hold(Reason.SEVERAL_CANDIDATES, "i1", "i2")


def test_resemblance_is_held():
    assert decide(CASE, looking(shown(to=None)), ALL) == hold(Reason.RESEMBLES, "i1")
    assert decide(CASE, looking(shown(direction="outbound")), ALL) == hold(Reason.RESEMBLES, "i1")
    assert decide(CASE, looking(shown()), NOTHING) == hold(Reason.RESEMBLES, "i1")


def test_neighbour_an_hour_away_does_not_keep_the_right_one_from_being_adopted():
    neighbour = shown(interaction_id="i2", start_time=NOON + timedelta(hours=1))
    assert decide(CASE, looking(shown(), neighbour), ALL) == ADOPT
    assert decide(CASE, looking(neighbour), ALL) == hold(Reason.RESEMBLES, "i2")


def test_incomplete_walk_adopts_nothing():
    partial = looking(shown(), complete=False)
    assert decide(CASE, partial, ALL) == hold(Reason.RESEMBLES, "i1")
    assert decide(CASE, replace(partial, waited=False), ALL) == hold(Reason.LOOKING, "i1")


@pytest.mark.parametrize(
    ("first", "second", "reason", "ids"),
    [
        ([shown()], [], Reason.RESEMBLES, ("i1",)),
        ([], [shown()], Reason.RESEMBLES, ("i1",)),
        ([shown()], [shown(interaction_id="i2")], Reason.SEVERAL_CANDIDATES, ("i1", "i2")),
    ],
    ids=["gone", "come", "other"],
)
def test_passes_that_disagree_decide_nothing(first, second, reason, ids):
    unsteady = looking(first=tuple(first), second=tuple(second))
    assert decide(CASE, unsteady, ALL) == hold(reason, *ids)
    assert decide(CASE, replace(unsteady, waited=False), ALL).reason is Reason.LOOKING


def test_what_could_be_another_open_recordings_is_adopted_by_neither():
    twin = Open(sent=SENT, since=SINCE)
    assert decide(CASE, looking(shown(), rivals=[twin]), ALL) == hold(Reason.RESEMBLES, "i1")
    fewer = replace(twin, sent=replace(SENT, direction=None, disposition=None))
    assert decide(CASE, looking(shown(), rivals=[fewer]), ALL) == hold(Reason.RESEMBLES, "i1")


FETCHED = replace(CASE, fetched_to_end=True)
TWIN = Open(sent=SENT, since=SINCE)


def test_of_twins_the_one_that_was_fetched_has_made_the_only_one_that_is_listed():
    assert decide(FETCHED, looking(shown(), rivals=[TWIN]), ALL) == ADOPT


@pytest.mark.parametrize(
    "look",
    [
        looking(shown(), rivals=[replace(TWIN, fetched_to_end=True)]),
        looking(shown(), rivals=[TWIN], proof=False),
        looking(shown(), rivals=[TWIN], complete=False),
        looking(shown(), shown(interaction_id="i2"), rivals=[TWIN]),
        looking(shown(direction=None), rivals=[TWIN]),
    ],
    ids=["both-fetched", "no-proof", "incomplete", "two-listed", "not-surely"],
)
def test_of_twins_the_one_that_was_fetched_is_held_while_its_own_may_be_another(look):
    assert decide(FETCHED, look, ALL).kind is Kind.HOLD


def test_what_resembles_before_the_wait_is_over_is_looked_at_again_soon():
    assert decide(CASE, looking(shown(), rivals=[TWIN], waited=False), ALL) == hold(Reason.LOOKING, "i1")


@pytest.mark.parametrize(
    "rival",
    [
        Open(sent=SENT, since=AFTER + MINUTE),
        Open(sent=replace(SENT, to=C), since=SINCE),
        Open(sent=Particulars(), since=SINCE),
        Open(sent=replace(SENT, to=None), since=SINCE),
        Open(sent=replace(SENT, start_time=None), since=SINCE),
    ],
    ids=["later", "other-number", "bare", "fewer-numbers", "undated"],
)
def test_open_recording_that_cannot_have_made_it_is_no_rival(rival):
    assert decide(CASE, looking(shown(), rivals=[rival], first_seen={"i1": AFTER}), ALL) == ADOPT


def test_second_matches_after_success_are_found_by_the_strict_relation():
    double, other = shown(interaction_id="i2"), shown(interaction_id="i3", to=None)
    look = looking(shown(), double, other, claimed={"i1"})
    assert candidates(CASE, look.second, look, ALL, is_) == (double,)
    assert candidates(CASE, look.second, look, ALL) == (double, other)


# --- twins


def test_twins_share_a_key_whatever_else_differs():
    twin = replace(SENT, direction="outbound", disposition=None, queue_id="q")
    assert match_key(SENT) == match_key(twin) is not None


@pytest.mark.parametrize("change", [{"start_time": NOON + MINUTE}, {"from_": C}, {"to": None}, {"from_": B, "to": A}])
def test_other_start_or_number_is_another_key(change):
    assert match_key(replace(SENT, **change)) != match_key(SENT)


def test_recording_without_start_has_no_key():
    assert match_key(replace(SENT, start_time=None)) is None


# --- laws, over a model


@dataclass(frozen=True)
class Service:
    """How a service may show what was sent. Values that depend on the record make it ill."""

    offset: timedelta = timedelta(0)
    import_time: bool = False
    """Shows the time of import as the start."""
    summer_time: bool = False
    whole_minutes: bool = False
    national: bool = False
    """Numbers that end in an even digit lose their plus."""
    swaps_outbound: bool = False
    renames: bool = False
    drops: frozenset[str] = frozenset()

    def show(self, sent: Particulars, interaction_id: str, created: datetime, lost: set[str]) -> Listed:
        start = sent.start_time
        if start is not None:
            start = created if self.import_time else start + self.offset
            if self.summer_time and start.month in range(4, 11):
                start += timedelta(hours=1)
            if self.whole_minutes:
                start = start.replace(second=0)
        from_, to = self.number(sent.from_), self.number(sent.to)
        if self.swaps_outbound and sent.direction == "outbound":
            from_, to = to, from_
        disposition = "other" if self.renames and sent.consumer_name == "x" else sent.disposition
        values = {
            "start_time": start, "from_": from_, "to": to, "direction": sent.direction, "disposition": disposition,
            "consumer_name": sent.consumer_name,
        }  # fmt: skip
        return Listed(
            interaction_id=interaction_id,
            **{k: None if k in self.drops or k in lost else v for k, v in values.items()},
        )

    def number(self, number: str | None) -> str | None:
        return number[1:] if self.national and number and number[-1] in "02468" else number


@dataclass
class World:
    """One account: what we sent, what became of it, and what the listing shows."""

    echo: Echo
    opened: dict[str, Open] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    """Recording to interaction, as only the service knows it."""
    listed: list[Listed] = field(default_factory=list)
    first_seen: dict[str, datetime] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)

    def decide(self, name: str, **changes: object) -> Decision:
        rivals = [other for key, other in self.opened.items() if key != name]
        look = looking(*self.listed, first_seen=self.first_seen, claimed=self.claimed, rivals=rivals)
        return decide(self.opened[name], replace(look, **changes), self.echo)


MOMENTS = [NOON, NOON + timedelta(hours=1), NOON + timedelta(seconds=30), NOON - timedelta(days=120), NOON + MINUTE * 7]
some = st.sampled_from
sendings = st.builds(
    Particulars,
    start_time=some([*MOMENTS, None]),
    from_=some([A, B, C, None]),
    to=some([A, B, None]),
    direction=some(["inbound", "outbound", None]),
    disposition=some(["sold", "lost", None]),
    consumer_name=some(["x", "y", None]),
)
whole_sendings = st.builds(
    Particulars,
    start_time=some(MOMENTS),
    from_=some([A, B, C]),
    to=some([A, B]),
    direction=some(["inbound", "outbound"]),
    disposition=some(["sold", "lost"]),
    consumer_name=some(["x", "y"]),
)
SHIFTS = [timedelta(0), timedelta(hours=1), timedelta(hours=-5), timedelta(minutes=345), timedelta(seconds=37)]
FIELDS = ["start_time", "from_", "to", "direction", "disposition", "consumer_name"]
ill_services = st.builds(
    Service,
    offset=some(SHIFTS),
    import_time=st.booleans(),
    summer_time=st.booleans(),
    whole_minutes=st.booleans(),
    national=st.booleans(),
    swaps_outbound=st.booleans(),
    renames=st.booleans(),
    drops=st.frozensets(some(FIELDS)),
)
dropping_services = st.just(Service()) | st.builds(Service, offset=some(SHIFTS), drops=st.frozensets(some(FIELDS)))
all_services = dropping_services | ill_services
losses = st.sets(some(FIELDS), max_size=2)


@st.composite
def worlds(draw: st.DrawFn, services: st.SearchStrategy[Service], *, foreign: bool = True) -> World:
    """Draw an account after some controls, a few requests of unknown outcome, and doings of others."""
    service = draw(services)
    world = World(echo=Echo())
    known = [(sent, set[str]()) for sent in draw(st.lists(whole_sendings, max_size=4))]
    known += draw(st.lists(st.tuples(sendings, losses), max_size=2))
    for number, (sent, lost) in enumerate(known):
        created = BEFORE + timedelta(seconds=61 * number + number * number + 1)
        one = service.show(sent, f"control{number}", created, lost)
        world.echo = learn(sent, one, world.echo)
        world.listed.append(one)
        world.claimed.add(one.interaction_id)
    model = draw(whole_sendings)
    twins = st.just(model) | st.builds(replace, st.just(model), disposition=some([None, "lost"]))
    for number, sent in enumerate(draw(st.lists(twins | sendings, min_size=1, max_size=4))):
        name = f"rec{number}"
        world.opened[name] = Open(sent=sent, since=SINCE)
        if draw(st.booleans()):
            world.accepted[name] = f"ours{number}"
            created = SINCE + timedelta(seconds=47 * number + 13)
            lost = draw(st.just(set()) | losses)
            world.listed.append(service.show(sent, f"ours{number}", created, lost))
            if draw(st.booleans()):
                world.first_seen[f"ours{number}"] = SINCE + MINUTE * number
    if foreign:
        like_ours = some([one.sent for one in world.opened.values()])
        for number, sent in enumerate(draw(st.lists(like_ours | sendings, min_size=draw(some([0, 1])), max_size=3))):
            made = draw(some([BEFORE, AFTER]))
            world.listed.append(service.show(sent, f"foreign{number}", made, set()))
            if draw(st.booleans()):
                world.first_seen[f"foreign{number}"] = made
    world.listed = draw(st.permutations(world.listed))
    return world


many = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@many
@given(worlds(all_services))
def test_accepted_recording_that_is_listed_is_never_sent_again(world):
    for name in world.accepted:
        assert world.decide(name).kind is not Kind.SEND_AGAIN


@many
@given(worlds(all_services), st.booleans(), st.booleans(), st.booleans())
def test_nothing_is_sent_again_without_proof_wait_and_completeness(world, complete, proof, waited):
    for name in world.opened:
        decision = world.decide(name, complete=complete, proof=proof, waited=waited)
        if decision.kind is Kind.SEND_AGAIN:
            assert complete and proof and waited
        if decision.kind is Kind.ADOPT:
            assert complete


@many
@given(worlds(all_services))
def test_adopted_interaction_shows_every_proven_field_as_it_was_sent(world):
    for name, case in world.opened.items():
        decision = world.decide(name)
        if decision.kind is Kind.ADOPT:
            (one,) = (o for o in world.listed if o.interaction_id == decision.interaction_id)
            start = case.sent.start_time + timedelta(seconds=world.echo.offset_seconds)
            expected = {f: getattr(case.sent, f) for f in FIELDS if world.echo.proven(f)} | {"start_time": start}
            assert {k: getattr(one, k) for k, v in expected.items() if v} == {k: v for k, v in expected.items() if v}


@many
@given(worlds(st.just(Service()) | all_services))
def test_what_was_seen_before_or_is_anothers_is_never_adopted(world):
    for name, case in world.opened.items():
        decision = world.decide(name)
        if decision.kind is Kind.ADOPT:
            assert decision.interaction_id not in world.claimed
            assert world.first_seen.get(decision.interaction_id, AFTER) >= case.since


@many
@given(worlds(all_services))
def test_two_open_recordings_never_adopt_one_interaction(world):
    adopted = [d.interaction_id for d in map(world.decide, world.opened) if d.kind is Kind.ADOPT]
    assert len(adopted) == len(set(adopted))


@many
@given(worlds(dropping_services, foreign=False))
def test_no_recording_adopts_the_interaction_of_another(world):
    """Whatever is dropped and where nobody else interferes, an adoption is always of one's own."""
    for name in world.opened:
        decision = world.decide(name)
        if decision.kind is Kind.ADOPT:
            assert decision.interaction_id == world.accepted.get(name)


@many
@given(
    sent=st.lists(whole_sendings, min_size=1, max_size=5, unique_by=match_key),
    offset=some(SHIFTS[:4]),
    data=st.data(),
)
def test_honest_service_has_every_lost_one_adopted_and_every_other_sent_again(sent, offset, data):
    service = Service(offset=offset)
    world = World(echo=Echo())
    for number in range(TRUST_SHIFT):
        control = replace(SENT, consumer_name="x", start_time=NOON - timedelta(hours=40, minutes=number))
        one = service.show(control, f"control{number}", BEFORE, set())
        world.echo = learn(control, one, world.echo)
        world.listed.append(one)
        world.claimed.add(one.interaction_id)
    lost = data.draw(st.sets(some(range(len(sent)))))
    for number, particulars in enumerate(sent):
        world.opened[f"rec{number}"] = Open(sent=particulars, since=SINCE)
        if number in lost:
            world.listed.append(service.show(particulars, f"ours{number}", AFTER, set()))
    results: dict[str, Decision] = {}
    for _ in sent:  # what is settled settles others
        for name in list(world.opened):
            decision = world.decide(name)
            if decision.kind is not Kind.HOLD:
                results[name] = decision
                del world.opened[name]
                world.claimed |= {decision.interaction_id} - {None}
    expected = {
        f"rec{n}": Decision(kind=Kind.ADOPT, interaction_id=f"ours{n}") if n in lost else SEND for n in range(len(sent))
    }
    assert results == expected
