"""What a simulated service keeps: mailboxes, folders, items, and what changed when.

One `Store` per service (hosted Exchange has one, Microsoft 365 another). Everything lives in memory and is used by one
event loop; nothing here locks or waits. Ids are plain integers of the store: the protocol rooms dress them up as what
EWS or Graph show. Rules kept here are those that both have in common:

- a moved item is a new item: new id, Delete in one folder and Create in the other (MS-OXWSITEMID)
- every write gives an item a new change number; marking read is told apart from other changes (MS-OXWSSYNC)
- names of sibling folders compare without regard to case
- an item is its stream: what was stored is given back byte for byte until the item is changed
"""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pybase64

from migrator.lab.changes import ChangeLog
from migrator.lab.clock import LabClock
from migrator.lab.folders import BIRTHS, ROOT, VISIBLE_ROOT, localised

if TYPE_CHECKING:
    from migrator.mapi.item import Message


class StoreError(Exception):
    """A request that the store refuses. `code` is the response code that EWS and Graph share for it."""

    code = "ErrorInternalServerError"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.__class__.__doc__ or self.code)


class MailboxNotFound(StoreError):
    """The SMTP address has no mailbox associated with it."""

    code = "ErrorNonExistentMailbox"


class FolderNotFound(StoreError):
    """The specified folder could not be found in the store."""

    code = "ErrorFolderNotFound"


class FolderExists(StoreError):
    """A folder with the specified name already exists."""

    code = "ErrorFolderExists"


class FolderProtected(StoreError):
    """A distinguished folder cannot be renamed, moved or deleted."""

    code = "ErrorDeleteDistinguishedFolder"


class BadFolderName(StoreError):
    """The folder name is empty or longer than 255 characters."""

    code = "ErrorInvalidFolderName"


class ItemNotFound(StoreError):
    """The specified object was not found in the store."""

    code = "ErrorItemNotFound"


class QuotaExceeded(StoreError):
    """The mailbox has exceeded its storage quota."""

    code = "ErrorQuotaExceeded"


class FolderFull(StoreError):
    """The folder holds as many items as it may."""

    code = "ErrorQuotaExceeded"  # Exchange Online answers a full folder like a full mailbox


class TooLarge(StoreError):
    """The message exceeds the maximum supported size."""

    code = "ErrorMessageSizeExceeded"


class StaleChangeKey(StoreError):
    """The change key is not that of the item's present state."""

    code = "ErrorIrresolvableConflict"


class CorruptStream(StoreError):
    """The data is not a well-formed item stream."""

    code = "ErrorCorruptData"


class Recipe(Protocol):
    """An item stream that is made on demand, always the same bytes: 100,000 seeded items need not lie in memory."""

    @property
    def size(self) -> int: ...

    def stream(self) -> bytes: ...


@dataclass(slots=True)
class Facts:
    """What listings tell of an item, so that a listing parses no stream. Times are aware, UTC."""

    item_class: str = "IPM.Note"
    subject: str = ""
    message_id: str = ""
    search_key: bytes = b""
    received: datetime | None = None
    sent: datetime | None = None
    created: datetime | None = None
    modified: datetime | None = None
    read: bool = True
    draft: bool = False
    has_attachments: bool = False
    importance: int = 1  # 0 low, 1 normal, 2 high
    categories: tuple[str, ...] = ()
    sender_name: str = ""
    sender_address: str = ""
    flags: int = 0x8  # PidTagMessageFlags as the stream has it; `read` is what counts of its read bit


