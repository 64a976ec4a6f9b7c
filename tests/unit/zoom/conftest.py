"""A scripted transport and a clock that is moved by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from uploader.platform.http import HttpFailure, Reply


@dataclass
class Script:
    """Stands where HttpClient stands: gives the prepared answers in turn, the last one for ever."""

    answers: list = field(default_factory=list)
    calls: list = field(default_factory=list)

    def request(self, method, url, **more):
        self.calls.append((method, url, more))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, HttpFailure):
            raise answer
        return answer


class HandClock:
    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


@pytest.fixture
def reply():
    def make(status, answer=b"", *, truncated=False, **headers):
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status=status, headers=names, body=body, truncated=truncated)

    return make


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def clock():
    return HandClock()
