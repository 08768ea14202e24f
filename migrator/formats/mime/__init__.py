"""MIME ⇄ item tree.

split.py      where the parts of a message begin and end
headers.py    header fields: encoded words, parameters, addresses, dates
charsets.py   octets → text, charset names ⇄ code pages
transfer.py   Content-Transfer-Encodings
read.py       MIME → tree (MS-OXCMAIL 2.2.3)
write.py      tree → MIME (MS-OXCMAIL 2.1.3)
notes.py      what a conversion could not carry, as short words with an explanation each
"""

from migrator.formats.converted import Converted
from migrator.formats.mime.notes import NOTES
from migrator.formats.mime.read import ReadOptions, to_tree
from migrator.formats.mime.split import Limits
from migrator.formats.mime.write import WriteOptions, Written, categories_of, flags_of, from_tree

__all__ = [
    "NOTES",
    "Converted",
    "Limits",
    "ReadOptions",
    "WriteOptions",
    "Written",
    "categories_of",
    "flags_of",
    "from_tree",
    "to_tree",
]
