"""Checks of this machine: the ledger and its disk, the daemon, what the system allows. Changes nothing."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from uploader.errors import WrongAccount
from uploader.ledger.connection import SenderRole
from uploader.ledger.inspection import Inspection, check_rights, inspect
from uploader.platform.filesystem import LEAST_FILES, free_bytes, free_files
from uploader.platform.open_files import highest_limit, judge
from uploader.service.doctor.report import Finding, fail, ok, skip, warn
from uploader.service.operations.doubt import Doubt, doubt_of

FREE_WARNED = 1 << 30
FREE_FAILED = 64 << 20
FILES_WARNED = 1000
QUICK_CHECK_SECONDS = 20.0
_HEALTH_SECONDS = 5.0
_WAL_RESET_MENDED = (3, 51, 3)
"""Source: sqlite.org/wal.html, "The WAL-reset bug"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerChecks:
    """The checks of the ledger at `path`, which need not exist."""

    path: Path
    account_id: str
    api_url: str

    def ledger(self) -> Finding:
        """See whether it can be used, is sound, ours, and the one there was. Raises LedgerError, WrongAccount."""
        if not check_rights(self.path):
            lost = doubt_of(self.path, now=datetime.now(UTC))
            return _doubted(lost) if lost else ok("is not there yet: the first `run` or `import` makes it")
        found = inspect(self.path, within_seconds=QUICK_CHECK_SECONDS)
        self._compare(found)
        if found.sound is None:
            return warn("can be used, but is too large to be checked here", hint="`qm-uploader verify` checks it")
        if not found.sound:
            return fail("is damaged", hint="stop the daemon, keep the file, and restore a backup")
        doubt = doubt_of(self.path, now=datetime.now(UTC))
        if doubt is not None:
            return _doubted(doubt)
        if found.pending_upgrades:
            return ok("is sound; the next `run` brings it up to this version")
        return ok("is sound and can be written")

    def disk(self) -> Finding:
        """See how much room is left under it."""
        at = self.path.parent
        while not at.exists() and at != at.parent:
            at = at.parent
        return judge_free(free_bytes(at), files=free_files(at))

    def is_running(self) -> bool:
        """Say whether a daemon or an import sends with it just now."""
        return SenderRole(self.path).is_held()

    def _compare(self, found: Inspection) -> None:
        known = (found.account_id, found.api_url)
        if known not in {(None, None), (self.account_id, self.api_url)}:
            raise WrongAccount(
                f"belongs to account {known[0]} at {known[1]}, "
                f"but the configuration says account {self.account_id} at {self.api_url}",
                hint="use another [ledger] path for the other account, or put the first one back",
            )


def _doubted(doubt: Doubt) -> Finding:
    """Warn of a ledger that does not know all that was sent."""
    if doubt.is_new and doubt.found is None:
        message = "is empty or not there, though there was one"
        hint = (
            "restore a backup in its place before the next `run`; a new ledger looks for everything before it is sent"
        )
        return warn(message, hint=hint)
    if doubt.is_new:
        return warn("is new, though there was one before", hint="see what waits for a person: `qm-uploader status`")
    return warn("was restored; what may have been sent since is looked for before it is sent", hint="nothing: wait")


def judge_free(free: int, *, files: int | None) -> Finding:
    """Judge the free bytes of the ledger's disk, and for how many files it has room (None: it counts none)."""
    if files is not None and files < FILES_WARNED:
        message = f"room for {files:,} more files only (inodes)"
        hint = "remove files from the ledger's disk, or make it with more inodes"
        return fail(f"{message}: nothing is sent", hint=hint) if files < LEAST_FILES else warn(message, hint=hint)
    message = f"{free / (1 << 30):,.1f} GiB free" if free >= 1 << 30 else f"{free / (1 << 20):.0f} MiB free"
    if free < FREE_FAILED:
        return fail(f"{message}: nothing is sent below 64 MiB", hint="free space on the ledger's disk")
    return warn(message, hint="free space on the ledger's disk") if free < FREE_WARNED else ok(message)


def check_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """Name the SQLite in use; an old one is worth knowing, but no fault: backups are the remedy."""
    shown = ".".join(map(str, version))
    if version < _WAL_RESET_MENDED:
        return ok(f"{shown} (3.51.3 mends a rare damage to files that several processes write: keep backups)")
    return ok(shown)


def check_daemon(*, is_running: Callable[[], bool], host: str, port: int, setting: str) -> Finding:
    """Say whether the daemon runs; ask its health, or see whether it could listen."""
    if is_running():
        return _health(host, port)
    fault = _cannot_listen(host, port)
    if fault:
        return fail(
            f"does not run, and could not: {setting}: {fault}", hint="end what listens there, or give another port"
        )
    return ok("does not run")


def check_files(limit: int | None = None, *, workers: int, connections: int) -> Finding:
    """Judge how many files may be open at once; the daemon raises its own limit as far as this one allows."""
    found = judge(limit=highest_limit() if limit is None else limit, workers=workers, connections=connections)
    message = f"{found.limit:,} at once, {found.wanted:,} may be needed"
    if found.suffice:
        return ok(message)
    hint = f"set LimitNOFILE={found.wanted} in the unit, or `ulimit -n {found.wanted}`"
    return warn(f"{message}: fewer downloads at once are served", hint=hint)


def _health(host: str, port: int) -> Finding:
    if not port:
        return skip("runs; [web] listen names no port to ask at")
    # straight there: a proxy of the environment has no business with it
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        hint = "an `import` alone has none; else see the daemon's log"
        return warn("runs, but its health endpoint does not answer", hint=hint)
    finally:
        connection.close()
    if status != 200:
        return warn(f"runs, but its health endpoint answers {status}", hint="see the daemon's log")
    return ok("runs and is healthy")


def _cannot_listen(host: str, port: int) -> str:
    """Return what keeps a program from listening there, or nothing."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return "the host is not known"
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "the address is taken by another program"
            return os.strerror(error.errno or 0).lower()
    return ""


def _reachable(host: str) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
