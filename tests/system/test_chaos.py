"""Three hundred recordings, arriving in every manner, under every fault: each accepted once, as it was."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

SEED = 20261120
FAULTS = ("lost-answer", "reset", "429", "5xx", "slow", "garbage")
ODD = (b"two words", b'it\'s "quoted"', "fünf Übel".encode(), b"two\nlines", b"latin \xe9\xff", b"per%20cent & $x;")
SETTINGS = {
    "zoom": {"request_timeout": "1s"},
    # One answer in twenty is a 429, each of which halves the pace: at 50 a second it would end at 3.
    "budget": {"submissions_per_second": 400, "reads_per_second": 400},
    "source": {"same_call": "send", "sidecar_wait": "2s"},
    "run": {"workers": 8},
}


class Arrivals:
    """Manners of arrival, as generators: what they do between two yields happens in one go."""

    def __init__(self, root: Path, tools, chance: random.Random) -> None:
        self.root = os.fsencode(root)
        self.aside = os.fsencode(root.parent / "aside")
        os.mkdir(self.aside)
        self.tools, self.chance = tools, chance
        self.expected = []
        self.dropped: dict[bytes, str] = {}
        self.duplicates = 0
        self.count = 0

    def new(self, *, audio: object = None, call: dict | None = None) -> tuple[int, bytes, dict]:
        self.count += 1
        made = self.tools.make_wav(f"chaos {self.count}" if audio is None else audio)
        sidecar = self.tools.make_call(self.count) if call is None else call
        self.expected.append(self.tools.expected(made, sidecar))
        return self.count, made, sidecar

    def write(self, name: bytes, data: bytes, *, root: bytes | None = None) -> bytes:
        path = os.path.join(root or self.root, name)
        with open(path, "wb") as file:
            file.write(data)
        self.dropped[path] = hashlib.sha256(data).hexdigest()
        return path

    def sidecar(self, name: bytes, call: dict, *, root: bytes | None = None) -> None:
        with open(os.path.join(root or self.root, name + b".json"), "w") as file:
            json.dump(call, file)

    def pause(self):
        yield from range(self.chance.randrange(1, 60))

    def sidecar_first(self):
        n, audio, call = self.new()
        self.sidecar(b"sf%d" % n, call)
        yield from self.pause()
        self.write(b"sf%d.wav" % n, audio)

    def file_first(self):
        n, audio, call = self.new()
        self.write(b"ff%d.wav" % n, audio)
        yield from self.pause()
        self.sidecar(b"ff%d.wav" % n, call)

    def late_sidecar(self):
        """Later than `sidecar_wait`: it wakes a quarantined recording."""
        n, audio, call = self.new()
        self.write(b"late%d.wav" % n, audio)
        yield from range(1500)
        self.sidecar(b"late%d" % n, call)

    def renamed_part(self):
        n, audio, call = self.new()
        part = self.write(b"rp%d.wav.part" % n, audio)
        self.sidecar(b"rp%d" % n, call)
        yield from self.pause()
        os.rename(part, part[:-5])

    def slow_writer(self):
        n, audio, call = self.new()
        self.sidecar(b"slow%d" % n, call)
        third = len(audio) // 3
        with open(os.path.join(self.root, b"slow%d.wav" % n), "wb", buffering=0) as file:
            for begin in (0, third, 2 * third):
                file.write(audio[begin : begin + third if begin < 2 * third else None])
                yield from self.pause()

    def moved_directory(self):
        n, audio, call = self.new()
        folder = os.path.join(self.aside, b"dir%d" % n)
        os.makedirs(os.path.join(folder, b"deep"))
        self.write(b"deep/md%d.wav" % n, audio, root=folder)
        self.sidecar(b"deep/md%d" % n, call, root=folder)
        yield from self.pause()
        os.rename(folder, os.path.join(self.root, b"dir%d" % n))

    def nested(self):
        n, audio, call = self.new()
        folder = os.path.join(self.root, b"%d" % (n % 5), b"in %d" % n)
        os.makedirs(folder)
        self.write(b"n%d.wav" % n, audio, root=folder)
        yield from self.pause()
        self.sidecar(b"n%d" % n, call, root=folder)

    def odd_name(self):
        n, audio, call = self.new()
        name = ODD[n % len(ODD)] + b" %d.wav" % n
        self.sidecar(name, call)
        self.write(name, audio)
        yield

    def replaced(self):
        """The first content waits for its sidecar and is never sent."""
        n, audio, call = self.new()
        self.write(b"rep%d.wav" % n, self.tools.make_wav(f"old {n}"))
        yield from range(200)
        new = self.write(b"rep%d.wav.tmp" % n, audio)
        os.rename(new, new[:-4])
        yield from self.pause()
        self.sidecar(b"rep%d" % n, call)

    def hard_link(self):
        n, audio, call = self.new()
        made = self.write(b"link%d.wav" % n, audio, root=self.aside)
        self.sidecar(b"link%d" % n, call)
        os.link(made, os.path.join(self.root, b"link%d.wav" % n))
        yield

    def twice(self):
        """The same file of the same call under another name."""
        n, audio, call = self.new()
        self.duplicates += 1
        for name in self.chance.sample([b"once%d" % n, b"again%d" % n], 2):
            self.sidecar(name, call)
            self.write(name + b".wav", audio)
            yield from self.pause()

    def ringing(self):
        """The same audio in two calls: both are sent."""
        for _ in range(2):
            n, audio, call = self.new(audio="ringing tone")
            self.sidecar(b"ring%d" % n, call)
            self.write(b"ring%d.wav" % n, audio)
            yield from self.pause()

    def twins(self):
        """Two recordings of the very same particulars: only their audio tells them apart."""
        n, audio, call = self.new()
        self.sidecar(b"twin%d" % n, call)
        self.write(b"twin%d.wav" % n, audio)
        yield from self.pause()
        n, audio, call = self.new(call=call)
        self.sidecar(b"twin%d" % n, call)
        self.write(b"twin%d.wav" % n, audio)


MANNERS = (
    "sidecar_first", "file_first", "late_sidecar", "renamed_part", "slow_writer", "moved_directory", "nested",
    "odd_name", "replaced", "hard_link", "twice", "ringing", "twins",
)  # fmt: skip


def arrive(arrivals: Arrivals, total: int, tools) -> None:
    """Let them come, interleaved at random; each manner as often as the others."""
    under_way, turn = [], 0
    while arrivals.count < total or under_way:
        while arrivals.count < total and len(under_way) < 60:
            manner = getattr(arrivals, MANNERS[turn % len(MANNERS)])()
            turn += 1
            if next(manner, under_way) is not under_way:
                under_way.append(manner)
        for manner in arrivals.chance.sample(under_way, len(under_way)):
            if next(manner, under_way) is under_way:
                under_way.remove(manner)
        tools.rest(0.004)


def chaos(sandbox, daemon, tools, *, seed: int, on: str, recordings: int = 300) -> None:
    options = [f"--fault={name}:0.05" for name in FAULTS]
    service = sandbox(*options, "--fault-on", on, "--token-ttl", "5s", "--seed", str(seed), "--analyze-delay", "0s")
    program = daemon(service, **SETTINGS)
    arrivals = Arrivals(program.source, tools, random.Random(seed))
    program.start()
    arrive(arrivals, recordings, tools)
    assert arrivals.count >= recordings

    def is_done(_) -> bool:
        states = program.states()
        settled = states["submitted"] + states["analyzed"]
        return settled == len(arrivals.expected) and states["duplicate"] == arrivals.duplicates

    try:
        program.wait_for(is_done, seconds=100, what=f"seed {seed}: all of {len(arrivals.expected)} submitted")
        tools.compare(program, service, arrivals.expected)
        counters = service.counters()
        assert all(counters["faults"].get(name) for name in FAULTS), f"seed {seed}: {counters}"
        assert program.states().keys() <= {"submitted", "analyzed", "duplicate"}
        assert not program.ask("SELECT 1 FROM note WHERE key = 'doubles'")
    finally:
        print(f"seed {seed}", Counter(program.states()), service.counters())
    assert program.terminate() == 0
    # Libraries warn as well, in words of their own: no path may be in them.
    assert str(program.source) not in program.log()
    assert not program.events("library.thread_died")


@pytest.mark.timeout(200)
def test_recordings_in_all_manners_under_all_faults_of_submission_are_accepted_once(sandbox, daemon, tools):
    chaos(sandbox, daemon, tools, seed=SEED, on="post")


@pytest.mark.timeout(200)
def test_recordings_are_accepted_once_though_every_request_may_meet_a_fault(sandbox, daemon, tools):
    chaos(sandbox, daemon, tools, seed=SEED + 1, on="post list detail token", recordings=150)
