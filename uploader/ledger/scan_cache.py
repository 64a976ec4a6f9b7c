"""The scan cache: what the last scan saw of each directory and of each file. Judges nothing.

A directory may hold a million files: they are read by name, by stem, or a page at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from uploader.domain.recording import Stamp
from uploader.domain.scanning import Total
from uploader.ledger.connection import Database, ReaderPool
from uploader.ledger.writer import Writer

PAGE = 500
"""Rows read at once, and names looked up by one statement."""

_STAMP = "e.name, e.size_bytes, e.mtime_ns, e.inode"
_DIRECTORY = "SELECT n, path, count, checksum, trusted FROM directory"

_SIBLINGS = """
    WITH place AS MATERIALIZED (SELECT n FROM directory WHERE source_n = ?1 AND path = ?2)
    SELECT name FROM place CROSS JOIN entry ON directory_n = place.n AND name >= ?3 AND name < ?4 WHERE size_bytes >= 0
    UNION ALL
    SELECT name FROM place CROSS JOIN entry ON directory_n = place.n AND name = ?5 WHERE size_bytes >= 0
"""
"""Two searches: with an OR between them SQLite reads every name of the directory, once for each recording in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRow:
    """A directory as the last scan saw it.

    `trusted` is the state of the directory itself when all that was in it was known; None: it has to be listed.
    """

    n: int
    path: bytes
    total: Total
    trusted: int | None


