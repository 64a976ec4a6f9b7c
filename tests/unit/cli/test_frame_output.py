"""What commands print: JSON, tables, units."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from uploader.cli.output import (
    emit_json,
    emit_json_lines,
    human_duration,
    human_size,
    human_time,
    print_table,
    printable,
)


def test_json_is_one_line_with_times_in_utc(capsys):
    moment = datetime.fromisoformat("2026-11-20T05:00:00+01:00")
    emit_json({"at": moment, "for": timedelta(seconds=1.5), "path": Path("/x"), "name": "a\nb ü"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"at": "2026-11-20T04:00:00Z", "for": 1.5, "path": "/x", "name": "a\nb ü"}


def test_a_name_that_is_not_utf8_survives_json(capsys):
    name = os.fsdecode(b"call-\xff.wav")
    emit_json({"name": name})
    assert os.fsencode(json.loads(capsys.readouterr().out)["name"]) == b"call-\xff.wav"


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_what_is_no_json_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        emit_json({"value": value})


def test_lists_are_one_object_a_line(capsys):
    emit_json_lines({"n": n} for n in range(3))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_table_in_a_pipe_is_aligned_and_never_cut(capsys):
    long = "x" * 500
    print_table(["name", "size"], [["a", 1], [long, 22], ["日本", None]], color=True, right=["size"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name" + " " * 496 + "  size"
    assert lines[1] == "a" + " " * 499 + "     1"
    assert lines[2] == long + "    22"
    assert lines[3] == "日本"


def test_a_table_without_rows_has_its_header(capsys):
    print_table(["name", "size"], [], color=False)
    assert capsys.readouterr().out == "name  size\n"


def test_a_cell_stays_on_its_line(capsys):
    print_table(["name"], [["a\nb\x1b[31m\udcff"]], color=False)
    assert capsys.readouterr().out.splitlines()[1] == r"a\nb\x1b[31m\udcff"
    assert printable("ümlaut [red] 日本") == "ümlaut [red] 日本"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"),
        (1_503_238_553, "1.4 GiB"), (5 << 50, "5120.0 TiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0, "0 s"), (0.34, "340 ms"), (1.26, "1.3 s"), (12, "12 s"), (59.7, "1 min"), (200, "3 min 20 s"),
        (3600, "1 h"), (3605, "1 h"), (442_800, "5 d 3 h"), (timedelta(hours=72), "3 d"), (-5, "-5.0 s"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds, text):
    assert human_duration(seconds) == text


def test_a_time_for_people_says_its_zone():
    moment = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
    assert human_time(None) == ""
    assert datetime.fromisoformat(human_time(moment).replace(" ", "T", 1).replace(" ", "")) == moment
