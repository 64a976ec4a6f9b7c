"""Secrets: from files and from the credentials directory, read only for who needs them.

No message here has anything of a secret in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uploader.errors import Problem
from uploader.settings.layers import Layer, Merged, Origin

SECRETS = ("zoom.client_secret",)
"""Every secret there is, by dotted key. Each has a `…_file` key beside it."""
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
_LARGEST_BYTES = 64 * 1024


def credential_names(dotted: str) -> tuple[str, ...]:
    """Return the file names under which a secret is looked for in the credentials directory.

    `zoom.client_secret` is looked for as `zoom_client_secret`, `zoom-client-secret`, `client_secret`
    and `client-secret`, in this order.
    """
    whole, key = dotted.replace(".", "_"), dotted.partition(".")[2]
    return (whole, whole.replace("_", "-"), key, key.replace("_", "-"))


def resolve_secrets(
    layers: Sequence[Layer], merged: Merged, *, environ: Mapping[str, str], need_secrets: bool
) -> tuple[Problem, ...]:
    """Put every secret into `merged` from the highest of `layers` that has it.

    Without `need_secrets` no secret file is opened and a missing one is no problem. A lower layer's
    secret, or file of it, is dropped when a higher one has either.
    """
    problems: list[Problem] = []
    directory = environ.get(CREDENTIALS_VARIABLE, "")
    for dotted in SECRETS:
        problems.extend(_resolve(dotted, layers, merged, directory, need=need_secrets))
    return tuple(problems)


def read_secret(path: Path, *, trusted: bool) -> str:
    """Return what `path` holds, without one line break at its end.

    `trusted` is for files of the credentials directory, whose rights the service manager minds.
    Raises ValueError with a sentence when it cannot be read, others than its owner may read it, or
    it is no single line of text.
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
        raise ValueError("names an empty file: write the secret into it")
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


def _resolve(dotted: str, layers: Sequence[Layer], merged: Merged, directory: str, *, need: bool) -> Iterator[Problem]:
    section, _, key = dotted.partition(".")
    found = _highest(dotted, layers, directory)
    table = merged.data.get(section, {})
    if found is None or not isinstance(table, dict):
        if need and found is None:
            yield Problem(field=dotted, message=f"is required: set {key}_file (or {key})")
        return
    origin, value, file = found
    for name in (key, f"{key}_file"):
        if merged.origins.get(f"{section}.{name}") not in {origin, None}:
            table.pop(name, None)
            merged.origins.pop(f"{section}.{name}", None)
    if value and file and origin is not Origin.CREDENTIALS:
        yield Problem(field=dotted, message=f"stands beside {key}_file: leave one of them out")
    elif file and need:
        try:
            trusted = origin is Origin.CREDENTIALS or _inside(file, directory)
            secret = read_secret(Path(file), trusted=trusted)
        except ValueError as exc:
            field = f"{dotted} (credential)" if origin is Origin.CREDENTIALS else f"{dotted}_file"
            yield Problem(field=field, message=str(exc))
        else:
            merged.data.setdefault(section, {})[key] = secret
            merged.origins[dotted] = origin


def _highest(dotted: str, layers: Sequence[Layer], directory: str) -> tuple[Origin, Any, str] | None:
    """Return origin, inline value and file of the highest place that has the secret."""
    section, _, key = dotted.partition(".")
    for origin in Origin:
        if origin is Origin.CREDENTIALS:
            credential = _credential(dotted, directory)
            if credential:
                return origin, None, credential
        for layer in layers:
            table = layer.data.get(section)
            if layer.origin is not origin or not isinstance(table, dict):
                continue
            value, file = table.get(key), table.get(f"{key}_file")
            if value or file:
                return origin, value, file if isinstance(file, str) else ""
    return None


def _credential(dotted: str, directory: str) -> str:
    if not directory:
        return ""
    paths = (Path(directory, name) for name in credential_names(dotted))
    return str(next((path for path in paths if os.path.lexists(path)), ""))


def _inside(file: str, directory: str) -> bool:
    return bool(directory) and Path(file).resolve().is_relative_to(Path(directory).resolve())
