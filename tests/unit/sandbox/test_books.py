"""The books: they add up, and outlive a kill."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from uploader.errors import UsageError
from uploader.sandbox.books import NO_ANSWER, Books
from uploader.sandbox.interaction import Fetch
from uploader.sandbox.journal import Journal

BODY = {"download_url": "http://127.0.0.1:1/r/a.wav?signature=secret", "direction": "inbound"}


def good(clock) -> Fetch:
    return Fetch(at=clock(), status=200, size_bytes=10, sha256="ab" * 32, error="")


def test_every_acceptance_is_a_new_interaction(books, clock) -> None:
    first, second = (books.accept(BODY, at=clock(), fault=None) for _ in range(2))
    assert first.interaction_id != second.interaction_id
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", first.interaction_id)


def test_query_of_the_download_url_is_not_shown(books, clock) -> None:
    books.accept(BODY, at=clock(), fault="slow")
    shown = books.document(clock())["interactions"][0]
    assert shown["body"]["download_url"] == "http://127.0.0.1:1/r/a.wav"
    assert shown["download_path"] == "/r/a.wav"
    assert shown["attempt_fault"] == "slow"
    assert "secret" not in str(shown)


def test_posts_are_accepted_or_refused(books, clock) -> None:
    books.accept(BODY, at=clock(), fault=None)
    books.refuse("400", fault=None)
    books.refuse("429", fault="429")
    books.refuse(NO_ANSWER, fault="reset")
    counters = books.document(clock())["counters"]
    assert counters["posts"] == counters["accepted"] + sum(counters["refused"].values()) == 4
    assert counters["faults"] == {"429": 1, "reset": 1}
    assert counters["answered_429"] == 1


def test_analysis_comes_after_the_delay(books, clock) -> None:
    books.accept(BODY, at=clock(), fault=None)
    books.fetched(0, good(clock), analyze_delay_seconds=5)
    assert books.document(clock())["interactions"][0]["analyzed_at"] is None
    clock.move(5)
    assert books.document(clock())["interactions"][0]["analyzed_at"] == "2026-11-20T12:00:05.000000Z"


@pytest.mark.parametrize(
    "change",
    [{"status": 404}, {"size_bytes": 0}, {"error": "cut_short"}, {"status": None, "error": "connection"}],
)
def test_failed_fetch_brings_no_analysis(books, clock, change) -> None:
    from dataclasses import replace

    books.accept(BODY, at=clock(), fault=None)
    books.fetched(0, replace(good(clock), **change), analyze_delay_seconds=0)
    assert books.document(clock())["interactions"][0]["analyzed_at"] is None


def test_second_good_fetch_does_not_move_the_analysis(books, clock) -> None:
    books.accept(BODY, at=clock(), fault=None)
    books.fetched(0, good(clock), analyze_delay_seconds=1)
    clock.move(60)
    books.fetched(0, good(clock), analyze_delay_seconds=1)
    assert books.document(clock())["interactions"][0]["analyzed_at"] == "2026-11-20T12:00:01.000000Z"


def filled(path: Path, clock) -> dict[str, object]:
    books = Books(journal=Journal(path))
    books.accept(BODY, at=clock(), fault="lost-answer")
    books.accept(BODY | {"start_time": "2026-11-01T00:00:00Z"}, at=clock(), fault=None)
    books.refuse("503", fault="5xx")
    books.fetched(1, good(clock), analyze_delay_seconds=1)
    books.close()
    return books.document(clock())


def test_journal_brings_the_same_books_back(tmp_path: Path, clock) -> None:
    before = filled(tmp_path / "books", clock)
    again = Books(journal=Journal(tmp_path / "books"))
    assert again.document(clock()) == before
    again.close()


def test_line_cut_by_a_kill_is_dropped_and_written_over(tmp_path: Path, clock) -> None:
    before = filled(tmp_path / "books", clock)
    with (tmp_path / "books").open("ab") as file:
        file.write(b'{"kind":"acce')
    again = Books(journal=Journal(tmp_path / "books"))
    assert again.document(clock()) == before
    again.accept(BODY, at=clock(), fault=None)
    again.close()
    third = Books(journal=Journal(tmp_path / "books"))
    assert len(third) == 3
    third.close()


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b"{}", b'{"kind":"fetched","id":"x"}', b'{"kind":"x"}'])
def test_foreign_journal_is_a_usage_error(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "books").write_bytes(line + b"\n")
    journal = Journal(tmp_path / "books")
    with pytest.raises(UsageError):
        Books(journal=journal)
    journal.close()


def test_journal_is_private_and_held_by_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "books")
    assert (tmp_path / "books").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="in use"):
        Journal(tmp_path / "books")
    journal.close()


def test_journal_in_a_missing_directory_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Journal(tmp_path / "missing" / "books")
