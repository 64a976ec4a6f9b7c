"""The places that values come from, as sources of pydantic-settings, which merges them by precedence.

Each place has one layer and what is wrong with it by itself. The library's own sources would read this
process's environment, pass over unknown names, and stop at the first mistake. It forgets where a value
came from, and what was merged when that is refused: `Gathered` keeps both.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from uploader.settings.layers import Layer, environment_layer, file_layer, override_layer
from uploader.settings.model import Settings
from uploader.settings.secrets import Vault


class Origin(StrEnum):
    """Where a value came from, by falling precedence; what is in none is a default."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    CREDENTIALS = "credentials"
    FILE = "file"


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one field's value as it stands: the library demands it, but asks for all at once."""
        return self().get(field_name), field_name, False


class Place(_Source):
    """One place with its layer. `problems` are of the layer itself; those of secrets are the vault's."""

    origin: ClassVar[Origin]

    def __init__(self, layer: Layer, vault: Vault) -> None:
        super().__init__(Settings)
        self.data = layer.data
        self.problems = layer.problems
        self._vault = vault

    def __call__(self) -> dict[str, Any]:
        """Return what stands here, with a secret only where no place above has it."""
        return self._vault.settled(self.data, above=self.current_state)


class CommandLine(Place):
    """The command line's values, by dotted key."""

    origin = Origin.COMMAND_LINE

    def __init__(self, overrides: Mapping[str, str], vault: Vault) -> None:
        super().__init__(override_layer(overrides), vault)


class Environment(Place):
    """The variables in `environ`, which is handed in."""

    origin = Origin.ENVIRONMENT

    def __init__(self, environ: Mapping[str, str], vault: Vault) -> None:
        super().__init__(environment_layer(environ), vault)


class Credentials(Place):
    """The credentials directory, of which the vault knows."""

    origin = Origin.CREDENTIALS

    def __init__(self, vault: Vault) -> None:
        super().__init__(Layer(data={}), vault)

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that lie there and no place above has."""
        return self._vault.credentials(above=self.current_state)


class File(Place):
    """The text of the configuration file, "" where there is none."""

    origin = Origin.FILE

    def __init__(self, text: str, vault: Vault) -> None:
        super().__init__(file_layer(text), vault)


class Gathered(_Source):
    """Stands below all places and adds nothing: keeps what they came to, even if that is refused."""

    def __init__(self) -> None:
        super().__init__(Settings)

    def __call__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    @property
    def data(self) -> dict[str, Any]:
        """Return what all places came to."""
        return self.current_state

    @property
    def origins(self) -> dict[str, Origin]:
        """Return where each dotted key came from; `sources` is one key."""
        origins: dict[str, Origin] = {}
        for place in (File, Credentials, Environment, CommandLine):
            for section, content in self.settings_sources_data.get(place.__name__, {}).items():
                keys = [f"{section}.{key}" for key in content] if isinstance(content, dict) else [section]
                origins.update(dict.fromkeys(keys, place.origin))
        return origins
