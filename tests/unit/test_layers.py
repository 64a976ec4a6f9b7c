"""The layers hold: who may import whom, what stays pure, and how long a module may be.

cli → app, daemon → web → service → pipeline → adapters → platform, domain → errors. Packages on one
level do not import each other.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import uploader

ROOT = Path(uploader.__file__).parent
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

ADAPTERS = ("sources", "staging", "zoom", "sidecars", "media", "ledger")
BASE = ("platform", "domain", "errors")
BELOW_SERVICE = ("pipeline", *ADAPTERS, *BASE)
BELOW_APP = ("web", "service", *BELOW_SERVICE)
MAY_IMPORT = {
    "errors": (),
    "domain": ("errors",),
    "platform": ("errors",),
    **dict.fromkeys(ADAPTERS, BASE),
    "pipeline": (*ADAPTERS, *BASE),
    "service": BELOW_SERVICE,
    "web": ("service", *BELOW_SERVICE),
    "settings": ("domain", "errors"),
    "app": ("settings", *BELOW_APP),
    "daemon": ("app", "settings", *BELOW_APP),
    "cli": ("daemon", "app", "settings", "sandbox", "demo", *BELOW_APP),
    "__main__": ("cli",),
    "sandbox": ("errors",),
    "demo": (),
    "__init__": (),
}
"""What each package or module directly under `uploader` may import beside itself."""
EXCEPTIONS = {
    ("platform/filesystem.py", "domain"): "a file's Stamp is the domain's word for what the system says of it",
}

FOREIGN = {
    "httpx": ("platform/http.py",),
    "httpcore": ("platform/http.py", "platform/sockets.py"),
    "boto3": ("platform/s3/",),
    "botocore": ("platform/s3/",),
    "mypy_boto3_s3": ("platform/s3/",),
    "sqlite3": ("ledger/", "service/imports/"),  # imports keep lists too long for memory in temporary files
    "sqlite_utils": ("ledger/schema.py",),
    "watchdog": ("sources/folder/watch.py", "sources/folder/emitter.py"),
    "ctypes": ("sources/folder/inotify.py",),
    "prometheus_client": ("web/exposition.py",),
    "uvicorn": ("web/", "sandbox/"),
    "starlette": ("web/", "sandbox/"),
    "pydantic": ("settings/", "cli/config.py"),
    "pydantic_core": ("settings/",),
    "pydantic_settings": ("settings/",),
    "click": ("cli/",),
    "rich": ("cli/",),
}
"""Libraries that are known in one place only, so that changing one is a small matter."""
FOREIGN_EXCEPTIONS = {
    ("service/doctor/machine.py", "sqlite3"): "says which version is in use",
}

IMPURE = {
    "asyncio", "builtins", "ctypes", "http", "importlib", "io", "logging", "multiprocessing", "os", "pathlib", "queue",
    "random", "secrets", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading",
    "time", "urllib", "uuid", "zoneinfo",
}  # fmt: skip

LONGEST = 400
LONG = {}
"""Modules above the limit, and why they are not two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import statement's module; `at` is where it stands."""

    file: str
    module: str
    at: int

    @property
    def is_ours(self) -> bool:
        return self.module.partition(".")[0] == "uploader"

    @property
    def package(self) -> str:
        """What lies directly under `uploader` for one of ours, else the name of the library."""
        return self.module.split(".")[1 if self.is_ours else 0]

    def __str__(self) -> str:
        return f"{self.file}:{self.at} imports {self.module}"


def imports_of(file: str) -> list[Import]:
    """Return every import of a module, also those in functions and for type checking only."""
    found = []
    for node in ast.walk(ast.parse(FILES[file].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [Import(file=file, module=name, at=node.lineno) for name in names if name != "uploader"]
    return [one for one in found if one.module != "uploader.__version__"]


def package_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


IMPORTS = [one for file in FILES for one in imports_of(file)]


def test_every_package_has_its_layer():
    assert {package_of(file) for file in FILES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package: str):
    allowed = {package, *MAY_IMPORT[package]}
    wrong = [
        str(one)
        for one in IMPORTS
        if package_of(one.file) == package
        and one.is_ours
        and one.package not in allowed
        and (one.file, one.package) not in EXCEPTIONS
    ]
    assert not wrong


@pytest.mark.parametrize("library", FOREIGN)
def test_a_library_is_imported_in_its_one_place_only(library: str):
    wrong = [
        str(one)
        for one in IMPORTS
        if not one.is_ours
        and one.package == library
        and not one.file.startswith(FOREIGN[library])
        and (one.file, library) not in FOREIGN_EXCEPTIONS
    ]
    assert not wrong


def test_the_domain_is_pure():
    of_domain = [one for one in IMPORTS if package_of(one.file) == "domain" and not one.is_ours]
    assert not [str(one) for one in of_domain if one.package not in sys.stdlib_module_names - IMPURE]


def test_the_domain_reads_no_clock_and_opens_nothing():
    wrong = []
    for file in (file for file in FILES if package_of(file) == "domain"):
        for node in ast.walk(ast.parse(FILES[file].read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {
                "now", "utcnow", "today", "open", "print", "input", "eval", "exec", "__import__",
            }:  # fmt: skip
                wrong.append(f"{file}:{node.lineno} calls {ast.unparse(node.func)}")
    assert not wrong


def test_every_exception_is_still_one():
    ours = {(one.file, one.package) for one in IMPORTS if one.is_ours}
    foreign = {(one.file, one.package) for one in IMPORTS if not one.is_ours}
    assert set(EXCEPTIONS) <= ours
    assert set(FOREIGN_EXCEPTIONS) <= foreign


def test_every_module_says_what_it_is():
    assert not [file for file, path in FILES.items() if not ast.get_docstring(ast.parse(path.read_text()))]


def test_a_module_that_is_too_long_has_a_reason():
    lengths = {file: len(path.read_text().splitlines()) for file, path in FILES.items()}
    assert {file for file, length in lengths.items() if length > LONGEST} == set(LONG)
