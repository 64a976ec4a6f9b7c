"""Logs: the right form, and nothing in them that must not be there."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import UsageError
from uploader.platform import logs


def _is_ours(handler: logging.Handler) -> bool:
    return type(handler).__module__ == logs.__name__


@pytest.fixture
def stream():
    """A stream that logs go to; everything about logging is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("uploader")
    level, our_level = root.level, ours.level
    hooks = warnings.showwarning, threading.excepthook
    yield io.StringIO()
    warnings.showwarning, threading.excepthook = hooks
    root.handlers = [handler for handler in root.handlers if not _is_ours(handler)]
    root.setLevel(level)
    ours.setLevel(our_level)
    structlog.reset_defaults()


@pytest.fixture
def record(stream):
    """Log one event with fields and return it as it was written."""

    def record(event: str = "event", **fields):
        logs.configure(level="debug", format="json", stream=stream)
        structlog.get_logger().info(event, **fields)
        return json.loads(stream.getvalue().splitlines()[-1])

    return record


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_event_is_one_line_of_json_with_time_level_and_fields(record):
    written = record("recording.staged", id=7, size_bytes=123_456_789_012, source="hq")
    moment = datetime.fromisoformat(written.pop("timestamp"))
    assert moment.tzinfo == UTC
    assert written == {
        "level": "info", "event": "recording.staged", "id": 7, "size_bytes": 123_456_789_012, "source": "hq",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "format", "is_json"),
    [
        (io.StringIO, "auto", True),
        (io.StringIO, "text", False),
        (_Terminal, "auto", False),
        (_Terminal, "json", True),
    ],
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(stream, make, format, is_json):
    target = make()
    logs.configure(level="info", format=format, stream=target, color=False)
    structlog.get_logger().info("it.happened", number=3)
    line = target.getvalue()
    assert line.startswith("{") == is_json
    assert "it.happened" in line
    assert "\x1b" not in line


def test_what_is_below_the_level_is_not_written(stream):
    logs.configure(level="warning", format="json", stream=stream)
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize("library", ["boto3", "botocore.auth", "uvicorn.access", "httpx", "x"])
def test_libraries_speak_from_warning_on_even_at_debug(stream, library):
    logs.configure(level="debug", format="json", stream=stream)
    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("trouble at https://host/a/b?X-Amz-Signature=%s", "canary")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["logger"] == library
    assert "canary" not in line


def test_configuring_twice_writes_once(stream):
    logs.configure(level="info", format="json", stream=io.StringIO())
    logs.configure(level="info", format="json", stream=stream)
    structlog.get_logger().info("once")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    "leak",
    [
        "+15551234567",
        "+49 (170) 123-45 67",
        "15551234567",
        "555-123-4567",
        "%2B15551234567",
        "jane.doe@example.com",
        "jane.doe%40example.com",
        "Bearer abcdefghijkl.mnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl",
        "AKIAIOSFODNN7EXAMPLE",
        "client_secret=hushhush",
        '"access_token": "hushhush"',
        "X-Amz-Signature=deadbeef",
        "https://bucket.s3.amazonaws.com/jane/call.wav?X-Amz-Signature=deadbeef",
        "http://127.0.0.1:8080/r/deadbeef",
        "https://jane:pw@host/",
        "s3://bucket/jane/call.wav",
        "file:///srv/jane.wav",
        "/srv/recordings/jane.wav",
        "../jane/call.wav",
    ],
)
def test_numbers_tokens_urls_addresses_and_paths_are_masked_wherever_they_are(record, leak):
    secrets = ["5551234567", "555-123-4567", "123-45", "jane", "abcdefghijkl", "eyJzdWIi", "IOSFODNN", "hush", "dead"]
    written = json.dumps(
        record(f"about {leak} here", note=leak, inside=[{"deep": (leak,)}], error=ValueError(leak), keyed={leak: 1})
    )
    assert not [secret for secret in secrets if secret in leak and secret in written]
    assert "about" in written


@pytest.mark.parametrize(
    "harmless",
    [
        "recording.staged",
        "2026-11-20T04:00:00.123456Z",
        "3/4 and/or /healthz",
        "127.0.0.1:8765",
        "https://host:1",
        "a+b",
        "too many folders to watch: set `fs.inotify.max_user_watches=1048576` in /etc/sysctl.d",
        "no token was given: refused",
        "no token was given: the token endpoint answered 500",
    ],
)
def test_what_is_harmless_is_left_alone(record, harmless):
    assert record(note=harmless)["note"] == harmless


@pytest.mark.parametrize("path", ["/etc/sysctl.d/jane.conf", "/etc/sysctl.dx", "/srv/etc/sysctl.d", "../etc/sysctl.d"])
def test_only_a_known_place_itself_is_shown_and_nothing_in_it_or_like_it(record, path):
    assert record(note=f"set it in {path}")["note"] == f"set it in {logs.MASK}"


