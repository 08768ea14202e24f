"""Octets → text for mail, and charset names ⇄ Windows code pages.

Order of trust: a declared charset that Python knows; else what the octets themselves prove (BOM, ASCII, valid UTF-8, NUL at
every second place); else a hint from the same message; else charset-normalizer's guess, when there is enough to guess from;
else windows-1252. Octets that the trusted charset cannot hold are shown as windows-1252 would: nothing is dropped, and no
lone surrogates arise.

Supersets stand for what mail programs mean by a name (encoding.spec.whatwg.org 4.2): gb2312 is read as gb18030, shift_jis as
cp932, euc-kr and ks_c_5601-1987 as cp949, iso-8859-1 with octets 80-9F as windows-1252, iso-8859-9 as windows-1254 there.
Code-page numbers: learn.microsoft.com/windows/win32/intl/code-page-identifiers.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final, NamedTuple

UTF8: Final = 65001


class Decoded(NamedTuple):
    text: str
    codec: str  # Python's name of what was used
    fault: str  # "" or a note: charset_unknown, charset_wrong, charset_guessed


# code page, name in mail, Python codec that reads it, further names seen in mail
_TABLE: Final[tuple[tuple[int, str, str, str], ...]] = (
    (65001, "utf-8", "utf-8", "utf8 utf-8-mac uft-8 utf_8 unicode-1-1-utf-8 x-unicode-2-0-utf-8 cp65001"),
    (20127, "us-ascii", "ascii", "ascii ansi_x3.4-1968 iso646-us us 7bit us-askey charset=us-ascii"),
    (28591, "iso-8859-1", "latin-1", "latin1 iso8859-1 iso_8859-1 iso88591 iso-8859-1-windows-3.1-latin-1"),
    (1252, "windows-1252", "cp1252", "cp1252 ansi x-ansi cp-1252 win-1252"),
    (28592, "iso-8859-2", "iso8859-2", "latin2 iso8859-2"),
    (28593, "iso-8859-3", "iso8859-3", ""),
    (28594, "iso-8859-4", "iso8859-4", ""),
    (28595, "iso-8859-5", "iso8859-5", ""),
    (28596, "iso-8859-6", "iso8859-6", "iso-8859-6-i iso-8859-6-e"),
    (28597, "iso-8859-7", "iso8859-7", "elot_928"),
    (28598, "iso-8859-8", "iso8859-8", "iso-8859-8-e"),
    (38598, "iso-8859-8-i", "iso8859-8", ""),
    (28599, "iso-8859-9", "iso8859-9", "latin5"),
    (28603, "iso-8859-13", "iso8859-13", ""),
    (28605, "iso-8859-15", "iso8859-15", "latin9 iso8859-15 latin-9"),
    (1250, "windows-1250", "cp1250", "cp1250 win-1250"),
    (1251, "windows-1251", "cp1251", "cp1251 win-1251 x-cp1251"),
    (1253, "windows-1253", "cp1253", "cp1253"),
    (1254, "windows-1254", "cp1254", "cp1254"),
    (1255, "windows-1255", "cp1255", "cp1255"),
    (1256, "windows-1256", "cp1256", "cp1256"),
    (1257, "windows-1257", "cp1257", "cp1257"),
    (1258, "windows-1258", "cp1258", "cp1258"),
    (874, "windows-874", "cp874", "tis-620 iso-8859-11 cp874"),
    (437, "ibm437", "cp437", "cp437"),
    (850, "ibm850", "cp850", "cp850 cp-850"),
    (852, "ibm852", "cp852", "cp852"),
    (858, "ibm00858", "cp858", "cp858"),
    (866, "cp866", "cp866", "ibm866"),
    (20866, "koi8-r", "koi8-r", "koi8 koi8r"),
    (21866, "koi8-u", "koi8-u", "koi8-ru"),
    (932, "shift_jis", "cp932", "shift-jis sjis x-sjis ms_kanji cp932 windows-31j"),
    (50220, "iso-2022-jp", "iso2022_jp_ext", "iso-2022-jp-1 iso-2022-jp-2 csiso2022jp cp50220"),
    (50225, "iso-2022-kr", "iso2022_kr", "csiso2022kr"),
    (51932, "euc-jp", "euc_jp", "x-euc-jp x-euc eucjp"),
    (936, "gbk", "gb18030", "gb2312 x-gbk cp936 gb_2312-80 csgb2312 euc-cn hz-gb-2312-8bit chinese"),
    (54936, "gb18030", "gb18030", ""),
    (52936, "hz-gb-2312", "hz", "hz"),
    (950, "big5", "cp950", "cn-big5 x-x-big5 cp950 csbig5"),
    (
        949,
        "ks_c_5601-1987",
        "cp949",
        "euc-kr ks_c_5601 ksc5601 korean cp949 uhc x-windows-949 ks_c_5601-1989",
    ),
    (1361, "johab", "johab", ""),
    (65000, "utf-7", "utf-7", "unicode-1-1-utf-7 x-unicode-2-0-utf-7 utf7"),
    (10000, "macintosh", "mac-roman", "x-mac-roman mac mac-roman x-macintosh"),
    (10007, "x-mac-cyrillic", "mac-cyrillic", "mac-cyrillic"),
    (10006, "x-mac-greek", "mac-greek", ""),
    (10029, "x-mac-ce", "mac-latin2", ""),
    (10081, "x-mac-turkish", "mac-turkish", ""),
)
# Without a code page that a mail store keeps text in.
_OTHERS: Final = {
    "iso-8859-10": "iso8859-10",
    "iso-8859-14": "iso8859-14",
    "iso-8859-16": "iso8859-16",
    "big5-hkscs": "big5hkscs",
    "utf-16": "utf-16",
    "utf16": "utf-16",
    "ucs-2": "utf-16",
    "unicode": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
    "iso-2022-jp-2004": "iso2022_jp_2004",
    "iso-2022-jp-3": "iso2022_jp_3",
}
_BY_NAME: Final[dict[str, tuple[str, int]]] = {}
_BY_PAGE: Final[dict[int, tuple[str, str]]] = {}
for _page, _name, _codec, _aliases in _TABLE:
    _BY_PAGE[_page] = (_name, _codec)
    for _alias in (_name, *_aliases.split()):
        _BY_NAME[_alias] = (_codec, _page)
for _name, _codec in _OTHERS.items():
    _BY_NAME.setdefault(_name, (_codec, 0))

_UNDECLARED: Final = frozenset(
    {
        "",
        "unknown",
        "x-unknown",
        "unknown-8bit",
        "default",
        "none",
        "binary",
        "8bit",
        "_iso-2022-jp$esc",
        "iso-8859-8859",
    }
)


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    octets = error.object[error.start : error.end]
    return "".join(_WINDOWS[octet] for octet in octets), error.end


_WINDOWS: Final = [bytes([octet]).decode("cp1252", "replace") for octet in range(256)]
for _octet in (
    0x81,
    0x8D,
    0x8F,
    0x90,
    0x9D,
):  # unassigned in windows-1252: control characters, as in WHATWG's table
    _WINDOWS[_octet] = chr(_octet)
codecs.register_error("migrator.windows", _as_windows)


@lru_cache(maxsize=512)
def lookup(charset: str) -> tuple[str, int] | None:
    """(Python codec, code page or 0) of a charset's name in mail; None when it says nothing usable."""
    name = charset.strip().strip("\"'").strip().lower()[:80]
    if name in _UNDECLARED:
        return None
    found = _BY_NAME.get(name) or _BY_NAME.get(name.replace("_", "-"))
    if found is None and name.startswith(("cp", "windows-", "ibm")):
        digits = name.lstrip("cpwindosbm-")
        if digits.isdigit() and int(digits) in _BY_PAGE:
            found = (_BY_PAGE[int(digits)][1], int(digits))
    if found is not None:
        return found
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError, UnicodeError):
        return None
    # Python also calls rot13, hex or zlib "codecs", and "idna" or "unicode_escape" read no mail.
    if not getattr(info, "_is_text_encoding", True) or info.name in _NO_CHARSETS:
        return None
    return info.name, 0


