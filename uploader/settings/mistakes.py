"""Pydantic's errors as our own sentences, without the values they would repeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from uploader.errors import Problem
from uploader.settings.layers import plain, section_models, unknown_key
from uploader.settings.model import SourceSettings
from uploader.settings.values import SOURCE_NAME

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "finite_number": "must be a finite number",
}


_UNNAMED = "unnamed--"
"""Stands in for a source's bad name while the rest is judged."""


def explained(loc: Sequence[str | int], error: ErrorDetails, sources: Sequence[Any]) -> Problem:
    """Return `error` at `loc` as a problem; `sources` are the raw ones, by which theirs are named."""
    message = unknown_key(tuple(loc)) if error["type"] == "extra_forbidden" else _sentence(error)
    return Problem(field=_field(loc, sources), message=message)


def source_label(index: int, sources: Sequence[Any]) -> str:
    """Return how the keys of a source are named: by its name if it has a good one, else by its place."""
    source = sources[index] if index < len(sources) else None
    name = source.get("name") if isinstance(source, dict) else None
    if isinstance(name, str) and SOURCE_NAME.fullmatch(name):
        return f"sources.{name}"
    return f"sources[{index}]"


def without_mistakes(data: dict[str, Any], locations: Iterable[Sequence[str | int]]) -> dict[str, Any]:
    """Return `data` without what is at `locations`, so that the rest can be judged.

    A source or section that lacks a key it cannot do without goes as a whole; a source with a bad
    name stays under another (see `named_as_given`).
    """
    rest = {name: _copy(content) for name, content in data.items()}
    dropped: set[int] = set()
    for loc in locations:
        if loc[0] == "sources" and isinstance(rest.get("sources"), list) and len(loc) > 1:
            index = int(loc[1])
            if len(loc) > 2 and loc[2] == "name":
                rest["sources"][index]["name"] = f"{_UNNAMED}{index}"
            elif len(loc) == 2 or _is_required(SourceSettings, loc[2]):
                dropped.add(index)
            else:
                rest["sources"][index].pop(loc[2], None)
        elif len(loc) == 1 or _is_required(section_models()[str(loc[0])], loc[1]):
            rest.pop(str(loc[0]), None)
        elif isinstance(rest.get(str(loc[0])), dict):
            rest[str(loc[0])].pop(loc[1], None)
    if dropped:
        rest["sources"] = [s for i, s in enumerate(rest["sources"]) if i not in dropped]
    return rest


def _copy(content: Any) -> Any:
    # only as deep as is changed: what came from outside may be nested without end
    if isinstance(content, list):
        return [dict(entry) if isinstance(entry, dict) else entry for entry in content]
    return dict(content) if isinstance(content, dict) else content


def named_as_given(problem: Problem) -> Problem:
    """Return `problem` with the label of a source whose name was itself a mistake put right."""
    head, key = problem.field.partition(".")[::2]
    name, _, rest = key.partition(".")
    if head == "sources" and name.startswith(_UNNAMED):
        field = f"sources[{name.removeprefix(_UNNAMED)}].{rest}"
        return Problem(field=field, message=problem.message)
    return problem


def covers(reported: str, field: str) -> bool:
    """Say whether a mistake at `reported` makes one at `field` its mere consequence."""
    return field == reported or field.startswith(f"{reported}.") or reported.startswith(f"{field}.")


def _is_required(model: Any, key: str | int) -> bool:
    field = model.model_fields.get(str(key))
    return field is not None and field.is_required()


def _field(loc: Sequence[str | int], sources: Sequence[Any]) -> str:
    in_source = loc[0] == "sources" and len(loc) > 1
    parts = [source_label(int(loc[1]), sources), *loc[2:]] if in_source else loc
    return "".join(f"[{part}]" if isinstance(part, int) else f".{plain(part)}" for part in parts)[1:]


def _sentence(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return "must be one of " + str(context["expected"]).replace("'", '"')
    bounds = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
    bounds |= {"greater_than": ("more than", "gt")}
    if kind in bounds:
        word, key = bounds[kind]
        return f"must be {word} {context[key]:g}"
    if kind == "too_short":
        return "must not be empty"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    return _SENTENCES.get(kind, "is not valid")
