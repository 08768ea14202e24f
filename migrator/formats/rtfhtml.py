"""RTF → the HTML or text that it encapsulates (MS-OXRTFEX), or, for RTF that is its own source, its text.

Outlook and Exchange keep an HTML body as RTF with the HTML hidden in it: `\\fromhtml1` in the header, `{\\*\\htmltag…}` groups
that hold markup as it was, and everything between `\\htmlrtf` and `\\htmlrtf0` only for RTF readers. What remains outside is
the text of the page, with RTF's escapes.

One pass, no recursion; depth of groups, output and work are in proportion to the input.
"""

from __future__ import annotations

import re
from typing import Final

from migrator.formats.errors import FormatError
from migrator.mapi.fasttransfer.codepages import decoder
from migrator.record import record


@record
class Extracted:
    kind: str  # "html", "text" (plain text that was wrapped), "rtf" (RTF's own text, formatting lost)
    text: str


_TOKEN: Final = re.compile(
    rb"\\(?:'(?P<hex>[0-9A-Fa-f]{2})|(?P<word>[A-Za-z]{1,40})(?P<number>-?[0-9]{1,10})? ?|(?P<symbol>[^A-Za-z]))"
    rb"|(?P<brace>[{}])|(?P<breaks>[\r\n]+)|(?P<text>[^\\{}\r\n]+)|(?P<odd>\\)",
    re.DOTALL,
)
_CHARACTERS: Final = {
    "par": "\r\n",
    "line": "\r\n",
    "sect": "\r\n",
    "page": "\r\n",
    "row": "\r\n",
    "cell": "\t",
    "tab": "\t",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
    "bullet": "\u2022",
    "endash": "\u2013",
    "emdash": "\u2014",
    "emspace": "\u2003",
    "enspace": "\u2002",
    "zwj": "\u200d",
    "zwnj": "\u200c",
}
# Groups that hold no text of the document.
_DESTINATIONS: Final = frozenset(
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "pict",
        "object",
        "header",
        "footer",
        "headerl",
        "headerr",
        "footerl",
        "footerr",
        "footnote",
        "listtable",
        "listoverridetable",
        "rsidtbl",
        "generator",
        "themedata",
        "datastore",
        "fldinst",
        "xmlnstbl",
        "revtbl",
        "mhtmltag",
        "bkmkstart",
        "bkmkend",
        "latentstyles",
        "pntext",
        "pnseclvl",
    ]
)
# \fcharset → code page, RTF 1.9.1.
_CHARSETS: Final = {
    0: 1252,
    2: 1252,
    77: 10000,
    128: 932,
    129: 949,
    130: 1361,
    134: 936,
    136: 950,
    161: 1253,
    162: 1254,
    163: 1258,
    177: 1255,
    178: 1256,
    186: 1257,
    204: 1251,
    222: 874,
    238: 1250,
    255: 437,
}
_DEPTH: Final = 10_000


@record(frozen=False)
class _State:
    skip: bool = False  # a destination without text
    hidden: bool = False  # \htmlrtf
    tag: bool = False  # within {\*\htmltag}
    fonts: bool = False
    page: int = 0  # code page of the font
    unicode_skip: int = 1

    def copy(self) -> _State:
        return _State(self.skip, self.hidden, self.tag, self.fonts, self.page, self.unicode_skip)


def extract(rtf: bytes) -> Extracted:
    """What the RTF stands for. Raises FormatError when it is not RTF or has more than 10,000 groups within each other."""
    if not rtf.lstrip(b"\0 \t\r\n").startswith(b"{\\rtf"):
        raise FormatError("not RTF")
    head = rtf[:4096]
    found = re.search(rb"\\from(html|text)", head)
    kind = {b"html": "html", b"text": "text"}[found[1]] if found is not None else "rtf"
    return Extracted(kind, _Extraction(kind).run(rtf))


