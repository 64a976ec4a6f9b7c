"""On which processor the threads run that mostly wait and reckon a little in between. Knows nothing of what they do.

Python runs one thread at a time. When several take quick turns, each on a processor of its own, handing over costs
more than the turns themselves: a third of the pace was lost so. On one processor the system lets them follow one
another. What works for long without Python (hashing, TLS) is better off with all of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class Processors:
    """Those that this process may use. Where the system permits no choice, nothing is chosen."""

    def __init__(self) -> None:
        self._all = os.sched_getaffinity(0)
        ordered = sorted(self._all)
        # Two of these programs on one machine do not choose the same.
        self._home = {ordered[os.getpid() % len(ordered)]}

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Let the calling thread run where the others do that call this."""
        _use(self._home)
        try:
            yield
        finally:
            _use(self._all)

    @contextlib.contextmanager
    def spread(self) -> Iterator[None]:
        """Let a gathered thread, and those that it starts, run anywhere meanwhile."""
        _use(self._all)
        try:
            yield
        finally:
            _use(self._home)


def _use(processors: set[int]) -> None:
    # Forbidden by a stricter unit than ours, or taken away meanwhile: then it goes on as it is.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, processors)
