"""Look-ups in the dictionary: what a property is called, what it is, whether it may differ after a copy.

`dictionary.tsv` and `volatile.tsv` are data; both are read once, on first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final
from uuid import UUID

from migrator.mapi.item import Key, Named
from migrator.mapi.properties import PROPERTY_SETS
from migrator.record import record

_SETS: Final = {name: guid for guid, name in PROPERTY_SETS.items()}

TYPE_NAMES: Final = {
    0x0002: "PtypInteger16",
    0x0003: "PtypInteger32",
    0x0004: "PtypFloating32",
    0x0005: "PtypFloating64",
    0x0006: "PtypCurrency",
    0x0007: "PtypFloatingTime",
    0x000A: "PtypErrorCode",
    0x000B: "PtypBoolean",
    0x000D: "PtypObject",
    0x0014: "PtypInteger64",
    0x001E: "PtypString8",
    0x001F: "PtypString",
    0x0040: "PtypTime",
    0x0048: "PtypGuid",
    0x00FB: "PtypServerId",
    0x0102: "PtypBinary",
}


@record
class Info:
    """kind: whose property it is (message, sender, recipient, attachment, appointment …). source: its specification.

    volatile: why it may differ after a copy, "" when it may not (see `rule`, which also knows where and how).
    """

    name: str
    key: Key
    type: int
    kind: str
    source: str
    volatile: str


@record
class Rule:
    """Why a property may differ. counts: the bits of a number that must agree nevertheless."""

    where: str
    path: str
    counts: int
    reason: str


def describe(key: Key) -> Info | None:
    """What the dictionary knows of a property; names in PS_INTERNET_HEADERS compare without case."""
    row = _rows().get(_folded(key))
    if row is None:
        return None
    kind, type_, name, whose, source = row
    del kind
    found = rule(key, whose if whose in ("recipient", "attachment") else "message", "any")
    return Info(name, key, type_, whose, source, found.reason if found else "")


def name_of(key: Key) -> str:
    """Canonical name, or set and number or name for a property that the dictionary does not have. One line, unescaped."""
    row = _rows().get(_folded(key))
    if row is not None:
        return row[2]
    if isinstance(key, int):
        return f"0x{key:04X}"
    owner = PROPERTY_SETS.get(key.guid) or f"{{{key.guid}}}"
    return f"{owner}:0x{key.lid:04X}" if key.lid is not None else f"{owner}:{key.name}"


def key_of(name: str) -> Key | None:
    """The key that `name_of` writes this way (canonical names without case), or None."""
    known = _by_name().get(name.lower())
    if known is not None:
        return known
    try:
        return parse_key(name)
    except ValueError:
        return None


def type_name(type_: int) -> str:
    """PtypString, PtypMultipleString …, or the code in hex."""
    if type_ & 0x8000:
        return f"code page {type_ & 0x7FFF}"
    name = TYPE_NAMES.get(type_ & 0x0FFF)
    if name is None or type_ & 0xE000:
        return f"0x{type_:04X}"
    return name.replace("Ptyp", "PtypMultiple") if type_ & 0x1000 else name


def rule(key: Key, where: str, path: str) -> Rule | None:
    """Why a property may differ on a message, recipient or attachment after a copy by `path` (stream, json, mime)."""
    for candidate in _rules_of(_folded(key)):
        if candidate.where in ("any", where) and candidate.path in ("any", path):
            return candidate
    return None


def parse_key(text: str) -> Key:
    """0x0037, PSETID_Common:0x8503, PS_INTERNET_HEADERS:x-mailer or {GUID}:…; ValueError when it is none."""
    if text.startswith("0x"):
        number = int(text, 16)
        if not 0 <= number < 0x8000:
            raise ValueError(f"not a property id: {text}")
        return number
    owner, colon, rest = text.partition(":")
    if not colon:
        raise ValueError(f"not a property: {text}")
    guid = _SETS.get(owner) or UUID(owner.strip("{}"))
    return Named(guid, int(rest, 16)) if rest.startswith("0x") else Named(guid, name=rest)


_HEADERS: Final = _SETS["PS_INTERNET_HEADERS"]


def _folded(key: Key) -> Key:
    if isinstance(key, Named) and key.guid == _HEADERS and key.name is not None:
        return Named(key.guid, name=key.name.lower())
    return key


def _lines(name: str) -> Iterator[list[str]]:
    for line in files("migrator.mapi").joinpath(name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


@cache
def _rows() -> dict[Key, tuple[str, int, str, str, str]]:
    rows: dict[Key, tuple[str, int, str, str, str]] = {}
    for text, type_, name, kind, source in _lines("dictionary.tsv"):
        rows[parse_key(text)] = (text, int(type_, 16), name, kind, source)
    return rows


@cache
def _by_name() -> dict[str, Key]:
    return {row[2].lower(): key for key, row in _rows().items()}


@cache
def _rules() -> tuple[dict[Key, list[Rule]], list[tuple[int, int, Rule]], dict[UUID, list[Rule]]]:
    """Rules for single properties, for ranges of ids, for whole sets."""
    single: dict[Key, list[Rule]] = {}
    ranges: list[tuple[int, int, Rule]] = []
    sets: dict[UUID, list[Rule]] = {}
    for text, where, path, counts, reason in _lines("volatile.tsv"):
        made = Rule(where, path, int(counts or "0", 16), reason)
        if text.endswith(":*"):
            sets.setdefault(_SETS[text[:-2]], []).append(made)
        elif text.startswith("0x") and "-" in text:
            first, last = text.split("-")
            ranges.append((int(first, 16), int(last, 16), made))
        else:
            single.setdefault(parse_key(text), []).append(made)
    return single, ranges, sets


def _rules_of(key: Key) -> list[Rule]:
    single, ranges, sets = _rules()
    found = list(single.get(key, ()))
    if isinstance(key, int):
        found += [made for first, last, made in ranges if first <= key <= last]
    else:
        found += sets.get(key.guid, ())
    return found
