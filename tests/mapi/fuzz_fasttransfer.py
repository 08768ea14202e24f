"""Coverage-guided fuzzing of the FastTransfer reader, the scanner and the writer.

Needs atheris, which is no dependency of the product:

    pip install atheris
    python tests/mapi/fuzz_fasttransfer.py -max_total_time=600 -max_len=4096 CORPUS_DIRECTORY

Each input is read as a whole container and as the payload of one. What must hold: a tree or a StreamError whose offset
lies in the input; the scanner agrees with the reader; strict accepts no more than tolerant and reads the same; what was
read is written, strictly readable, as the same tree.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["migrator.mapi"]):
    from migrator.mapi import fasttransfer as fts
    from migrator.mapi.item import Message, Properties

from tests.mapi.trees import plain
from tests.mapi.vectors import PREAMBLE

T = TypeVar("T")
LIMITS = fts.Limits(depth=8, children=200, values=500, elements=5_000)


def transmittable(message: Message) -> Message:
    """The tree without what the writer leaves out, numbered as the writer numbers."""

    def keep(properties: Properties) -> Properties:
        return Properties(
            {
                key: value
                for key, value in properties.items()
                if value.type & 0x0FFF != 0x000A
                and not (key in (0x0E12, 0x0E13) and value.type == 0x000D)
                and not (isinstance(key, int) and (0x6600 <= key <= 0x67FF or 0x4000 <= key <= 0x4018))
            }
        )

    return Message(
        keep(message.properties),
        [keep(r) for r in message.recipients],
        [
            type(a)(keep(a.properties), None if a.embedded is None else transmittable(a.embedded))
            for a in message.attachments
        ],
    )


def attempt(call: Callable[[], T], octets: int) -> tuple[T | None, fts.StreamError | None]:
    """What a call gives, or its StreamError; any other exception is a finding."""
    try:
        return call(), None
    except fts.StreamError as error:
        refused = error
    assert 0 <= refused.offset <= octets, refused
    return None, refused


def one(data: bytes) -> None:
    message, _ = attempt(lambda: fts.read(data, limits=LIMITS), len(data))
    strict, _ = attempt(lambda: fts.read(data, strict=True, limits=LIMITS), len(data))
    found, refused = attempt(lambda: fts.summary(data, limits=LIMITS), len(data))
    if message is not None and refused is not None:
        assert refused.code == "stream_limit", f"the scanner refuses what the reader reads: {refused}"
    if strict is not None:
        assert message is not None
        assert plain(strict) == plain(message)
    if message is None:
        return
    if found is not None:
        assert plain(found.properties) == plain(message.properties)
        assert (found.recipients, found.attachments) == (len(message.recipients), len(message.attachments))
    try:
        written = [fts.write(message, page=size) for size in (64, 31_680)]
    except fts.WriteError:
        if strict is not None:
            raise
        return
    small, again = [fts.read(octets, strict=True) for octets in written]
    assert plain(small) == plain(again)
    wanted, got = plain(transmittable(message)), plain(transmittable(again))
    assert drop(wanted) == drop(got), (wanted, got)


def drop(tree: object) -> object:
    """Without the numbers that the writer may have given anew, and without attach data beside an embedded message."""
    properties, recipients, attachments = tree  # type: ignore[misc]
    return (
        properties,
        [{k: v for k, v in r.items() if k != 0x3000} for r in recipients],
        [
            (
                {k: v for k, v in p.items() if k != 0x0E21 and not (e and k in (0x3701, 0x3705))},
                drop(e) if e else None,
            )
            for p, e in attachments
        ],
    )


def test_one_input(data: bytes) -> None:
    one(data)
    one(PREAMBLE + struct.pack("<II", 2, len(data)) + data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
