"""The figures of the servers; what they serve is not known here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from uploader.service.metrics.family import Family, counters, gauges


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLoad:
    """What one server has to do now, what it has had to since its start, and whom it sent away, by why."""

    connections: int
    requests: int
    refused: Mapping[str, int]


def of_servers(loads: Mapping[str, ServerLoad]) -> Iterator[Family]:
    """Yield the load of each server, by its name."""
    yield gauges(
        "server_connections",
        "Open connections of a server.",
        {(name,): load.connections for name, load in loads.items()},
        "server",
    )
    yield counters(
        "server_requests",
        "Requests to a server.",
        {(name,): load.requests for name, load in loads.items()},
        "server",
    )
    yield counters(
        "server_refusals",
        "Clients sent away: with 503 (`busy`), dropped (`flood`), or dropped without a request in time (`slow`).",
        {(name, why): count for name, load in loads.items() for why, count in load.refused.items()},
        "server",
        "why",
    )
