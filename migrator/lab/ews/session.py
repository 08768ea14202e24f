"""What every operation needs: the caller, the profile, ids both ways, and how refusals become response messages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from lxml import etree

from migrator.lab.ews import identity, ids
from migrator.lab.ews.envelope import M, Refused, T, error
from migrator.lab.ews.identity import Caller
from migrator.lab.ews.versions import RANK, Profile
from migrator.lab.faults import Action
from migrator.lab.store import FolderNotFound, ItemNotFound, LabFolder, LabItem, LabMailbox, StoreError
from migrator.lab.world import Call, World

MALFORMED = "Id is malformed."

_MAKERS_KEY = "ews.ids"

_TEXTS = {
    "ErrorItemNotFound": "The specified object was not found in the store.",
    "ErrorFolderNotFound": "The specified folder could not be found in the store.",
    "ErrorFolderExists": "A folder with the specified name already exists.",
    "ErrorDeleteDistinguishedFolder": "Distinguished folders cannot be deleted.",
    "ErrorQuotaExceeded": "The mailbox has exceeded its quota.",
    "ErrorMessageSizeExceeded": "The message exceeds the maximum supported size.",
    "ErrorIrresolvableConflict": "The send or update operation could not be performed because the change key passed in "
    "the request does not match the current change key for the item.",
    "ErrorCorruptData": "Data is corrupt.",
    "ErrorNonExistentMailbox": identity.NO_MAILBOX,
    "ErrorInvalidFolderName": "The folder name is not valid.",
}
_CODES = {"ErrorInvalidFolderName": "ErrorFolderSavePropertyError"}  # EWS has no code for a bad name alone

Made = TypeVar("Made")


@dataclass(slots=True)
class Session:
    """One request being served."""

    world: World
    call: Call
    profile: Profile
    version: str  # the schema version that the request targets
    who: Caller
    codes: list[str] = field(default_factory=list)  # of the response messages that told errors

    # -- ids

    def maker(self, box: LabMailbox) -> ids.IdMaker:
        makers: dict[str, ids.IdMaker] = self.world.notes.setdefault(_MAKERS_KEY, {})
        found = makers.get(box.guid)
        if found is None:
            found = makers[box.guid] = ids.IdMaker(uuid.UUID(box.guid))
        return found

    def item_id(self, item: LabItem, name: bytes = b"t:ItemId") -> bytes:
        maker = self.maker(item.mailbox)
        return b'<%b Id="%b" ChangeKey="%b"/>' % (
            name,
            maker.make(item.folder.id, item.id).encode(),
            maker.change_key(object_class(item.item_class), item.change).encode(),
        )

    def gone_item_id(self, folder: LabFolder, item_id: int) -> bytes:
        """The id of an item that is no more: without its class there is no change key to tell."""
        return b'<t:ItemId Id="%b"/>' % self.maker(folder.mailbox).make(folder.id, item_id).encode()

    def folder_id(self, folder: LabFolder, name: bytes = b"t:FolderId") -> bytes:
        maker = self.maker(folder.mailbox)
        return b'<%b Id="%b" ChangeKey="%b"/>' % (
            name,
            maker.make(folder.id).encode(),
            maker.change_key(folder_class_number(folder), max(folder.changed, 1)).encode(),
        )

    def _decode(self, element: etree._Element) -> ids.StoreId:
        found = ids.decode(element.get("Id", ""))
        if found is None:
            if not element.get("Id"):
                raise Refused("ErrorInvalidIdEmpty", "The Id is empty.")
            raise Refused("ErrorInvalidIdMalformed", MALFORMED)
        return found

    def item(self, element: etree._Element, *, writing: bool = False) -> LabItem:
        """The item that a t:ItemId means. Raises Refused.

        writing: a stale change key is refused. Ids of moved items are stale: a move gives a new id.
        """
        name = etree.QName(element).localname
        if name in ("OccurrenceItemId", "RecurringMasterItemId", "RecurringMasterItemIdRanges"):
            raise Refused(
                "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange",
                "Occurrences are not kept as items of their own here.",
            )
        found = self._decode(element)
        if found.attachments:
            raise Refused("ErrorCannotUseItemIdForFolderId", "The Id is that of an attachment.")
        if not found.item:
            raise Refused("ErrorCannotUseFolderIdForItemId", "The operation cannot be performed on a folder.")
        box = identity.mailbox_of_guid(self.world, self.who, str(found.mailbox))
        item = box.items.get(found.item)
        if item is None or item.folder.id != found.folder:
            raise Refused("ErrorItemNotFound", _TEXTS["ErrorItemNotFound"])
        key = element.get("ChangeKey")
        if key:
            version = self.maker(box).change_version(key)
            if version is None:
                raise Refused("ErrorInvalidChangeKey", "The change key is invalid.")
            if writing and version != item.change:
                raise Refused("ErrorIrresolvableConflict", _TEXTS["ErrorIrresolvableConflict"])
        return item

    def folder(self, element: etree._Element) -> LabFolder:
        """The folder that a t:FolderId or t:DistinguishedFolderId means. Raises Refused."""
        name = etree.QName(element).localname
        if name == "DistinguishedFolderId":
            address = element.findtext(f"{T}Mailbox/{T}EmailAddress")
            if address:
                box = identity.named_mailbox(self.world, self.who, address.strip())
            else:
                box = identity.default_mailbox(self.who)
            return self._usable(box).role(element.get("Id", ""))
        if name != "FolderId":
            raise Refused("ErrorInvalidFolderId", "Address lists are not folders here.")
        found = self._decode(element)
        if found.item:
            raise Refused("ErrorCannotUseItemIdForFolderId", "The operation cannot be performed on an item.")
        box = identity.mailbox_of_guid(self.world, self.who, str(found.mailbox))
        return self._usable(box).folder(found.folder)

    @staticmethod
    def _usable(box: LabMailbox) -> LabMailbox:
        if not box.enabled:
            raise Refused("ErrorAccountDisabled", "The account is disabled.")
        return box

    def target(self, parent: etree._Element, name: str, missing: str = "ErrorToFolderNotFound") -> LabFolder:
        """The folder inside an element such as m:ToFolderId. Raises Refused with the code `missing`."""
        holder = parent.find(f"{M}{name}")
        assert holder is not None  # the schema check asked for it
        try:
            return self.folder(holder[0])
        except FolderNotFound:
            raise Refused(missing, _TEXTS["ErrorFolderNotFound"]) from None

    # -- one message per id

    def each(
        self,
        operation: str,
        things: Iterable[Made],
        make: Callable[[Made], bytes],
    ) -> list[bytes]:
        """A response message for every thing; what is refused or not found becomes an error message in its place.

        After ErrorBatchProcessingStopped the rest of the things is not tried.
        """
        messages: list[bytes] = []
        stopped: Refused | None = None
        for thing in things:
            if stopped is not None:
                messages.append(self.refuse(operation, stopped))
                continue
            try:
                messages.append(make(thing))
            except Refused as refused:
                messages.append(self.refuse(operation, refused))
                if refused.code == "ErrorBatchProcessingStopped":
                    stopped = refused
            except StoreError as problem:
                messages.append(self.refuse(operation, from_store(problem)))
        return messages

    def refuse(self, operation: str, refused: Refused) -> bytes:
        self.codes.append(refused.code)
        stopped = refused.code == "ErrorBatchProcessingStopped"
        return error(operation, refused, response_class="Warning" if stopped else "Error")

    # -- scripted faults

    def item_fault(self, item: LabItem) -> bytes:
        """Asks the fault script about one item: raises Refused, or gives what is to be put after its data."""
        action = self.call.item_fault(item)
        if action is None:
            return b""
        if action.code:
            raise Refused(action.code, action.message, values=action_values(action))
        return action.tail


def action_values(action: Action) -> tuple[tuple[str, str], ...]:
    return (("BackOffMilliseconds", str(action.back_off_ms)),) if action.back_off_ms else ()


def from_store(problem: StoreError) -> Refused:
    code = _CODES.get(problem.code, problem.code)
    return Refused(code, _TEXTS.get(problem.code, str(problem)))


def not_found() -> Refused:
    return from_store(ItemNotFound())


def at_least(version: str, since: str) -> bool:
    return RANK[version] >= RANK[since]


# -- kinds of items and folders

_ELEMENTS = (
    ("ipm.schedule.meeting.request", "MeetingRequest", ids.CLASS_MEETING_REQUEST),
    ("ipm.schedule.meeting.resp", "MeetingResponse", ids.CLASS_MEETING_RESPONSE),
    ("ipm.schedule.meeting.canceled", "MeetingCancellation", ids.CLASS_MEETING_CANCELLATION),
    ("ipm.schedule.meeting", "MeetingMessage", ids.CLASS_MEETING_MESSAGE),
    ("ipm.appointment", "CalendarItem", ids.CLASS_EVENT),
    ("ipm.contact", "Contact", ids.CLASS_CONTACT),
    ("ipm.distlist", "DistributionList", ids.CLASS_GROUP),
    ("ipm.task", "Task", ids.CLASS_TASK),
    ("ipm.post", "PostItem", ids.CLASS_POST),
)


@lru_cache(maxsize=1024)
def element_name(item_class: str) -> str:
    """The element for an item: t:Message for everything that is not something better, as Exchange has it."""
    lower = item_class.lower()
    return next((name for prefix, name, _ in _ELEMENTS if _is_class(lower, prefix)), "Message")


@lru_cache(maxsize=1024)
def object_class(item_class: str) -> int:
    lower = item_class.lower()
    return next((number for prefix, _, number in _ELEMENTS if _is_class(lower, prefix)), ids.CLASS_MESSAGE)


def _is_class(lower: str, prefix: str) -> bool:
    return lower == prefix or lower.startswith(prefix + ".")


_FOLDERS = (
    ("ipf.appointment", "CalendarFolder", ids.CLASS_CALENDAR_FOLDER),
    ("ipf.contact", "ContactsFolder", ids.CLASS_CONTACTS_FOLDER),
    ("ipf.task", "TasksFolder", ids.CLASS_TASKS_FOLDER),
)


def folder_element(folder: LabFolder) -> str:
    if folder.search:
        return "SearchFolder"
    lower = folder.folder_class.lower()
    return next((name for prefix, name, _ in _FOLDERS if _is_class(lower, prefix)), "Folder")


def folder_class_number(folder: LabFolder) -> int:
    if folder.search:
        return ids.CLASS_SEARCH_FOLDER
    lower = folder.folder_class.lower()
    return next((number for prefix, _, number in _FOLDERS if _is_class(lower, prefix)), ids.CLASS_FOLDER)
