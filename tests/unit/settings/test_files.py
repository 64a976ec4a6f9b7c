"""The files that the project carries: the example works, the reference is whole."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import uploader
from uploader.errors import ConfigurationError
from uploader.settings.example import example_text
from uploader.settings.layers import section_models
from uploader.settings.load import load
from uploader.settings.model import SourceSettings

REFERENCE = Path(uploader.__file__).parents[1] / "config" / "config.reference.toml"
TABLES = section_models() | {"sources": SourceSettings}
PLACEHOLDERS = {("sources", "name"), ("sources", "type"), ("staging", "type")}


def _raw(name: str) -> dict[str, Any]:
    table = tomllib.loads(REFERENCE.read_text())[name]
    return table[0] if name == "sources" else table


def _is_commented(name: str, key: str) -> bool:
    text = REFERENCE.read_text()
    header = "\n[[sources]]" if name == "sources" else f"\n[{name}]"
    return f"\n# {key} = " in text.partition(header)[2].partition("\n\n")[0]


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, model in TABLES.items() for key in model.model_fields])
def test_the_reference_has_every_key_with_its_default(name: str, key: str):
    info = TABLES[name].model_fields[key]
    default = info.get_default(call_default_factory=True)
    if default is None:
        assert _is_commented(name, key)
        return
    raw = _raw(name)
    assert key in raw
    if (name, key) in PLACEHOLDERS:
        return
    complete = {k: v for k, v in raw.items() if k == key or (name, k) in PLACEHOLDERS}
    assert getattr(TABLES[name].model_validate(complete), key) == default


@pytest.mark.parametrize("name", TABLES)
def test_the_reference_has_no_key_that_the_model_lacks(name: str):
    assert set(_raw(name)) <= set(TABLES[name].model_fields)


def test_every_key_of_the_reference_has_a_line_on_it():
    lines = REFERENCE.read_text().splitlines()
    keys = [line for line in lines if re.match(r"(# )?[a-z_]+ = |\[sources.defaults\]", line)]
    assert len(keys) == sum(len(model.model_fields) for model in TABLES.values())
    assert not [line for line in keys if "#" not in line.removeprefix("# ")]


def test_the_example_has_at_most_25_lines():
    assert len(example_text().splitlines()) <= 25


def test_the_example_unedited_asks_for_what_must_be_edited(write):
    with pytest.raises(ConfigurationError) as caught:
        load(write(example_text()), environ={}, need_secrets=False)
    assert [p.field for p in caught.value.problems] == ["zoom.account_id", "zoom.client_id", "staging.bucket"]


def test_the_example_works_after_its_four_edits(write, tmp_path):
    edits = {"# 1:": "account", "# 2:": "client", "# 3:": str(tmp_path), "# 4:": "bucket"}
    lines = []
    for line in example_text().splitlines():
        mark = next((mark for mark in edits if mark in line), None)
        lines.append(f'{line.partition(" = ")[0]} = "{edits.pop(mark)}"' if mark else line)
    assert edits == {}
    secret = tmp_path / "zoom-secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    text = "\n".join(lines).replace("/etc/qm-uploader/zoom-secret", str(secret))
    loaded = load(write(text), environ={}, need_secrets=True)
    assert loaded.warnings == ()
    assert loaded.settings.sources[0].path == str(tmp_path)
