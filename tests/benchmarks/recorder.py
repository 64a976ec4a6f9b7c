"""A call recorder for a day: what comes into the source when and in which manner, and what should become of it.

Manners are generators that do something in one go and yield for how many seconds nothing happens then.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.system.conftest import Expected, make_call, make_wav

PER_SECOND = 2.0
BURST = 10.0
SHIFT_CHANGES = (0.08, 0.40, 0.74)
"""When shifts change, as parts of the day: then recorders hand over what they kept back."""
SHIFT_CHANGE_LASTS = 0.015
TICK_SECONDS = 0.01


class Recorder:
    """Drops recordings by a seed for a day of `seconds`; `patience_seconds` is the source's sidecar_wait."""

    def __init__(self, source: Path, *, seed: int, seconds: float, patience_seconds: float) -> None:
        self._source = source
        self._aside = source.parent / "aside"
        self._aside.mkdir()
        self._chance = random.Random(seed)
        self._seconds = seconds
        self._patience_seconds = patience_seconds
        self._manners = (
            *[self._as_usual] * 24, *[self._sidecar_after] * 5, *[self._archived] * 5, self._late_sidecar,
            self._replaced, self._renamed, self._part_then_whole, self._damaged, self._mended, self._twice,
        )  # fmt: skip
        self.expected: list[Expected] = []
        self.whole: list[Path] = []
        self.duplicates = 0
        self.damaged = 0
        self.count = 0
        self._notes = itertools.count()

    def run(self, stop: threading.Event) -> None:
        """Let a day pass; end early when `stop` is set."""
        began = time.monotonic()
        waiting: list[tuple[float, int, Iterator[float]]] = []
        next_arrival, turn = 0.0, 0
        while not stop.wait(TICK_SECONDS):
            now = time.monotonic() - began
            while next_arrival <= min(now, self._seconds):
                turn += 1
                heapq.heappush(waiting, (next_arrival, turn, self._chance.choice(self._manners)()))
                next_arrival += self._chance.expovariate(self._rate(next_arrival / self._seconds))
            while waiting and waiting[0][0] <= now:
                _, number, manner = heapq.heappop(waiting)
                if (pause := next(manner, None)) is not None:
                    heapq.heappush(waiting, (now + pause, number, manner))
            if now > self._seconds and not waiting:
                return

    def _rate(self, part: float) -> float:
        """Return how many come a second: fewer at both ends of the day, many when shifts change."""
        shift = any(at <= part < at + SHIFT_CHANGE_LASTS for at in SHIFT_CHANGES)
        return PER_SECOND * (BURST if shift else 0.5 + math.sin(math.pi * min(1.0, part)))

    def _pause(self) -> float:
        return self._chance.uniform(0.01, 0.3)

    def _new(self) -> tuple[str, bytes, dict[str, Any]]:
        self.count += 1
        seconds = self._chance.choice((100, 250, 250, 500, 1500))
        audio, call = make_wav(f"day {self.count}", milliseconds=seconds), make_call(self.count)
        return f"call{self.count}", audio, call

    def _expected(self) -> tuple[str, bytes, dict[str, Any]]:
        """Make a recording that is to be accepted."""
        name, audio, call = self._new()
        self.expected.append(Expected.of(audio, call))
        return name, audio, call

    def _write(self, name: str, data: bytes | dict[str, Any]) -> Path:
        """Put a whole file into the source by renaming it in."""
        made = self._aside / name
        made.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return Path(made.rename(self._source / name))

    def _as_usual(self) -> Iterator[float]:
        name, audio, call = self._expected()
        self._write(f"{name}.json", call)
        self.whole.append(self._write(f"{name}.wav", audio))
        yield 0

    def _sidecar_after(self) -> Iterator[float]:
        name, audio, call = self._expected()
        self._write(f"{name}.wav", audio)
        yield self._pause()
        self._write(f"{name}.json", call)

    def _archived(self) -> Iterator[float]:
        """Other files come and go as well: what is no recording is moved out again."""
        yield from self._as_usual()
        made = self._write(f"note{next(self._notes)}.txt", b"shift notes")
        yield self._pause()
        made.rename(self._aside / made.name)

    def _late_sidecar(self) -> Iterator[float]:
        """Later than `sidecar_wait`: it wakes a quarantined recording."""
        name, audio, call = self._expected()
        self._write(f"{name}.wav", audio)
        yield self._patience_seconds * 1.5
        self._write(f"{name}.json", call)

    def _replaced(self) -> Iterator[float]:
        """The first content waits for its sidecar and is never sent."""
        name, audio, call = self._expected()
        self._write(f"{name}.wav", make_wav(f"first {name}"))
        yield self._pause()
        self._write(f"{name}.wav", audio)
        yield self._pause()
        self._write(f"{name}.json", call)

    def _renamed(self) -> Iterator[float]:
        """It gets its last name before its sidecar comes."""
        name, audio, call = self._expected()
        path = self._write(f"{name}-draft.wav", audio)
        yield self._pause()
        path.rename(path.with_name(f"{name}.wav"))
        yield self._pause()
        self._write(f"{name}.json", call)

    def _part_then_whole(self) -> Iterator[float]:
        """Written in place, in pieces, under the name of a part."""
        name, audio, call = self._expected()
        self._write(f"{name}.json", call)
        part = self._source / f"{name}.wav.part"
        with open(part, "wb", buffering=0) as file:
            file.write(audio[:1000])
            yield self._pause()
            file.write(audio[1000:])
        os.rename(part, self._source / f"{name}.wav")

    def _damaged(self) -> Iterator[float]:
        name, _, call = self._new()
        self.damaged += 1
        self._write(f"{name}.json", call)
        self._write(f"{name}.wav", b"no audio at all " * 20 + name.encode())
        yield 0

    def _mended(self) -> Iterator[float]:
        """Damaged at first; a whole copy replaces it."""
        name, audio, call = self._expected()
        self._write(f"{name}.json", call)
        self._write(f"{name}.wav", b"no audio at all " * 20 + name.encode())
        yield 5 * self._pause()
        self._write(f"{name}.wav", audio)

    def _twice(self) -> Iterator[float]:
        """The same recording of the same call under another name."""
        name, audio, call = self._expected()
        self.duplicates += 1
        for one in (name, f"{name}-again"):
            self._write(f"{one}.json", call)
            self._write(f"{one}.wav", audio)
            yield self._pause()


def fill_archive(folder: Path, count: int, copies: list[Path]) -> list[Expected]:
    """Fill a folder to import: new recordings, which are returned, and copies of what came live."""
    for path in copies:
        inside = folder / "copies"
        inside.mkdir(exist_ok=True)
        for one in (path, path.with_suffix(".json")):
            shutil.copy(one, inside)
    expected = []
    for number in range(count):
        inside = folder / f"{number // 200:03}"
        inside.mkdir(exist_ok=True)
        audio, call = make_wav(f"archive {number}"), make_call(100_000 + number)
        (inside / f"a{number}.json").write_text(json.dumps(call))
        (inside / f"a{number}.wav").write_bytes(audio)
        expected.append(Expected.of(audio, call))
    return expected
