"""Exchange's item stream (EWS ExportItems/UploadItems, Graph exportItems/import): bytes ⇄ item tree.

    errors.py      StreamError: what is wrong, where, and whether the stream is only beyond us
    container.py   the record list around the stream (opcode, length, payload)
    codepages.py   code-page numbers → decoders
    reader.py      bytes → tree, tolerant or strict
    writer.py      tree → bytes, always strict
    scan.py        what an item holds, without taking large values out of it

Facts this package rests on (MS-OXCFXICS 2.2.4.1 lexical, 2.2.4.2 and 2.2.4.3 grammar; the container as in the
samples of learn.microsoft.com ExportItems, UploadItems and Graph mailbox import):
- a stream is markers and property values; no lengths around objects, no checksum, nothing after the last marker
- the root of an item is messageContent: properties, recipients, attachments; an attachment may hold another one
- named properties carry their set and name in the stream; their ids (0x8000 and up) are local to it
- a page ends between atoms or inside the bytes of a length-prefixed value, never inside an atom

The reader and the writer share no tables, so that a slip in one is seen by the other.
"""

from migrator.mapi.fasttransfer.errors import StreamError
from migrator.mapi.fasttransfer.reader import Decoded, Limits, decode, read
from migrator.mapi.fasttransfer.scan import Base64Octets, FileOctets, PlainOctets, Summary, summary
from migrator.mapi.fasttransfer.writer import PAGE, VERSION, WriteError, write, write_pieces

__all__ = [
    "PAGE",
    "VERSION",
    "Base64Octets",
    "Decoded",
    "FileOctets",
    "Limits",
    "PlainOctets",
    "StreamError",
    "Summary",
    "WriteError",
    "decode",
    "read",
    "summary",
    "write",
    "write_pieces",
]