class LabItem:
    """One item. `size` is in octets of its stream; times in `facts`."""

    __slots__ = ("associated", "change", "content", "created", "extra", "facts", "folder", "id", "modified")

    def __init__(
        self,
        item_id: int,
        folder: LabFolder,
        content: bytes | Recipe,
        facts: Facts,
        *,
        change: int,
        created: datetime,
        modified: datetime,
        associated: bool,
    ) -> None:
        self.id = item_id
        self.folder = folder
        self.content = content
        self.facts = facts
        self.change = change  # sequence number of the last write: the change key is made of it
        self.created = created
        self.modified = modified
        self.associated = associated
        self.extra: dict[str, Any] | None = None  # remarks of a protocol room

    @property
    def mailbox(self) -> LabMailbox:
        return self.folder.mailbox

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    @property
    def item_class(self) -> str:
        return self.facts.item_class

    @property
    def read(self) -> bool:
        return self.facts.read

    def stream(self) -> bytes:
        """The item as ExportItems gives it, before base64."""
        return self.content if isinstance(self.content, bytes) else self.content.stream()

    def base64(self) -> bytes:
        """The stream as it goes over the wire. Encoding runs at gigabytes a second, so nothing is kept."""
        return pybase64.b64encode(self.stream())

    def message(self) -> Message:
        """The item as a property tree, parsed anew at every call. Raises CorruptStream."""
        return parse(self.stream())

    def __repr__(self) -> str:
        return f"LabItem({self.id}, {self.facts.item_class}, {self.size} octets)"


class LabFolder:
    """One folder. `items` is in order of arrival; hidden configuration items (FAI) are in it too."""

    __slots__ = (
        "changed",
        "children",
        "extra",
        "fai",
        "folder_class",
        "hidden",
        "id",
        "items",
        "log",
        "mailbox",
        "name",
        "octets",
        "order",
        "parent",
        "role",
        "search",
        "unread",
    )

    def __init__(
        self,
        folder_id: int,
        mailbox: LabMailbox,
        parent: LabFolder | None,
        name: str,
        folder_class: str,
        *,
        role: str = "",
        hidden: bool = False,
        search: bool = False,
        changed: int = 0,
    ) -> None:
        self.id = folder_id
        self.mailbox = mailbox
        self.parent = parent
        self.name = name
        self.folder_class = folder_class
        self.role = role  # distinguished folder id, "" for a user's folder
        self.hidden = hidden
        self.search = search
        self.changed = changed  # sequence number of the last write
        self.children: dict[str, LabFolder] = {}  # by case-folded name
        self.items: dict[int, LabItem] = {}
        self.order: list[int] = []  # item ids, rising; ids of gone items stay until tidied
        self.fai: set[int] = set()  # ids of configuration items, gone ones too
        self.log = ChangeLog()
        self.octets = 0
        self.unread = 0
        self.extra: dict[str, Any] = {}  # e.g. extended properties, keyed as the protocol room likes

    @property
    def path(self) -> tuple[str, ...]:
        """Names below the visible root."""
        names: list[str] = []
        folder: LabFolder | None = self
        while folder is not None and folder.role not in (ROOT, VISIBLE_ROOT):
            names.append(folder.name)
            folder = folder.parent
        return tuple(reversed(names))

    @property
    def total(self) -> int:
        """Items that are not configuration items."""
        return len(self.items) - self.fai_total

    @property
    def fai_total(self) -> int:
        return sum(1 for item_id in self.fai if item_id in self.items) if self.fai else 0

    def normal(self, item_id: int) -> bool:
        """For `ChangeLog.walk(keep=…)`: leaves configuration items out, gone ones too."""
        return item_id not in self.fai

    def newest(self, *, associated: bool = False) -> Iterator[LabItem]:
        """Items from the newest to the oldest."""
        for item_id in reversed(self.items):
            item = self.items[item_id]
            if item.associated == associated:
                yield item

    def after(self, item_id: int, limit: int) -> list[LabItem]:
        """Up to `limit` items with ids above the given one, in rising order."""
        found: list[LabItem] = []
        for spot in range(bisect_right(self.order, item_id), len(self.order)):
            item = self.items.get(self.order[spot])
            if item is not None:
                found.append(item)
                if len(found) == limit:
                    break
        return found

    def __repr__(self) -> str:
        return f"LabFolder({self.id}, {self.name!r}, {len(self.items)} items)"


