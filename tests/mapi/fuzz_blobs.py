"""Coverage-guided fuzzing of the parsers for binary values: a value that is written again the same, or a BlobError.

pip install atheris
python tests/mapi/fuzz_blobs.py -max_total_time=300 -max_len=1024 CORPUS_DIRECTORY
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["migrator.mapi"]):
    from migrator.mapi import blobs, recurrence, rtf


def pattern_again(value: Any) -> bytes:
    pattern, rest = value
    return recurrence.build_pattern(pattern) + rest


def unpack(octets: bytes) -> bytes:
    """RTF behind a header that is right, so that the checksum does not keep the fuzzer out."""
    crc = zlib.crc32(octets, 0xFFFFFFFF) ^ 0xFFFFFFFF
    header = struct.pack("<II4sI", len(octets) + 12, 100_000, b"LZFu", crc)
    return rtf.decompress(header + octets, largest=1 << 20)


PARSERS: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes] | None]] = [
    (recurrence.parse_recurrence, recurrence.build_recurrence),
    (recurrence.parse_pattern, pattern_again),
    (blobs.parse_time_zone_struct, blobs.build_time_zone_struct),
    (blobs.parse_conversation_index, blobs.build_conversation_index),
    (blobs.parse_time_zone_definition, None),
    (blobs.parse_global_object_id, None),
    (blobs.parse_entry_id, None),
    (lambda octets: rtf.decompress(octets, largest=1 << 20), None),
    (unpack, None),
]


def test_one_input(data: bytes) -> None:
    if not data:
        return
    parse, build = PARSERS[data[0] % len(PARSERS)]
    octets = data[1:]
    try:
        value = parse(octets)
    except blobs.BlobError:
        return
    if build is not None:
        assert build(value) == octets
    if isinstance(value, recurrence.AppointmentRecurrence):
        recurrence.describe(value)
        recurrence.meaning(value)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
