"""What stands in each place that values come from, as one layer; nothing about what a value must look like.

Layers are made here, from text and mappings alone; `sources` hands them to pydantic-settings, which
puts them together. A layer that is wrong in itself gives problems and the part of it that can be read.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uploader.errors import Problem
from uploader.settings.model import Section, Settings, SourceSettings, StagingSettings

PREFIX = "QM_UPLOADER_"
CONFIG_VARIABLE = "QM_UPLOADER_CONFIG"
SOURCES_VARIABLE = "QM_UPLOADER_SOURCES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One place's values as section → key → value; `sources` is a list."""

    data: dict[str, Any]
    problems: tuple[Problem, ...] = ()


def section_models() -> dict[str, type[Section]]:
    """Return the model of every table that is not a list, by its name."""
    models: dict[str, type[Section]] = {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    return models | {"staging": StagingSettings}


def known_keys() -> list[str]:
    """Return every dotted key outside `[[sources]]`."""
    return [f"{name}.{key}" for name, model in section_models().items() for key in model.model_fields]


def file_layer(text: str) -> Layer:
    """Read TOML. A syntax error is one problem that says the line; its layer is empty."""
    try:
        return Layer(data=tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        message = f"is not valid TOML: {exc}"
    except (ValueError, RecursionError):
        message = "is not valid TOML: a number is too long, or tables are nested too deeply"
    return Layer(data={}, problems=(Problem(field="file", message=message),))


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Read `QM_UPLOADER_SECTION__KEY` and `QM_UPLOADER_SOURCES`; other names with the prefix are mistakes."""
    data: dict[str, Any] = {}
    problems: list[Problem] = []
    variables = {_variable(key): key for key in known_keys()}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name == SOURCES_VARIABLE:
            try:
                data["sources"] = json.loads(environ[name])
            except (ValueError, RecursionError):
                problems.append(Problem(field=name, message="must be a JSON list with one object a source"))
        elif name.upper() in variables:
            _put(data, variables[name.upper()], environ[name])
        else:
            problems.append(Problem(field=plain(name), message=_no_variable(name, sorted(variables))))
    return Layer(data=data, problems=tuple(problems))


def override_layer(overrides: Mapping[str, str]) -> Layer:
    """Read the command line's values, by dotted key."""
    data: dict[str, Any] = {}
    for key, value in overrides.items():
        _put(data, key, value)
    return Layer(data=data)


def unknown_key(path: tuple[str | int, ...]) -> str:
    """Say that the key at `path` is unknown, and name the nearest one that is known."""
    from difflib import get_close_matches

    key = str(path[-1])
    if len(path) == 1:
        known = list(Settings.model_fields)
    elif path[0] == "sources":
        known = list(SourceSettings.model_fields)
    else:
        known = list(section_models()[str(path[0])].model_fields)
    near = get_close_matches(key[:64], known, n=1, cutoff=0.6)
    elsewhere = [other for other in known_keys() if other.rpartition(".")[2] == key]
    if near:
        return f"is unknown (did you mean {near[0]}?)"
    if elsewhere:
        return f"is unknown here (did you mean {elsewhere[0]}?)"
    return f"is unknown; known here are {', '.join(known)}"


def plain(name: str) -> str:
    """Return a key as it can be shown: short, and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:80])


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _no_variable(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    if name.upper().startswith((f"{SOURCES_VARIABLE}_", f"{PREFIX}SOURCE_")):
        return f"belongs to no key: all sources come as one JSON list in {SOURCES_VARIABLE}"
    near = get_close_matches(name.upper()[:80], [*known, SOURCES_VARIABLE, CONFIG_VARIABLE], n=1, cutoff=0.6)
    return f"belongs to no key (did you mean {near[0]}?)" if near else "belongs to no key: unset it"


def _put(data: dict[str, Any], dotted: str, value: str) -> None:
    section, _, key = dotted.partition(".")
    data.setdefault(section, {})[key] = value
