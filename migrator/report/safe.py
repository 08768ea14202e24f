"""What came out of mail or a manifest, made safe for a terminal and for a spreadsheet.

A terminal obeys control characters, a reader is misled by characters that turn the direction of text, a spreadsheet
takes a cell that begins with `=` for a formula (owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import unicodedata

_TURNING = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_ABRIDGED = "…"


def safe_text(text: str, most: int = 0) -> str:
    r"""The text with everything that a terminal would obey written out: ESC as `\x1b`, a bidi override as `\u202e`.

    most: at most so many characters, the rest cut with `…`; 0 is no limit.
    """
    # What is printable as a whole holds none of the turning characters: they are of category Cf, Zl or Zp.
    shown = text if text.isprintable() else "".join(char if _plain(char) else _written(char) for char in text)
    return shown if not most or len(shown) <= most else shown[: most - 1] + _ABRIDGED


def safe_cell(value: object) -> str:
    """A CSV cell that no spreadsheet takes for a formula, nor a terminal for an order. Numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = safe_text(str(value))
    # Full-width signs are formulas as well, in spreadsheets that fold width (East Asian editions).
    first = text[:1] if text[:1].isascii() else unicodedata.normalize("NFKC", text[:1])
    return "'" + text if text and (text[0] in _FORMULA or first in _FORMULA) else text


def _plain(char: str) -> bool:
    return (char.isprintable() or char in "\u200c\u200d") and char not in _TURNING


def _written(char: str) -> str:
    code = ord(char)
    if unicodedata.category(char) == "Zs":
        return " "  # no-break and other wide blanks
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