@dataclass(slots=True, eq=False)
class LabMailbox:
    """One mailbox with its folders. `guid` and `tenant` are lower-case GUID text."""

    store: Store = field(repr=False)
    guid: str
    tenant: str
    address: str
    display_name: str
    upn: str
    legacy_dn: str
    locale: str = "en-US"
    aliases: tuple[str, ...] = ()
    quota_octets: int = 100 << 30
    max_receive_octets: int = 150 << 20
    licensed: bool = True
    enabled: bool = True  # EWS resp. the account is not blocked
    provisioned: bool = True
    on_hold: bool = False
    kind: str = "user"  # user, shared
    user_id: str = ""  # directory object id
    octets: int = 0
    root: LabFolder = field(init=False, repr=False)
    folders: dict[int, LabFolder] = field(default_factory=dict, repr=False)
    roles: dict[str, LabFolder] = field(default_factory=dict, repr=False)
    items: dict[int, LabItem] = field(default_factory=dict, repr=False)
    hierarchy: ChangeLog = field(default_factory=ChangeLog, repr=False)  # members are folder ids
    settings: dict[str, Any] = field(default_factory=dict, repr=False)  # for the protocol rooms

    @property
    def visible_root(self) -> LabFolder:
        return self.roles[VISIBLE_ROOT]

    def folder(self, folder_id: int) -> LabFolder:
        """Raises FolderNotFound."""
        try:
            return self.folders[folder_id]
        except KeyError:
            raise FolderNotFound from None

    def role(self, name: str) -> LabFolder:
        """The folder of a distinguished id, in any case. Raises FolderNotFound."""
        try:
            return self.roles[name.lower()]
        except KeyError:
            raise FolderNotFound from None

    def item(self, item_id: int) -> LabItem:
        """Raises ItemNotFound."""
        try:
            return self.items[item_id]
        except KeyError:
            raise ItemNotFound from None

    def by_path(self, *names: str) -> LabFolder:
        """A folder below the visible root, names in any case. Raises FolderNotFound."""
        folder = self.visible_root
        for name in names:
            try:
                folder = folder.children[name.casefold()]
            except KeyError:
                raise FolderNotFound from None
        return folder

    def visible(self) -> list[LabFolder]:
        """Every folder below the visible root, parents before children; hidden and search folders included."""
        found: list[LabFolder] = []
        waiting = list(self.visible_root.children.values())
        while waiting:
            folder = waiting.pop(0)
            found.append(folder)
            waiting.extend(folder.children.values())
        return found

    def owns(self, address: str) -> bool:
        wanted = address.lower()
        return wanted in (self.address.lower(), self.upn.lower()) or wanted in map(str.lower, self.aliases)


