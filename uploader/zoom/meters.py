"""What requests to the service come to: how many, how long, how often it asked for fewer. Numbers only."""

from __future__ import annotations

from enum import StrEnum

from uploader.platform.meters import Counts, Histogram, Moments


class Request(StrEnum):
    """What may be asked of the service."""

    SUBMISSION = "submission"
    LISTING = "listing"
    DETAIL = "detail"
    TOKEN = "token"


class Limit(StrEnum):
    """Which limit a 429 told of."""

    SECOND = "second"
    DAY = "day"


_ANSWERS = ("2xx", "4xx", "429", "5xx", "none")


class ServiceMeters:
    """Shared by the clients of one service. Safe from any thread."""

    def __init__(self) -> None:
        self.seconds = {request: Histogram() for request in Request}
        self.answers = Counts(*((request, answer) for request in Request for answer in _ANSWERS))
        """By request and what the answer began with: `2xx`, `4xx`, `429`, `5xx`, `none`."""
        self.throttled = Counts(*((request, limit) for request in Request for limit in Limit))
        self.successes = Moments()
        """When a request last came to what was asked for."""

    def answered(self, request: Request, status: int | None, seconds: float) -> None:
        """Count one request; `status` is None where no whole answer came."""
        self.seconds[request].observe(seconds)
        self.answers.add(request, "none" if status is None else "429" if status == 429 else f"{status // 100}xx")

    def was_throttled(self, request: Request, *, daily: bool) -> None:
        """Count a refusal for the pace, or for the day."""
        self.throttled.add(request, Limit.DAY if daily else Limit.SECOND)

    def succeeded(self, request: Request, at_seconds: float) -> None:
        """Note that it came to what was asked for."""
        self.successes.put(request, at_seconds)
