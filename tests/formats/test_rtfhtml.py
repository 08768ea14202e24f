"""HTML and text out of RTF (MS-OXRTFEX); examples of the specification and made ones."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.formats import rtfhtml, tnef
from migrator.formats.errors import FormatError
from migrator.formats.msg import read_msg
from migrator.mapi import properties as p
from migrator.mapi import rtf
from tests.shared_data import shared

HEAD = b"{\\rtf1\\ansi\\ansicpg1252\\fromhtml1 \\deff0{\\fonttbl{\\f0\\fswiss Arial;}{\\f1\\fmodern\\fcharset204 Courier;}{\\f2\\fcharset128 MS Gothic;}}{\\colortbl;}\\uc1\\pard\\plain\\deftab360 \\f0\\fs24 "


def html(content: bytes) -> str:
    found = rtfhtml.extract(HEAD + content + b"}")
    assert found.kind == "html"
    return found.text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{\\*\\htmltag64 <p>}x{\\*\\htmltag72 </p>}", "<p>x</p>"),
        # MS-OXRTFEX 3.1.1: what stands between \htmlrtf and \htmlrtf0 is for RTF readers
        (
            b"{\\*\\htmltag4 <b>}\\htmlrtf {\\b \\htmlrtf0 bold{\\*\\htmltag84 </b>}\\htmlrtf }\\htmlrtf0",
            "<b>bold</b>",
        ),
        (b"{\\*\\htmltag241 <style>a \\{ b: c \\}\\par </style>}", "<style>a { b: c }\r\n</style>"),
        (b"{\\*\\htmltag84 &#8364;}{\\*\\htmltag84 &lt;}", "&#8364;&lt;"),
        (b"one{\\*\\htmltag116 <br>}\\htmlrtf \\line \\htmlrtf0 two", "one<br>two"),
        (b"{\\*\\mhtmltag84 <img src=1>}{\\*\\htmltag84 <img src=2>}", "<img src=2>"),
        (b"gr\\'fcn \\u8364?5 \\u-10179?\\u-8704?", "grün €5 😀"),
        (b"{\\f1 \\'cf\\'f0\\'e8}", "При"),
        (b"{\\f2 \\'82\\'b1\\'82\\'f1}", "こん"),
        (b"a\\tab b\\par c\\~d\\_e \\lquote q\\rquote \\endash", "a\tb\r\nc&nbsp;d&shy;e ‘q’–"),
        (b"\\{\\}\\\\", "{}\\"),
        (b"{\\*\\unknown not shown}shown{\\pict\\bin4 }}}}}", "shown"),
        (b"{\\uc2 \\u8364??x}", "€x"),
    ],
)
def test_html_comes_back(content: bytes, text: str) -> None:
    assert html(content) == text


def test_wrapped_text_comes_back() -> None:
    found = rtfhtml.extract(
        b"{\\rtf1\\ansi\\ansicpg1252\\fromtext \\deff0{\\fonttbl{\\f0 A;}}\\pard one\\par two \\'e9\\par }"
    )
    assert (found.kind, found.text) == ("text", "one\r\ntwo é\r\n")


def test_rtf_of_its_own_gives_its_text() -> None:
    found = rtfhtml.extract(
        b"{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}{\\stylesheet{\\s1 Heading;}}{\\info{\\title T}}\\b Hello\\b0  world\\par {\\field{\\*\\fldinst HYPERLINK x}{\\fldrslt link}}}"
    )
    assert (found.kind, found.text) == ("rtf", "Hello world\r\nlink")


@pytest.mark.parametrize("octets", [b"", b"text", b"{\\html"])
def test_what_is_no_rtf_is_refused(octets: bytes) -> None:
    with pytest.raises(FormatError):
        rtfhtml.extract(octets)


def test_depth_is_bounded() -> None:
    with pytest.raises(FormatError, match="nested too deep"):
        rtfhtml.extract(b"{\\rtf1" + b"{" * 20_000)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"{",
                b"}",
                b"\\",
                b"\\'",
                b"e4",
                b"\\u8364?",
                b"\\bin5 ",
                b"\\htmlrtf ",
                b"\\htmlrtf0 ",
                b"{\\*\\htmltag4 ",
                b"\\par ",
                b"x",
                b"\r\n",
                b"\\f1",
                b"\xff",
                b"\0",
                b"\\ansicpg99999 ",
                b"\\fonttbl",
                b"\\fcharset128 ",
            ]
        ),
        max_size=60,
    )
)
def test_any_rtf_gives_a_text(pieces: list[bytes]) -> None:
    found = rtfhtml.extract(HEAD + b"".join(pieces))
    assert isinstance(found.text, str)
    found.text.encode("utf-8")


def test_real_rtf_in_tnef() -> None:
    message = tnef.read(shared("tnef/rtf.tnef").read_bytes()).message
    plain = rtf.decompress(message.properties.binary(p.PidTagRtfCompressed))
    found = rtfhtml.extract(plain)
    assert found.text.strip()
    assert "\\par" not in found.text and "fonttbl" not in found.text and "Times New Roman" not in found.text


def spoken(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def page_text(page: str) -> str:
    page = re.sub(r"(?is)<!--.*?-->|<style.*?</style>|<head.*?</head>", "", page)
    return unescape(re.sub(r"(?s)<[^>]*>", " ", page))


def test_real_bodies_say_what_their_plain_text_says() -> None:
    """Outlook keeps both: the words of the HTML or RTF must be those of the text, which has addresses of links beside."""
    kinds, equal = [], 0
    for path in sorted(shared("msg").rglob("*.msg")):
        for message in read_msg(path).walk():
            compressed, text = (
                message.properties.binary(p.PidTagRtfCompressed),
                message.properties.text(p.PidTagBody),
            )
            if not compressed or not text:
                continue
            found = rtfhtml.extract(rtf.decompress(compressed))
            shown = "".join(spoken(page_text(found.text) if found.kind == "html" else found.text))
            plain = "".join(spoken(text))
            left = iter(plain)
            assert all(character in left for character in shown), path.name
            kinds.append(found.kind)
            equal += shown in (plain, "".join(spoken(re.sub(r"<[^<>]*>", "", text))))
    assert set(kinds) == {"html", "text", "rtf"} and len(kinds) > 40
    assert equal >= len(kinds) - 2
