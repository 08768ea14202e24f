"""The folders that every mailbox is born with, and what they are called in some languages.

Roles are Exchange's distinguished folder ids in lower case ("sentitems"), which EWS and Graph share.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "root"
VISIBLE_ROOT = "msgfolderroot"


@dataclass(frozen=True, slots=True)
class Birth:
    """One folder of a new mailbox. parent: a role."""

    role: str
    parent: str
    name: str  # English; `NAMES` translates
    folder_class: str = "IPF.Note"
    hidden: bool = False
    search: bool = False
    exchange: bool = True  # a hosted Exchange mailbox has it
    m365: bool = True


BIRTHS: tuple[Birth, ...] = (
    Birth("msgfolderroot", ROOT, "Top of Information Store", ""),
    Birth("searchfolders", ROOT, "Finder", ""),
    Birth("recoverableitemsroot", ROOT, "Recoverable Items", ""),
    Birth("recoverableitemsdeletions", "recoverableitemsroot", "Deletions", ""),
    Birth("recoverableitemsversions", "recoverableitemsroot", "Versions", ""),
    Birth("recoverableitemspurges", "recoverableitemsroot", "Purges", ""),
    Birth("inbox", VISIBLE_ROOT, "Inbox"),
    Birth("drafts", VISIBLE_ROOT, "Drafts"),
    Birth("sentitems", VISIBLE_ROOT, "Sent Items"),
    Birth("deleteditems", VISIBLE_ROOT, "Deleted Items"),
    Birth("outbox", VISIBLE_ROOT, "Outbox"),
    Birth("junkemail", VISIBLE_ROOT, "Junk Email"),
    Birth("archive", VISIBLE_ROOT, "Archive", exchange=False),
    Birth("calendar", VISIBLE_ROOT, "Calendar", "IPF.Appointment"),
    Birth("contacts", VISIBLE_ROOT, "Contacts", "IPF.Contact"),
    Birth("tasks", VISIBLE_ROOT, "Tasks", "IPF.Task"),
    Birth("notes", VISIBLE_ROOT, "Notes", "IPF.StickyNote"),
    Birth("journal", VISIBLE_ROOT, "Journal", "IPF.Journal"),
    Birth("conversationhistory", VISIBLE_ROOT, "Conversation History", m365=True, exchange=False),
    Birth("syncissues", VISIBLE_ROOT, "Sync Issues", exchange=True, m365=False),
    Birth("conflicts", "syncissues", "Conflicts", exchange=True, m365=False),
    Birth("recipientcache", "contacts", "Recipient Cache", "IPF.Contact.RecipientCache", hidden=True),
    Birth(
        "quickcontacts",
        "contacts",
        "{06967759-274D-40B2-A3EB-D7F9E73727D7}",
        "IPF.Contact.MOC.QuickContacts",
        hidden=True,
    ),
)

NAMES: dict[str, dict[str, str]] = {
    "de": {
        "msgfolderroot": "Oberste Ebene des Informationsspeichers",
        "inbox": "Posteingang",
        "drafts": "Entwürfe",
        "sentitems": "Gesendete Elemente",
        "deleteditems": "Gelöschte Elemente",
        "outbox": "Postausgang",
        "junkemail": "Junk-E-Mail",
        "archive": "Archiv",
        "calendar": "Kalender",
        "contacts": "Kontakte",
        "tasks": "Aufgaben",
        "notes": "Notizen",
        "journal": "Journal",
        "conversationhistory": "Aufgezeichnete Unterhaltungen",
        "syncissues": "Synchronisierungsprobleme",
        "conflicts": "Konflikte",
    },
    "fr": {
        "msgfolderroot": "Banque d'informations",
        "inbox": "Boîte de réception",
        "drafts": "Brouillons",
        "sentitems": "Éléments envoyés",
        "deleteditems": "Éléments supprimés",
        "outbox": "Boîte d'envoi",
        "junkemail": "Courrier indésirable",
        "archive": "Archive",
        "calendar": "Calendrier",
        "contacts": "Contacts",
        "tasks": "Tâches",
        "notes": "Notes",
        "journal": "Journal",
        "conversationhistory": "Historique des conversations",
        "syncissues": "Problèmes de synchronisation",
        "conflicts": "Conflits",
    },
    "ja": {
        "msgfolderroot": "インフォメーション ストアの一番上",
        "inbox": "受信トレイ",
        "drafts": "下書き",
        "sentitems": "送信済みアイテム",
        "deleteditems": "削除済みアイテム",
        "outbox": "送信トレイ",
        "junkemail": "迷惑メール",
        "archive": "アーカイブ",
        "calendar": "予定表",
        "contacts": "連絡先",
        "tasks": "タスク",
        "notes": "メモ",
        "journal": "履歴",
        "conversationhistory": "会話の履歴",
        "syncissues": "同期の失敗",
        "conflicts": "競合",
    },
}


def localised(role: str, name: str, locale: str) -> str:
    """The name of a born folder in a locale such as "de-DE"; English where no table has it."""
    return NAMES.get(locale.partition("-")[0].lower(), {}).get(role, name)
