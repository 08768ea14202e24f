"""Windows code-page numbers → decoders. Undecodable octets become lone surrogates (surrogateescape): nothing is lost."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import lru_cache
from typing import Final

# Numbers whose Python codec is not called "cpNNN". learn.microsoft.com/windows/win32/intl/code-page-identifiers
_NAMES: Final = {
    10000: "mac-roman",
    10006: "mac-greek",
    10007: "mac-cyrillic",
    10029: "mac-latin2",
    10081: "mac-turkish",
    20127: "ascii",
    20866: "koi8-r",
    20932: "euc-jp",
    20936: "gb2312",
    20949: "euc-kr",
    21866: "koi8-u",
    28591: "latin-1",
    28592: "iso8859-2",
    28593: "iso8859-3",
    28594: "iso8859-4",
    28595: "iso8859-5",
    28596: "iso8859-6",
    28597: "iso8859-7",
    28598: "iso8859-8",
    28599: "iso8859-9",
    28603: "iso8859-13",
    28605: "iso8859-15",
    38598: "iso8859-8",
    50220: "iso2022-jp",
    50221: "iso2022-jp",
    50222: "iso2022-jp",
    50225: "iso2022-kr",
    51932: "euc-jp",
    51936: "gb2312",
    51949: "euc-kr",
    52936: "hz",
    54936: "gb18030",
    65000: "utf-7",
    65001: "utf-8",
}


@lru_cache(maxsize=256)
def decoder(code_page: int) -> Callable[[bytes], str] | None:
    """A function octets → text for a code page, or None when Python has no such codec."""
    name = _NAMES.get(code_page, f"cp{code_page}")
    try:
        found = codecs.lookup(name)
    except LookupError:
        return None
    decode = found.decode

    def to_text(octets: bytes) -> str:
        try:
            return decode(octets, "surrogateescape")[0]
        except UnicodeError:  # stateful codecs cannot always use the error handler
            return decode(octets, "replace")[0]

    return to_text
