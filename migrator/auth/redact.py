"""Takes secrets out of text: a function for anything that is shown or kept, and a filter for everything that is logged.

Two nets, because each misses what the other holds: the exact values that this process knows (`known`), and the shapes that
secrets have (bearer tokens, `authtoken=` of an import URL, Authorization fields, passwords in URLs and in form or JSON bodies).
"""

from __future__ import annotations

import logging
import re
import threading
import traceback
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 6  # a known value shorter than this would mask half of every log line

# name=value and "name": "value" for names that carry secrets. The value ends where a query, form, header or JSON value ends.
_NAMES = (
    r"auth[_-]?token|access[_-]?token|refresh[_-]?token|id[_-]?token|client[_-]?secret|client[_-]?assertion|"
    r"device[_-]?code|pass(?:word|wd|phrase)|pwd|api[_-]?key|sig|tempauth|importurl"
)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|PKCS12)-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    (
        # a whole field: in a header dump, a dict or a curl line
        re.compile(
            r"""(?i)((?:proxy-)?authorization(?:["']\s*[:,]|\s*[:=])\s*["']?)(?:(basic|bearer|ntlm|negotiate|digest)\s+)?[^\s"',;}\])]+"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)((?:set-)?cookie[\"']?\s*[:=]\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer|ntlm|negotiate)(\s+)[A-Za-z0-9\-._~+/]{8,}=*"), rf"\1\2{MASK}"),
    (re.compile(rf"""(?i)(["'](?:{_NAMES})["']\s*:\s*)(["'])(?:\\.|(?!\2).)*\2"""), rf"\1\2{MASK}\2"),
    (re.compile(rf"(?i)\b((?:{_NAMES})=)(?!\*\*\*)[^&\s\"'<>;,)}}\]]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.\-]*://[^\s/:@]*:)[^\s/@]+@"), rf"\1{MASK}@"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"), MASK),
)

_known: dict[str, None] = {}  # in order, longest first
_lock = threading.Lock()


def _forms(value: str) -> set[str]:
    """As it is, and as it looks in URLs and forms."""
    forms = {value, value.strip(), quote(value, safe=""), quote_plus(value)}
    return {form for form in forms if len(form) >= SHORTEST}


def known(value: str) -> None:
    """Remember a secret value, so that `redact` takes it out of any text."""
    global _known
    forms = _forms(value)
    with _lock:
        if not forms <= _known.keys():
            _known = dict.fromkeys(sorted(_known.keys() | forms, key=len, reverse=True))


def forgotten(value: str) -> None:
    """A token that has lapsed needs no guarding: keeps the list short in a run of days."""
    global _known
    with _lock:
        forms = _forms(value)
        _known = {form: None for form in _known if form not in forms}


def redact(text: str) -> str:
    """The same text without tokens, passwords and keys. Safe to apply twice."""
    for value in _known:
        if value in text:
            text = text.replace(value, MASK)
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


class RedactingFilter(logging.Filter):
    """For handlers: rewrites message, arguments and traceback of each record. Never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = str(
                record.msg
            )  # a wrong format string: its arguments are left out, they may be secrets
        record.msg = redact(message)
        record.args = None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
