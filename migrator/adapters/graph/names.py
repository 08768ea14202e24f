"""What Exchange calls its folders and items, and what we call them.

Facts: well-known folder names (learn.microsoft.com/graph/api/resources/mailfolder), container classes (MS-OXOSFLD 2.2.3),
message classes (MS-OXCMSG 2.2.1.3, MS-OXOCAL, MS-OXOCNTC, MS-OXOTASK, MS-OXONOTE, MS-OXOJRNL).
"""

from __future__ import annotations

from migrator.model import Kind, Role

ROLE_OF_NAME: dict[str, Role] = {
    "inbox": Role.INBOX,
    "sentitems": Role.SENT,
    "drafts": Role.DRAFTS,
    "deleteditems": Role.DELETED,
    "outbox": Role.OUTBOX,
    "junkemail": Role.JUNK,
    "archive": Role.ARCHIVE,
    "conversationhistory": Role.CONVERSATION_HISTORY,
    "calendar": Role.CALENDAR,
    "contacts": Role.CONTACTS,
    "tasks": Role.TASKS,
    "notes": Role.NOTES,
    "journal": Role.JOURNAL,
}
NAME_OF_ROLE = {role: name for name, role in ROLE_OF_NAME.items()}

MAIL_ROLES = (
    Role.INBOX,
    Role.SENT,
    Role.DRAFTS,
    Role.DELETED,
    Role.OUTBOX,
    Role.JUNK,
    Role.ARCHIVE,
    Role.CONVERSATION_HISTORY,
)

CLASS_OF_ROLE = {
    Role.CALENDAR: "IPF.Appointment",
    Role.CONTACTS: "IPF.Contact",
    Role.TASKS: "IPF.Task",
    Role.NOTES: "IPF.StickyNote",
    Role.JOURNAL: "IPF.Journal",
}

# For a role folder that a mailbox does not have: made under this name, found by it the next time.
PLAIN_NAME = {
    Role.INBOX: "Inbox",
    Role.SENT: "Sent Items",
    Role.DRAFTS: "Drafts",
    Role.DELETED: "Deleted Items",
    Role.OUTBOX: "Outbox",
    Role.JUNK: "Junk Email",
    Role.ARCHIVE: "Archive",
    Role.CONVERSATION_HISTORY: "Conversation History",
    Role.CALENDAR: "Calendar",
    Role.CONTACTS: "Contacts",
    Role.TASKS: "Tasks",
    Role.NOTES: "Notes",
    Role.JOURNAL: "Journal",
}

# Default folders as Exchange names them in the languages most often met; decides only between several folders of one class.
LOCAL_NAMES = {
    Role.CALENDAR: frozenset(
        [
            "calendar",
            "kalender",
            "calendrier",
            "calendario",
            "agenda",
            "calendário",
            "kalendarz",
            "kalenteri",
            "kalendář",
            "naptár",
            "takvim",
            "日历",
            "予定表",
            "календарь",
        ]
    ),
    Role.CONTACTS: frozenset(
        [
            "contacts",
            "kontakte",
            "contactos",
            "contatti",
            "contactpersonen",
            "contatos",
            "contactos",
            "kontakty",
            "kontakter",
            "yhteystiedot",
            "névjegyek",
            "kişiler",
            "联系人",
            "連絡先",
            "контакты",
        ]
    ),
    Role.TASKS: frozenset(
        [
            "tasks",
            "aufgaben",
            "tâches",
            "tareas",
            "attività",
            "taken",
            "tarefas",
            "zadania",
            "uppgifter",
            "opgaver",
            "oppgaver",
            "tehtävät",
            "úkoly",
            "feladatok",
            "görevler",
            "任务",
            "タスク",
            "задачи",
        ]
    ),
    Role.NOTES: frozenset(
        [
            "notes",
            "notizen",
            "notas",
            "note",
            "notities",
            "notatki",
            "anteckningar",
            "noter",
            "notater",
            "muistilaput",
            "poznámky",
            "feljegyzések",
            "notlar",
            "便笺",
            "メモ",
            "заметки",
        ]
    ),
    Role.JOURNAL: frozenset(
        [
            "journal",
            "diario",
            "logboek",
            "diário",
            "dziennik",
            "dagbok",
            "päiväkirja",
            "deník",
            "napló",
            "günlük",
            "日记",
            "履歴",
            "дневник",
        ]
    ),
}

_KIND_OF_FOLDER_CLASS = (
    ("ipf.appointment", Kind.EVENT),
    ("ipf.contact", Kind.CONTACT),
    ("ipf.task", Kind.TASK),
    ("ipf.stickynote", Kind.NOTE),
    ("ipf.journal", Kind.JOURNAL),
    ("ipf.note", Kind.MAIL),
    ("ipf.imap", Kind.MAIL),
)
CLASS_OF_KIND = {
    Kind.MAIL: "IPF.Note",
    Kind.EVENT: "IPF.Appointment",
    Kind.CONTACT: "IPF.Contact",
    Kind.GROUP: "IPF.Contact",
    Kind.TASK: "IPF.Task",
    Kind.NOTE: "IPF.StickyNote",
    Kind.JOURNAL: "IPF.Journal",
    Kind.OTHER: "IPF.Note",
}


def _within(name: str, base: str) -> bool:
    return name == base or name.startswith(base + ".")


def kind_of_folder_class(folder_class: str) -> Kind:
    """The kind of a folder by its container class. A folder without one holds mail (MS-OXOSFLD 2.2.3)."""
    name = folder_class.lower()
    if not name:
        return Kind.MAIL
    return next((kind for base, kind in _KIND_OF_FOLDER_CLASS if _within(name, base)), Kind.OTHER)