@pytest.mark.parametrize("key", ["token", "client_secret", "Authorization", "set_cookie", "url_signature"])
def test_a_field_named_like_a_secret_is_masked_whole(record, key):
    assert record(**{key: "abc"})[key] == logs.MASK


def test_long_numbers_are_masked_but_in_sizes_times_and_ids(record):
    written = record(to=15551234567, size_bytes=15551234567, sha256="1" * 64, recording_id="123456789012")
    assert written["to"] == logs.MASK
    assert (written["size_bytes"], written["sha256"]) == (15551234567, "1" * 64)
    assert written["recording_id"] == "123456789012"


def test_objects_are_named_by_type_only(record):
    written = record(path=Path("/srv/jane"), raw=b"jane", thing=io.StringIO("jane"), waited=timedelta(seconds=2))
    assert written["raw"] == "<bytes>"
    assert "jane" not in json.dumps(written)
    assert written["waited"] == 2


def test_a_field_cannot_break_the_line_or_colour_the_terminal(stream):
    logs.configure(level="info", format="text", stream=stream)
    structlog.get_logger().info("one\ntwo", field="three\r\x1b[31m\u2028four", other="\udcff")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_structure_that_never_ends_is_cut(record):
    endless: list[object] = []
    endless.append(endless)
    assert "<nested>" in json.dumps(record(endless=endless, many=list(range(1000)), long="x" * 100_000))


def test_a_foreign_exception_shows_type_and_place_and_no_message(stream):
    logs.configure(level="info", format="json", stream=stream)
    try:
        try:
            int("Jane Doe")
        except ValueError as exc:
            raise UsageError("the field from is no number: +15551234567") from exc
    except UsageError:
        structlog.get_logger().exception("it.failed")
    written = json.loads(stream.getvalue())
    assert written["level"] == "error"
    assert "UsageError: the field from is no number: ***" in written["exception"]
    assert "test_logs.py:" in written["exception"]
    assert "ValueError" in written["exception"]
    assert "Jane" not in stream.getvalue()


def test_a_librarys_exception_is_masked_as_well(stream):
    logs.configure(level="info", format="json", stream=stream)
    try:
        Path("/no/such/jane.wav").read_bytes()
    except OSError:
        logging.getLogger("botocore").exception("could not open")
    assert "FileNotFoundError [ENOENT]" in stream.getvalue()
    assert "jane" not in stream.getvalue()


def test_a_record_that_cannot_be_formatted_is_lost_and_not_printed_raw(stream, capsys):
    logs.configure(level="info", format="json", stream=stream)
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if _is_ours(handler)]
    logging.getLogger("library").error("two %s %s", "canary")  # noqa: PLE1206 - the mistake to be survived
    captured = capsys.readouterr()
    assert "canary" not in captured.err + captured.out + stream.getvalue()


def test_errors_are_described_by_code_where_they_have_one():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (jane UNIQUE)")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError) as caught:
            connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    assert logs.describe(caught.value) == "IntegrityError [SQLITE_CONSTRAINT_UNIQUE]"
    assert logs.describe(KeyError("jane")) == "KeyError"


def test_a_chain_of_causes_that_loops_ends():
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert logs.render_traceback(one) == "ValueError\nbecause of:\nKeyError"


@given(st.text(), st.integers(min_value=10**8, max_value=10**15 - 1), st.text())
def test_no_long_number_survives_scrubbing(before: str, number: int, after: str):
    assert str(number) not in logs.scrub(f"{before}{number}{after}")


@pytest.mark.parametrize(
    "part", ["/", "/a", "+1 ", "a@", "://", "token", "x-token_", "1-", "a.b@c.", "../", "=", "eyJ"]
)
def test_hostile_text_is_scrubbed_in_no_time(part):
    start = time.perf_counter()
    logs.scrub(part * 10_000)
    assert time.perf_counter() - start < 1


@given(st.text(max_size=300))
def test_scrubbed_text_is_one_line_that_can_be_written(text: str):
    scrubbed = logs.scrub(text)
    scrubbed.encode("utf-8")
    assert len(scrubbed.splitlines()) <= 1


def test_a_librarys_warning_is_logged_by_kind_and_place_without_its_words(stream):
    logs.configure(level="info", format="json", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("for watch b'/srv/Zebulon Quackenbush'", RuntimeWarning, "/usr/lib/library/c.py", 450)
    written = json.loads(stream.getvalue())
    assert written["event"] == "library.warned"
    assert (written["kind"], written["module"], written["line"]) == ("RuntimeWarning", "c.py", 450)
    assert "Quackenbush" not in stream.getvalue()


def test_what_a_librarys_thread_dies_of_is_logged_without_its_words(stream):
    logs.configure(level="info", format="json", stream=stream)
    error = ValueError("Zebulon Quackenbush")
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, None, threading.current_thread())))
    written = json.loads(stream.getvalue())
    assert written["event"] == "library.thread_died"
    assert "Quackenbush" not in stream.getvalue()