class _Extraction:
    def __init__(self, kind: str) -> None:
        self._html = kind == "html"
        self._out: list[str] = []
        self._octets = bytearray()  # \'xx and plain octets that wait for a decoder
        self._octets_page = 0
        self._page = 1252
        self._fonts: dict[int, int] = {}
        self._font = -1
        self._surrogate = 0
        self._state = _State()
        self._stack: list[_State] = []
        self._pending_star = False
        self._default_font = -1

    def run(self, rtf: bytes) -> str:
        skip = 0  # characters to leave out behind \uN
        at = 0
        while (token := _TOKEN.match(rtf, at)) is not None:
            at = token.end()
            last = token.lastgroup
            state = self._state
            if last == "brace":
                skip = 0
                self._pending_star = False
                if token["brace"] == b"{":
                    if len(self._stack) >= _DEPTH:
                        raise FormatError("RTF groups nested too deep", code="format_limit")
                    self._stack.append(state.copy())
                else:
                    if not self._stack:
                        break
                    if state.tag and not self._stack[-1].tag:
                        self.flush()
                    self._state = self._stack.pop()
                    if not self._stack:
                        break
            elif last == "text":
                octets = token["text"]
                if skip:
                    octets, skip = octets[skip:], max(0, skip - len(octets))
                self.put(octets)
                self._pending_star = False
            elif last == "hex":
                if skip:
                    skip -= 1
                else:
                    self.put(bytes([int(token["hex"], 16)]))
            elif last == "symbol":
                if skip:
                    skip -= 1
                    continue
                self.symbol(token["symbol"])
            elif last in ("word", "number"):
                word = token["word"].decode("ascii")
                number = int(token["number"]) if token["number"] is not None else None
                if word == "bin" and number is not None and number > 0:
                    at += number  # raw octets of a picture or an object
                    continue
                if word == "u" and number is not None:
                    self.character(number)
                    skip = state.unicode_skip
                elif skip:
                    skip -= 1
                else:
                    self.word(word, number)
                self._pending_star = False
        self.flush()
        text = "".join(self._out)
        return text.replace("\0", "")

    def shown(self) -> bool:
        state = self._state
        if state.skip or state.fonts:
            return False
        return state.tag or not (self._html and state.hidden)

    def put(self, octets: bytes) -> None:
        if not octets or not self.shown():
            return
        page = self._state.page or self._page
        if self._octets and page != self._octets_page:
            self.flush()
        self._octets_page = page
        self._octets += octets
        self._surrogate = 0

    def flush(self) -> None:
        if self._octets:
            decode = decoder(self._octets_page) or decoder(1252)
            assert decode is not None
            text = decode(bytes(self._octets))
            if not text.isascii():
                text = re.sub("[\udc80-\udcff]", _as_windows, text)
            self._out.append(text)
            self._octets.clear()

    def emit(self, text: str) -> None:
        if self.shown():
            self.flush()
            self._out.append(text)

    def character(self, number: int) -> None:
        if not self.shown():
            return
        code = number & 0xFFFF if -0x8000 <= number <= 0xFFFF else number
        self.flush()
        if 0xD800 <= code < 0xDC00:
            self._surrogate = code
            return
        if 0xDC00 <= code < 0xE000:
            if self._surrogate:
                self._out.append(chr(0x10000 + ((self._surrogate - 0xD800) << 10) + code - 0xDC00))
            self._surrogate = 0
            return
        self._surrogate = 0
        if 0 < code <= 0x10FFFF:
            self._out.append(chr(code))

    def symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._pending_star = True
        elif symbol in b"{}\\":
            self.put(symbol)
        elif symbol == b"~":
            self.emit("&nbsp;" if self._html and not self._state.tag else "\u00a0")
        elif symbol == b"_":
            self.emit("&shy;" if self._html and not self._state.tag else "\u00ad")
        elif symbol in b"\r\n":
            self.emit("\r\n")

    def word(self, word: str, number: int | None) -> None:
        state = self._state
        if word == "htmlrtf":
            state.hidden = number != 0
        elif word == "htmltag":
            if self._pending_star or self._html:
                self.flush()
                state.tag, state.skip = True, False
        elif word in _DESTINATIONS:
            if word == "fonttbl":
                state.fonts = True
            else:
                state.skip = True
        elif self._pending_star and not state.fonts:
            state.skip = True  # {\*\unknown …}: to be left out by those who do not know it
        elif word == "f" and number is not None:
            self._font = number
            state.page = self._fonts.get(number, 0)
        elif word == "plain":
            state.page = self._fonts.get(self._default_font, 0)
        elif word == "deff" and number is not None:
            self._default_font = number
        elif word == "fcharset" and number is not None and state.fonts:
            self._fonts[self._font] = _CHARSETS.get(number, 0)  # 1: the document's own
        elif word == "cpg" and number is not None and state.fonts:
            self._fonts[self._font] = number if decoder(number) is not None else 0
        elif word == "ansicpg" and number is not None:
            if decoder(number) is not None:
                self._page = number
        elif word == "uc" and number is not None:
            state.unicode_skip = max(0, min(number, 16))
        elif word in _CHARACTERS:
            self.emit(_CHARACTERS[word])


def _as_windows(found: re.Match[str]) -> str:
    return bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "replace")
