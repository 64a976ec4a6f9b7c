"""Folders with very many small files in them, for measurements of the scan."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.benchmarks.scene import Scene


def fill(folder: Path, *, files: int) -> None:
    """Write so many recordings of a few bytes into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(files):
            name = f"call-2026-11-20-{number:07}.wav"
            file = os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=descriptor)
            os.write(file, b"RIFF"[: number % 5])
            os.close(file)
    finally:
        os.close(descriptor)


def fill_many(folder: Path, *, files: int, each: int) -> None:
    """Write so many recordings into folders of `each`, twenty folders in a folder."""
    for number in range(max(1, files // each)):
        fill(folder / f"{number // 20:03}" / f"{number:04}", files=each)


def bare_walk(root: bytes) -> int:
    """Walk with nothing but scandir and stat, the reference of every scan; return how many files there are."""
    count, pending = 0, [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat()
                    count += 1
    return count


def scanned_at(stage: Scene) -> int | None:
    """Return when the source's last full scan ended, in milliseconds since the epoch."""
    found = ask(stage, "SELECT max(scanned_at) FROM source")
    return None if found is None else int(found)


def ask(stage: Scene, query: str) -> int | None:
    """Return one number out of the daemon's ledger."""
    with closing(sqlite3.connect(f"file:{stage.folder / 'ledger.db'}?mode=ro", uri=True, timeout=30)) as db:
        found: int | None = db.execute(query).fetchone()[0]
    return found
