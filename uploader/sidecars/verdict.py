"""A verdict: what a value of a sidecar was judged to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """At most one of `value` (as the service takes it) and `problem`; neither: left out, `note` says why.

    `note` tells what was left out or altered, `remark` how the value was read. No sentence holds a value.
    """

    value: str | None = None
    problem: str = ""
    note: str = ""
    remark: str = ""
