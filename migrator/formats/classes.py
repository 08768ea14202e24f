"""What an item is to its owner, by its message class. One table for every adapter: fingerprints and paths rest on it."""

from __future__ import annotations

from functools import lru_cache

from migrator.model import Kind

# The first that fits. Meeting requests and task requests lie in mail folders and are mail to their owner.
_KIND_OF_CLASS = (
    ("ipm.appointment", Kind.EVENT),
    ("ipm.ole.class.{00061055-0000-0000-c000-000000000046}", Kind.EVENT),  # exception of a series
    ("ipm.contact", Kind.CONTACT),
    ("ipm.distlist", Kind.GROUP),
    ("ipm.task", Kind.TASK),
    ("ipm.stickynote", Kind.NOTE),
    ("ipm.activity", Kind.JOURNAL),
    ("ipm.note", Kind.MAIL),
    ("ipm.post", Kind.MAIL),
    ("ipm.schedule", Kind.MAIL),
    ("ipm.taskrequest", Kind.MAIL),
    ("ipm.sharing", Kind.MAIL),
    ("ipm.recall", Kind.MAIL),
    ("ipm.outlook.recall", Kind.MAIL),
    ("ipm.document", Kind.MAIL),
    ("report", Kind.MAIL),
)


@lru_cache(1024)  # a mailbox has few, and every listed item asks
def kind_of_class(item_class: str) -> Kind:
    """The kind of an item by its message class, without regard to letter case. No class at all is mail (MS-OXCMSG 2.2.1.3)."""
    name = item_class.lower()
    if not name or name == "ipm":
        return Kind.MAIL
    return next(
        (kind for base, kind in _KIND_OF_CLASS if name == base or name.startswith(base + ".")),
        Kind.OTHER,
    )
