"""How many files this process may have open at once, and how many connections that leaves room for.

Running out is no fault of whoever asks next: it may be the ledger. So what comes from outside is bounded
by what is left, before anything is served.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

import structlog

from uploader.errors import UsageError

log = structlog.get_logger()

BACKLOG = 128
"""Connections that a server takes at one go, before it can drop any."""

_BASE = 96
"""Ledger, logs, watches, event loops, the service's and the store's idle connections."""
_PER_WORKER = 8
"""A recording, its sidecar, a request, a connection to the store, what reads the ledger meanwhile."""
_PER_CONNECTION = 6
"""As many again before they are dropped, those being taken and those being closed, and a recording each."""
_FEWEST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFiles:
    """What may be open at once: `limit`; and `wanted`, which is enough for so many workers and connections."""

    limit: int
    wanted: int
    base: int

    @property
    def suffice(self) -> bool:
        """Say whether all connections that were asked for have room."""
        return self.limit >= self.wanted

    def connections(self, most: int) -> int:
        """Return how many of at most so many connections a server may take."""
        if self.suffice:
            return most
        return max(_FEWEST_CONNECTIONS, most * (self.limit - self.base) // (self.wanted - self.base))


def judge(*, limit: int, workers: int, connections: int) -> OpenFiles:
    """Hold the limit against what so many workers, and connections of all servers together, may need."""
    base = _BASE + _PER_WORKER * workers
    wanted = base + _PER_CONNECTION * connections
    return OpenFiles(limit=wanted if limit == resource.RLIM_INFINITY else limit, wanted=wanted, base=base)


def highest_limit() -> int:
    """Return the limit that this process may give itself."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def provide(*, workers: int, connections: int) -> OpenFiles:
    """Raise this process's limit as far as it is needed and allowed; say so when that is not enough.

    Raises UsageError when it could do nothing useful.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = judge(limit=hard, workers=workers, connections=connections)
    hint = f"set LimitNOFILE={found.wanted} in the unit, or `ulimit -n {found.wanted}`"
    if found.limit < found.base + 2 * _PER_CONNECTION * _FEWEST_CONNECTIONS:
        raise UsageError(f"only {found.limit:,} files may be open at once: too few to work", hint=hint)
    if soft != resource.RLIM_INFINITY and soft < min(found.limit, found.wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(found.limit, found.wanted), hard))
    if not found.suffice:
        log.warning("open_files.few", limit=found.limit, wanted=found.wanted, hint=hint)
    return found
