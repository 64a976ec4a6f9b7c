"""The lines of `doctor`: in the order of its checks, whichever is done first."""

from __future__ import annotations

import random

import pytest

from uploader.cli.common import Context
from uploader.cli.doctor import _Show
from uploader.service.doctor.report import Check, ok


@pytest.mark.parametrize("seed", range(5))
def test_lines_come_in_the_order_of_the_checks_whichever_finishes_first(
    capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    names = ["configuration", "token", "sources", "disk"]
    checks = [Check(name=name, act=lambda: ok("fine")) for name in names]
    show = _Show(Context(), checks)
    for check in random.Random(seed).sample(checks, len(checks)):
        show(check, ok("fine"))
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == names


def test_a_line_is_written_once_those_before_it_are_and_not_only_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (Check(name=name, act=lambda: ok("fine")) for name in ("a", "b", "c"))
    show = _Show(Context(), [first, second, third])
    show(second, ok("fine"))
    assert capsys.readouterr().out == ""
    show(first, ok("fine"))
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]
