"""What travels: frozen, slotted records without behaviour. Everything above speaks in these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import IO, NewType, Protocol

from migrator.record import record

FolderPath = tuple[str, ...]
"""Folder names from the mailbox root down, unescaped, () is the root. Never a joined string: names hold any character."""

Fingerprint = NewType("Fingerprint", bytes)
"""16 bytes that are equal for "the same item" in two systems; made by `formats.fingerprint`."""


class Kind(StrEnum):
    """What an item is to its owner. From the message class; see `formats.classes`."""

    MAIL = "mail"
    EVENT = "event"
    CONTACT = "contact"
    GROUP = "group"  # a personal distribution list
    TASK = "task"
    NOTE = "note"
    JOURNAL = "journal"
    OTHER = "other"


class Role(StrEnum):
    """A folder with a role is matched by role, not by name: "Posteingang" goes to "Inbox"."""

    INBOX = "inbox"
    SENT = "sent"
    DRAFTS = "drafts"
    DELETED = "deleted"
    OUTBOX = "outbox"
    JUNK = "junk"
    ARCHIVE = "archive"
    CALENDAR = "calendar"
    CONTACTS = "contacts"
    TASKS = "tasks"
    NOTES = "notes"
    JOURNAL = "journal"
    CONVERSATION_HISTORY = "conversation_history"


class Format(StrEnum):
    """In which form content travels."""

    FTS = "fts"  # base64 of Exchange's own item stream, opaque; the richest
    MIME = "mime"
    MSG = "msg"
    ICS = "ics"
    VCF = "vcf"


class Path(StrEnum):
    """How an item gets into the target; what each path keeps is in docs/fidelity.md."""

    STREAM = "stream"  # the source's own item stream, untouched
    SYNTHETIC = "synthetic"  # an item stream made here, from the item's tree
    JSON = "json"  # created anew by the target's ordinary interface, property by property
    MIME = "mime"  # appended as a mail


class Flag(StrEnum):
    SEEN = "seen"
    DRAFT = "draft"
    FLAGGED = "flagged"
    ANSWERED = "answered"
    FORWARDED = "forwarded"


class SkipReason(StrEnum):
    """Permanent, well-known causes for which an item is left out on purpose. Unknown or passing trouble is never a skip."""

    TOO_LARGE = "too_large"
    CORRUPT_AT_SOURCE = "corrupt_at_source"
    VANISHED = "vanished"  # listed, then deleted or moved by its owner before we read it
    FILTERED_DATE = "filtered_date"
    FILTERED_FOLDER = "filtered_folder"
    UNSUPPORTED_KIND = "unsupported_kind"
    SEARCH_FOLDER = "search_folder"
    DUPLICATE = "duplicate"  # only with --dedupe


class State(StrEnum):
    """The fate of one item in the ledger."""

    SENDING = "sending"  # intent recorded; after a restart this means: in doubt
    COPIED = "copied"
    PRESENT = "present"  # was in the target already
    SKIPPED = "skipped"
    FAILED = "failed"


@record
class Mailbox:
    """One side of a manifest row: which mailbox, at which endpoint, signed in as whom."""

    endpoint: str  # name of an endpoint in the project file
    address: str  # primary SMTP address; for a file source, its path
    login: str = ""  # user name when the mailbox is opened with its own credentials
    secret: str = field(default="", repr=False)  # reference such as env:NAME, keyring:service/user, file:path


@record
class Job:
    """One mailbox pair of a plan."""

    id: str  # stable for the pair of (source, target): a re-ordered manifest is the same jobs
    line: int  # of the manifest, 1-based, for messages
    source: Mailbox
    target: Mailbox
    batch: str = ""  # the row's wave, for --batch
    extra: Mapping[str, str] = field(default_factory=dict)  # unknown columns, kept for reports


@record
class Folder:
    """A folder as one side lists it."""

    id: str
    path: FolderPath
    kind: Kind = Kind.MAIL
    folder_class: str = "IPF.Note"
    role: Role | None = None
    total: int | None = None  # items, when listing tells
    size: int | None = None  # octets, when listing tells
    hidden: bool = False
    search: bool = False  # a view on other folders: never copied
    parent_id: str = ""
    subscribed: bool | None = None  # whether mail programs are to show it; None where there is no such thing


@record
class ItemRef:
    """What listing tells of an item, without its content."""

    id: str  # the side's own id: opaque, unique within the mailbox, case-sensitive
    folder: FolderPath
    kind: Kind
    version: str  # changes when the item does: change key, flags hash, mtime
    size: int | None = None  # octets; None where listing does not tell
    item_class: str = ""
    received: datetime | None = None  # aware, UTC
    sent: datetime | None = None  # aware, UTC
    modified: datetime | None = None  # aware, UTC
    message_id: str = ""
    subject: str = ""
    seen: bool | None = None
    draft: bool | None = None
    search_key: bytes = b""
    associated: bool = False  # a hidden configuration item (FAI)
    gone: bool = False  # a change record: the item left this folder
    fingerprint: Fingerprint = Fingerprint(b"")
    traits: Mapping[str, str] = field(default_factory=dict)  # adapter's own remarks, kept for reports


class Content(Protocol):
    """The bytes of an item. May be opened again and again: a retry reads from the start."""

    @property
    def size(self) -> int:
        """Octets that `open` will give."""
        ...

    def open(self) -> IO[bytes]: ...

    def pieces(self) -> list[bytes | memoryview]:
        """The same octets as buffers, without a copy where they are in memory."""
        ...

    def release(self) -> None:
        """Give back memory or the spool file. Safe to repeat; nothing may be read afterwards."""
        ...


@record
class Item:
    """An item with its content, on its way."""

    ref: ItemRef
    format: Format
    content: Content
    flags: frozenset[Flag] = frozenset()
    categories: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what a conversion could not carry
    origin: str = ""  # e.g. "ews 15.1", "synthetic": which canary verdict speaks for it
    path: Path | None = None  # the way that `store` takes it; None is the plain one of its format
    spoilt: Exception | SkipReason | None = None  # why the content is not in the format that was asked for


@record
class Checkpoint:
    """Where listing goes on ("list from here"); opaque to the engine."""

    scheme: str  # "ews-sync/1": a token of another scheme is refused, never misread
    token: str


@record
class Page:
    refs: tuple[ItemRef, ...]
    checkpoint: Checkpoint  # holds once every item of this page has an outcome
    last: bool


@record
class Outcome:
    """What became of one item. One per item asked for, in the order asked."""

    ref: ItemRef
    state: State  # COPIED, PRESENT, SKIPPED or FAILED
    target_id: str = ""
    target_version: str = ""
    reason: SkipReason | None = None  # with SKIPPED
    error: Exception | None = None  # with FAILED: ItemError, Transient or InDoubt
    octets: int = 0  # that crossed the wire towards the target
    notes: tuple[str, ...] = ()
