"""How two item streams are compared: for verification, and for items in doubt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.engine.tools import SameContent
from migrator.errors import ItemError, MigratorError
from migrator.model import (
    Path,
)

if TYPE_CHECKING:
    from migrator.engine.verify import Compare, PropertyDifference
    from migrator.mapi.item import Message


def stream_compare() -> Compare:
    """How two item streams (base64) are compared, property by property; see `mapi.compare`."""
    import binascii

    import pybase64

    from migrator.engine.verify import PropertyDifference
    from migrator.mapi import fasttransfer
    from migrator.mapi.compare import compare as trees

    def tree(stream: bytes) -> Message:
        try:
            octets = pybase64.b64decode(stream, validate=True)
        except binascii.Error:
            raise ItemError("the stream is no base64", code="stream_malformed") from None
        return fasttransfer.read(octets)

    def compare(one: bytes, two: bytes, /, path: str = "") -> list[PropertyDifference]:
        if one == two:
            return []
        made = path if path in (Path.JSON, Path.MIME) else Path.STREAM
        return [
            PropertyDifference(
                f"{difference.path}: {difference.name}" if difference.path else difference.name,
                difference.left,
                difference.right,
                volatile=not difference.counts,
                why=difference.reason,
                class_=difference.class_.value,
                group=_group_of(difference.path, difference.name),
            )
            for difference in trees(tree(one), tree(two), path=made)
        ]

    return compare


def _group_of(path: str, name: str) -> str:
    """ "attachment 3 / embedded message" and a property → "attachment / embedded message: PidTagSubject"."""
    return f"{re.sub(r' [0-9]+', '', path)}: {name}" if path else name


NOT_PROMISED = frozenset(
    {
        "PidTagSearchKey",
        "PidTagInternetMessageId",
        "PidTagMessageDeliveryTime",
        "PidTagCreationTime",
        "PidTagMessageFlags",
    }
)
"""Properties of the item itself that no document says an import keeps: a copy without them is a copy all the same."""


def same_content() -> SameContent:
    """Whether two item streams hold the same item, for items in doubt that nothing else tells apart."""
    known: list[Compare] = []  # made when the first doubt arises

    def same(one: bytes, two: bytes) -> bool | None:
        if not known:
            known.append(stream_compare())
        try:
            return all(
                difference.volatile or difference.name in NOT_PROMISED for difference in known[0](one, two)
            )
        except MigratorError:
            return None

    return same
