"""One mailbox of Microsoft 365: to list, export, and write to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from migrator.adapters.graph import exporting, importing
from migrator.adapters.graph.client import (
    DELETE,
    EXPORT,
    IMPORT,
    LIST_FOLDERS,
    RESOLVE,
    SESSION,
    Call,
    Said,
    Wire,
    error_from,
    right_remedy,
    translate,
    unreached,
    version_of,
)
from migrator.adapters.graph.folders import FolderTree
from migrator.adapters.graph.importing import ImportSession
from migrator.adapters.graph.json_writer import CREATES, JsonWriter
from migrator.adapters.graph.listing import Listing, query
from migrator.adapters.graph.standing import Usages, standing_of
from migrator.adapters.transport import AnswerLost, NotSent
from migrator.auth.microsoft import roles_of
from migrator.errors import InDoubt, ItemError, JobError, MigratorError, Throttled, Transient
from migrator.interfaces import Expected, Finding, Probe, Standing, TargetTraits, Wanted
from migrator.model import (
    Checkpoint,
    Content,
    Flag,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    Page,
    Path,
    Role,
    SkipReason,
    State,
)
from migrator.several import one_after_another

PRODUCT = "Microsoft 365"
ORIGIN = "exo"
BATCH_MOST = 20
SESSIONS_MOST = 3  # import addresses tried for one item
FOLDER_MOST = 1_000_000  # items a folder holds (Exchange Online limits)

# What each side needs; of a tuple one is enough. MailboxItem.ImportExport includes reading out by exportItems.
READ_RIGHTS = (
    ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All"),
    ("MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All"),
    ("MailboxItem.Read.All", "MailboxItem.ReadWrite.All"),
    ("MailboxItem.Export.All", "MailboxItem.ImportExport.All"),
)
WRITE_RIGHTS = (
    ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All"),
    ("MailboxFolder.ReadWrite.All",),
    ("MailboxItem.Read.All", "MailboxItem.ReadWrite.All"),
    ("MailboxItem.ImportExport.All",),
)

_MISSING = {"erroritemnotfound", "errorfoldernotfound", "erroritemnotfoundinfolder"}
_UNREADABLE = {
    "errorcorruptdata",
    "errorcontentconversionfailed",
    "erroritemcorrupt",
    "errorinvaliditem",
    "errorexportfailed",
}

MakeContent = Callable[[memoryview], Content]


class Shared:
    """What the handles of one mailbox have in common: its id, the folder tree, the import session. Thread-safe."""

    def __init__(self, wire: Wire, address: str, usages: Usages | None = None) -> None:
        """usages: shared by the mailboxes of the tenant."""
        self.wire = wire
        self.usages = usages or Usages(wire)
        self.address = address
        self.affinity = address.lower()
        self._lock = threading.Lock()
        self._resolving = threading.Lock()
        self._id = ""
        self._tree: FolderTree | None = None
        self._session: ImportSession | None = None

    def resolve(self) -> str:
        """Ask for the mailbox id. See: learn.microsoft.com/graph/api/usersettings-list-exchange"""
        url = f"{self.wire.base}/users/{quote(self.address, safe='@')}/settings/exchange"
        document, _ = self.wire.get(url, RESOLVE, self.address, affinity=self.affinity)
        found = document.get("primaryMailboxId")
        if not isinstance(found, str) or not found:
            raise translate(Said(404, "MailboxNotEnabledForRESTAPI", ""), RESOLVE, self.address)
        with self._lock:
            if self._id and self._id != found:
                self._tree = self._session = None  # another mailbox has taken the address
            self._id = found
        return found

    @property
    def path(self) -> str:
        if not self._id:
            with self._resolving:
                if not self._id:
                    self.resolve()
        return self.wire.mailbox_path(self._id)

    @property
    def tree(self) -> FolderTree:
        path = self.path
        with self._lock:
            if self._tree is None:
                self._tree = FolderTree(self.wire, self.address, path, self.affinity)
            return self._tree

    @property
    def session(self) -> ImportSession:
        path = self.path
        with self._lock:
            if self._session is None:
                self._session = ImportSession(self.wire, self.address, path, self.affinity)
            return self._session


class GraphMailbox:
    """`interfaces.Target` (and so a `Source` as well) on mailbox import and export. Used by one thread at a time."""

    def __init__(
        self,
        shared: Shared,
        make_content: MakeContent,
        *,
        writes: bool,
        page_items: int,
        export_octets: int,
        most_octets: int | None,
    ) -> None:
        """writes: whether rights to write are looked for by `probe`. most_octets: of one item's content, None for no limit."""
        self._shared = shared
        self._wire = shared.wire
        self._make_content = make_content
        self._writes = writes
        self._page_items = page_items
        self._listing: Listing | None = None
        self._heads: dict[str, bytes] = {}
        self._traits = TargetTraits(
            formats=(Format.FTS,),
            has_delta=True,
            connections=4,
            export_items=exporting.MOST_IDS,
            export_octets=export_octets,
            origin=ORIGIN,
            accepts=(Format.FTS,),
            store_items=1,
            store_octets=most_octets,
            can_update=True,
            canary=True,
            creates=CREATES,
        )

    @property
    def traits(self) -> TargetTraits:
        return self._traits

    @property
    def _name(self) -> str:
        return self._shared.address

    # ---- probe

    def probe(self) -> Probe:
        """One call where the token shows its permissions; two more, which change nothing, where it does not."""
        identity = self._shared.resolve()
        findings = [Finding("ok", f"{self._name}: mailbox found")]
        needed = WRITE_RIGHTS if self._writes else READ_RIGHTS
        shown = roles_of(self._wire.tokens.token())
        if shown is not None and all(_granted(each, shown) for each in needed):
            return Probe(identity, PRODUCT, (*findings, Finding("ok", "all permissions are granted")))
        # Rights that Exchange's own role assignments give are not in the token: only a call tells.
        findings += self._tried(
            LIST_FOLDERS, "GET", f"{self._wire.base}{self._shared.path}/folders{query(top=1)}"
        )
        if self._writes:
            findings += self._tried(
                SESSION, "POST", f"{self._wire.base}{self._shared.path}/createImportSession"
            )
        return Probe(identity, PRODUCT, tuple(findings))

    def _tried(self, call: Call, method: str, url: str) -> list[Finding]:
        try:
            self._wire.send(method, url, call, self._name, affinity=self._shared.affinity)
        except JobError as e:
            return [Finding("blocker", e.message, e.remedy or right_remedy(call.right), e.code)]
        return [Finding("ok", f"{self._name}: may {call.what}")]

    def standing(self) -> Standing:
        return standing_of(
            self._wire, self._shared.usages, self._name, self._shared.affinity, self._traits.store_octets
        )

    # ---- reading

    def folders(self) -> list[Folder]:
        return self._shared.tree.load()

    def expect(self, wanted: Sequence[Expected]) -> None:
        """Each page is a request of its own."""

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        return self._lister().page(folder, after)

    def mark(self, folder: Folder) -> Checkpoint:
        return self._lister().mark(folder)

    def _lister(self) -> Listing:
        if self._listing is None:
            self._listing = Listing(
                self._wire, self._name, self._shared.path, self._shared.affinity, self._page_items
            )
        return self._listing

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        if fmt is not Format.FTS:
            error = ItemError(f"Microsoft 365 does not export {fmt}", code="format")
            return [Outcome(ref, State.FAILED, error=error) for ref in refs]
        results: list[Item | Outcome] = []
        for start in range(0, len(refs), exporting.MOST_IDS):
            try:
                results += self._export(refs[start : start + exporting.MOST_IDS])
            except (Transient, JobError) as e:
                if not results or not isinstance(e, Transient):
                    raise
                results += [Outcome(ref, State.FAILED, error=e) for ref in refs[start:]]
                break
        return results

    def _export(self, refs: Sequence[ItemRef]) -> list[Item | Outcome]:
        if not refs:
            return []
        try:
            reply = self._wire.send(
                "POST",
                f"{self._wire.base}{self._shared.path}/exportItems",
                EXPORT,
                self._name,
                body=[to_json({"itemIds": [ref.id for ref in refs]})],
                # The stream hardly shrinks and inflating it costs more than the link saves.
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                affinity=self._shared.affinity,
            )
        except ItemError as e:
            if len(refs) == 1:
                return [self._unreadable(refs[0], e)]
            # One id that the server cannot read spoils the call: find it.
            half = len(refs) // 2
            return [*self._export(refs[:half]), *self._export(refs[half:])]
        answers = exporting.parse(reply.body)
        loose = {exporting.same_id(item_id): each for item_id, each in answers.items()}
        return [
            self._exported(ref, answers.get(ref.id) or loose.get(exporting.same_id(ref.id))) for ref in refs
        ]

    def _exported(self, ref: ItemRef, answer: exporting.Exported | None) -> Item | Outcome:
        if answer is None or (answer.error is None and not answer.data):
            error: MigratorError = Transient(
                f"{self._name}: the export has neither data nor an error for an item", code="missing"
            )
            return Outcome(ref, State.FAILED, error=error)
        if answer.error is not None:
            code, message = answer.error
            if not code or code.lower() in ("noerror", "none"):
                code = "unknown"
            return self._unreadable(ref, translate(Said(200, code, message), EXPORT, self._name))
        assert answer.data is not None
        if exporting.truncated(answer.data):
            error = Transient(
                f"{self._name}: the server broke the export off", code="truncated", retry_after_s=60.0
            )
            return Outcome(ref, State.FAILED, error=error)
        flags = {Flag.SEEN} if ref.seen else set()
        if ref.draft:
            flags.add(Flag.DRAFT)
        return Item(ref, Format.FTS, self._make_content(answer.data), frozenset(flags), origin=ORIGIN)

    def _unreadable(self, ref: ItemRef, error: MigratorError) -> Outcome:
        code = error.code.lower()
        if code == "vanished" or code in _MISSING or error.code == "folder_gone":
            return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
        if code in _UNREADABLE:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.CORRUPT_AT_SOURCE, notes=(error.message,))
        if code == "too_large":
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
        if not isinstance(error, ItemError | Transient):
            error = ItemError(error.message, code=error.code, remedy=error.remedy)
        return Outcome(ref, State.FAILED, error=error)

    # ---- writing

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        """Parents come before children, each by a request of its own."""

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        return self._shared.tree.ensure(path, kind, folder_class, role)

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        """Exchange shows every folder."""

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for number, item in enumerate(items):
            try:
                outcomes.append(self._store(folder, item, replaces[number] if replaces else None))
            except (Transient, JobError) as e:
                if not any(each.state is State.COPIED for each in outcomes):
                    raise
                outcomes += [Outcome(rest.ref, State.FAILED, error=e) for rest in items[number:]]
                break
        return outcomes

    def _store(self, folder: Folder, item: Item, replaces: tuple[str, str] | None) -> Outcome:
        """One import. Raises Transient, Throttled or JobError when it was surely not stored."""
        ref = item.ref
        if item.format is not Format.FTS:
            return _failed(ref, ItemError(f"Microsoft 365 does not import {item.format}", code="format"))
        size = item.content.size
        most = self._traits.store_octets
        if most is not None and size > most:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
        if not size:
            return _failed(ref, ItemError("the item's content is empty", code="empty_content"))
        pieces = item.content.pieces()
        if not importing.fits(pieces):
            return _failed(ref, ItemError("the item's content is not base64", code="bad_content"))
        if item.path is Path.JSON:
            return self._created(folder, item, replaces)
        body = [self._head(folder, replaces), *pieces, importing.TAIL]
        session = self._shared.session
        url = session.url()
        refused = 0
        while True:
            try:
                reply = self._wire.transport.request(
                    "POST",
                    url.reveal(),
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    body=body,
                    affinity=self._shared.affinity,
                )
            except NotSent as e:
                raise unreached(e, IMPORT, self._name) from None
            except AnswerLost as e:
                return _failed(ref, InDoubt(f"{self._name}: no answer to an import: {e}", code="answer_lost"))
            if reply.status != 401:
                break
            refused += 1
            # Once is a session that has ended; again may be one that another thread had opened long ago.
            if refused >= SESSIONS_MOST:
                raise JobError(
                    f"{self._name}: the import address is refused although it is new",
                    code="import_session",
                    remedy="Check this machine's clock, then run again.",
                )
            url = session.url(stale=url)
        if reply.status in (200, 201):
            found = importing.stored(reply.body)
            if found is None:
                return _failed(
                    ref,
                    InDoubt(f"{self._name}: an import was answered without an item id", code="no_item_id"),
                )
            return Outcome(ref, State.COPIED, found[0], version_of(found[1]), octets=size)
        return self._not_stored(
            folder, ref, replaces, error_from(reply, IMPORT, self._name, self._wire.clock.now())
        )

    def _created(self, folder: Folder, item: Item, replaces: tuple[str, str] | None) -> Outcome:
        """One item created anew by classic Graph; what it replaces goes when the new one is there."""
        if replaces is not None:
            there = self._lister().look_up(folder, [replaces[0]]).get(replaces[0])
            if there is not None and replaces[1] and there.version != replaces[1]:
                error = ItemError("the item was changed in the target; it is left as it is", code="conflict")
                return _failed(item.ref, error)
        writer = JsonWriter(self._wire, self._name, self._shared.affinity)
        try:
            item_id, version, notes = writer.create(
                folder, item, lambda created: created in self.remove(folder, [created])
            )
        except JobError as error:
            return self._not_stored(folder, item.ref, None, error)
        except (ItemError, InDoubt) as error:
            return _failed(item.ref, error)
        if replaces is not None:
            try:
                gone = replaces[0] in self.remove(folder, [replaces[0]])
            except MigratorError:
                gone = False
            if not gone:
                notes = (*notes, "old_left")
        return Outcome(item.ref, State.COPIED, item_id, version, octets=item.content.size, notes=notes)

    def _head(self, folder: Folder, replaces: tuple[str, str] | None) -> bytes:
        if replaces is not None:
            return importing.head(folder.id, replaces)
        head = self._heads.get(folder.id)
        if head is None:
            head = self._heads[folder.id] = importing.head(folder.id, None)
        return head

    def _not_stored(
        self, folder: Folder, ref: ItemRef, replaces: tuple[str, str] | None, error: MigratorError
    ) -> Outcome:
        if isinstance(error, ItemError) and error.code == "too_large":
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE, notes=(error.message,))
        if (
            isinstance(error, JobError)
            and error.code == "quota_full"
            and (folder.total or 0) >= FOLDER_MOST - 10_000
        ):
            error = ItemError(
                error.message,
                code="folder_full",
                remedy="The folder holds its most of 1,000,000 items: map its source to several folders.",
            )
        if isinstance(error, JobError) and error.code == "folder_gone":
            if replaces is not None:
                return _failed(ref, ItemError(error.message, code="conflict"))
            self._shared.tree.gone(folder)
            self._heads.pop(folder.id, None)
        if isinstance(error, ItemError | InDoubt):
            return _failed(ref, error)
        raise error

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        return one_after_another(self.store, batches)

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(ids), BATCH_MOST):
            there = self._lister().look_up(folder, ids[start : start + BATCH_MOST])
            found |= {item_id: ref.version for item_id, ref in there.items()}
        return found

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        """Hard deletion, 20 a batch; what a hold protects is left out of the answer.

        Transient and Throttled, also of single members, are raised: asked again, what is gone counts as gone. JobError is
        raised only when nothing is gone.
        """
        gone: list[str] = []
        base = f"{self._shared.path}/folders/{quote(folder.id, safe='')}/items"
        for start in range(0, len(ids), BATCH_MOST):
            part = ids[start : start + BATCH_MOST]
            try:
                done, trouble = self._remove(base, part)
            except JobError:
                if gone:
                    return gone
                raise
            gone += done
            if trouble is not None:
                if gone and not isinstance(trouble, Transient):
                    return gone
                raise trouble
        return gone

    def _remove(self, base: str, ids: Sequence[str]) -> tuple[list[str], MigratorError | None]:
        requests: list[dict[str, Any]] = [
            {
                "id": str(number),
                "method": "DELETE",
                "url": f"{base}/{quote(item_id, safe='')}?disposalType=hardDelete",
            }
            for number, item_id in enumerate(ids)
        ]
        replies = self._wire.batch(requests, self._name, affinity=self._shared.affinity)
        gone: list[str] = []
        trouble: MigratorError | None = None
        for number, item_id in enumerate(ids):
            reply = replies.get(str(number))
            if reply is None:
                trouble = Transient(f"{self._name}: a batch left a request unanswered", code="garbled_answer")
            elif reply.status in (200, 202, 204):
                gone.append(item_id)
            else:
                error = error_from(reply, DELETE, self._name, self._wire.clock.now())
                if error.code in ("vanished", "folder_gone"):
                    gone.append(item_id)
                elif not isinstance(error, ItemError) and not isinstance(trouble, Throttled):
                    trouble = error
        return gone, trouble

    def remove_folder(self, folder: Folder) -> None:
        self._shared.tree.remove(folder)
        self._heads.pop(folder.id, None)

    def close(self) -> None:
        """Nothing of its own is open; the client's connections stay for the other handles."""


def _failed(ref: ItemRef, error: MigratorError) -> Outcome:
    return Outcome(ref, State.FAILED, error=error)


def _granted(choices: Sequence[str], shown: frozenset[str]) -> bool:
    return any(each in shown or each.removesuffix(".All") in shown for each in choices)
