"""What a server would refuse, made fit for it: and nothing else is touched.

Facts this module rests on (imapsync's FAQ.APPEND_errors and FAQ.Exchange, seen at Exchange Online):
- lines of more than about 10,000 octets are refused ("BAD Command Argument Error. 11")
- NUL octets are refused, everywhere (RFC 3501 9: CHAR8 has none), and line ends without CR by Cyrus ("Message contains bare
  newlines") and Exchange; lines end with CR LF in mail (RFC 5322 2.3). Dovecot takes both kinds and gives out CR LF
- a request for a read receipt in old mail makes clients ask, or send one, when it is opened in its new place

Only the parts that need it are written anew, as base64; signed and encrypted mail is never changed by that.
"""

from __future__ import annotations

import base64
import quopri
import re

LINE_MOST = 9_990
STEP = 4 << 20
DEPTH_MOST = 30

_RECEIPT = re.compile(
    rb"^(?=(?:disposition-notification-to|return-receipt-to|x-confirm-reading-to):)",
    re.IGNORECASE | re.MULTILINE,
)
_BARE = re.compile(rb"(?<!\r)\n")
_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"((?:[^"\\]|\\.)+)"|([^\s;]+))', re.IGNORECASE)
_PROTECTED = re.compile(rb"multipart/(signed|encrypted)|application/(x-)?pkcs7-mime", re.IGNORECASE)


def disarm(raw: bytes) -> tuple[bytes, bool]:
    """Requests for read receipts renamed so that no client honours them; whether there were any."""
    head, gap, body = _split(raw)
    renamed = _RECEIPT.sub(b"X-Was-", head)
    return (renamed + gap + body, True) if renamed != head else (raw, False)


def has_nul(piece: bytes | memoryview) -> bool:
    """At the speed of memory: every message is looked at."""
    if isinstance(piece, bytes):
        return b"\0" in piece
    return any(b"\0" in bytes(piece[at : at + STEP]) for at in range(0, len(piece), STEP))


def unfit(raw: bytes) -> bool:
    """Whether there are NULs or line ends without CR. Costs a second for a gigabyte: for what was refused."""
    return b"\0" in raw or raw.count(b"\n") != raw.count(b"\r\n")


def size_with_line_ends(raw: bytes) -> int:
    """Octets of the message where the server writes every line end as CR LF."""
    return len(raw) + raw.count(b"\n") - raw.count(b"\r\n")


def alike(one: bytes, other: bytes) -> bool:
    """The same, but for line ends, which some servers write anew."""
    return one == other or _BARE.sub(b"\r\n", one) == _BARE.sub(b"\r\n", other)


