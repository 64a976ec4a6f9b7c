"""The unit file, judged by systemd's own tools; nothing is booted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "systemd" / "qm-uploader.service"


def unit_text() -> str:
    return UNIT.read_text(encoding="utf-8")


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit_text(), re.MULTILINE)


@pytest.fixture
def checkable(tmp_path: Path) -> Path:
    """A copy whose program exists: `verify` looks for it."""
    copy = tmp_path / UNIT.name
    changed, count = re.subn(r"^(ExecStart=)/opt/\S+", r"\1/bin/true", unit_text(), flags=re.MULTILINE)
    assert count == 1
    copy.write_text(changed, encoding="utf-8")
    return copy


def analyze(need, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = need("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_verify_has_nothing_to_say(need, checkable: Path) -> None:
    result = analyze(need, "verify", str(checkable))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_verify_would_have_something_to_say_about_an_unknown_key(need, checkable: Path) -> None:
    checkable.write_text(checkable.read_text().replace("WatchdogSec=", "WatchdogSecs="), encoding="utf-8")
    result = analyze(need, "verify", str(checkable))
    assert "WatchdogSecs" in result.stdout + result.stderr


def test_exposure_is_at_most_one_and_a_half(need, checkable: Path) -> None:
    result = analyze(need, "security", "--offline=true", "--no-pager", "--threshold=15", str(checkable))
    found = re.search(r"Overall exposure level.*: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= 1.5
    assert result.returncode == 0


def test_every_exec_line_is_one_physical_line() -> None:
    lines = [line for line in unit_text().splitlines() if line.startswith("Exec")]
    assert lines
    assert not [line for line in lines if line.endswith("\\")]


def test_the_program_is_run_with_its_configuration() -> None:
    assert values("ExecStart") == ["/opt/qm-uploader/bin/qm-uploader run --config /etc/qm-uploader/config.toml"]


def test_mistakes_that_a_restart_cannot_mend_are_not_restarted() -> None:
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == ["2 3"]


def test_stopping_has_more_time_than_the_daemon_takes_by_default() -> None:
    assert values("TimeoutStopSec") == ["90s"]
    assert values("KillMode") == ["mixed"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("StateDirectory", "qm-uploader"),
        ("LoadCredential", "zoom_client_secret:/etc/qm-uploader/zoom-secret"),
        ("ProtectSystem", "strict"),
    ],
)
def test_the_unit_promises(key: str, value: str) -> None:
    assert values(key) == [value]


def test_only_the_state_directory_may_be_written() -> None:
    assert not values("ReadWritePaths")
    assert not values("BindPaths")
