"""The paths of items into a target, in words: what each is, and what it does not carry.

The table with figures is docs/fidelity.md; what a single item lost stands in its notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from migrator.model import Kind, Path

TITLES: Final[Mapping[Path, str]] = {
    Path.STREAM: "the source's own item stream, untouched",
    Path.SYNTHETIC: "an item stream made here",
    Path.JSON: "created anew by classic Graph",
    Path.MIME: "appended as a mail",
}

_OF_PATH: Final[Mapping[Path, str]] = {
    Path.STREAM: "",
    Path.SYNTHETIC: "",
    Path.JSON: "properties without a field of their own in Graph",
    Path.MIME: "everything that a mail has no header for",
}
_OF_KIND: Final[Mapping[tuple[Path, Kind], str]] = {
    (Path.JSON, Kind.MAIL): (
        "signatures and encryption as they were, rich text, voting and custom forms; attached items become files"
    ),
    (Path.JSON, Kind.EVENT): (
        "attendees and organiser (listed in the body), the meeting's identity, changed and deleted occurrences of series"
    ),
    (Path.JSON, Kind.CONTACT): "the photo, fields of its own making, more than three e-mail addresses",
    (Path.MIME, Kind.MAIL): "follow-up dates, voting, conversation index, named properties",
}


def title(path: str) -> str:
    """What a path is, for a person; the word itself where it is none of ours."""
    try:
        return TITLES[Path(path)]
    except (ValueError, KeyError):
        return path


def loses(path: str, kind: Kind) -> str:
    """What a path does not carry of a kind, or "" for nothing that is known."""
    try:
        known = Path(path)
    except ValueError:
        return ""
    return _OF_KIND.get((known, kind), _OF_PATH[known])
