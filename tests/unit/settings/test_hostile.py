"""Whatever stands in the configuration, the answer is settings or a list of mistakes, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import ConfigurationError
from uploader.settings.layers import section_models
from uploader.settings.load import load
from uploader.settings.model import Settings, SourceSettings

SECTIONS = section_models()
PRINTABLE = st.characters(codec="utf-8", exclude_categories=["C"])
WORDS = st.sampled_from(
    ["", "0", "5s", "x", "/x", "s3", "folder", "builtin", "true", "https://h/", "http://[", "h:1", "native", "hq", "*"]
)
SCALARS = WORDS | st.text(PRINTABLE, max_size=8) | st.integers(-5, 2**63) | st.booleans() | st.floats(0, 9)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(PRINTABLE, max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _table(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys) | st.text(PRINTABLE, max_size=5), VALUES, max_size=6)


TABLES = {name: _table(list(model.model_fields)) | VALUES for name, model in SECTIONS.items()}
TABLES["sources"] = st.lists(_table(list(SourceSettings.model_fields)) | VALUES, max_size=3) | VALUES


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return f"{value:f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


@given(
    st.dictionaries(st.sampled_from(list(TABLES)), st.none(), max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: TABLES[name] for name in names})
    ),
    st.booleans(),
)
def test_any_document_gives_settings_or_mistakes(tmp_path_factory, document, need_secrets):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(f"{name} = {_toml(content)}" for name, content in document.items()))
    path.chmod(0o600)
    try:
        loaded = load(path, environ={}, need_secrets=need_secrets)
    except ConfigurationError as exc:
        assert exc.problems
        assert all(problem.field and problem.message for problem in exc.problems)
        assert [p for p in exc.problems if p.field == "file"] == []
    else:
        assert isinstance(loaded.settings, Settings)


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_deep_nesting_is_a_mistake(problems, depth):
    nested = "[" * depth + "]" * depth
    environ = {"QM_UPLOADER_SOURCES": f'[{{"name": "x", "type": "s3", "exclude": {nested}}}]'}
    assert problems("", environ=environ)
