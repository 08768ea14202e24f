"""Mailboxes held in memory: the reference adapter, source and target at once.

The engine is tested on it, and it passes the contracts itself. It keeps the promises of `interfaces.py` in the plainest way:

- every change in a mailbox gets the next number of one counter; a checkpoint is (folder, number): "what changed after it";
- a changed item gets a new version and is listed again, a removed one is listed as `gone` to those who saw it;
- storing twice makes two items, as real servers do.

Settings: `Endpoint.url` (or its name) picks one of the stores of this process, see `store_named`. What goes wrong is scripted
on `MemoryMailbox`: `before` and `after` are called round every verb (raise there: `before` means nothing happened, `after`
means it happened and the answer was lost), `unreadable` spoils items on export, `refuse` on store, `drops` names what the
import does not preserve, `latency_s` is slept per call on the given clock.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field

from migrator.errors import CheckpointLost, InDoubt, ItemError, JobError, MigratorError
from migrator.formats.content import MemoryContent
from migrator.interfaces import (
    Client,
    Clock,
    Context,
    Expected,
    Pace,
    Probe,
    Source,
    Standing,
    Target,
    TargetTraits,
    Wanted,
)
from migrator.model import (
    Checkpoint,
    Flag,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Mailbox,
    Outcome,
    Page,
    Role,
    SkipReason,
    State,
)
from migrator.record import record
from migrator.settings import Endpoint
from migrator.several import one_after_another

SCHEME = "memory/1"

FOLDER_CLASSES = {
    Kind.MAIL: "IPF.Note",
    Kind.EVENT: "IPF.Appointment",
    Kind.CONTACT: "IPF.Contact",
    Kind.GROUP: "IPF.Contact",
    Kind.TASK: "IPF.Task",
    Kind.NOTE: "IPF.StickyNote",
    Kind.JOURNAL: "IPF.Journal",
}

ITEM_CLASSES = {
    Kind.EVENT: "IPM.Appointment",
    Kind.CONTACT: "IPM.Contact",
    Kind.GROUP: "IPM.DistList",
    Kind.TASK: "IPM.Task",
    Kind.NOTE: "IPM.StickyNote",
    Kind.JOURNAL: "IPM.Activity",
}


@record(frozen=False)
class StoredItem:
    """An item at rest. `ref` is what listing tells of it."""

    ref: ItemRef
    folder_id: str
    data: bytes
    format: Format
    seq: int
    flags: frozenset[Flag] = frozenset()
    categories: tuple[str, ...] = ()


@record(frozen=False)
class _FolderState:
    folder: Folder
    items: dict[str, StoredItem] = field(default_factory=dict)
    log: list[tuple[int, str]] = field(default_factory=list)  # (number, item id), ascending
    gone: dict[str, int] = field(default_factory=dict)


class MemoryMailbox:
    """One mailbox. All methods are thread-safe; the knobs are plain attributes, set them before use."""

    def __init__(self, address: str = "", *, roles: bool = True) -> None:
        self.address = address
        self.identity = str(uuid.uuid4())
        self.product = "memory"
        self.page_items = 100
        self.epoch = 0
        self.subscriptions: dict[str, bool] = {}
        self.latency_s = 0.0
        self.before: Callable[[str, object], None] | None = None
        self.after: Callable[[str, object], None] | None = None
        self.unreadable: dict[str, MigratorError | SkipReason] = {}  # by item id
        self.refuse: Callable[[Item], MigratorError | SkipReason | None] | None = None
        self.lose_answer: Callable[[Item], bool] | None = None  # stored, but answered InDoubt
        self.standing = Standing()
        self.drops: frozenset[str] = frozenset()  # ItemRef fields that an import does not preserve
        self.traits = TargetTraits(
            formats=(Format.FTS, Format.MIME),
            has_delta=True,
            connections=4,
            export_items=50,
            origin="memory",
            accepts=(Format.FTS, Format.MIME),
            store_items=1,
            store_octets=None,
            can_update=True,
        )
        self.calls: Counter[str] = Counter()
        self.expected: list[list[tuple[FolderPath, bool]]] = []  # what `expect` was told
        self.prepared: list[list[tuple[Role | None, FolderPath]]] = []
        self.lock = threading.RLock()
        self._folders: dict[str, _FolderState] = {}
        self._seq = 0
        self._ids = 0
        self._prefix = uuid.uuid4().hex[:8]
        if roles:
            for role, name, kind in (
                (Role.INBOX, "Inbox", Kind.MAIL),
                (Role.SENT, "Sent Items", Kind.MAIL),
                (Role.DELETED, "Deleted Items", Kind.MAIL),
                (Role.CALENDAR, "Calendar", Kind.EVENT),
                (Role.CONTACTS, "Contacts", Kind.CONTACT),
            ):
                self.add_folder((name,), kind, role=role)

    # --- what tests and seeders do to a mailbox

    def add_folder(
        self,
        path: FolderPath,
        kind: Kind = Kind.MAIL,
        *,
        role: Role | None = None,
        search: bool = False,
        hidden: bool = False,
        folder_class: str = "",
    ) -> Folder:
        with self.lock:
            parent_id = ""
            if len(path) > 1:
                parent_id = (self.folder_at(path[:-1]) or self.add_folder(path[:-1])).id
            folder = Folder(
                id=f"F{self._prefix}{len(self._folders):06d}",
                path=path,
                kind=kind,
                folder_class=folder_class or FOLDER_CLASSES.get(kind, "IPF.Note"),
                role=role,
                search=search,
                hidden=hidden,
                parent_id=parent_id,
            )
            self._folders[folder.id] = _FolderState(folder)
            return folder

    def folder_at(self, path: FolderPath) -> Folder | None:
        """Names compare without regard to case, as servers of this family do."""
        wanted = tuple(name.casefold() for name in path)
        with self.lock:
            for state in self._folders.values():
                if tuple(name.casefold() for name in state.folder.path) == wanted:
                    return state.folder
        return None

    def put(
        self,
        path: FolderPath,
        ref: ItemRef,
        data: bytes,
        *,
        format: Format = Format.FTS,
        flags: frozenset[Flag] = frozenset(),
        categories: tuple[str, ...] = (),
        item_id: str = "",
    ) -> ItemRef:
        """Add an item, or change the one called item_id. Returns its ref as listing will tell it."""
        with self.lock:
            folder = self.folder_at(path) or self.add_folder(path, ref.kind)
            return self._put(self._folders[folder.id], ref, data, format, flags, categories, item_id).ref

    def change(self, item_id: str, **fields: object) -> ItemRef:
        with self.lock:
            state, stored = self._locate(item_id)
            ref = dataclasses.replace(stored.ref, **fields)  # type: ignore[arg-type]
            return self._put(
                state, ref, stored.data, stored.format, stored.flags, stored.categories, item_id
            ).ref

    def delete(self, item_id: str) -> None:
        with self.lock:
            state, _ = self._locate(item_id)
            self._drop(state, item_id)

    def items(self, path: FolderPath | None = None) -> list[StoredItem]:
        with self.lock:
            return [
                item
                for state in self._folders.values()
                if path is None or state.folder.path == path
                for item in state.items.values()
            ]

    def forget_checkpoints(self) -> None:
        """Tokens given out so far are no longer honoured."""
        self.epoch += 1

    # --- the verbs' inside

    def _locate(self, item_id: str) -> tuple[_FolderState, StoredItem]:
        for state in self._folders.values():
            if item_id in state.items:
                return state, state.items[item_id]
        raise KeyError(item_id)

    def _state(self, folder_id: str) -> _FolderState:
        try:
            return self._folders[folder_id]
        except KeyError:
            raise JobError("the folder is gone", code="folder_gone") from None

    def _put(
        self,
        state: _FolderState,
        ref: ItemRef,
        data: bytes,
        format: Format,
        flags: frozenset[Flag],
        categories: tuple[str, ...],
        item_id: str = "",
    ) -> StoredItem:
        self._seq += 1
        if not item_id:
            self._ids += 1
            item_id = f"I{self._prefix}{self._ids:08d}"
        ref = dataclasses.replace(
            ref,
            id=item_id,
            folder=state.folder.path,
            version=f"v{self._seq}",
            size=len(data),
            item_class=ref.item_class or ITEM_CLASSES.get(ref.kind, "IPM.Note"),
            gone=False,
        )
        stored = StoredItem(ref, state.folder.id, data, format, self._seq, flags, categories)
        state.items[item_id] = stored
        state.gone.pop(item_id, None)
        state.log.append((self._seq, item_id))
        return stored

    def _drop(self, state: _FolderState, item_id: str) -> None:
        self._seq += 1
        del state.items[item_id]
        state.gone[item_id] = self._seq
        state.log.append((self._seq, item_id))

    def list_folders(self) -> list[Folder]:
        with self.lock:
            states = sorted(self._folders.values(), key=lambda state: len(state.folder.path))
            return [
                dataclasses.replace(
                    state.folder,
                    total=len(state.items),
                    size=sum(len(item.data) for item in state.items.values()),
                )
                for state in states
            ]

    def page_after(self, folder_id: str, after: Checkpoint | None) -> Page:
        start = 0
        if after is not None:
            parts = after.token.split("|")
            if after.scheme != SCHEME or len(parts) != 3 or parts[0] != folder_id:
                raise CheckpointLost("this checkpoint was not made for this folder")
            if parts[1] != str(self.epoch):
                raise CheckpointLost("the checkpoint has expired")
            start = int(parts[2])
        with self.lock:
            state = self._state(folder_id)
            log, items = state.log, state.items
            refs: list[ItemRef] = []
            position = bisect_right(log, start, key=lambda entry: entry[0])
            reached = start
            while position < len(log) and len(refs) < self.page_items:
                seq, item_id = log[position]
                position += 1
                reached = seq
                item = items.get(item_id)
                if item is not None:
                    if item.seq == seq:
                        refs.append(item.ref)
                elif start and state.gone.get(item_id) == seq:
                    refs.append(ItemRef(item_id, state.folder.path, state.folder.kind, f"v{seq}", gone=True))
            last = position >= len(log)
            return Page(tuple(refs), Checkpoint(SCHEME, f"{folder_id}|{self.epoch}|{reached}"), last)


class _MemoryBox:
    """An open mailbox: Source and Target at once."""

    def __init__(self, mailbox: MemoryMailbox, clock: Clock | None = None, pace: Pace | None = None) -> None:
        self.mailbox = mailbox
        self.closed = False
        self._clock = clock
        self._pace = pace

    @property
    def traits(self) -> TargetTraits:
        return self.mailbox.traits

    def _enter(self, verb: str, detail: object = None) -> None:
        box = self.mailbox
        box.calls[verb] += 1
        if box.latency_s and self._clock is not None:
            self._clock.sleep(box.latency_s)
        if box.before is not None:
            box.before(verb, detail)

    def _leave(self, verb: str, detail: object = None) -> None:
        if self.mailbox.after is not None:
            self.mailbox.after(verb, detail)

    def probe(self) -> Probe:
        self._enter("probe")
        self._leave("probe")
        return Probe(self.mailbox.identity, self.mailbox.product)

    def standing(self) -> Standing:
        self._enter("standing")
        self._leave("standing")
        return self.mailbox.standing

    def folders(self) -> list[Folder]:
        self._enter("folders")
        found = self.mailbox.list_folders()
        self._leave("folders")
        return found

    def expect(self, wanted: Sequence[Expected]) -> None:
        self.mailbox.expected.append([(one.folder.path, one.whole) for one in wanted])

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        self._enter("page", folder)
        page = self.mailbox.page_after(folder.id, after)
        self._leave("page", folder)
        return page

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        self._enter("export", refs)
        box = self.mailbox
        results: list[Item | Outcome] = []
        with box.lock:
            known = {item_id: item for state in box._folders.values() for item_id, item in _some(state, refs)}
        for ref in refs:
            trouble = box.unreadable.get(ref.id)
            item = known.get(ref.id)
            if isinstance(trouble, SkipReason):
                results.append(Outcome(ref, State.SKIPPED, reason=trouble))
            elif trouble is not None:
                results.append(Outcome(ref, State.FAILED, error=trouble))
            elif item is None:
                results.append(Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED))
            elif fmt is not item.format:
                error = ItemError(f"cannot make {fmt} of {item.format}", code="format")
                results.append(Outcome(ref, State.FAILED, error=error))
            else:
                content = MemoryContent([item.data])
                if self._pace is not None:
                    self._pace.down(len(item.data))
                results.append(Item(ref, fmt, content, item.flags, item.categories, origin=box.traits.origin))
        self._leave("export", refs)
        return results

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self.mailbox.prepared.append([(one.role, one.path) for one in wanted])

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        self._enter("ensure_folder", path)
        box = self.mailbox
        with box.lock:
            if role is not None:
                root = next((s.folder for s in box._folders.values() if s.folder.role is role), None)
                if root is None:
                    root = box.add_folder((role.value.title(),), kind, role=role)
                path = (*root.path, *path)
            folder = box.folder_at(path) or box.add_folder(path, kind, folder_class=folder_class)
            found = dataclasses.replace(folder, total=len(box._folders[folder.id].items))
        self._leave("ensure_folder", path)
        return found

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._enter("subscribe", wanted)
        self.mailbox.subscriptions |= wanted
        self._leave("subscribe", wanted)

    def mark(self, folder: Folder) -> Checkpoint:
        self._enter("mark", folder)
        box = self.mailbox
        with box.lock:
            box._state(folder.id)
            mark = Checkpoint(SCHEME, f"{folder.id}|{box.epoch}|{box._seq}")
        self._leave("mark", folder)
        return mark

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        self._enter("store", items)
        outcomes = [
            self._store_one(folder, item, replaces[number] if replaces else None)
            for number, item in enumerate(items)
        ]
        self._leave("store", items)
        return outcomes

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        return one_after_another(self.store, batches)

    def _store_one(self, folder: Folder, item: Item, replaces: tuple[str, str] | None) -> Outcome:
        box = self.mailbox
        ref = item.ref
        limit = box.traits.store_octets
        if limit is not None and item.content.size > limit:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
        if item.format not in box.traits.accepts:
            return Outcome(
                ref, State.FAILED, error=ItemError(f"{item.format} is not taken here", code="format")
            )
        trouble = box.refuse(item) if box.refuse is not None else None
        if isinstance(trouble, SkipReason):
            return Outcome(ref, State.SKIPPED, reason=trouble)
        if trouble is not None:
            return Outcome(ref, State.FAILED, error=trouble)
        data = b"".join(item.content.pieces())
        if self._pace is not None:
            self._pace.up(len(data))
        if box.drops:
            ref = dataclasses.replace(ref, **{name: _BLANK[name] for name in box.drops})  # type: ignore[arg-type]
        with box.lock:
            state = box._state(folder.id)
            item_id = ""
            if replaces is not None:
                item_id, version = replaces
                current = state.items.get(item_id)
                if current is None or current.ref.version != version:
                    error = ItemError("the target item was changed meanwhile", code="conflict")
                    return Outcome(item.ref, State.FAILED, error=error)
            stored = box._put(state, ref, data, item.format, item.flags, item.categories, item_id)
        if box.lose_answer is not None and box.lose_answer(item):
            return Outcome(item.ref, State.FAILED, error=InDoubt("the answer was lost"))
        return Outcome(item.ref, State.COPIED, stored.ref.id, stored.ref.version, octets=len(data))

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        self._enter("versions", ids)
        box = self.mailbox
        with box.lock:
            items = box._state(folder.id).items
            found = {item_id: items[item_id].ref.version for item_id in ids if item_id in items}
        self._leave("versions", ids)
        return found

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        self._enter("remove", ids)
        box = self.mailbox
        with box.lock:
            state = box._state(folder.id)
            for item_id in ids:
                if item_id in state.items:
                    box._drop(state, item_id)
        self._leave("remove", ids)
        return list(ids)

    def remove_folder(self, folder: Folder) -> None:
        self._enter("remove_folder", folder)
        box = self.mailbox
        with box.lock:
            state = box._folders.get(folder.id)
            if state is not None:
                depth = len(state.folder.path)
                for other in [s for s in box._folders.values() if s.folder.path[:depth] == state.folder.path]:
                    del box._folders[other.folder.id]
        self._leave("remove_folder", folder)

    def close(self) -> None:
        self.closed = True


_BLANK: dict[str, object] = {
    "message_id": "",
    "subject": "",
    "search_key": b"",
    "received": None,
    "sent": None,
    "modified": None,
    "seen": None,
    "draft": None,
    "fingerprint": b"",
}


def _some(state: _FolderState, refs: Iterable[ItemRef]) -> Iterable[tuple[str, StoredItem]]:
    items = state.items
    return [(ref.id, items[ref.id]) for ref in refs if ref.id in items]


class MemoryStore:
    """Several mailboxes under one name: a "server" of this process."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, MemoryMailbox] = {}

    def mailbox(self, address: str) -> MemoryMailbox:
        """The mailbox of this address, made empty when it is not there yet."""
        return self.mailboxes.setdefault(address.casefold(), MemoryMailbox(address))


