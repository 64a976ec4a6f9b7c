"""What every test may use: required parts, no leaked threads, a clean environment."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NoReturn

import pytest
import structlog

pytest_plugins = ("tests.s3_server",)


def missing(message: str) -> NoReturn:
    """Skip for a part that is not to be had here, but fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def need(program: str, package: str) -> str:
    """Return the path of `program`; skip with the command that installs it, but fail in CI."""
    found = shutil.which(program)
    if found is None:
        message = f"{program} is missing: install it with `apt-get install {package}`"
        missing(message)
    return found


@pytest.fixture(name="need")
def need_fixture():
    return need


@pytest.fixture(autouse=True)
def _no_leaked_threads():
    before = set(threading.enumerate())
    yield
    leaked = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in leaked:
        thread.join(timeout=5)
    assert not [t.name for t in leaked if t.is_alive()], "threads were left behind"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith(("QM_UPLOADER", "AWS_", "NOTIFY_SOCKET", "WATCHDOG_", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """End what a program that ran inside the test configured: it would show in the tests after it."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    levels = {name: one.level for name, one in root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    yield
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, one in root.manager.loggerDict.items():
        if isinstance(one, logging.Logger):
            # a level that came with an import stays: the module is not imported again
            one.setLevel(levels.get(name, one.level))
            one.propagate = True
            one.disabled = False


@pytest.fixture
def small_disk(tmp_path: Path):
    """Return a function that mounts a file system of so many MiB; needs root, and must not be missing in CI."""
    mounted: list[Path] = []

    def mount(mebibytes: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "qm-uploader-test", str(place)]
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            missing("a file system can be mounted by root only: run the tests as root, or in `unshare -Urm`")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)
