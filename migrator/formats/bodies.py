"""The text and the HTML of an item, whichever body it has, for formats that hold one or both."""

from __future__ import annotations

import re
from html import unescape

from migrator.formats.converted import Notes
from migrator.formats.errors import FormatError
from migrator.mapi import properties as P
from migrator.mapi.blobs import BlobError
from migrator.mapi.item import Properties


def text_and_html(p: Properties, notes: Notes) -> tuple[str, str]:
    """(text, HTML); each "" where the item has none and none can be made of the others.

    HTML that Outlook wrapped in RTF is taken out again. Notes: rtf_body (formatting that only RTF holds),
    rtf_unreadable.
    """
    text, html = p.text(P.PidTagBody), _html(p)
    if not html and (rich := p.binary(P.PidTagRtfCompressed)):
        html, plain = _of_rtf(bytes(rich), notes)
        text = text or plain
    return text or _plain(html), html


def _html(p: Properties) -> str:
    octets = bytes(p.binary(P.PidTagHtml))
    if not octets:
        return p.text(P.PidTagHtml)
    from migrator.formats.mime import charsets  # here, because most items of these kinds have none

    return charsets.decode(octets, charsets.mail_name(p.integer(P.PidTagInternetCodepage, 65001))).text


def _of_rtf(rich: bytes, notes: Notes) -> tuple[str, str]:
    """(HTML, text) of compressed RTF; one of them is ""."""
    from migrator.formats import rtfhtml
    from migrator.mapi import rtf

    try:
        found = rtfhtml.extract(rtf.decompress(rich))
    except (FormatError, BlobError):
        notes.add("rtf_unreadable")
        return "", ""
    if found.kind == "html":
        return found.text, ""
    if found.kind == "rtf":
        notes.add("rtf_body")
    return "", found.text


def _plain(html: str) -> str:
    """Text of HTML for programs that show only text. Every step is linear in the HTML's length."""
    bare = _UNSEEN.sub("", html[: 1 << 20])
    bare = _BREAK.sub("\n", re.sub(r"\s+", " ", bare))
    lines = [line.strip() for line in unescape(_TAG.sub("", bare)).split("\n")]
    return "\n".join(lines).strip()


_UNSEEN = re.compile(r"<(script|style|head)\b[^<]*(?:<(?!/\1\b)[^<]*)*</\1[^>]*>", re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
