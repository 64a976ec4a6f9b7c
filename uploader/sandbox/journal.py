"""An append-only file of JSON lines that outlives the sandbox. Knows nothing of what the lines mean.

Each line is handed to the kernel before the answer goes out, so it survives SIGKILL of the sandbox
(not a power cut, which a stand-in need not survive).
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from uploader.errors import UsageError

_MAX_BYTES = 1024**3


class Journal:
    """One file, held by one sandbox at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, readable by its owner only. Raises UsageError when it cannot be used."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        except OSError as exc:
            raise UsageError(f"the state file cannot be opened: {exc.strerror}") from exc
        self._file = os.fdopen(fd, "r+b", buffering=0)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._file.close()
            raise UsageError("the state file is in use by another sandbox") from exc
        if os.fstat(fd).st_size > _MAX_BYTES:
            self._file.close()
            raise UsageError("the state file is too large", hint="start with another one")

    def replay(self) -> list[dict[str, Any]]:
        """Return every whole line; a last one cut short by a kill is taken away."""
        self._file.seek(0)
        data = self._file.readall() or b""
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            os.ftruncate(self._file.fileno(), len(whole) + len(newline))
        entries = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError as exc:
                raise UsageError(f"the state file is damaged at line {number}") from exc
            if not isinstance(entry, dict):
                raise UsageError(f"the state file is damaged at line {number}")
            entries.append(entry)
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line, whole."""
        data = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        while data:
            data = data[self._file.write(data) or 0 :]

    def close(self) -> None:
        """Close the file and let go of it."""
        self._file.close()