_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)


def mail_name(code_page: int) -> str:
    """Charset name for a Content-Type, "" for a code page that mail has no name for."""
    return _BY_PAGE[code_page][0] if code_page in _BY_PAGE else ""


def codec_of(code_page: int) -> str:
    """Python codec of a code page, "" when there is none."""
    if code_page in _BY_PAGE:
        return _BY_PAGE[code_page][1]
    if code_page in (1200, 1201):
        return "utf-16-le" if code_page == 1200 else "utf-16-be"
    try:
        return codecs.lookup(f"cp{code_page}").name
    except LookupError:
        return ""


def decode(octets: bytes, charset: str = "", *, hint: str = "") -> Decoded:
    """The text. charset: as declared, may be wrong or empty; hint: a codec that the same message uses elsewhere."""
    declared = lookup(charset) if charset else None
    if declared is not None:
        codec = declared[0]
        if codec not in ("ascii", "latin-1", "iso8859-9", "utf-16", "utf-7") or (
            codec == "ascii" and octets.isascii()
        ):
            return _trusting(octets, codec)
        if codec in ("latin-1", "iso8859-9"):
            return _latin(octets, codec)
        if codec == "utf-16":
            return _utf16(octets)
        if codec == "utf-7":
            return _trusting(octets, codec)
    unknown = "charset_unknown" if charset and declared is None else ""
    if octets.isascii():
        if 0 in octets[:200] and (wide := _wide(octets)):
            return Decoded(octets.decode(wide, "migrator.windows"), wide, "charset_guessed")
        if b"\x1b$" in octets[:65_536]:
            text, codec, fault = _trusting(octets, "iso2022_jp_ext")
            if not fault:
                return Decoded(text, codec, unknown or "charset_guessed")
        return Decoded(octets.decode("ascii"), "ascii", unknown)
    wrong = unknown or ("charset_wrong" if declared is not None else "charset_guessed")
    for codec in ("utf-8-sig", hint, wide if (wide := _wide(octets)) else ""):
        if codec:
            try:
                return Decoded(octets.decode(codec), codec.removesuffix("-sig"), wrong)
            except (UnicodeError, LookupError):
                continue
    codec = hint if hint and _nearly(octets, hint) else _guess(octets)
    return Decoded(octets.decode(codec, "migrator.windows"), codec, wrong)


