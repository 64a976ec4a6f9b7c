"""The example configuration that the package carries."""

from __future__ import annotations

from importlib import resources

import uploader


def example_text() -> str:
    """Return the example configuration.

    A wheel has it beside this module; a checkout that is installed editable has it in `config/`.
    """
    carried = resources.files(uploader) / "settings" / "config.example.toml"
    if carried.is_file():
        return carried.read_text(encoding="utf-8")
    checkout = resources.files(uploader) / ".." / "config" / "config.example.toml"
    return checkout.read_text(encoding="utf-8")
