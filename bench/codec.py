"""Speed and memory of the FastTransfer codec, beside base64 decoding of the same octets.

    python bench/codec.py            all figures
    python bench/codec.py --quick    a second or two
    python bench/codec.py --memory   only: peak memory for an attachment of 150 MB

Targets on one core: items with attachments of 1 MB and more at 150 MB/s both ways; 5,000 items of 5 kB read a second;
an item with an attachment of 150 MB within 2.5 times its size.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.item import BINARY, BOOLEAN, INT32, STRING, TIME, Attachment, Message, Named, Properties

MB = 1_000_000


def small_item(octets: int = 5_000) -> Message:
    """A mail as Exchange exports it: some 60 properties of the message, two recipients, a body that fills it up."""
    message = Message()
    put = message.properties.set
    for tag in (
        0x0017,
        0x0026,
        0x0036,
        0x0E07,
        0x1080,
        0x3FDE,
        0x3FF1,
        0x3FFD,
        0x5902,
        0x5909,
        0x1016,
        0x4019,
        0x401A,
    ):
        put(tag, INT32, tag & 0xFF)
    for tag in (0x0023, 0x0029, 0x0063, 0x3016, 0x0E1F, 0x0C08, 0x5D0A):
        put(tag, BOOLEAN, bool(tag & 1))
    for tag in (0x0039, 0x0E06, 0x3007, 0x3008, 0x0E2F):
        put(tag, TIME, 134_082_326_728_441_856)
    put(0x001A, STRING, "IPM.Note")
    for tag in (
        0x0037,
        0x003D,
        0x0042,
        0x0064,
        0x0065,
        0x0070,
        0x0C1A,
        0x0C1E,
        0x0C1F,
        0x0E1D,
        0x1035,
        0x5D01,
        0x5D02,
    ):
        put(tag, STRING, f"value of {tag:04X} @ example.org")
    for tag in (0x003B, 0x0041, 0x0C19, 0x0C1D, 0x0071, 0x300B):
        put(tag, BINARY, bytes(range(40)))
    for lid in (0x8502, 0x8503, 0x8510, 0x8514, 0x8530, 0x8552, 0x8554, 0x8580):
        put(Named(p.PSETID_COMMON, lid), INT32, lid)
    for name in ("x-originating-ip", "x-mailer", "authentication-results"):
        put(Named(p.PS_INTERNET_HEADERS, name=name), STRING, "some words")
    for index in range(2):
        recipient = Properties()
        recipient.set(0x3000, INT32, index)
        recipient.set(0x0C15, INT32, 1)
        for tag in (0x3001, 0x3002, 0x3003, 0x39FE, 0x5FF6):
            recipient.set(tag, STRING, f"person {index} @ example.org")
        recipient.set(0x0FFF, BINARY, bytes(80))
        message.recipients.append(recipient)
    room = octets - len(fts.write(message))
    put(0x1000, STRING, "lorem ipsum " * max(1, room // 24))
    return message


def large_item(octets: int) -> Message:
    message = small_item()
    attachment = Attachment()
    attachment.properties.set(0x3705, INT32, 1)
    attachment.properties.set(0x3707, STRING, "report.bin")
    attachment.properties.set(0x3701, BINARY, os.urandom(octets))
    message.attachments.append(attachment)
    return message


def seconds(call: Callable[[], object], budget_s: float) -> float:
    """The shortest of as many calls as fit into the budget: the others were disturbed."""
    best, ends = float("inf"), time.perf_counter() + budget_s
    while time.perf_counter() < ends:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def speeds(budget_s: float) -> None:
    print("small item (4 kB of body and some 70 properties)")
    one_speed(small_item(), budget_s)
    for size in (1 * MB, 10 * MB, 50 * MB):
        print(f"item with an attachment of {size // MB} MB")
        one_speed(large_item(size), budget_s)


def one_speed(message: Message, budget_s: float) -> None:
    stream = fts.write(message)
    text = base64.b64encode(stream)
    for name, call in (
        ("read", lambda: fts.read(stream)),
        ("read strict", lambda: fts.read(stream, strict=True)),
        ("summary", lambda: fts.summary(stream)),
        ("summary b64", lambda: fts.summary(fts.Base64Octets(text))),
        ("write", lambda: fts.write(message)),
        ("write pieces", lambda: fts.write_pieces(message)),
        ("b64decode", lambda: base64.b64decode(text)),
    ):
        took = seconds(call, budget_s)
        octets = len(stream)
        print(
            f"  {name:<12} {took * 1000:>9,.3f} ms {1 / took:>10,.0f} items/s {octets / took / MB:>9,.0f} MB/s"
        )


def peak() -> int:
    """Most octets that this process ever had in memory."""
    try:
        # Linux counts the parent's peak into ru_maxrss of a child, so ask for this image alone.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        import resource  # not on Windows

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def memory_phase(phase: str, path: str, size: int) -> None:
    """One measurement in a process of its own, because a peak cannot be taken back."""
    base = peak()
    if phase == "make":
        with open(path, "wb") as out:
            out.writelines(fts.write_pieces(large_item(size)))
        return
    if phase == "write":
        message = large_item(size)
        with open(path, "wb") as out:
            out.writelines(fts.write_pieces(message))
    else:
        with open(path, "rb") as stored:
            if phase == "scan":
                fts.summary(fts.FileOctets(stored))
            else:
                stream = stored.read()
                message = fts.read(stream)
                print(f"  {len(stream):,} octets, {len(message.attachments)} attachment")
    words = {"read": "stream and tree", "write": "tree and stream going out", "scan": "summary of a file"}
    print(f"  {words[phase]:<28} {(peak() - base) / size:>6.2f} times its size")


def memory(size: int = 150 * MB) -> None:
    """Peak growth of a process that reads, writes or scans an item, against the attachment's size."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "item.fts")
        print(f"memory for an attachment of {size // MB} MB")
        sys.stdout.flush()
        for phase in ("make", "read", "write", "scan"):
            subprocess.run([sys.executable, __file__, "--phase", phase, path, str(size)], check=True)


def main() -> None:
    if sys.argv[1:2] == ["--phase"]:
        phase, path, size = sys.argv[2:]
        memory_phase(phase, path, int(size))
        return
    if "--memory" not in sys.argv:
        speeds(0.1 if "--quick" in sys.argv else 1.0)
    memory()


if __name__ == "__main__":
    main()
