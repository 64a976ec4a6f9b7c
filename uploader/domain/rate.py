"""How fast may be asked: turns, evenly spaced, and never more in any second than the rate. Waits for nothing.

Two laws hold together. Turns are an interval apart; who comes late for one makes it up, but nobody saves
any up. And a turn comes a whole second after the request that stands as many turns before it as the rate
allows, counted from the latest moment at which that one can have arrived: a request is on its way from its
start to its answer, and what it took beyond the quickest ones may have been spent before it was counted.
So a service that counts by calendar second is not outrun, nor one that looks back a second at each arrival.
Times are monotonic seconds. Not safe from threads.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice

SPAN_SECONDS = 1.0
MOST_KEPT = 2000
"""So many requests are remembered at most; above this rate a shorter span than a second is looked at."""
LEAST_TOLERANCE_SECONDS = 0.02
MARGIN_SECONDS = 0.002
DOUBT_SECONDS = 0.04
"""The most that a slow answer says of a late arrival; beyond it the service was busy. Costs 4 % at the worst."""
LARGEST_CREDIT_SECONDS = 0.02
_SAMPLES = 16
_DRIFT = 0.002


class Quickest:
    """The shortest of what was seen lately: falls at once, rises slowly. 0 until enough was seen."""

    def __init__(self) -> None:
        self._seen = 0
        self._value = math.inf

    def see(self, seconds: float) -> None:
        """Take one more into account."""
        self._seen += 1
        self._value = seconds if seconds <= self._value else self._value + (seconds - self._value) * _DRIFT

    @property
    def seconds(self) -> float:
        """The shortest, or 0 while little is known."""
        return self._value if self._seen >= _SAMPLES else 0.0


class Turn:
    """A request's turn. `at_seconds` is when it may start."""

    __slots__ = ("at_seconds", "is_gone", "latest_seconds", "started_seconds")

    def __init__(self, at_seconds: float, latest_seconds: float) -> None:
        self.at_seconds = at_seconds
        self.started_seconds = at_seconds
        self.latest_seconds = latest_seconds
        """When it arrives at the latest, as far as is known."""
        self.is_gone = False
        """Whether it is no longer among those that are kept."""


class Pacer:
    """Hands turns out. Raises ValueError unless the rate is positive and finite.

    `trust` is how far it is relied on that setting out and coming back always take what they took at least.
    """

    def __init__(self, rate_per_second: float, *, trust: float = 1.0) -> None:
        self._rate = _checked(rate_per_second)
        self._trust = trust
        self._turns: deque[Turn] = deque()
        self._gone_seconds = -math.inf
        """When the last of those arrived that are no longer kept."""
        self._due_seconds = -math.inf
        self._held_until_seconds = -math.inf
        self._setting_out = Quickest()
        self._round_trip = Quickest()

    @property
    def rate_per_second(self) -> float:
        """The rate in force."""
        return self._rate

    @rate_per_second.setter
    def rate_per_second(self, rate: float) -> None:
        self._rate = _checked(rate)

    @property
    def interval_seconds(self) -> float:
        """How far turns are apart."""
        return 1 / self._rate

    def hold(self, until_seconds: float) -> None:
        """Let no turn begin before then."""
        self._held_until_seconds = max(self._held_until_seconds, until_seconds)

    def next_seconds(self, now_seconds: float) -> float:
        """Return when the next turn may be, never before now, without taking it."""
        return max(now_seconds, self._held_until_seconds, self._due_seconds, self._window_seconds())

    def take(self, now_seconds: float) -> Turn:
        """Take the next turn. One that is neither started nor given back counts all the same."""
        at = self.next_seconds(now_seconds)
        self._due_seconds = at - self._made_up_seconds(at - self._due_seconds) + self.interval_seconds
        while len(self._turns) >= self._kept():
            leaving = self._turns.popleft()
            leaving.is_gone = True
            self._gone_seconds = max(self._gone_seconds, leaving.latest_seconds)
        turn = Turn(at, at + self._setting_out.seconds + DOUBT_SECONDS)
        self._turns.append(turn)
        return turn

    def give_back(self, turn: Turn) -> None:
        """Say that nothing is sent in a turn: the next may have it, unless others were told of later ones."""
        turn.latest_seconds = turn.started_seconds = -math.inf
        if self._turns and self._turns[-1] is turn:
            self._turns.pop()
            self._due_seconds -= self.interval_seconds

    def started(self, turn: Turn, now_seconds: float) -> None:
        """Say that the request of a turn is about to be written."""
        self._setting_out.see(max(0.0, now_seconds - turn.at_seconds))
        turn.started_seconds = now_seconds
        self._arrives(turn, now_seconds + DOUBT_SECONDS)

    def ended(self, turn: Turn, now_seconds: float) -> None:
        """Say that the request of a turn was answered, or has failed."""
        took = now_seconds - turn.started_seconds
        self._round_trip.see(took)
        excess = max(0.0, took - self._trust * self._round_trip.seconds)
        self._arrives(turn, turn.started_seconds + min(DOUBT_SECONDS, excess))

    def started_since(self, since_seconds: float) -> int:
        """Return how many requests have started since then, as far as they are kept."""
        return sum(turn.started_seconds >= since_seconds for turn in self._turns)

    def _made_up_seconds(self, late_seconds: float) -> float:
        """Return how much of being late counts as on time; who was not there for long was idle, not late."""
        tolerance = max(self.interval_seconds, LEAST_TOLERANCE_SECONDS)
        return min(late_seconds, tolerance) if late_seconds <= 2 * tolerance else 0.0

    def _arrives(self, turn: Turn, latest_seconds: float) -> None:
        turn.latest_seconds = latest_seconds
        if turn.is_gone:
            self._gone_seconds = max(self._gone_seconds, latest_seconds)

    def _kept(self) -> int:
        return min(MOST_KEPT, math.ceil(self._rate))

    def _window_seconds(self) -> float:
        leaving = len(self._turns) - self._kept() + 1
        latest = max((turn.latest_seconds for turn in islice(self._turns, max(0, leaving))), default=-math.inf)
        # A rate below one a second keeps to a second here too: the interval is what spaces it.
        span = min(SPAN_SECONDS, self._kept() / self._rate)
        credit = min(LARGEST_CREDIT_SECONDS, self._trust * self._setting_out.seconds)
        return max(latest, self._gone_seconds) + span + MARGIN_SECONDS - credit


def _checked(rate_per_second: float) -> float:
    if not (math.isfinite(rate_per_second) and rate_per_second > 0):
        raise ValueError("a rate per second is more than 0")
    return rate_per_second