class ScanCache:
    """The tables of directories and entries."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def directory(self, source_n: int, path: bytes) -> DirectoryRow | None:
        """Return one directory, if it is known."""
        with self._readers.lend() as db:
            found = db.execute(f"{_DIRECTORY} WHERE source_n = ? AND path = ?", (source_n, path)).fetchone()
        return None if found is None else _directory(found)

    def directories(self, source_n: int) -> Iterator[DirectoryRow]:
        """Yield every directory of a source that is known now, a page at a time in memory."""
        with self._readers.lend() as db:
            last = db.execute("SELECT coalesce(max(n), 0) FROM directory").fetchone()[0]
        after = 0
        while after < last:
            with self._readers.lend() as db:
                page = db.execute(
                    f"{_DIRECTORY} WHERE source_n = ? AND n > ? AND n <= ? ORDER BY n LIMIT ?",
                    (source_n, after, last, PAGE),
                ).fetchall()
            yield from map(_directory, page)
            after = page[-1][0] if page else last

    def unknown(self, source_n: int, paths: Collection[bytes]) -> list[bytes]:
        """Return those of these directories that no scan has seen."""
        known: set[bytes] = set()
        with self._readers.lend() as db:
            for part in _parts(list(paths)):
                known.update(
                    bytes(path)
                    for (path,) in db.execute(
                        f"SELECT path FROM directory WHERE source_n = ? AND path IN ({_marks(part)})",
                        (source_n, *part),
                    )
                )
        return [path for path in paths if path not in known]

    def stamps(self, directory_n: int, names: Sequence[bytes]) -> dict[bytes, Stamp]:
        """Return the stamps of these names, of those that are known."""
        found: dict[bytes, Stamp] = {}
        with self._readers.lend() as db:
            for part in _parts(names):
                rows = db.execute(
                    f"SELECT {_STAMP} FROM entry e WHERE e.directory_n = ? AND e.name IN ({_marks(part)})",
                    (directory_n, *part),
                )
                found.update(_stamps(rows))
        return found

    def with_prefixes(self, directory_n: int, prefixes: Sequence[bytes]) -> dict[bytes, Stamp]:
        """Return the stamps of names that begin with one of these prefixes, or are one but for its last byte."""
        found: dict[bytes, Stamp] = {}
        with self._readers.lend() as db:
            for part in _parts(prefixes):
                values = [value for prefix in part for value in (prefix, _behind(prefix), prefix[:-1])]
                rows = db.execute(
                    f"WITH wanted (low, high, stem) AS (VALUES {', '.join(['(?, ?, ?)'] * len(part))}) "
                    f"SELECT {_STAMP} FROM wanted CROSS JOIN entry e ON e.directory_n = ? AND e.name >= low AND "
                    f"e.name < high UNION ALL SELECT {_STAMP} FROM wanted CROSS JOIN entry e ON e.directory_n = ? "
                    "AND e.name = stem",
                    (*values, directory_n, directory_n),
                )
                found.update(_stamps(rows))
        return found

    def siblings(self, source_n: int, directory: bytes, prefix: bytes) -> list[bytes]:
        """Return the names in a directory, as last scanned, that begin with `prefix` or are its stem."""
        with self._readers.lend() as db:
            rows = db.execute(_SIBLINGS, (source_n, directory, prefix, _behind(prefix), prefix[:-1])).fetchall()
        return [bytes(name) for (name,) in rows]

    def pages(self, directory_n: int) -> Iterator[list[bytes]]:
        """Yield the names that the last scan saw in a directory, a page at a time; entries may go meanwhile."""
        after = b""
        while True:
            with self._readers.lend() as db:
                page = db.execute(
                    "SELECT name FROM entry WHERE directory_n = ? AND name > ? AND size_bytes >= 0 ORDER BY name "
                    "LIMIT ?",
                    (directory_n, after, PAGE),
                ).fetchall()
            if not page:
                return
            yield [bytes(name) for (name,) in page]
            after = bytes(page[-1][0])

    def count(self, directory_n: int) -> int:
        """Count the files that the last scan saw in a directory."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT count(*) FROM entry WHERE directory_n = ? AND size_bytes >= 0", (directory_n,)
            ).fetchone()
        return int(found[0])

    def knows_files(self, source_n: int) -> bool:
        """Say whether the last scan of a source saw any file."""
        with self._readers.lend() as db:
            found = db.execute(
                "SELECT 1 FROM entry e JOIN directory d ON d.n = e.directory_n WHERE d.source_n = ? AND "
                "e.size_bytes >= 0 LIMIT 1",
                (source_n,),
            ).fetchone()
        return found is not None

    def scanned_files(self, source_n: int, *, limit: int) -> Mapping[bytes, list[tuple[bytes, bool]]] | None:
        """Return the files that the last scan saw, by directory, and whether each is a recording.

        None when there are more than `limit`.
        """
        with self._readers.lend() as db:
            rows = db.execute(
                "SELECT d.path, e.name, e.recording_n IS NOT NULL FROM directory d JOIN entry e ON e.directory_n = d.n "
                "WHERE d.source_n = ? AND e.size_bytes >= 0 LIMIT ?",
                (source_n, limit + 1),
            ).fetchall()
        if len(rows) > limit:
            return None
        found: dict[bytes, list[tuple[bytes, bool]]] = {}
        for path, name, is_recording in rows:
            found.setdefault(bytes(path), []).append((bytes(name), bool(is_recording)))
        return found

    def trust(self, source_n: int, states: Mapping[bytes, int | None]) -> None:
        """Write by path the state in which each directory holds what is known of it; make them known."""

        def work(db: Database) -> None:
            for path, state in states.items():
                db.execute(
                    "INSERT INTO directory (source_n, path, trusted) VALUES (?, ?, ?) "
                    "ON CONFLICT (source_n, path) DO UPDATE SET trusted = excluded.trusted",
                    (source_n, path, state),
                )

        self._writer.write(work, redoable=True)

    def correct(self, directory_n: int, total: Total, *, known: Total) -> None:
        """Write what a scan that compared every entry of a directory found to be their total, if it still is `known`.

        Entries of names that no rule wants any more are left out of it.
        """
        self._writer.write(
            lambda db: db.execute(
                "UPDATE directory SET count = ?, checksum = ? WHERE n = ? AND count = ? AND checksum = ?",
                (total.count, total.checksum, directory_n, known.count, known.checksum),
            ),
            redoable=True,
        )

    def forget(self, directory_n: int) -> None:
        """Take a directory that is gone out of the cache; keep what ties it to recordings that still wait."""

        def work(db: Database) -> None:
            if db.execute("SELECT 1 FROM entry WHERE directory_n = ? LIMIT 1", (directory_n,)).fetchone() is None:
                db.execute("DELETE FROM directory WHERE n = ?", (directory_n,))
            else:
                db.execute("UPDATE directory SET trusted = NULL WHERE n = ?", (directory_n,))

        self._writer.write(work, redoable=True)


def _directory(values: tuple[int, bytes, int, int, int | None]) -> DirectoryRow:
    n, path, count, checksum, trusted = values
    return DirectoryRow(n=n, path=bytes(path), total=Total(count, checksum), trusted=trusted)


def _stamps(rows: Iterator[tuple[bytes, int, int, int]]) -> dict[bytes, Stamp]:
    return {bytes(name): Stamp(size_bytes=size, mtime_ns=mtime, inode=inode) for name, size, mtime, inode in rows}


def _parts(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), PAGE):
        yield names[start : start + PAGE]


def _marks(values: Sequence[bytes]) -> str:
    return ", ".join("?" * len(values))


def _behind(prefix: bytes) -> bytes:
    """Return the first name that sorts behind all that begin with `prefix`, which ends in a dot."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
