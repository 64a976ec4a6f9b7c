"""How quickly a command answers: what it loads, and the processor's time that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger_maker import ROOT, LedgerMaker

CHECKOUT = Path(__file__).parents[3]
FRAME = {"click", "uploader"}
SETTINGS = {
    "annotated_types", "dotenv", "pydantic", "pydantic_core", "pydantic_settings", "typing_extensions",
    "typing_inspection",
}  # fmt: skip
"""What the settings need of others, and those in their turn."""
WHOLE = 0.3
"""Seconds of one core in which a command must have answered."""
TIMES_THE_LIBRARIES = 2.2
"""So many times what Python and the two libraries take alone, where a machine is slow or has much else to do."""
TRIES = 5
LIBRARIES = "import click, pydantic_settings\nclass Model(pydantic_settings.BaseSettings):\n    number: int = 1"
LOADED = """
import sys
before = set(sys.modules)
from uploader.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(*sorted(name for name in loaded if not name.startswith("_")), file=sys.stderr)
"""
LOOKING = (["status"], ["status", "--json"], ["list", "--limit", "20"], ["list", "--json"], ["show", f"{ROOT}/a.wav"])


@pytest.fixture
def environ(tmp_path):
    """An environment with a configuration and a ledger in it."""
    maker = LedgerMaker(tmp_path / "ledger.db")
    maker.quarantined(name=b"a.wav")
    maker.submitted()
    maker.close()
    config = tmp_path / "config.toml"
    config.write_text(
        '[zoom]\naccount_id = "a"\nclient_id = "c"\nclient_secret_file = "/none/secret"\n'
        f'[ledger]\npath = "{tmp_path}/ledger.db"\n'
        f'[[sources]]\nname = "hq"\ntype = "folder"\npath = "{ROOT}"\n'
        '[staging]\ntype = "s3"\nbucket = "b"\n'
    )
    config.chmod(0o600)
    names = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    return {**names, "QM_UPLOADER_CONFIG": str(config)}


def loaded(environ: dict[str, str], args: list[str]) -> set[str]:
    """Return the packages that a command loads besides Python's own."""
    command = [sys.executable, "-c", LOADED, *args]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    return set(ran.stderr.splitlines()[-1].split())


def processor_seconds(environ: dict[str, str], *args: str) -> float:
    """Return what of a core one run of Python takes."""
    before = os.times()
    subprocess.run([sys.executable, *args], env=environ, capture_output=True, timeout=60, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["list", "--help"], ["completion", "bash"]], ids=" ".join)
def test_help_version_and_completion_load_the_frame_only(environ, args):
    assert loaded(environ, args) == FRAME


@pytest.mark.parametrize("args", [*LOOKING, ["verify"], ["config", "show"]], ids=" ".join)
def test_looking_loads_the_settings_and_no_library_that_logs_draws_or_reaches_out(environ, args):
    assert loaded(environ, args) == FRAME | SETTINGS


def test_a_command_ends_without_a_search_for_cycles_in_all_that_it_loaded(environ):
    code = (
        "import gc\nfrom uploader.cli.main import main\ntry:\n    main(['status'])\n"
        "except SystemExit:\n    assert gc.get_freeze_count() > 10_000"
    )
    subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=60, check=True)


@pytest.mark.parametrize("args", [["--help"], *LOOKING], ids=" ".join)
def test_a_command_answers_in_less_than_a_third_of_a_second_of_one_core(environ, args):
    libraries = max(processor_seconds(environ, "-c", LIBRARIES) for _ in range(2))
    most = max(WHOLE, TIMES_THE_LIBRARIES * libraries)
    # a machine that does other things too makes one run slow, not all
    assert any(processor_seconds(environ, "-m", "uploader", *args) < most for _ in range(TRIES))
