"""Runs checks beside each other, each within its time; knows nothing of what they are about."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from uploader.errors import UploaderError
from uploader.platform.clock import Clock
from uploader.service.doctor.report import Check, Finding, fail, of_error

AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    index: int
    finding: Finding | None = None
    error: BaseException | None = None


def run_checks(checks: Sequence[Check], clock: Clock, *, at_once: int = AT_ONCE) -> Iterator[tuple[Check, Finding]]:
    """Yield each check with what it found, as they finish.

    One that overruns its limit has failed; its thread is left behind, as nothing can end a thread that
    waits for a dead mount. A bug in a check is raised here.
    """
    waiting = deque(enumerate(checks))
    running: dict[int, float] = {}
    done: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    while waiting or running:
        while waiting and len(running) < at_once:
            index, check = waiting.popleft()
            running[index] = clock.monotonic() + check.limit_seconds
            threading.Thread(target=_act, args=(index, check, done), name=f"check-{index}", daemon=True).start()
        try:
            outcome = done.get(timeout=max(0.0, min(running.values()) - clock.monotonic()))
        except queue.Empty:
            for index in [index for index, deadline in running.items() if deadline <= clock.monotonic()]:
                del running[index]
                yield checks[index], _overrun(checks[index])
            continue
        if outcome.error is not None:
            raise outcome.error
        if running.pop(outcome.index, None) is not None and outcome.finding is not None:
            yield checks[outcome.index], outcome.finding


def _act(index: int, check: Check, done: queue.SimpleQueue[_Outcome]) -> None:
    try:
        done.put(_Outcome(index=index, finding=check.act()))
    except UploaderError as error:
        done.put(_Outcome(index=index, finding=of_error(error)))
    except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits, which raises it
        done.put(_Outcome(index=index, error=error))


def _overrun(check: Check) -> Finding:
    return fail(f"no answer within {check.limit_seconds:.0f} s", hint="see whether what it names hangs")
