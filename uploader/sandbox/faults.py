"""Which request meets which fault: a matter of probability and seed. Knows nothing of connections.

Every operation draws from a stream of its own, so reads in between do not change what befalls the posts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from uploader.sandbox import answers, limits
from uploader.sandbox.answers import Answer
from uploader.sandbox.config import Fault, FaultAim, Operation, check_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What befalls one request: a fault or none, and two coins for those that have two ways."""

    fault: Fault | None
    acts: bool
    as_page: bool

    def instead(self) -> Answer | None:
        """Return the answer that is given without doing what was asked, or None."""
        if self.fault is Fault.TOO_MANY:
            return limits.too_fast(limits.MEDIUM_PER_SECOND, 1)
        if self.fault is Fault.EXPIRED_TOKEN:
            return answers.invalid_token()
        if self.fault is Fault.SERVER_ERROR and not self.acts:
            return answers.gateway_page(503)
        if self.fault is Fault.GARBAGE and not self.acts:
            return answers.gateway_page(200)
        return None

    def spoil(self, answer: Answer, encoded: bytes) -> Answer:
        """Return what is answered after the deed; `encoded` is the body of `answer` as sent."""
        if self.fault is Fault.SERVER_ERROR:
            return answers.gateway_page(502)
        if self.fault is Fault.GARBAGE:
            return answers.gateway_page(200) if self.as_page else answers.cut_json(encoded)
        return answer


class FaultPlan:
    """Draws the strikes."""

    def __init__(self, aim: FaultAim) -> None:
        self.seed = random.SystemRandom().randrange(2**32) if aim.seed is None else aim.seed
        self._streams = {operation: random.Random(f"{self.seed}:{operation}") for operation in Operation}
        self._operations = aim.operations
        self._probabilities = check_faults(aim.probabilities)

    def change(self, probabilities: Mapping[str, float]) -> None:
        """Let exactly these faults be in force from now on. Raises UsageError as `check_faults` does."""
        self._probabilities = check_faults(probabilities)

    def in_force(self) -> dict[str, float]:
        """Return the probability of each fault that can happen."""
        return {str(fault): p for fault, p in self._probabilities.items() if p > 0}

    def strike(self, operation: Operation) -> Strike:
        """Draw what befalls the next request of this operation."""
        stream = self._streams[operation]
        draw, acts, as_page = stream.random(), stream.random() < 0.5, stream.random() < 0.5
        return Strike(fault=self._pick(operation, draw), acts=acts, as_page=as_page)

    def _pick(self, operation: Operation, draw: float) -> Fault | None:
        if operation not in self._operations:
            return None
        reached = 0.0
        for fault in Fault:
            if fault is Fault.EXPIRED_TOKEN and operation is Operation.TOKEN:
                continue  # there is no token yet to call invalid
            reached += self._probabilities.get(fault, 0.0)
            if draw < reached:
                return fault
        return None
