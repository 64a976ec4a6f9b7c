"""Checks run beside each other: in order of their end, each within its time, errors turned into findings."""

from __future__ import annotations

import threading

import pytest

from uploader.errors import LedgerError, RateLimited, ServiceRefusal, StoreUnavailable, WrongAccount
from uploader.platform.clock import SystemClock
from uploader.service.doctor.report import Check, Status, exit_code_of, fail, of_error, ok, skip, warn
from uploader.service.doctor.runner import run_checks


def raising(error):
    def act():
        raise error

    return act


def test_every_check_is_reported_with_what_it_found():
    checks = [Check(name=str(n), act=lambda n=n: ok(str(n))) for n in range(40)]
    found = {check.name: finding.message for check, finding in run_checks(checks, SystemClock())}
    assert found == {str(n): str(n) for n in range(40)}


def test_a_quick_one_does_not_wait_for_a_slow_one():
    go = threading.Event()

    def slow():
        assert go.wait(20)
        return ok("slow")

    running = run_checks([Check(name="slow", act=slow), Check(name="quick", act=lambda: ok("quick"))], SystemClock())
    assert next(running)[0].name == "quick"
    go.set()
    assert next(running)[0].name == "slow"
    assert list(running) == []


def test_one_that_overruns_its_limit_has_failed_and_the_others_go_on():
    go = threading.Event()
    checks = [Check(name="hangs", act=lambda: go.wait(20) and ok("late"), limit_seconds=0.05)]
    checks += [Check(name="behind", act=lambda: ok("well"))]
    try:
        found = {check.name: finding for check, finding in run_checks(checks, SystemClock(), at_once=1)}
    finally:
        go.set()
    assert found["hangs"].status is Status.FAIL
    assert found["hangs"].exit_code == 1
    assert found["behind"].message == "well"


def test_an_error_of_ours_is_a_finding_with_its_hint():
    error = StoreUnavailable("the store is away", hint="wait")
    ((_, finding),) = run_checks([Check(name="store", act=raising(error))], SystemClock())
    assert (finding.status, finding.message, finding.hint) == (Status.FAIL, "the store is away", "wait")


def test_a_bug_in_a_check_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        list(run_checks([Check(name="bug", act=lambda: ok(str(1 / 0)))], SystemClock()))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ServiceRefusal("no", reason="credentials"), Status.FAIL, 4),
        (ServiceRefusal("no", reason="plan"), Status.FAIL, 4),
        (ServiceRefusal("no", reason="store_forbidden"), Status.FAIL, 1),
        (StoreUnavailable("away"), Status.FAIL, 1),
        (LedgerError("damaged"), Status.FAIL, 1),
        (WrongAccount("another"), Status.FAIL, 2),
        (RateLimited("slow down"), Status.WARN, 0),
    ],
)
def test_what_an_error_weighs(error, status, code):
    finding = of_error(error)
    assert (finding.status, finding.exit_code) == (status, code)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([ok("a"), warn("b"), skip("c")], 0),
        ([ok("a"), fail("b")], 1),
        ([fail("a"), fail("b", exit_code=4)], 4),
        ([fail("a", exit_code=4), fail("b", exit_code=2), fail("c")], 2),
    ],
)
def test_the_exit_code_is_that_of_the_weightiest(findings, code):
    assert exit_code_of(findings) == code
