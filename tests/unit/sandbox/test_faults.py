"""Faults: which request meets which, and that a seed repeats it."""

from __future__ import annotations

from collections import Counter

import pytest

from uploader.errors import UsageError
from uploader.sandbox.config import Fault, FaultAim, Operation, check_faults
from uploader.sandbox.faults import FaultPlan, Strike

EACH = {str(fault): 0.05 for fault in Fault}


def draws(plan: FaultPlan, count: int, operation: Operation = Operation.POST) -> list[Strike]:
    return [plan.strike(operation) for _ in range(count)]


def test_same_seed_strikes_the_same() -> None:
    aim = FaultAim(probabilities=EACH, seed=7)
    assert draws(FaultPlan(aim), 200) == draws(FaultPlan(aim), 200)


def test_other_seed_strikes_otherwise() -> None:
    first, second = (FaultPlan(FaultAim(probabilities=EACH, seed=seed)) for seed in (1, 2))
    assert draws(first, 200) != draws(second, 200)


def test_reads_in_between_change_nothing_for_posts() -> None:
    aim = FaultAim(probabilities=EACH, operations=frozenset(Operation), seed=7)
    disturbed = FaultPlan(aim)
    draws(disturbed, 50, Operation.LIST)
    assert draws(disturbed, 50) == draws(FaultPlan(aim), 50)


def test_each_fault_comes_as_often_as_told() -> None:
    seen = Counter(strike.fault for strike in draws(FaultPlan(FaultAim(probabilities=EACH, seed=1)), 20_000))
    for fault in Fault:
        assert 0.04 < seen[fault] / 20_000 < 0.06


def test_coins_fall_both_ways() -> None:
    strikes = draws(FaultPlan(FaultAim(probabilities={"garbage": 1}, seed=1)), 1_000)
    assert 400 < sum(strike.acts for strike in strikes) < 600
    assert 400 < sum(strike.as_page for strike in strikes) < 600


@pytest.mark.parametrize("fault", list(Fault))
def test_probability_one_strikes_always_and_zero_never(fault: Fault) -> None:
    always = FaultPlan(FaultAim(probabilities={fault: 1}, seed=3))
    never = FaultPlan(FaultAim(probabilities={fault: 0}, seed=3))
    assert {strike.fault for strike in draws(always, 300)} == {fault}
    assert {strike.fault for strike in draws(never, 300)} == {None}


def test_other_operations_are_spared() -> None:
    plan = FaultPlan(FaultAim(probabilities={"reset": 1}, operations=frozenset({Operation.LIST}), seed=1))
    assert plan.strike(Operation.POST).fault is None
    assert plan.strike(Operation.LIST).fault is Fault.RESET


def test_a_token_request_has_no_token_that_could_expire() -> None:
    plan = FaultPlan(FaultAim(probabilities={"expired-token": 1}, operations=frozenset(Operation), seed=1))
    assert plan.strike(Operation.TOKEN).fault is None
    assert plan.strike(Operation.DETAIL).fault is Fault.EXPIRED_TOKEN


def test_changed_faults_are_exactly_those_in_force() -> None:
    plan = FaultPlan(FaultAim(probabilities={"reset": 1}, seed=1))
    plan.change({"429": 0.5, "slow": 0})
    assert plan.in_force() == {"429": 0.5}


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonsense": 0.1},
        {"reset": -0.1},
        {"reset": 1.1},
        {"reset": float("nan")},
        {"reset": 0.6, "429": 0.6},
    ],
)
def test_wrong_faults_are_a_usage_error(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        check_faults(wrong)


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(UsageError) as caught:
        check_faults({"nonsense": 0.1})
    assert all(fault in caught.value.hint for fault in Fault)
