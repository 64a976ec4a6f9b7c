"""Small versions of the measurements: that they run, and that the books of a day are right. Speed is not judged."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.benchmarks import day, ledger, report
from tests.benchmarks.__main__ import MEASUREMENTS, main
from tests.benchmarks.figures import Figure, Result, bar_of, met
from tests.benchmarks.machine import machine
from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Report
from tests.benchmarks.sampling import Sample, growth

CHECKOUT = Path(__file__).parents[2]
DAY_SECONDS = 42


@pytest.mark.timeout(300)
def test_a_day_of_drops_kills_and_outages_leaves_the_books_right(capsys):
    found = Report(name="day", result=day.measure(DAY_SECONDS / day.HOUR_SECONDS))
    report.print_table([found])
    assert not [figure for figure in found.figures if met(figure) is False], capsys.readouterr().out
    assert found.result is not None
    assert {series.y_label for series in found.result.series} >= {"MiB resident", "descriptors", "write-ahead log MiB"}


def test_a_measurement_reports_its_figures_and_the_machine_as_one_line_of_json():
    command = [sys.executable, "-m", "tests.benchmarks", "drop", "--scale", "0.04", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    document = json.loads(line)
    assert document["machine"]["cores"] >= 1
    drop = document["measurements"]["drop"]
    assert not drop["broken"], drop
    assert {figure["bar"] for figure in drop["figures"]} == {"", "<= 25", "<= 100", "<= 150"}
    assert all(0 < figure["value"] < 30_000 for figure in drop["figures"])
    assert all(series["y"] for series in drop["series"])


def test_a_ledger_of_years_is_made_and_every_query_of_it_is_measured():
    found = ledger.measure(0.0005)
    figures = {figure.what.partition(":")[0]: figure.value for figure in found.figures}
    assert any(what.startswith("longest of ") for what in figures)
    assert 0 < figures["the same less twice the path"] < 5000


def test_an_unknown_name_is_refused_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit) as end:
        main(["drip"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("drip", "drop", "day"))


def test_what_breaks_is_reported_and_the_others_are_measured_all_the_same(monkeypatch, capsys):
    monkeypatch.setitem(MEASUREMENTS, "drop", "tests.benchmarks.no_such_module")
    monkeypatch.setitem(sys.modules, MEASUREMENTS["day"], SimpleNamespace(measure=_quick))
    assert main(["drop", "day"]) == 1
    shown = capsys.readouterr().out
    assert "ModuleNotFoundError" in shown
    assert "100th" in shown


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_a_missed_bar_ends_with_1_only_when_it_is_to_be_strict(monkeypatch, capsys, strict, code):
    monkeypatch.setitem(sys.modules, MEASUREMENTS["drop"], SimpleNamespace(measure=_quick))
    assert main(["drop", *strict]) == code
    assert "✗" in capsys.readouterr().out


def _quick(_scale: float) -> Result:
    """Take no time."""
    return Result(figures=[Figure(what="100th", value=3.0, unit="ms", bar="<= 2", beside="1 ms")])


@pytest.mark.parametrize(
    ("bar", "value", "expected"),
    [
        ("", 1, None),
        ("<= 2", 2, True),
        ("<= 2", 2.1, False),
        (">= 0.35", 0.35, True),
        ("== 0", 1, False),
        ("< 2", 2, False),
    ],
)
def test_a_figure_is_held_to_its_bar(bar, value, expected):
    assert met(Figure(what="x", value=value, unit="", bar=bar)) is expected


@pytest.mark.parametrize("bar", ["25", "=< 25", "<= fast", "<=25"])
def test_a_bar_that_nobody_can_judge_is_an_error(bar):
    with pytest.raises(ValueError, match=r"bar|could not convert"):
        bar_of(Figure(what="x", value=1, unit="", bar=bar))


def test_the_table_of_the_readme_has_a_line_a_figure(capsys):
    report.print_markdown(machine(), [Report(name="drop", result=_quick(1.0))])
    assert "| `drop` | 100th | 3 ms | ≤ 2 ✗ | 1 ms |" in capsys.readouterr().out.splitlines()


def test_what_was_written_as_json_is_read_again_and_files_are_taken_together(monkeypatch, capsys, tmp_path):
    for name in ("day", "drop"):
        monkeypatch.setitem(sys.modules, MEASUREMENTS[name], SimpleNamespace(measure=_quick))
        main([name, "--json"])
        (tmp_path / name).write_text(capsys.readouterr().out)
    assert main(["--markdown", "--read", str(tmp_path / "day"), "--read", str(tmp_path / "drop")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[-2:]] == ["`drop`", "`day`"]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0 ms"), (3.0, "3 ms"), (0.0123, "0.012 ms"), (12.34, "12.3 ms"), (2291.4, "2,291 ms")]
)
def test_a_number_has_the_digits_that_say_something(value, expected):
    assert report.shown(Figure(what="x", value=value, unit="ms")) == expected


def _life(*resident: float) -> list[Sample]:
    rest = {"pid": 1, "descriptors": 1, "threads": 1, "cpu_seconds": 0.0, "ledger_mib": 0.0, "wal_mib": 0.0}
    return [Sample(at_seconds=float(n), resident_mib=mib, **rest) for n, mib in enumerate(resident)]


def test_growth_is_that_of_the_last_two_thirds_and_not_of_the_start():
    assert growth(_life(*range(10), *[10] * 20), lambda one: one.resident_mib) == pytest.approx(0, abs=0.5)
    assert growth(_life(*range(31)), lambda one: one.resident_mib) == pytest.approx(19)
    assert growth(_life(1, 2, 3), lambda one: one.resident_mib) is None


def _ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        try:
            while data := connection.recv(100):
                answer += data
        except ConnectionResetError:
            return b"reset"
        return answer


def test_a_relay_passes_on_answers_503_or_resets_and_passes_on_again():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        with Relay(server.getsockname()[1]) as relay:
            assert _ask(relay.port) == b"hello"
            relay.down(answering=True)
            assert _ask(relay.port).startswith(b"HTTP/1.1 503 ")
            relay.down(answering=False)
            assert _ask(relay.port) in {b"reset", b""}
            relay.up()
            assert _ask(relay.port) == b"hello"
        thread.join(10)


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "x"])
def test_a_scale_that_measures_nothing_is_refused(scale, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["drop", f"--scale={scale}"])
    assert ended.value.code == 2
    assert "must be a number above 0" in capsys.readouterr().err
