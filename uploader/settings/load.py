"""Loading the configuration: find the file, hand all places to pydantic-settings, report all mistakes at once.

Precedence: command line, environment, credentials directory, file, default. No message repeats a
value: pydantic's own messages, which do, are replaced by ours.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from uploader.errors import ConfigurationError, Problem
from uploader.settings.checks import check, check_source
from uploader.settings.layers import CONFIG_VARIABLE, PREFIX
from uploader.settings.mistakes import covers, explained, named_as_given, source_label, without_mistakes
from uploader.settings.model import Settings, SourceSettings
from uploader.settings.secrets import Vault
from uploader.settings.sources import CommandLine, Credentials, Environment, File, Gathered, Origin, Place

DEFAULT_PATH = Path("/etc/qm-uploader/config.toml")
_LARGEST_BYTES = 4 * 1024 * 1024
_INIT_HINT = "write one with `qm-uploader config init`, or name another with --config"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The configuration in force. `path` is None when no file was needed.

    `origins` has the dotted key of everything that is set; what is not in it is a default. Keys of
    sources are `sources.NAME.KEY`.
    """

    settings: Settings
    path: Path | None
    warnings: tuple[Problem, ...]
    origins: Mapping[str, Origin]


def config_path(path: Path | None, *, environ: Mapping[str, str]) -> Path:
    """Return where the file is looked for: `path`, else `$QM_UPLOADER_CONFIG`, else the default."""
    if path is not None:
        return path
    named = environ.get(CONFIG_VARIABLE)
    return Path(named) if named else DEFAULT_PATH


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
    need_secrets: bool,
) -> LoadedSettings:
    """Return the configuration in force.

    `overrides` are the command line's values by dotted key. Without `need_secrets` no secret file is
    opened and no secret need exist. A file need not exist when none was named and any `QM_UPLOADER_*`
    variable is set.

    Raises ConfigurationError with every mistake.
    """
    found = _existing(path, environ)
    text, mode = _read(found)
    vault = Vault(environ=environ, need_secrets=need_secrets)
    file = File(text, vault)
    places = (CommandLine(overrides or {}, vault), Environment(environ, vault), Credentials(vault), file)
    settings, gathered, mistakes = _validated(places)
    problems = [problem for place in places for problem in place.problems]
    # a file that cannot be read at all makes every key of it look missing
    if not file.problems:
        fields = [problem.field for problem in mistakes]
        of_secrets = [*vault.problems, *vault.missing(gathered.data)]
        problems += [*mistakes, *(p for p in of_secrets if not any(covers(f, p.field) for f in fields))]
    if problems:
        raise _error(found, problems)
    return LoadedSettings(settings=settings, path=found, warnings=_exposed(file, mode), origins=_origins(gathered))


def changed_source(source: SourceSettings, changes: Mapping[str, Any]) -> SourceSettings:
    """Return `source` with the command line's `changes` to its keys, judged like the file's.

    Raises ConfigurationError with every mistake.
    """
    raw = source.model_dump(exclude_unset=True) | dict(changes)
    try:
        made = SourceSettings.model_validate(raw)
    except ValidationError as exc:
        label = ("sources", 0)
        problems = [explained((*label, *error["loc"]), error, [raw]) for error in exc.errors()]
        raise _error(None, problems) from None
    problems = list(check_source(made, label=f"sources.{made.name}"))
    if problems:
        raise _error(None, problems)
    return made


def _existing(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    found = config_path(path, environ=environ)
    try:
        found.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        return found  # it cannot be looked at: reading it will say why
    else:
        return found
    named = path is not None or environ.get(CONFIG_VARIABLE)
    if not named and any(name.startswith(PREFIX) and name != CONFIG_VARIABLE for name in environ):
        return None
    raise ConfigurationError(f"there is no configuration file {found}", hint=_INIT_HINT)


def _read(path: Path | None) -> tuple[str, int]:
    """Return the file's text and its mode bits."""
    if path is None:
        return "", 0
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(_LARGEST_BYTES + 1)
        if len(raw) > _LARGEST_BYTES:
            raise ConfigurationError(f"the configuration file {path} is larger than 4 MiB")
        return raw.decode("utf-8-sig").replace("\r\n", "\n"), mode
    except OSError as exc:
        hint = "run the command as the user of the service, or mend the file's rights"
        raise ConfigurationError(f"the configuration file {path} cannot be read ({exc.strerror})", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"the configuration file {path} is not UTF-8 text") from exc


def _validated(places: Sequence[Place]) -> tuple[Settings, Gathered, list[Problem]]:
    """Return the model, what it was made of, and every mistake.

    pydantic stops at the single keys; without those at fault the rest is judged together too.
    """
    gathered = Gathered()
    problems: list[Problem] = []
    try:
        settings = Settings.gathered((*places, gathered))
    except ValidationError as exc:
        errors = exc.errors()
        problems = [_mistake(error, gathered) for error in errors]
        settings = Settings(**without_mistakes(gathered.data, [error["loc"] for error in errors]))
    together = [named_as_given(problem) for problem in check(settings)]
    reported = [problem.field for problem in problems]
    problems += [p for p in together if not any(covers(field, p.field) for field in reported)]
    return settings, gathered, problems


def _mistake(error: ErrorDetails, gathered: Gathered) -> Problem:
    loc, sources = error["loc"], gathered.data.get("sources")
    problem = explained(loc, error, sources if isinstance(sources, list) else [])
    dotted = "sources" if loc[0] == "sources" else ".".join(str(part) for part in loc[:2])
    origin = gathered.origins.get(dotted)
    if origin is Origin.ENVIRONMENT:
        variable = PREFIX + dotted.upper().replace(".", "__")
        return Problem(field=problem.field, message=f"{problem.message} (set by {variable})")
    if origin is Origin.COMMAND_LINE:
        return Problem(field=problem.field, message=f"{problem.message} (set on the command line)")
    return problem


def _exposed(file: File, mode: int) -> tuple[Problem, ...]:
    zoom = file.data.get("zoom")
    if mode & 0o044 and isinstance(zoom, dict) and zoom.get("client_secret"):
        message = "stands in a file that others can read: chmod 600 the file, or use client_secret_file"
        return (Problem(field="zoom.client_secret", message=message),)
    return ()


def _origins(gathered: Gathered) -> dict[str, Origin]:
    origins = gathered.origins
    of_sources = origins.pop("sources", Origin.FILE)
    sources = gathered.data.get("sources", [])
    for index, source in enumerate(sources):
        label = source_label(index, sources)
        origins.update({f"{label}.{key}": of_sources for key in source})
    return origins


def _error(path: Path | None, problems: list[Problem]) -> ConfigurationError:
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    where = f"the configuration {path}" if path is not None else "the configuration"
    return ConfigurationError(f"{where} has {count}", problems=tuple(problems))