_STORES: dict[str, MemoryStore] = {}


def store_named(name: str) -> MemoryStore:
    return _STORES.setdefault(name, MemoryStore())


class MemoryClient:
    """One endpoint: a named store."""

    def __init__(self, store: MemoryStore, clock: Clock | None = None, pace: Pace | None = None) -> None:
        self.store = store
        self._clock = clock
        self._pace = pace

    def _open(self, mailbox: Mailbox) -> _MemoryBox:
        box = self.store.mailboxes.get(mailbox.address.casefold())
        if box is None:
            raise JobError(
                f"there is no mailbox {mailbox.address}",
                code="mailbox_not_found",
                remedy="check the address in the manifest",
            )
        return _MemoryBox(box, self._clock, self._pace)

    def source(self, mailbox: Mailbox) -> Source:
        return self._open(mailbox)

    def target(self, mailbox: Mailbox) -> Target:
        return self._open(mailbox)

    def close(self) -> None:
        """Nothing is held open."""


def open_box(mailbox: MemoryMailbox, clock: Clock | None = None) -> Target:
    """The mailbox, opened; serves as a Source as well."""
    return _MemoryBox(mailbox, clock)


def connect(endpoint: Endpoint, context: Context) -> Client:
    return MemoryClient(store_named(endpoint.url or endpoint.name), context.clock, context.pace)
