"""Folders' names: between what the server calls them and paths, and which of them has a role.

Facts this module rests on:
- INBOX is the one name whose case does not matter (RFC 3501 5.1); here it is ("Inbox",) and what lies below it
- SPECIAL-USE attributes tell roles (RFC 6154); where a server has none, usual names do, at the root or right below Inbox
- a personal namespace may have a prefix, "INBOX." on Courier and old Cyrus (RFC 2342): it is no part of the path, and what
  lies below a folder called Inbox keeps that name there
- servers refuse further characters (Cyrus a backslash: imap/mboxname.c, GOODCHARS)
- a separator cannot be in a name; what looks like it can: ／ and ．are written instead, and read as they are
"""

from __future__ import annotations

from collections.abc import Collection

from migrator.model import FolderPath, Role
from migrator.record import record

INBOX = "Inbox"

SPECIAL_USE = {
    b"\\ARCHIVE": Role.ARCHIVE,
    b"\\DRAFTS": Role.DRAFTS,
    b"\\JUNK": Role.JUNK,
    b"\\SPAM": Role.JUNK,  # XLIST
    b"\\SENT": Role.SENT,
    b"\\TRASH": Role.DELETED,
}
VIEWS = frozenset({b"\\FLAGGED", b"\\IMPORTANT", b"\\STARRED"})
"""Attributes of folders that show messages of other folders (RFC 6154 2, RFC 8457). \\All is none of them: on Gmail it holds
archived mail that is nowhere else."""

# Thunderbird, Outlook, Apple Mail, Roundcube, Horde and hosts' web mail in the languages of the source's users.
USUAL = {
    Role.SENT: (
        "sent", "sent items", "sent messages", "sent mail", "sent-mail", "gesendet", "gesendete objekte", "gesendete elemente",
        "gesendete nachrichten", "postausgang gesendet", "envoyés", "éléments envoyés", "messages envoyés", "courrier envoyé",
        "enviados", "elementos enviados", "mensajes enviados", "itens enviados", "posta inviata", "inviata", "elementi inviati",
        "verzonden", "verzonden items", "verzonden berichten", "skickat", "skickade objekt", "sendt", "sendte elementer",
        "sendt post", "lähetetyt", "wysłane", "elementy wysłane", "odeslané", "odeslaná pošta", "odoslané", "elküldött elemek",
        "отправленные", "gönderilmiş öğeler", "gönderilenler", "送信済み", "送信済みアイテム", "已发送", "已发送邮件", "寄件備份",
    ),
    Role.DRAFTS: (
        "drafts", "draft", "entwürfe", "entwurf", "brouillons", "borradores", "rascunhos", "bozze", "concepten", "utkast",
        "kladder", "luonnokset", "wersje robocze", "robocze", "koncepty", "rozepsané", "piszkozatok", "черновики", "taslaklar",
        "下書き", "草稿", "草稿箱",
    ),
    Role.DELETED: (
        "trash", "deleted", "deleted items", "deleted messages", "bin", "papierkorb", "gelöscht", "gelöschte elemente",
        "gelöschte objekte", "corbeille", "éléments supprimés", "messages supprimés", "papelera", "elementos eliminados",
        "itens excluídos", "lixo", "lixeira", "cestino", "posta eliminata", "elementi eliminati", "prullenbak",
        "verwijderde items", "papperskorg", "papperskorgen", "borttaget", "slettet post", "slettede elementer", "roskakori",
        "kosz", "elementy usunięte", "koš", "odstraněná pošta", "kôš", "törölt elemek", "корзина", "удаленные", "çöp kutusu",
        "silinmiş öğeler", "ゴミ箱", "削除済みアイテム", "已删除", "已删除邮件", "垃圾桶",
    ),
    Role.JUNK: (
        "junk", "junk email", "junk e-mail", "spam", "bulk mail", "spamverdacht", "unerwünscht", "junk-e-mail",
        "courrier indésirable", "indésirables", "pourriel", "correo no deseado", "lixo eletrônico", "lixo electrónico",
        "posta indesiderata", "ongewenste e-mail", "skräppost", "søppelpost", "uønsket mail", "roskaposti", "wiadomości-śmieci",
        "niechciane", "nevyžádaná pošta", "levélszemét", "спам", "нежелательная почта", "gereksiz e-posta", "迷惑メール", "垃圾邮件",
    ),
    Role.ARCHIVE: (
        "archive", "archives", "archiv", "archivio", "archivo", "arquivo", "archief", "arkiv", "arkisto", "archiwum", "archív",
        "архив", "arşiv", "アーカイブ", "存档",
    ),
}  # fmt: skip
_BY_NAME = {name: role for role, names in USUAL.items() for name in names}

_SAFE = frozenset("-_ ()+=,'@")  # beside letters and digits


def look_alike(char: str) -> str:
    """The full-width form of an ASCII punctuation mark: to the eye the same, to a server a letter."""
    return chr(ord(char) + 0xFEE0) if "!" <= char <= "~" and not char.isalnum() else "_"


def tame(path: FolderPath) -> FolderPath:
    """A path in which every character that some server refuses is written by its look-alike."""
    return tuple(
        "".join(
            char if char.isalnum() or char in _SAFE or char > "~" else look_alike(char)
            for char in part.strip() or "_"
        )
        for part in path
    )


@record
class Naming:
    """How a server forms names. prefix: of the personal namespace, with its separator at the end, or empty."""

    separator: str = "/"
    prefix: str = ""

    def path(self, name: str) -> FolderPath:
        """The path of a server's name."""
        if name.upper() == "INBOX":
            return (INBOX,)
        if self.prefix and name[: len(self.prefix)].upper() == self.prefix.upper():
            name = name[len(self.prefix) :]
            # What the prefix hides: a folder that is called Inbox itself.
            return tuple(name.split(self.separator)) if self.separator else (name,)
        parts = name.split(self.separator) if self.separator else [name]
        if parts[0].upper() == "INBOX":
            parts[0] = INBOX
        return tuple(parts)

    def name(self, path: FolderPath) -> str:
        """What the server is to call a path."""
        if len(path) == 1 and path[0].upper() == "INBOX":
            return "INBOX"
        parts = [self._part(part) for part in path]
        if not self.prefix and parts[0].upper() == "INBOX":
            parts[0] = "INBOX"
        return self.prefix + (self.separator or "／").join(parts)

    def _part(self, part: str) -> str:
        if self.separator and self.separator in part:
            part = part.replace(self.separator, look_alike(self.separator))
        return part


def role_of(path: FolderPath, attributes: Collection[bytes]) -> Role | None:
    """The role that a folder's attributes claim."""
    if path == (INBOX,):
        return Role.INBOX
    return next((role for word, role in SPECIAL_USE.items() if word in attributes), None)


def usual_role(path: FolderPath) -> Role | None:
    """The role that a folder's name suggests: at the root, right below Inbox, or below "[Gmail]" and its kind."""
    if len(path) == 1 or (len(path) == 2 and (path[0] == INBOX or path[0].startswith("["))):
        return _BY_NAME.get(path[-1].casefold())
    return None
