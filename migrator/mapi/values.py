"""Values as people read them: short, on one line, and harmless to a terminal."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from migrator.mapi.dictionary import type_name
from migrator.mapi.item import APPTIME, BOOLEAN, CURRENCY, ERROR, TIME, Value, datetime_of

_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def harmless(text: str, width: int | None = None) -> str:
    """The text with every character escaped that a terminal would act on or that could hide others.

    That is all that Unicode does not call printable: controls, bidi overrides, zero-width and private characters, lone
    surrogates, separators other than the blank.
    """
    out: list[str] = []
    used = 0
    for character in text:
        if character in _SHORT:
            piece = _SHORT[character]
        elif character.isprintable():
            piece = character
        else:
            number = ord(character)
            piece = (
                f"\\x{number:02x}"
                if number < 256
                else f"\\u{number:04x}"
                if number < 65_536
                else f"\\U{number:08x}"
            )
        used += len(piece)
        if width is not None and used > width:
            return "".join(out) + "…"
        out.append(piece)
    return "".join(out)


def shown(value: Value | None, width: int = 60) -> str:
    """A value in at most about `width` characters; its full size where it is cut. "(absent)" for None."""
    if value is None:
        return "(absent)"
    kind, plain = value
    if isinstance(plain, list):
        return _several(kind, plain, width)
    return _one(kind, plain, width)


def with_type(value: Value | None, width: int = 60) -> str:
    """As `shown`, with the type's name: for values that differ in type."""
    return shown(value, width) if value is None else f"{type_name(value.type)} {shown(value, width)}"


def _several(kind: int, values: list[Any], width: int) -> str:
    parts: list[str] = []
    used = 0
    for value in values:
        part = _one(kind & 0x0FFF, value, max(12, width // 2))
        used += len(part) + 2
        if used > width and parts:
            return "[" + ", ".join(parts) + f", … {len(values)} in all]"
        parts.append(part)
    return "[" + ", ".join(parts) + "]"


def _one(kind: int, value: Any, width: int) -> str:
    if isinstance(value, str):
        text = harmless(value, width)
        return f'"{text}" ({len(value)} characters)' if text.endswith("…") else f'"{text}"'
    if isinstance(value, bytes | bytearray | memoryview):
        size = len(value)
        if not size:
            return "(0 octets)"
        most = max(4, (width - 12) // 2)
        cut = "…" if size > most else ""
        return f"{bytes(value[:most]).hex()}{cut} ({size} octets)"
    if kind == TIME and isinstance(value, int):
        moment = datetime_of(value)
        if moment is None or not value:
            return f"FILETIME {value}"
        # seven digits: FILETIME is finer than what datetime can say
        return (
            f"{moment:%Y-%m-%d %H:%M:%S}.{value % 10_000_000:07} UTC"
            if value % 10_000_000
            else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
        )
    if kind == BOOLEAN:
        return "yes" if value else "no"
    if kind == ERROR and isinstance(value, int):
        return f"error {value:#010x}"
    if kind == CURRENCY and isinstance(value, int):
        sign = "-" if value < 0 else ""
        return f"{sign}{abs(value) // 10_000}.{abs(value) % 10_000:04}"
    if isinstance(value, int):
        return f"{value} (0x{value & 0xFFFFFFFFFFFFFFFF:X})" if abs(value) > 255 else str(value)
    if kind == APPTIME or isinstance(value, float):
        return repr(value)
    if isinstance(value, UUID):
        return f"{{{value}}}"
    return harmless(str(value), width)
