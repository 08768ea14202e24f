"""Speed and memory of mail conversion: MIME → item stream and back, beside Python's `email` on the same octets.

    python bench/formats.py            all figures
    python bench/formats.py --quick    a second or two
    python bench/formats.py --memory   only: peak memory for a mail with an attachment of 150 MB

The yardsticks are what a stock program would do: `email.message_from_bytes` with all parts decoded, and `as_bytes()`.
"""

from __future__ import annotations

import base64
import email
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

from migrator.formats import convert, mime
from migrator.formats.content import MemoryContent
from migrator.mapi import fasttransfer
from migrator.model import Format, Item, ItemRef, Kind

MB = 1_000_000
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "the",
    "lazy",
    "dog",
    "while",
    "größere",
    "Zeilen",
    "und",
    "ein",
    "paar",
    "Umlaute",
    "warten",
]


def text(octets: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    lines, size = [], 0
    while size < octets:
        line = " ".join(rng.choice(WORDS) for _ in range(11))
        lines.append(line)
        size += len(line) + 2
    return "\r\n".join(lines)


def mail(body: int, attachment: int) -> bytes:
    """A mail as it arrives: 25 header lines, text and HTML, one attachment in base64."""
    received = "".join(
        f"Received: from host{n}.example.org (host{n}.example.org [192.0.2.{n}])\r\n\tby mx{n}.example.org with ESMTPS id {n}abc;"
        f"\r\n\tMon, 3 Feb 2020 10:00:{50 - n} +0100\r\n"
        for n in range(6)
    )
    head = (
        received
        + "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n\tb="
        + "A" * 170
        + "\r\n"
        "From: =?utf-8?q?J=C3=B6rg_M=C3=BCller?= <joerg@example.org>\r\nTo: Jane Doe <jane@example.com>, "
        "Team <team@example.com>\r\nCc: Carl <carl@example.net>\r\nSubject: Re: =?utf-8?q?Pr=C3=BCfung?= of the plan\r\n"
        "Date: Mon, 3 Feb 2020 10:00:00 +0100\r\nMessage-ID: <1@example.org>\r\nIn-Reply-To: <0@example.org>\r\n"
        "References: <0@example.org>\r\nX-Mailer: Example 1.0\r\nX-Spam-Status: No, score=-1\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n'
    )
    plain = base64_free(text(body // 2))
    rich = base64_free(
        "<html><body><p>" + text(body // 2, 2).replace("\r\n", "</p>\r\n<p>") + "</p></body></html>"
    )
    parts = (
        '--outer\r\nContent-Type: multipart/alternative; boundary="inner"\r\n\r\n'
        f"--inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{plain}\r\n"
        f"--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{rich}\r\n"
        "--inner--\r\n"
    )
    file = base64.encodebytes(random.Random(3).randbytes(attachment)).replace(b"\n", b"\r\n")
    return (
        (head + parts).encode()
        + b'--outer\r\nContent-Type: application/pdf; name="report.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="report.pdf"\r\n\r\n' + file + b"--outer--\r\n"
    )


def base64_free(content: str) -> str:
    import quopri

    return quopri.encodestring(content.encode()).decode().replace("\r\n", "\n").replace("\n", "\r\n")


def item(raw: bytes, fmt: Format = Format.MIME) -> Item:
    return Item(ItemRef("1", ("Inbox",), Kind.MAIL, "v", len(raw)), fmt, MemoryContent([raw]))


def stock(raw: bytes) -> None:
    for part in email.message_from_bytes(raw).walk():
        if not part.is_multipart():
            part.get_payload(decode=True)


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls a second of processor time, so that other work on the machine does not count; the best of three."""
    best = 0.0
    for _ in range(3):
        count, started = 0, time.process_time()
        while (spent := time.process_time() - started) < seconds or count < 2:
            work()
            count += 1
        best = max(best, count / spent)
    return best


def figures(seconds: float) -> None:
    sizes = (("5 kB", mail(3_000, 1_000)), ("50 kB", mail(8_000, 30_000)), ("5 MB", mail(20_000, 3_650_000)))
    print(f"{'':34}{'per second':>12}{'MB/s':>10}")
    for name, raw in sizes:
        tree = mime.to_tree(raw).message
        stream = convert.mime_to_fts(item(raw))
        works: tuple[tuple[str, Callable[[], object]], ...] = (
            ("MIME → tree", lambda raw=raw: mime.to_tree(raw)),  # type: ignore[misc]
            ("MIME → stream (whole item)", lambda raw=raw: convert.mime_to_fts(item(raw))),  # type: ignore[misc]
            ("tree → MIME", lambda tree=tree: mime.from_tree(tree)),  # type: ignore[misc]
            ("stream → MIME (whole item)", lambda stream=stream: convert.fts_to_mime(stream)),  # type: ignore[misc]
            ("tree → stream", lambda tree=tree: fasttransfer.write_pieces(tree)),  # type: ignore[misc]
            ("email: parse, decode all parts", lambda raw=raw: stock(raw)),  # type: ignore[misc]
            ("email: parse, write", lambda raw=raw: email.message_from_bytes(raw).as_bytes()),  # type: ignore[misc]
        )
        print(f"{name} mail, {len(raw):,} octets")
        for what, work in works:
            found = rate(work, seconds)
            print(f"  {what:32}{found:12,.0f}{found * len(raw) / MB:10,.0f}")


def memory() -> None:
    """Peak of a process that converts one mail of 150 MB (attachment octets), as a multiple of the attachment."""
    import resource

    size = 150 * MB
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"migrator-bench-{os.getpid()}.eml")
    try:
        with open(path, "wb") as file:
            file.write(mail(2_000, 10).replace(b"--outer--\r\n", b""))
            file.write(
                b"--outer\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            )
            line = base64.b64encode(bytes(57)) + b"\r\n"
            for _ in range(size // 57 // 1_000):
                file.write(line * 1_000)
            file.write(b"--outer--\r\n")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with open(path, "rb") as opened:
            whole = item(opened.read())
        done = convert.mime_to_fts(whole)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        print(
            f"attachment {size / MB:.0f} MB, mail {whole.content.size / MB:.0f} MB, base64 of the stream "
            f"{done.content.size / MB:.0f} MB: peak {peak / MB:.0f} MB = {peak / size:.2f} × attachment"
        )
    finally:
        os.unlink(path)


if __name__ == "__main__":
    if "--memory" in sys.argv:
        memory()
    else:
        figures(0.1 if "--quick" in sys.argv else 1.0)
        if "--quick" not in sys.argv and sys.platform != "win32":
            subprocess.run([sys.executable, __file__, "--memory"], check=True)