def _nearly(octets: bytes, codec: str) -> bool:
    try:
        return octets.decode(codec, "replace").count("\ufffd") * 10 <= len(
            octets.translate(None, bytes(range(128)))
        )
    except (UnicodeError, LookupError):
        return False


def _trusting(octets: bytes, codec: str) -> Decoded:
    try:
        text = octets.decode(codec)
    except UnicodeError:
        if codec == "iso2022_jp_ext" and (text := _windows_jis(octets)):
            return Decoded(text, codec, "")
        if codec != "utf-8" and not octets.isascii() and (proven := _utf8(octets)) is not None:
            return Decoded(proven, "utf-8", "charset_wrong")
        if codec == "utf-8" and _mostly_invalid(octets):
            guess = _guess(octets)
            return Decoded(octets.decode(guess, "migrator.windows"), guess, "charset_wrong")
        try:
            return Decoded(octets.decode(codec, "migrator.windows"), codec, "charset_wrong")
        except (UnicodeError, IndexError):  # stateful codecs may refuse a handler's answer
            return Decoded(octets.decode("latin-1"), "latin-1", "charset_wrong")
    if codec == "utf-8" and text.startswith("\ufeff"):
        text = text[1:]
    if codec == "utf-7" and any("\ud800" <= c <= "\udfff" for c in text):
        return Decoded(octets.decode("latin-1"), "latin-1", "charset_wrong")
    return Decoded(text, codec, "")


def _latin(octets: bytes, codec: str) -> Decoded:
    windows = {"latin-1": "cp1252", "iso8859-9": "cp1254"}[codec]
    text = octets.decode(codec)
    if octets.isascii() or not _has_c1(octets):
        return Decoded(text, codec, "")
    return Decoded(octets.decode(windows, "migrator.windows"), windows, "")


def _utf8(octets: bytes) -> str | None:
    try:
        return octets.decode("utf-8")
    except UnicodeError:
        return None


def _mostly_invalid(octets: bytes) -> bool:
    """Whether more of the octets above 127 contradict UTF-8 than fit it."""
    sample = octets[: 1 << 15]
    high = len(sample.translate(None, bytes(range(128))))
    return sample.decode("utf-8", "replace").count("\ufffd") * 2 > high


_ESCAPE: Final = re.compile(rb"\x1b(\$@|\$B|\(B|\(J|\(I)")


def _windows_jis(octets: bytes) -> str:
    """ISO-2022-JP as Windows writes it, with the NEC and IBM characters (circled digits, №) that Python's codec lacks."""
    pieces = _ESCAPE.split(octets)
    if any(b"\x1b" in piece for piece in pieces[::2]):
        return ""
    wire = bytearray(pieces[0])
    for mark, run in zip(pieces[1::2], pieces[2::2], strict=True):
        if mark in (b"(B", b"(J"):
            wire += run
        elif mark == b"(I":
            wire += bytes(octet | 0x80 for octet in run)
        else:
            breaks = run.rstrip(b"\r\n")
            for at in range(0, len(breaks) - 1, 2):
                row, cell = breaks[at], breaks[at + 1]
                if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
                    return ""
                wire.append((row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1))
                wire.append(cell + (0x7E if row % 2 == 0 else 0x1F + (cell >= 0x60)))
            wire += run[len(breaks) :]
    try:
        return wire.decode("cp932")
    except UnicodeError:
        return ""


_NOT_C1: Final = bytes(octet for octet in range(256) if not 0x80 <= octet < 0xA0)


def _has_c1(octets: bytes) -> bool:
    return bool(octets.translate(None, _NOT_C1))


def _utf16(octets: bytes) -> Decoded:
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _trusting(octets, "utf-16")
    # RFC 2781 4.3 says big-endian without a BOM; Windows programs write little-endian all the same.
    return _trusting(octets, _wide(octets) or "utf-16-be")


def _wide(octets: bytes) -> str:
    """UTF-16 by its look: NUL at nearly every second place of the beginning."""
    head = octets[:400]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    half = len(head) // 2
    if half < 4:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > half * 0.6 and even < half * 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and odd < half * 0.1 else ""


def _guess(octets: bytes) -> str:
    """A codec for octets that nobody declared. Few octets above 127 prove nothing: windows-1252 then."""
    sample = octets[: 1 << 15]
    if len(sample.translate(None, bytes(range(128)))) < 24:
        return "cp1252"
    # Imported here: it costs 60 ms, and hardly any mail needs it.
    from charset_normalizer import from_bytes

    best = from_bytes(sample, steps=5, chunk_size=512, preemptive_behaviour=False).best()
    if best is None or best.encoding in ("utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32"):
        return "cp1252"
    return best.encoding
