"""The service around the pipeline's bench: line and dispatcher over a service in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.unit.ledger.kit import refused
from tests.unit.pipeline.bench import Bench, call
from uploader.domain.gates import GateName
from uploader.ledger.rows import RecordingRow
from uploader.service.dispatcher import Dispatcher
from uploader.service.gate import Gate
from uploader.service.line import Line, Route


class ServiceBench(Bench):
    """A bench with a line and a dispatcher, which a test turns by hand."""

    def __init__(self, folder: Path, *, workers: int = 2, **options: Any) -> None:
        super().__init__(folder, **options)
        self.routed = True
        self.line = Line(
            ledger=self.ledger, intake=self.intake, submission=self.submission, governor=self.governor,
            routes=self.route, clock=self.clock,
        )  # fmt: skip
        self.wakes = 0
        self.dispatcher = self.new_dispatcher(workers=workers)

    def new_dispatcher(self, *, workers: int = 2, import_n: int | None = None, line: Any = None) -> Dispatcher:
        return Dispatcher(
            ledger=self.ledger, line=line or self.line, workers=workers, clock=self.clock, stop=self.stop,
            on_wake=self.on_wake, import_n=import_n,
        )  # fmt: skip

    def on_wake(self) -> None:
        self.wakes += 1

    def route(self, row: RecordingRow) -> Route | None:
        return Route(spec=self.spec(), place=self.place, stager=self.stager) if self.routed else None

    @property
    def submit_gate(self) -> Gate:
        return self.gates[GateName.SUBMIT]

    @property
    def store_gate(self) -> Gate:
        return self.gates[GateName.STORE]

    @property
    def token_gate(self) -> Gate:
        return self.gates[GateName.TOKEN]

    def carry(self, row: RecordingRow) -> RecordingRow:
        """Carry one row as the dispatcher would without a place taken for it."""
        self.line.carry(self.kit.claim(row), admission=None)
        return self.row(row)

    def carry_admitted(self, row: RecordingRow) -> RecordingRow:
        """Carry one row with a place that is taken before, as the dispatcher does."""
        admission = self.line.admits()
        assert admission is not None
        self.line.carry(self.kit.claim(row), admission=admission)
        return self.row(row)

    def close_by_refusals(self) -> list[RecordingRow]:
        rows = [self.staged(f"r{n}.wav", call(n)) for n in range(5)]
        for row in rows:
            self.send(row, refused())
        return rows

    def after_probe_time(self, gate: Gate) -> None:
        self.clock.advance((gate.seconds_to_probe() or 0) + 0.01)

    def root(self) -> bytes:
        return os.fsencode(self.folder)