def mend(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Line ends as they must be, and parts that hold NULs as base64."""
    notes: list[str] = []
    if b"\0" in raw:
        raw, more = shorten(raw, 1 << 60)
        notes += more
    mended = _BARE.sub(b"\r\n", raw)
    if mended != raw:
        notes.append("line_ends_mended")
    return mended, tuple(notes)


def too_long(raw: bytes, most: int = LINE_MOST) -> bool:
    """Whether a line has more octets than `most`. Quick for what has none."""
    at = 0
    end = len(raw)
    while end - at > most:
        # Somewhere in the next `most` octets a line must end.
        found = raw.rfind(b"\n", at, at + most + 1)
        if found < 0:
            return True
        at = found + 1
    return False


def shorten(raw: bytes, most: int = LINE_MOST) -> tuple[bytes, tuple[str, ...]]:
    """The message with no line above `most` octets and no NUL, and notes of what was changed."""
    notes: list[str] = []
    done = _entity(raw, most, notes, 0)
    return done, tuple(dict.fromkeys(notes))


def _split(raw: bytes) -> tuple[bytes, bytes, bytes]:
    if raw.startswith((b"\r\n", b"\n")):
        gap = b"\r\n" if raw.startswith(b"\r\n") else b"\n"
        return b"", gap, raw[len(gap) :]
    places = [(at, gap) for gap in (b"\r\n\r\n", b"\n\n") if (at := raw.find(gap)) >= 0]
    if not places:
        return raw, b"", b""
    at, gap = min(places)
    half = len(gap) // 2
    return raw[: at + half], raw[at + half : at + len(gap)], raw[at + len(gap) :]


def _entity(raw: bytes, most: int, notes: list[str], depth: int) -> bytes:
    if not too_long(raw, most) and b"\0" not in raw:
        return raw
    head, gap, body = _split(raw)
    if b"\0" in head:
        head = head.replace(b"\0", b"")
        notes.append("nul_removed")
    if too_long(head, most):
        head = _fold(head, most)
        notes.append("header_folded")
    kind = _field(head, b"content-type")
    if _PROTECTED.search(kind):
        notes.append("protected_part_kept")
        return head + gap + body
    found = _BOUNDARY.search(kind) if kind.lower().lstrip().startswith(b"multipart/") else None
    if found is not None and depth < DEPTH_MOST:
        return head + gap + _parts(body, found[1] or found[2], most, notes, depth)
    if kind.lower().lstrip().startswith(b"message/rfc822") and depth < DEPTH_MOST:
        return head + gap + _entity(body, most, notes, depth + 1)
    if not too_long(body, most) and b"\0" not in body:
        return head + gap + body
    return _base64(head, gap, body, notes)


def _parts(body: bytes, boundary: bytes, most: int, notes: list[str], depth: int) -> bytes:
    pattern = re.compile(rb"(?:^|(?<=\n))--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r?\n|$)")
    out: list[bytes] = []
    at = 0
    for number, found in enumerate(pattern.finditer(body)):
        piece = body[at : found.start()]
        out += [_part(piece, most, notes, depth) if number else piece, found[0]]
        at = found.end()
    out.append(body[at:])
    return b"".join(out)


def _part(piece: bytes, most: int, notes: list[str], depth: int) -> bytes:
    # The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
    end = b"\r\n" if piece.endswith(b"\r\n") else b"\n" if piece.endswith(b"\n") else b""
    inner = piece[: len(piece) - len(end)] if end else piece
    return _entity(inner, most, notes, depth + 1) + end


def _base64(head: bytes, gap: bytes, body: bytes, notes: list[str]) -> bytes:
    coding = _field(head, b"content-transfer-encoding").strip().lower()
    try:
        data = (
            base64.b64decode(body)
            if coding == b"base64"
            else quopri.decodestring(body)
            if coding == b"quoted-printable"
            else body
        )
    except ValueError:
        data = body
    notes.append("reencoded")
    line = b"Content-Transfer-Encoding: base64" + (gap or b"\r\n")
    fields = re.compile(
        rb"^content-transfer-encoding:.*(?:\r?\n[ \t].*)*(?:\r?\n|\Z)", re.IGNORECASE | re.MULTILINE
    )
    head = fields.sub(b"", head)
    if head and not head.endswith(b"\n"):
        head += gap or b"\r\n"
    encoded = base64.b64encode(data)
    lines = [encoded[at : at + 76] for at in range(0, len(encoded), 76)]
    return head + line + (gap or b"\r\n") + b"\r\n".join(lines) + b"\r\n"


def _fold(head: bytes, most: int) -> bytes:
    """Long header lines broken at white space where there is some."""
    out = []
    for line in head.splitlines(keepends=True):
        while len(line) > most:
            cut = max(line.rfind(b" ", 1, most), line.rfind(b"\t", 1, most))
            if cut <= 0:
                cut = most - 1
                out.append(line[:cut] + b"\r\n")
                line = b" " + line[cut:]
            else:
                out.append(line[:cut] + b"\r\n")
                line = line[cut:]
        out.append(line)
    return b"".join(out)


def _field(head: bytes, name: bytes) -> bytes:
    found = re.search(
        rb"^" + re.escape(name) + rb":(.*(?:\r?\n[ \t].*)*)", head, re.IGNORECASE | re.MULTILINE
    )
    return found[1] if found else b""
