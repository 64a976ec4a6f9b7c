"""Secrets: from files and from the credentials directory, read only for who needs them.

No message here has anything of a secret in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uploader.errors import Problem

SECRETS = ("zoom.client_secret",)
"""Every secret there is, by dotted key. Each has a `…_file` key beside it."""
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
_LARGEST_BYTES = 64 * 1024


class _Blank(ValueError):
    """A file without a secret in it."""


def credential_names(dotted: str) -> tuple[str, ...]:
    """Return the file names under which a secret is looked for in the credentials directory.

    `zoom.client_secret` is looked for as `zoom_client_secret`, `zoom-client-secret`, `client_secret`
    and `client-secret`, in this order.
    """
    whole, key = dotted.replace(".", "_"), dotted.partition(".")[2]
    return (whole, whole.replace("_", "-"), key, key.replace("_", "-"))


class Vault:
    """Lets each secret come from one place, and reads it from there.

    Without `need_secrets` no secret file is opened, the credentials directory is not looked at, and a
    missing secret is no problem. What is wrong with secrets is collected in `problems`.
    """

    def __init__(self, *, environ: Mapping[str, str], need_secrets: bool) -> None:
        self.problems: list[Problem] = []
        self._directory = environ.get(CREDENTIALS_VARIABLE, "")
        self._need = need_secrets

    def settled(self, data: Mapping[str, Any], *, above: Mapping[str, Any]) -> dict[str, Any]:
        """Return a place's `data` with every secret that counts, read from its file where one is named.

        A secret, or file of it, counts only where what stands `above` has neither; an empty one is none.
        """
        settled = {name: dict(content) if isinstance(content, dict) else content for name, content in data.items()}
        for dotted in SECRETS:
            section, _, key = dotted.partition(".")
            table = settled.get(section)
            if not isinstance(table, dict):
                continue
            outdone = _has(above, dotted)
            for name in (key, f"{key}_file"):
                if name in table and (outdone or table[name] == ""):
                    del table[name]
            if key in table and f"{key}_file" in table:
                message = f"stands beside {key}_file: leave one of them out"
                self.problems.append(Problem(field=dotted, message=message))
            elif self._need and isinstance(file := table.get(f"{key}_file"), str):
                table |= self._read(dotted, Path(file))
        return settled

    def credentials(self, *, above: Mapping[str, Any]) -> dict[str, Any]:
        """Return the secrets in the credentials directory that what stands `above` has not.

        A blank credential is none: the service manager makes one where the real one is missing. One that
        cannot be read is None, so that no place below stands in for it.
        """
        found: dict[str, Any] = {}
        for dotted in SECRETS:
            if self._need and self._directory and not _has(above, dotted):
                found.setdefault(dotted.partition(".")[0], {}).update(self._credential(dotted))
        return {section: secrets for section, secrets in found.items() if secrets}

    def missing(self, merged: Mapping[str, Any]) -> list[Problem]:
        """Return a problem for every secret that is needed and in no place."""
        absent = [dotted for dotted in SECRETS if self._need and not _has(merged, dotted)]
        return [
            Problem(field=dotted, message=f"is required: set {_key(dotted)}_file (or {_key(dotted)})")
            for dotted in absent
        ]

    def _credential(self, dotted: str) -> dict[str, str | None]:
        for path in (Path(self._directory, name) for name in credential_names(dotted)):
            try:
                if os.path.lexists(path):
                    return {_key(dotted): read_secret(path, trusted=True)}
            except _Blank:
                continue
            except ValueError as exc:
                self.problems.append(Problem(field=f"{dotted} (credential)", message=str(exc)))
                return {_key(dotted): None}
        return {}

    def _read(self, dotted: str, file: Path) -> dict[str, str]:
        try:
            return {_key(dotted): read_secret(file, trusted=self._is_credential(file))}
        except ValueError as exc:
            self.problems.append(Problem(field=f"{dotted}_file", message=str(exc)))
            return {}

    def _is_credential(self, file: Path) -> bool:
        # not Path.resolve, which raises on links that go round in a ring
        return bool(self._directory) and Path(os.path.realpath(file)).is_relative_to(os.path.realpath(self._directory))


def read_secret(path: Path, *, trusted: bool) -> str:
    """Return what `path` holds, without one line break at its end.

    `trusted` is for files of the credentials directory, whose rights the service manager minds.
    Raises ValueError with a sentence when it cannot be read, others than its owner may read it, it
    is blank, or it is no single line of text.
    """
    try:
        raw = _read(path, trusted=trusted)
    except FileNotFoundError as exc:
        raise ValueError("names a file that does not exist") from exc
    except OSError as exc:
        raise ValueError(f"names a file that cannot be read ({exc.strerror})") from exc
    try:
        text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as exc:
        raise ValueError("names a file that is not text") from exc
    if not text.strip():
        raise _Blank("names an empty file: write the secret into it")
    if not text.isprintable():
        raise ValueError("names a file with more than one line or with control characters")
    return text


def _read(path: Path, *, trusted: bool) -> bytes:
    # O_NONBLOCK: a named pipe without a writer would wait for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("must name a regular file")
        if not trusted and status.st_mode & 0o077:
            raise ValueError("names a file that others than its owner may use: chmod 600 it")
        raw = file.read(_LARGEST_BYTES + 1)
    if len(raw) > _LARGEST_BYTES:
        raise ValueError("names a file larger than 64 KiB")
    return raw


def _key(dotted: str) -> str:
    return dotted.rpartition(".")[2]


def _has(data: Mapping[str, Any], dotted: str) -> bool:
    section, _, key = dotted.partition(".")
    table = data.get(section)
    return isinstance(table, dict) and (key in table or f"{key}_file" in table)
