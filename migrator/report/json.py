"""The summary as JSON: every field of `summary.Summary`, and `version` of this form, which grows only by additions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from migrator.report.parts import Part
from migrator.report.summary import Counts, Summary

VERSION = 1


INDENTED_MOST = 100
"""Mailboxes of a report that is indented: of a large one nobody reads the text, and indenting it takes most of the time."""


def to_json(summary: Summary, *, parts: Sequence[Part] = ()) -> str:
    """ASCII only, so that no terminal is moved by what stands in it. parts: files that lie beside it.

    docs/report-json.md says what it means, docs/report.schema.json (`report.schema`) what it looks like.
    """
    indent = 2 if len(summary.mailboxes) <= INDENTED_MOST else None
    return json.dumps({"version": VERSION, **plain(summary), "files": plain(list(parts))}, indent=indent)


def plain(value: Any) -> Any:
    """Records → what the json module takes; counts get `open` and `closes` beside their numbers."""
    if isinstance(value, Counts):
        return {**_fields(value), "open": value.open, "closes": value.closes}
    if isinstance(value, Summary):
        return {**_fields(value), "closes": value.closes}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
