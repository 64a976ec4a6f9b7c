"""What is written for people agrees with the program."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

import uploader
from uploader.cli.main import COMMANDS
from uploader.domain.lifecycle import diagram
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State

ROOT = Path(uploader.__file__).parents[1]
README = (ROOT / "README.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()


def first_column(heading: str) -> list[str]:
    """Return what stands in code marks in the first column of the table under a heading of the README."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def fenced_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_is_in_the_readme():
    named = {entry.split()[0] for entry in first_column("Commands")}
    assert named == set(COMMANDS)


def test_every_state_is_in_the_readme_in_its_order():
    assert first_column("The states of a recording") == [state.value for state in State]


def test_the_diagram_is_that_of_the_table_of_transitions():
    assert f"```mermaid\n{diagram()}```" in README


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_code_stands_in_the_readme_as_the_program_explains_it(reason: Reason):
    meaning, action = REASONS[reason]
    assert f"| `{reason.value}` | {meaning} | {action} |" in README


def test_the_readme_has_no_reason_code_that_the_program_lacks():
    assert set(first_column("Reason codes")) == {reason.value for reason in Reason}


@pytest.mark.parametrize(("ending", "purpose"), [("qm-uploader demo", "the demo"), ("pytest", "the tests")])
def test_one_complete_line_starts_on_a_fresh_machine(ending: str, purpose: str):
    lines = [line for line in fenced_lines() if line.endswith(f"/{ending}")]
    assert len(lines) == 1, f"the README needs one line that runs {purpose}"
    assert "-m venv " in lines[0]
    assert "pip install " in lines[0]


def test_every_file_that_the_readme_points_to_is_there():
    named = re.findall(r"`((?:config|systemd|uploader|tests)/[\w./-]+)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_newest_version_of_the_changelog_is_the_programs():
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", CHANGELOG, re.MULTILINE)
    assert versions[0][0] == uploader.__version__
    numbers = [tuple(map(int, version.split("."))) for version, _ in versions]
    assert numbers == sorted(numbers, reverse=True)
    assert all(date.fromisoformat(day) for _, day in versions)


def test_the_changelog_knows_only_the_headings_of_its_format():
    headings = re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_in_use_gets_security_fixes():
    major, minor, _ = uploader.__version__.split(".")
    assert f"| {major}.{minor}.x | yes |" in SECURITY


def test_the_licence_is_whole():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert len(licence.splitlines()) >= 200
