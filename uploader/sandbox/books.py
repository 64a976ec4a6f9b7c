"""The sandbox's own books: what was accepted, fetched, refused and spoiled. Knows nothing of HTTP.

They add up: `posts` = `accepted` + the sum of `refused`. Safe from any thread.
"""

from __future__ import annotations

import bisect
import secrets
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from uploader.errors import UsageError
from uploader.sandbox import answers, times
from uploader.sandbox.answers import Refused
from uploader.sandbox.config import DateAxis
from uploader.sandbox.interaction import Fetch, Interaction
from uploader.sandbox.journal import Journal

MAX_INTERACTIONS = 250_000
"""Everything is held in memory; above this POSTs are answered 503."""

NO_ANSWER = "none"
"""Stands in `refused` for a POST that got no answer and was not recorded."""


class Books:
    """Everything that happened, in memory and, with a journal, in a file."""

    def __init__(self, *, date_axis: DateAxis = DateAxis.START_TIME, journal: Journal | None = None) -> None:
        """Take up where the journal ends. Raises UsageError when it is not one of ours."""
        self._axis = date_axis
        self._journal = journal
        self._lock = threading.Lock()
        self._interactions: list[Interaction] = []
        self._numbers: dict[str, int] = {}
        self._by_time: list[tuple[datetime, int]] = []
        self._refused: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        for entry in journal.replay() if journal else ():
            self._replay(entry)

    def accept(self, body: dict[str, Any], *, at: datetime, fault: str | None) -> Interaction:
        """Record a new interaction, even when everything in it was seen before."""
        with self._lock:
            if len(self._interactions) >= MAX_INTERACTIONS:
                raise Refused(answers.error(503, 503, "The sandbox is full."))
            interaction = Interaction(
                number=len(self._interactions),
                interaction_id=self._new_id(),
                accepted_at=at,
                start_time=times.parse(body["start_time"]) if "start_time" in body else times.whole(at),
                body=body,
                attempt_fault=fault,
            )
            self._write(
                kind="accepted",
                id=interaction.interaction_id,
                at=times.show_exactly(at),
                body=body,
                fault=fault,
            )
            self._add(interaction)
        return interaction

    def refuse(self, status: str, *, fault: str | None) -> None:
        """Count a POST that was not recorded, by the HTTP status it is answered with or `NO_ANSWER`."""
        with self._lock:
            self._write(kind="refused", status=status, fault=fault)
            self._count_refusal(status, fault)

    def count_request(self, kind: str, *, fault: str | None) -> None:
        """Count a request that is not a POST of an interaction."""
        with self._lock:
            self._requests[kind] += 1
            if fault:
                self._faults[fault] += 1

    def fetched(self, number: int, fetch: Fetch, *, analyze_delay_seconds: float) -> None:
        """Record a try to download; the first good one sets when the analysis will be there."""
        with self._lock:
            before = self._interactions[number]
            analyzed_at = before.analyzed_at
            if fetch.succeeded and analyzed_at is None:
                analyzed_at = fetch.at + timedelta(seconds=analyze_delay_seconds)
            self._write(
                kind="fetched",
                id=before.interaction_id,
                fetch=fetch.document(),
                analyzed_at=times.show_exactly(analyzed_at) if analyzed_at else None,
            )
            self._interactions[number] = replace(before, fetches=(*before.fetches, fetch), analyzed_at=analyzed_at)

    def __len__(self) -> int:
        """Return how many interactions were accepted."""
        return len(self._interactions)

    def all(self) -> tuple[Interaction, ...]:
        """Return every interaction in order of acceptance."""
        with self._lock:
            return tuple(self._interactions)

    def numbered(self, number: int) -> Interaction:
        """Return the interaction that was accepted as this one, counted from 0."""
        with self._lock:
            return self._interactions[number]

    def find(self, interaction_id: str) -> Interaction | None:
        """Return the interaction with this id, or None."""
        with self._lock:
            number = self._numbers.get(interaction_id)
            return None if number is None else self._interactions[number]

    def between(self, since: datetime, until: datetime) -> list[Interaction]:
        """Return what lies in the window, both ends included, newest first, later accepted first."""
        with self._lock:
            first = bisect.bisect_left(self._by_time, (since, -1))
            last = bisect.bisect_right(self._by_time, (until, MAX_INTERACTIONS))
            numbers = [number for _, number in self._by_time[first:last]]
            return [self._interactions[number] for number in reversed(numbers)]

    def document(self, now: datetime) -> dict[str, Any]:
        """Return the books as JSON values."""
        with self._lock:
            interactions = list(self._interactions)
            counters = {
                "posts": len(interactions) + self._refused.total(),
                "accepted": len(interactions),
                "refused": dict(self._refused),
                "faults": dict(self._faults),
                "tokens_issued": self._requests["tokens_issued"],
                "token_requests": self._requests["token"],
                "list_requests": self._requests["list"],
                "detail_requests": self._requests["detail"],
                "answered_429": self._refused["429"],
            }
        return {"interactions": [item.document(now) for item in interactions], "counters": counters}

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            if self._journal:
                self._journal.close()

    def _add(self, interaction: Interaction) -> None:
        self._interactions.append(interaction)
        self._numbers[interaction.interaction_id] = interaction.number
        moment = interaction.start_time
        if self._axis is DateAxis.CREATED_AT:
            moment = times.whole(interaction.accepted_at)
        bisect.insort(self._by_time, (moment, interaction.number))
        if interaction.attempt_fault:
            self._faults[interaction.attempt_fault] += 1

    def _count_refusal(self, status: str, fault: str | None) -> None:
        self._refused[status] += 1
        if fault:
            self._faults[fault] += 1

    def _new_id(self) -> str:
        """Return 22 characters of base64url, as the service's are; never with a leading dash."""
        while True:
            made = secrets.token_urlsafe(16)
            if made[0] != "-" and made not in self._numbers:
                return made

    def _write(self, **entry: object) -> None:
        if self._journal:
            self._journal.append(entry)

    def _replay(self, entry: dict[str, Any]) -> None:
        try:
            if entry["kind"] == "accepted":
                self._replay_accepted(entry)
            elif entry["kind"] == "fetched":
                number = self._numbers[entry["id"]]
                before = self._interactions[number]
                due = entry["analyzed_at"]
                self._interactions[number] = replace(
                    before,
                    fetches=(*before.fetches, Fetch.from_document(entry["fetch"])),
                    analyzed_at=times.read_exactly(due) if due else None,
                )
            else:
                self._count_refusal(entry["status"], entry["fault"])
        except (KeyError, TypeError, ValueError) as exc:
            raise UsageError("the state file was not written by this version of the sandbox") from exc

    def _replay_accepted(self, entry: dict[str, Any]) -> None:
        at, body = times.read_exactly(entry["at"]), entry["body"]
        self._add(
            Interaction(
                number=len(self._interactions),
                interaction_id=entry["id"],
                accepted_at=at,
                start_time=times.parse(body["start_time"]) if "start_time" in body else times.whole(at),
                body=body,
                attempt_fault=entry["fault"],
            )
        )
