"""One Exchange mailbox to read from, over EWS (`interfaces.Source`).

Calls: `probe` 1 (the root and all well-known folders in one GetFolder), `folders` 1 (2 when the mailbox was not probed before),
`page` 1 per 512 items, `export` 1 per batch.

Facts this module rests on:
- SyncFolderItems gives at most 512 changes a call (MaxChangesReturned, types.xsd); its SyncState is opaque, several KB, and stays good
  for the delta after cutover (learn.microsoft.com/…/exchange-web-services/mailbox-synchronization-and-ews-in-exchange)
- an answer whose SyncState equals the one sent brings nothing new, whatever IncludesLastItemInRange says
- on an error a message carries no SyncState; ErrorInvalidSyncStateData: list anew
- folder:DistinguishedFolderId and conversationhistory are in the schema from Exchange2013 on
- FindFolder gives at most 1000 folders a page under the default policy (…/ews-throttling-in-exchange, EWSFindCountLimit)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from xml.sax.saxutils import escape

from lxml import etree

from migrator.adapters.ews import faults, ids
from migrator.adapters.ews.client import Box, EwsClient
from migrator.adapters.ews.export import Exporter, can_export
from migrator.adapters.ews.listing import FOLDER_PATHS, ITEM_PATHS, FolderList, refs_of, roles_of
from migrator.adapters.ews.names import LATER_ROLES, ROLES
from migrator.adapters.ews.soap import (
    VERSIONS,
    Impersonate,
    M,
    Message,
    T,
    distinguished,
    field_uri,
    folder_id,
    shape,
)
from migrator.adapters.spool import THRESHOLD
from migrator.errors import CheckpointLost, JobError, MigratorError, UserError
from migrator.interfaces import Expected, Finding, Probe, ReaderTraits
from migrator.model import Checkpoint, Folder, Format, Item, ItemRef, Outcome, Page

SCHEME = "ews-sync/1"
PAGE_ITEMS = 512
EXPORT_ITEMS = 50
EXPORT_OCTETS = 16 << 20
FIND_FOLDERS = 1000
_SINCE_2013 = VERSIONS.index("Exchange2013")

_UNKNOWN_ADDRESS = frozenset(
    ("ErrorNonExistentMailbox", "ErrorNonPrimarySmtpAddress", "ErrorInvalidSmtpAddress")
)
_NO_HIERARCHY_SYNC = frozenset(
    ("ErrorInvalidOperation", "ErrorInvalidRequest", "ErrorSyncFolderNotFound", "ErrorUnsupportedSyncFolder")
)


def _modern(version: str) -> bool:
    return VERSIONS.index(version) >= _SINCE_2013


class EwsSource:
    def __init__(self, client: EwsClient, box: Box) -> None:
        self._client = client
        self._box = box
        options = client.endpoint.options
        self._page_items = _number(options, "page_items", PAGE_ITEMS, 1, PAGE_ITEMS, client.endpoint.name)
        self._export_items = _number(options, "export_items", EXPORT_ITEMS, 1, 1000, client.endpoint.name)
        self._export_octets = _number(
            options, "export_octets", EXPORT_OCTETS, 1 << 16, 1 << 30, client.endpoint.name
        )
        self._exporter = Exporter(
            client,
            box,
            items=self._export_items,
            octets=self._export_octets,
            threshold=_number(options, "spool_octets", THRESHOLD, 1 << 10, 1 << 40, client.endpoint.name),
            spool_dir=options.get("spool_dir") or None,
        )

    @property
    def traits(self) -> ReaderTraits:
        """formats: MIME alone once the server is known to have no ExportItems."""
        return ReaderTraits(
            formats=(Format.FTS, Format.MIME) if can_export(self._box) else (Format.MIME,),
            has_delta=True,
            connections=max(1, min(4, self._client.endpoint.limits.concurrent or 4)),
            export_items=self._export_items,
            export_octets=self._export_octets,
            origin=self._exporter.origin,
        )

    def close(self) -> None:
        """Connections belong to the client; a source holds nothing."""

    # ---- probe

    def probe(self) -> Probe:
        box = self._box
        findings: list[Finding] = []
        try:
            self._look()
        except JobError as e:
            if not self._by_principal_name(e, findings):
                raise
        server = box.server
        if not can_export(box):
            findings.append(
                Finding(
                    "warning",
                    f"{server.product if server else 'this server'} cannot export items whole: they are read as MIME, "
                    "which loses properties",
                    "Install Exchange 2010 SP1 or later at the source, if that is possible.",
                    "no_export",
                )
            )
        return Probe(box.identity, server.product if server else "Exchange", tuple(findings))

    def _by_principal_name(self, e: JobError, findings: list[Finding]) -> bool:
        """A user name may be the address although the primary address is another: impersonate by it instead."""
        box = self._box
        if e.code not in ("no_mailbox", "not_primary_address") or box.impersonate is None:
            return False
        if box.impersonate.by != "PrimarySmtpAddress":
            return False
        before = box.impersonate
        box.impersonate = Impersonate("PrincipalName", box.address)
        try:
            self._look()
        except JobError:
            box.impersonate = before
            return False
        findings.append(
            Finding(
                "note",
                f"{box.address} is the user principal name, not the primary SMTP address",
                code="principal_name",
            )
        )
        return True

    def _look(self) -> None:
        """The root and every well-known folder, in one call: is the mailbox there, whose is it, which folder has which role?"""
        box = self._box
        asked: list[str] = []

        def body(version: str) -> str:
            asked[:] = ["msgfolderroot", *ROLES, *(LATER_ROLES if _modern(version) else ())]
            listed = "".join(distinguished(name, box.owner) for name in asked)
            return f"<m:GetFolder>{shape('FolderShape')}<m:FolderIds>{listed}</m:FolderIds></m:GetFolder>"

        answers = self._client.messages(box, "GetFolder", body)
        found: list[tuple[str, etree._Element]] = []
        for name, message in zip(asked, answers, strict=False):
            holder = message.element.find(f"{M}Folders")
            if message.ok and holder is not None and len(holder):
                found.append((name, holder[0]))
        if not answers or not found or found[0][0] != "msgfolderroot":
            raise self._root_refused(answers)
        own = found[0][1].find(f"{T}FolderId")
        root = own.get("Id", "") if own is not None else ""
        box.identity = ids.mailbox_guid(root) or hashlib.sha256(ids.normal(root)).hexdigest()
        box.roles = roles_of(found)

    def _root_refused(self, answers: list[Message]) -> MigratorError:
        first = answers[0] if answers else None
        if first is None or first.ok:
            return JobError(self._box.seat.says("the server names no root folder"), code="no_root")
        code = first.code
        if code in ("ErrorItemNotFound", "ErrorFolderNotFound"):
            code = "ErrorAccessDenied"  # a root that is not found is one that may not be seen
        return faults.from_code(code, first.text, first.values, self._box.seat)

    # ---- folders

    def folders(self) -> list[Folder]:
        listed = FolderList()
        try:
            self._sync_hierarchy(listed)
        except JobError as e:
            if e.code not in _NO_HIERARCHY_SYNC:
                raise
            listed = FolderList()
            self._find_folders(listed)
        roles = self._box.roles
        if listed.roles:
            roles = listed.roles
        elif roles is None:
            self._look()
            roles = self._box.roles
        return listed.folders(roles or {})

    def _sync_hierarchy(self, listed: FolderList) -> None:
        box = self._box
        state = ""
        while True:

            def body(version: str, state: str = state) -> str:
                extra = (field_uri("folder:DistinguishedFolderId"),) if _modern(version) else ()
                sent = f"<m:SyncState>{escape(state)}</m:SyncState>" if state else ""
                return (
                    f"<m:SyncFolderHierarchy>{shape('FolderShape', (*FOLDER_PATHS, *extra))}"
                    f"<m:SyncFolderId>{distinguished('msgfolderroot', box.owner)}</m:SyncFolderId>{sent}"
                    "</m:SyncFolderHierarchy>"
                )

            message = self._one("SyncFolderHierarchy", body)
            changes = message.element.find(f"{M}Changes")
            before = len(listed)
            for change in changes if changes is not None else ():
                if change.tag in (f"{T}Create", f"{T}Update"):
                    for element in change:
                        listed.add(element)
            new_state = (message.element.findtext(f"{M}SyncState") or "").strip()
            last = (message.element.findtext(f"{M}IncludesLastFolderInRange") or "true").strip() == "true"
            if last or not new_state or new_state == state or len(listed) == before:
                return
            state = new_state

    def _find_folders(self, listed: FolderList) -> None:
        offset = 0
        while True:

            def body(version: str, offset: int = offset) -> str:
                extra = (field_uri("folder:DistinguishedFolderId"),) if _modern(version) else ()
                return (
                    f'<m:FindFolder Traversal="Deep">{shape("FolderShape", (*FOLDER_PATHS, *extra))}'
                    f'<m:IndexedPageFolderView MaxEntriesReturned="{FIND_FOLDERS}" Offset="{offset}" BasePoint="Beginning"/>'
                    f"<m:ParentFolderIds>{distinguished('msgfolderroot', self._box.owner)}</m:ParentFolderIds></m:FindFolder>"
                )

            message = self._one("FindFolder", body)
            root = message.element.find(f"{M}RootFolder")
            before = len(listed)
            holder = root.find(f"{T}Folders") if root is not None else None
            for element in holder if holder is not None else ():
                listed.add(element)
            if root is None or root.get("IncludesLastItemInRange") != "false" or len(listed) == before:
                return
            offset = int(root.get("IndexedPagingOffset") or offset + FIND_FOLDERS)

    # ---- items

    def expect(self, wanted: Sequence[Expected]) -> None:
        """Each page is a request of its own."""

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        if after is not None and (after.scheme != SCHEME or not after.token):
            raise CheckpointLost(
                self._box.seat.says("a checkpoint of another kind of listing"), code="checkpoint_foreign"
            )
        state = after.token if after is not None else ""
        sent = f"<m:SyncState>{escape(state)}</m:SyncState>" if state else ""
        body = (
            f"<m:SyncFolderItems>{shape('ItemShape', ITEM_PATHS)}"
            f"<m:SyncFolderId>{folder_id(folder.id)}</m:SyncFolderId>{sent}"
            f"<m:MaxChangesReturned>{self._page_items}</m:MaxChangesReturned></m:SyncFolderItems>"
        )
        message = self._one("SyncFolderItems", body)
        new_state = (message.element.findtext(f"{M}SyncState") or "").strip()
        if not new_state:
            raise JobError(
                self._box.seat.says("a page of items came without a sync state"), code="no_sync_state"
            )
        refs = refs_of(message.element.find(f"{M}Changes"), folder, fresh=after is None)
        said = (message.element.findtext(f"{M}IncludesLastItemInRange") or "").strip()
        last = said == "true" or new_state == state
        return Page(refs, Checkpoint(SCHEME, new_state), last)

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        return self._exporter.export(refs, fmt)

    # ---- one answer

    def _one(self, operation: str, body: object) -> Message:
        """A call that is answered by one message. Raises what an error in it means."""
        answers = self._client.messages(self._box, operation, body)  # type: ignore[arg-type]
        if not answers:
            raise JobError(self._box.seat.says(f"{operation} was answered with nothing"), code="empty_answer")
        message = answers[0]
        if message.level == "Error" or not message.ok:
            if (
                message.code in ("ErrorSyncFolderNotFound", "ErrorUnsupportedSyncFolder")
                and operation == "SyncFolderHierarchy"
            ):
                raise JobError(message.text, code=message.code)
            raise faults.from_code(message.code, message.text, message.values, self._box.seat)
        return message


def _number(options: dict[str, str], name: str, default: int, least: int, most: int, endpoint: str) -> int:
    text = options.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise UserError(
            f"{endpoint}: option {name} must be a number from {least} to {most}", code="endpoint_settings"
        )
    return value
