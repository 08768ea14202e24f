"""What Exchange's class names and well-known folders mean here (MS-OXCMSG 2.2.1.3, MS-OXOSFLD 2.2.3)."""

from __future__ import annotations

from migrator.model import Kind, Role

ROLES = {
    "inbox": Role.INBOX,
    "sentitems": Role.SENT,
    "drafts": Role.DRAFTS,
    "deleteditems": Role.DELETED,
    "outbox": Role.OUTBOX,
    "junkemail": Role.JUNK,
    "calendar": Role.CALENDAR,
    "contacts": Role.CONTACTS,
    "tasks": Role.TASKS,
    "notes": Role.NOTES,
    "journal": Role.JOURNAL,
}
"""Distinguished folder ids that every schema version knows."""

LATER_ROLES = {"conversationhistory": Role.CONVERSATION_HISTORY}
"""Known from schema Exchange2013 on: asking an older one for them spoils the whole request."""

_FOLDER = (
    ("ipf.note", Kind.MAIL),
    ("ipf.imap", Kind.MAIL),
    ("ipf.appointment", Kind.EVENT),
    ("ipf.contact", Kind.CONTACT),
    ("ipf.task", Kind.TASK),
    ("ipf.stickynote", Kind.NOTE),
    ("ipf.journal", Kind.JOURNAL),
)

FOLDER_ELEMENTS = {
    "CalendarFolder": "IPF.Appointment",
    "ContactsFolder": "IPF.Contact",
    "TasksFolder": "IPF.Task",
}
"""The class of a folder that tells none, by the element it is listed as."""


def _look_up(name: str, table: tuple[tuple[str, Kind], ...]) -> Kind:
    name = name.lower()
    if not name or name == "ipm":
        return Kind.MAIL
    return next((kind for base, kind in table if name == base or name.startswith(base + ".")), Kind.OTHER)


def kind_of_folder(folder_class: str) -> Kind:
    return _look_up(folder_class, _FOLDER)
