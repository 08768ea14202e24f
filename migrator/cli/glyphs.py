"""What a terminal can show: signs for bars and arrows, and text of others in the letters that it has.

A console with an old code page (cp437, cp1252, ASCII) has no `→`, no `…` in part, and no emoji. A sign that it lacks is
replaced by one of the same width, so that columns stay columns; a letter of a name becomes `?`. Nothing raises.
"""

from __future__ import annotations

import codecs
from typing import IO

PLAIN = {
    "→": ">", "…": "~", "—": "-", "–": "-", "×": "x", "·": ".", "━": "=", "─": "-", "╺": "-", "╸": "=", "│": "|",
    "“": '"', "”": '"', "‘": "'", "’": "'", "✓": "+", "✗": "x", "•": "*", "€": "E", "±": "~",
}  # fmt: skip
HANDLER = "migrator.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """For streams: a sign of ours as its stand-in, anything else written out."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    words = "".join(
        PLAIN[char] if char in PLAIN else char.encode("ascii", "backslashreplace").decode("ascii")
        for char in lost
    )
    return words, error.end


codecs.register_error(HANDLER, _plain)


class Glyphs:
    """For one encoding. full, empty: one cell of a bar."""

    def __init__(self, encoding: str | None) -> None:
        name = encoding or "ascii"
        try:
            self._encoding = codecs.lookup(name).name
        except LookupError:
            self._encoding = "ascii"
        self.unicode = self._encoding.startswith("utf")
        # Consoles of Windows with an old font have these two as well: they are in cp437 (as box drawing), not in cp1252.
        self.full, self.empty = ("━", "─") if self._has("━─") else ("#", "-")
        self.cut = "…" if self._has("…") else "~"
        self.arrow = "→" if self._has("→") else ">"

    def _has(self, text: str) -> bool:
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def text(self, text: str) -> str:
        """The text in letters that this terminal has, cell for cell."""
        if self.unicode or self._has(text):
            return text
        return "".join(char if self._has(char) else PLAIN.get(char, "?") for char in text)


def glyphs_of(out: IO[str]) -> Glyphs:
    return Glyphs(getattr(out, "encoding", None) or "utf-8")
