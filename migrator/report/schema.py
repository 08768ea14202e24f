"""What `report.json` looks like, as JSON Schema (2020-12), made of the records that it is written from.

python -m migrator.report.schema        writes docs/report.schema.json anew; a test compares it with what stands here
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from migrator.report.json import VERSION
from migrator.report.parts import Part
from migrator.report.summary import Counts, Summary

FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
_MORE: Mapping[type, Mapping[str, Any]] = {
    Counts: {"open": {"type": "integer"}, "closes": {"type": "boolean"}},
    Summary: {"closes": {"type": "boolean"}},
}
"""What `json.plain` adds to the fields of a record."""


def schema() -> dict[str, Any]:
    """Readers must take fields that are not named here: the form grows by additions, `version` changes with anything else."""
    known: dict[str, Any] = {}
    whole = _record(Summary, known)
    files = _of(tuple[Part, ...], known)
    whole["properties"] = {"version": {"const": VERSION}, **whole["properties"], "files": files}
    whole["required"] = ["version", *whole["required"], "files"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "migrator report",
        "description": "Sizes are octets, times seconds since the epoch (UTC), spans seconds. See report-json.md.",
        **whole,
        "$defs": known,
    }


def text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def _record(kind: type, known: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    fields = {field.name: _of(hints[field.name], known) for field in dataclasses.fields(kind)}
    fields |= _MORE.get(kind, {})
    return {"type": "object", "properties": fields, "required": list(fields)}


def _of(hint: Any, known: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(one, known) for one in arguments]}
    if hint is type(None):
        return {"type": "null"}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [one.value for one in hint]}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], known)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], known)}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        name = hint.__name__
        if name not in known:
            known[name] = {}
            known[name] = _record(hint, known)
        return {"$ref": f"#/$defs/{name}"}
    raise TypeError(f"no JSON form is known for {hint!r}")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