class Store:
    """All mailboxes of one service. name: "exchange" or "m365"."""

    def __init__(self, name: str, *, clock: LabClock | None = None, organisation: str = "Lab") -> None:
        self.name = name
        self.clock = clock or LabClock()
        self.organisation = organisation
        self.mailboxes: dict[str, LabMailbox] = {}  # by GUID
        self.folder_limit = 1_000_000  # items per folder
        self.keep_streams = True  # False: only digests and facts of stored items stay (benchmarks)
        self.sequence = 0
        self._by_name: dict[str, LabMailbox] = {}  # by address, alias and UPN, lower-case

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    # -- mailboxes

    def create_mailbox(
        self,
        address: str,
        display_name: str = "",
        *,
        tenant: str = "",
        locale: str = "en-US",
        upn: str = "",
        aliases: tuple[str, ...] = (),
        legacy_dn: str = "",
        **more: Any,
    ) -> LabMailbox:
        """A mailbox with its born folders. GUIDs follow from the address, so they are the same in every run.

        more: further fields of LabMailbox (quota_octets, licensed …). Raises ValueError when a name is taken.
        """
        guid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"mailbox.{self.name}.{address.lower()}"))
        box = LabMailbox(
            store=self,
            guid=guid,
            tenant=tenant or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"tenant.{self.name}")),
            address=address,
            display_name=display_name or address.partition("@")[0],
            upn=upn or address,
            legacy_dn=legacy_dn
            or f"/o={self.organisation}/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients"
            f"/cn={guid.replace('-', '')}-{address.partition('@')[0]}",
            locale=locale,
            aliases=aliases,
            **more,
        )
        box.user_id = box.user_id or str(
            uuid.uuid5(uuid.NAMESPACE_DNS, f"user.{self.name}.{address.lower()}")
        )
        names = {name.lower() for name in (address, box.upn, *aliases)}
        taken = names & self._by_name.keys()
        if taken:
            raise ValueError(f"a mailbox is already called {sorted(taken)[0]}")
        box.root = LabFolder(self._next(), box, None, "Root", "", role=ROOT)
        box.folders[box.root.id] = box.root
        box.roles[ROOT] = box.root
        for birth in BIRTHS:
            if birth.exchange if self.name == "exchange" else birth.m365:
                self.create_folder(
                    box.roles[birth.parent],
                    localised(birth.role, birth.name, locale),
                    birth.folder_class,
                    role=birth.role,
                    hidden=birth.hidden,
                    search=birth.search,
                )
        self.adopt(box)
        return box

    def adopt(self, box: LabMailbox) -> None:
        """Take in a mailbox that is ready."""
        self.mailboxes[box.guid] = box
        names = {name.lower() for name in (box.address, box.upn, *box.aliases)}
        self._by_name.update(dict.fromkeys(names, box))

    def drop_mailbox(self, box: LabMailbox) -> None:
        del self.mailboxes[box.guid]
        self._by_name = {name: other for name, other in self._by_name.items() if other is not box}

    def mailbox(self, name: str) -> LabMailbox:
        """By address, alias, UPN, mailbox GUID or user id, in any case. Raises MailboxNotFound."""
        wanted = name.lower()
        box = self._by_name.get(wanted) or self.mailboxes.get(wanted)
        if box is None:
            box = next((other for other in self.mailboxes.values() if other.user_id == wanted), None)
        if box is None:
            raise MailboxNotFound
        return box

    # -- folders

    def create_folder(
        self,
        parent: LabFolder,
        name: str,
        folder_class: str = "IPF.Note",
        *,
        role: str = "",
        hidden: bool = False,
        search: bool = False,
    ) -> LabFolder:
        """Raises FolderExists, BadFolderName."""
        self._check_name(parent, name)
        box = parent.mailbox
        seq = self._next()
        folder = LabFolder(
            seq, box, parent, name, folder_class, role=role, hidden=hidden, search=search, changed=seq
        )
        parent.children[name.casefold()] = folder
        box.folders[folder.id] = folder
        if role:
            box.roles[role] = folder
        box.hierarchy.came(folder.id, seq)
        return folder

    def rename_folder(self, folder: LabFolder, name: str) -> None:
        """Raises FolderExists, BadFolderName, FolderProtected."""
        parent = self._movable(folder)
        if name.casefold() != folder.name.casefold():
            self._check_name(parent, name)
        elif not name:
            raise BadFolderName
        del parent.children[folder.name.casefold()]
        folder.name = name
        parent.children[name.casefold()] = folder
        self.touch_folder(folder)

    def move_folder(self, folder: LabFolder, parent: LabFolder) -> None:
        """Folder ids stay. Raises FolderExists, FolderProtected; FolderNotFound for a parent inside the folder itself."""
        old = self._movable(folder)
        above: LabFolder | None = parent
        while above is not None:
            if above is folder:
                raise FolderNotFound("a folder cannot be moved below itself")
            above = above.parent
        self._check_name(parent, folder.name)
        del old.children[folder.name.casefold()]
        folder.parent = parent
        parent.children[folder.name.casefold()] = folder
        self.touch_folder(folder)

    def touch_folder(self, folder: LabFolder) -> None:
        """Records that a folder's own properties changed (after setting folder_class, extra, hidden …)."""
        folder.changed = self._next()
        folder.mailbox.hierarchy.changed(folder.id, folder.changed)

    def delete_folder(self, folder: LabFolder, *, hard: bool = True) -> None:
        """With everything in it; not hard: to Deleted Items, under a free name. Raises FolderProtected."""
        parent = self._movable(folder)
        box = folder.mailbox
        trash = box.roles["deleteditems"]
        if not hard and parent is not trash:
            name, count = folder.name, 1
            while folder.name.casefold() in trash.children:
                count += 1
                self.rename_folder(folder, f"{name} {count}")
            self.move_folder(folder, trash)
            return
        for child in list(folder.children.values()):
            self.delete_folder(child)
        for item in list(folder.items.values()):
            self._remove(item)
        del parent.children[folder.name.casefold()]
        del box.folders[folder.id]
        box.hierarchy.went(folder.id, self._next())

    def _movable(self, folder: LabFolder) -> LabFolder:
        if folder.role or folder.parent is None:
            raise FolderProtected
        return folder.parent

    @staticmethod
    def _check_name(parent: LabFolder, name: str) -> None:
        if not name or len(name) > 255:
            raise BadFolderName
        if name.casefold() in parent.children:
            raise FolderExists

    # -- items

    def add_item(
        self,
        folder: LabFolder,
        content: bytes | Recipe,
        *,
        facts: Facts | None = None,
        associated: bool = False,
        created: datetime | None = None,
        modified: datetime | None = None,
    ) -> LabItem:
        """A new item from its stream. facts: read from the stream when None.

        created, modified: None is what the stream says (creation), the lab's clock (modification).
        Raises CorruptStream, TooLarge, FolderFull, QuotaExceeded.
        """
        if facts is None:
            facts = describe(content if isinstance(content, bytes) else content.stream())
        size = len(content) if isinstance(content, bytes) else content.size
        self.check_room(folder, size)
        now = self.clock.utc()
        seq = self._next()
        if isinstance(content, bytes) and not self.keep_streams:
            content = Discarded(size, digest(content))
        item = LabItem(
            seq,
            folder,
            content,
            facts,
            change=seq,
            created=created or facts.created or now,
            modified=modified or now,
            associated=associated,
        )
        self._enter(item, seq)
        return item

    def restore_item(
        self,
        folder: LabFolder,
        item_id: int,
        content: bytes,
        facts: Facts,
        *,
        change: int,
        created: datetime,
        modified: datetime,
        associated: bool,
    ) -> LabItem:
        """An item as it was kept: no checks, and nothing in the change log, which is restored by itself."""
        item = LabItem(
            item_id,
            folder,
            content,
            facts,
            change=change,
            created=created,
            modified=modified,
            associated=associated,
        )
        self._place(item)
        return item

    def check_room(self, folder: LabFolder, size: int, replaced: int = 0) -> None:
        """Raises TooLarge, FolderFull, QuotaExceeded when an item of this many octets cannot go there."""
        box = folder.mailbox
        if size > box.max_receive_octets:
            raise TooLarge
        if not replaced and len(folder.items) >= self.folder_limit:
            raise FolderFull
        if box.octets + size - replaced > box.quota_octets:
            raise QuotaExceeded

    def update_item(
        self,
        item: LabItem,
        content: bytes | Recipe,
        *,
        facts: Facts | None = None,
        change: int | None = None,
        modified: datetime | None = None,
    ) -> None:
        """Overwrite. change: the state the caller knows. Raises StaleChangeKey, CorruptStream, TooLarge, QuotaExceeded."""
        if change is not None and change != item.change:
            raise StaleChangeKey
        if facts is None:
            facts = describe(content if isinstance(content, bytes) else content.stream())
        size = len(content) if isinstance(content, bytes) else content.size
        self.check_room(item.folder, size, replaced=max(1, item.size))
        folder = item.folder
        self._count(item, -1)
        if isinstance(content, bytes) and not self.keep_streams:
            content = Discarded(size, digest(content))
        item.content, item.facts = content, facts
        self._count(item, 1)
        item.modified = modified or self.clock.utc()
        item.change = self._next()
        folder.log.changed(item.id, item.change)

    def move_item(self, item: LabItem, folder: LabFolder) -> LabItem:
        """A move makes a new item with a new id; the old one is gone. Within one mailbox. Raises FolderFull."""
        if len(folder.items) >= self.folder_limit:
            raise FolderFull
        self._remove(item)
        return self._clone(item, folder)

    def copy_item(self, item: LabItem, folder: LabFolder) -> LabItem:
        """Raises FolderFull, QuotaExceeded."""
        self.check_room(folder, item.size)
        return self._clone(item, folder)

    def delete_item(self, item: LabItem, *, how: str = "hard") -> LabItem | None:
        """how: "hard" (gone), "soft" (to Recoverable Items) or "trash" (to Deleted Items). Returns the moved item if any."""
        target = {"soft": "recoverableitemsdeletions", "trash": "deleteditems"}.get(how)
        if target is None:
            self._remove(item)
            return None
        folder = item.mailbox.roles[target]
        if folder is item.folder:
            self._remove(item)
            return None
        return self.move_item(item, folder)

    def mark_read(self, item: LabItem, read: bool) -> None:
        """Sets the read flag, in the stream too."""
        if item.facts.read == read:
            return
        item.folder.unread += -1 if read else 1
        item.facts.read = read
        if not isinstance(item.content, Discarded):
            item.content = with_read_flag(item.stream(), read)
        item.change = self._next()
        item.folder.log.flagged(item.id, item.change)

    def _clone(self, item: LabItem, folder: LabFolder) -> LabItem:
        seq = self._next()
        copy = LabItem(
            seq,
            folder,
            item.content,
            dataclasses.replace(item.facts),
            change=seq,
            created=item.created,
            modified=self.clock.utc(),
            associated=item.associated,
        )
        self._enter(copy, seq)
        return copy

    def _enter(self, item: LabItem, seq: int) -> None:
        self._place(item)
        item.folder.log.came(item.id, seq)

    def _place(self, item: LabItem) -> None:
        folder = item.folder
        folder.items[item.id] = item
        folder.order.append(item.id)
        folder.mailbox.items[item.id] = item
        if item.associated:
            folder.fai.add(item.id)
        self._count(item, 1)

    def _remove(self, item: LabItem) -> None:
        folder = item.folder
        if item.id not in folder.items:
            raise ItemNotFound
        del folder.items[item.id]
        del folder.mailbox.items[item.id]
        if len(folder.order) > 64 and len(folder.order) > 2 * len(folder.items):
            folder.order = list(folder.items)
        folder.log.went(item.id, self._next())
        self._count(item, -1)

    @staticmethod
    def _count(item: LabItem, sign: int) -> None:
        folder, size = item.folder, item.size
        folder.octets += sign * size
        folder.mailbox.octets += sign * size
        if not item.facts.read and not item.associated:
            folder.unread += sign


class Discarded:
    """In place of a stream that was not kept."""

    __slots__ = ("digest", "size")

    def __init__(self, size: int, digest: str) -> None:
        self.size = size
        self.digest = digest

    def stream(self) -> bytes:
        raise CorruptStream("this store was told not to keep streams")


def digest(stream: bytes | bytearray | memoryview) -> str:
    """By which the journal tells equal content."""
    # SHA-1 because processors have it built in: this runs over every octet that the lab stores.
    return hashlib.sha1(stream, usedforsecurity=False).hexdigest()


def parse(stream: bytes) -> Message:
    """The property tree of a stream. Raises CorruptStream."""
    from migrator.mapi import fasttransfer

    try:
        return fasttransfer.read(stream)
    except fasttransfer.StreamError as error:
        raise CorruptStream(str(error)) from error


def describe(stream: bytes) -> Facts:
    """Listing facts of a stream. Raises CorruptStream."""
    from migrator.lab.describe import facts_of

    return facts_of(parse(stream))


def with_read_flag(stream: bytes, read: bool) -> bytes:
    """The stream with bit 1 of PidTagMessageFlags set or cleared."""
    from migrator.lab.describe import flagged

    return flagged(stream, read)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
