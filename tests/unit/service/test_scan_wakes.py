"""A scan that is killed half-way: what a file that came concerns is woken, or the file is seen again."""

from __future__ import annotations

import os
import threading

import pytest

from tests.unit.ledger.kit import FakeClock, Kit
from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.service.folder_scanner import FolderScanner
from uploader.service.scanner import BATCH, Rhythm
from uploader.sources.folder.rules import Rules


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def kit(tmp_path):
    (tmp_path / "root").mkdir()
    kit = Kit(tmp_path / "ledger.db", clock=FakeClock())
    yield kit
    kit.close()


def scan(kit, *, dies_after=1_000_000):
    """Scan once, as a new process would; it dies after so many transactions."""
    root = os.fsencode(kit.path.parent / "root")
    kit.source("s", root=root)
    record, done = type(kit.ledger.discovery).record, 0

    def counted(**what):
        nonlocal done
        if done == dies_after:
            raise Killed
        done += 1
        return record(kit.ledger.discovery, **what)

    kit.ledger.discovery.record = counted
    scanner = FolderScanner(
        root=root, ledger=kit.ledger, source=kit.ledger.discovery.source("s"),
        rules=Rules(include=["*.wav"], exclude=[]), clock=kit.clock, stop=threading.Event(), found=lambda: None,
        rhythm=Rhythm(rescan_seconds=300.0, settle_seconds=2.0, events=False, backlog_limit=0),
    )  # fmt: skip
    scanner._turn(kit.clock.monotonic())


@pytest.mark.parametrize("others", [0, BATCH], ids=["few", "more than a batch"])
def test_a_sidecar_wakes_its_recording_though_the_scan_is_killed_after_any_transaction(kit, others):
    root = kit.path.parent / "root"
    (root / "0.wav").write_bytes(b"RIFF")
    scan(kit)
    row = kit.apply(kit.row(1), Event.FAULTED)
    (root / "0.wav.json").write_text("{}")
    for number in range(others):
        (root / f"a{number}.wav.json").write_text("{}")
    for survived in range(4):
        try:
            scan(kit, dies_after=survived)
        except Killed:
            continue
        break
    assert kit.again(row).state is State.DISCOVERED
