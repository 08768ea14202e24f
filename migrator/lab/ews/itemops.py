"""Operations on items: GetItem, FindItem, CreateItem, UpdateItem, DeleteItem, MoveItem, CopyItem.

Facts this module rests on (MS-OXWSCORE, MS-OXWSSRCH; recorded answers):
- one response message per id, in the order of the request; errors still send an empty m:Items
- a moved item gets a new id; the answer tells it unless ReturnNewItemIds is false
- an event with attendees may not be created without saying whom to invite: ErrorSendMeetingInvitationsRequired
- a stale change key is refused by UpdateItem (ErrorIrresolvableConflict) unless AlwaysOverwrite, taken by the others
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from lxml import etree

from migrator.lab.ews import fields, find, folderops, writing
from migrator.lab.ews.envelope import Fault, M, Refused, T, element, success
from migrator.lab.ews.extended import read_time
from migrator.lab.ews.identity import default_mailbox
from migrator.lab.ews.session import Session, element_name
from migrator.lab.store import LabFolder, LabItem
from migrator.mapi import properties as p

_NO_ITEMS = b"<m:Items/>"


def get_item(session: Session, request: etree._Element) -> list[bytes]:
    holder, asked_ids = request.find(f"{M}ItemShape"), request.find(f"{M}ItemIds")
    assert holder is not None
    assert asked_ids is not None
    wanted = fields.shape(holder)

    def one(asked: etree._Element) -> bytes:
        item = session.item(asked)
        session.item_fault(item)
        return success("GetItem", element("m:Items", fields.render(fields.View(session, item), wanted)))

    return session.each("GetItem", asked_ids, one)


def find_item(session: Session, request: etree._Element) -> list[bytes]:
    holder, parents = request.find(f"{M}ItemShape"), request.find(f"{M}ParentFolderIds")
    assert holder is not None
    assert parents is not None
    if request.find(f"{M}GroupBy") is not None or request.find(f"{M}DistinguishedGroupBy") is not None:
        raise Refused("ErrorUnsupportedPathForSortGroup", "The lab does not group.")
    wanted = fields.shape(holder, listing="find")
    traversal = request.get("Traversal")
    restriction, order = request.find(f"{M}Restriction"), request.find(f"{M}SortOrder")
    tests: list[Callable[[fields.View], bool]] = []
    if restriction is not None:
        tests.append(find.restriction(restriction, fields.reader))
    calendar = request.find(f"{M}CalendarView")
    if calendar is not None:
        tests.append(_between(calendar))
    sorts = (
        [(fields.reader(one[0]), one.get("Order") == "Descending") for one in order]
        if order is not None
        else []
    )
    limit = session.world.knobs.ews_limits.find_count

    def one(asked: etree._Element) -> bytes:
        folder = session.folder(asked)
        associated = traversal == "Associated"
        if traversal == "SoftDeleted":  # the dumpster is a set of folders since 2010
            views: list[fields.View] = []
            total = 0
            page = find.page(request, "Item", 0, limit)
        elif tests or sorts:
            views = [fields.View(session, item) for item in contents(folder, associated=associated)]
            views = [view for view in views if all(test(view) for test in tests)]
            for read, descending in reversed(sorts):
                views.sort(key=_key(read), reverse=descending)
            page = find.page(request, "Item", len(views), limit)
            views = views[page.start : page.end]
        else:
            total = folder.fai_total if associated else folderops.total(folder)
            page = find.page(request, "Item", total, limit)
            items = islice(contents(folder, associated=associated), page.start, page.end)
            views = [fields.View(session, item) for item in items]
        body = b"".join(fields.render(view, wanted) for view in views)
        return success(
            "FindItem", b"<m:RootFolder%b>%b</m:RootFolder>" % (page.attributes, element("t:Items", body))
        )

    return session.each("FindItem", parents, one)


def contents(folder: LabFolder, *, associated: bool = False) -> Iterator[LabItem]:
    """Newest first. A search folder shows items of other folders, under their own ids."""
    if folder.search and not associated:
        return iter(sorted(folderops.found_by(folder), key=lambda item: item.id, reverse=True))
    return folder.newest(associated=associated)


def _key(read: Callable[[fields.View], Any]) -> Callable[[fields.View], tuple[bool, Any]]:
    def key(view: fields.View) -> tuple[bool, Any]:
        value = read(view)
        return (value is not None, value.casefold() if isinstance(value, str) else value)

    return key


def _between(view: etree._Element) -> Callable[[fields.View], bool]:
    """CalendarView: what overlaps with the time given. Series are not expanded: the master stands for them."""
    start, end = read_time(view.get("StartDate", "")), read_time(view.get("EndDate", ""))
    if end < start:
        raise Refused("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if (end - start).days > 731:
        raise Refused(
            "ErrorCalendarViewRangeTooBig", "The specified view range exceeds the maximum range of two years."
        )

    def test(found: fields.View) -> bool:
        begins = found.p.time(p.PidLidAppointmentStartWhole)
        ends = found.p.time(p.PidLidAppointmentEndWhole) or begins
        return begins is not None and ends is not None and begins < end and (ends > start or begins >= start)

    return test


# -- writing


def _bare(session: Session, item: LabItem) -> bytes:
    tag = element_name(item.item_class).encode()
    return b"<t:%b>%b</t:%b>" % (tag, session.item_id(item), tag)


def create_item(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    items = request.find(f"{M}Items")
    assert items is not None
    disposition, invite = request.get("MessageDisposition"), request.get("SendMeetingInvitations")
    named: LabFolder | None = None
    if request.find(f"{M}SavedItemFolderId") is not None:
        named = session.target(request, "SavedItemFolderId", "ErrorSavedItemFolderNotFound")
    store = session.world.exchange

    def one(asked: etree._Element) -> bytes:
        kind = etree.QName(asked).localname
        if kind not in ("Item", "Message", "CalendarItem", "Contact", "DistributionList", "Task", "PostItem"):
            raise Refused(
                "ErrorInvalidItemForOperationCreateItem", f"The lab does not create {kind} objects."
            )
        if kind == "Message" and disposition is None:
            raise Fault("ErrorMessageDispositionRequired", "MessageDisposition attribute is required.")
        if kind == "CalendarItem" and invite is None:
            raise Fault(
                "ErrorSendMeetingInvitationsRequired",
                "SendMeetingInvitations attribute is required for calendar items.",
            )
        folder = named or default_mailbox(session.who).role(_home(kind, disposition))
        writing.check_folder(kind, folder)
        message = writing.build(session, asked, session.world.clock.utc())
        sends = kind == "Message" and disposition in ("SendOnly", "SendAndSaveCopy")
        if sends:
            if not message.recipients:
                raise Refused("ErrorInvalidRecipients", "At least one recipient isn't valid.")
            session.call.detail["sent"] = session.call.detail.get("sent", 0) + 1
            message.properties.set(p.PidTagMessageFlags, 3, writing.READ)
            if disposition == "SendOnly":
                return success("CreateItem", _NO_ITEMS)
        if kind == "CalendarItem" and message.recipients and invite != "SendToNone":
            session.call.invited(len(message.recipients))
        stream = writing.to_stream(session, message)
        item = store.add_item(folder, stream)
        session.call.stored(item, stream)
        body = b"" if sends else _bare(session, item)
        return success("CreateItem", element("m:Items", body))

    return session.each("CreateItem", items, one)


def _home(kind: str, disposition: str | None) -> str:
    return "sentitems" if kind == "Message" and disposition == "SendAndSaveCopy" else writing.home(kind)


def update_item(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    changes = request.find(f"{M}ItemChanges")
    assert changes is not None
    strict = request.get("ConflictResolution") != "AlwaysOverwrite"
    store = session.world.exchange

    def one(change: etree._Element) -> bytes:
        if strict and not change[0].get("ChangeKey"):
            raise Refused(
                "ErrorChangeKeyRequiredForWriteOperations",
                "A change key is required for update operations that do not overwrite always.",
            )
        item = session.item(change[0], writing=strict)
        updates = [update for update in change[1] if isinstance(update.tag, str)]
        if element_name(item.item_class) == "Message" and request.get("MessageDisposition") is None:
            raise Fault("ErrorMessageDispositionRequired", "MessageDisposition attribute is required.")
        reads = [_read_flag(update) for update in updates]
        if all(read is not None for read in reads):
            for read in reads:
                store.mark_read(item, bool(read))
        else:
            message = item.message()
            for update in updates:
                _apply(message, update)
            store.update_item(item, writing.to_stream(session, message))
        body = element("m:Items", _bare(session, item))
        return success("UpdateItem", body + b"<m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>")

    return session.each("UpdateItem", changes, one)


def _read_flag(update: etree._Element) -> bool | None:
    """The new read flag, when that is all that an update changes."""
    if etree.QName(update).localname != "SetItemField" or update[0].get("FieldURI") != "message:IsRead":
        return None
    return (update[1].findtext(f"{T}IsRead") or "").strip() in ("true", "1")


def _apply(message: Any, update: etree._Element) -> None:
    name = etree.QName(update).localname
    if name == "DeleteItemField":
        writing.unset(message, update[0])
        return
    if name == "AppendToItemField":
        raise Refused("ErrorInvalidPropertyAppend", "Append action is invalid for property.")
    given = [child for child in update[1] if isinstance(child.tag, str)]
    if len(given) != 1:
        raise Refused(
            "ErrorIncorrectUpdatePropertyCount",
            "An object within a change description must contain one and only one property.",
        )
    wanted = update[0].get("FieldURI", "").partition(":")[2]
    name = etree.QName(given[0]).localname
    if wanted and wanted != name and etree.QName(update[0]).localname == "FieldURI":
        raise Refused("ErrorUpdatePropertyMismatch", "Update change path and the property do not match.")
    writing.set_element(message, given[0])


def delete_item(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    asked_ids = request.find(f"{M}ItemIds")
    assert asked_ids is not None
    how = {"HardDelete": "hard", "SoftDelete": "soft", "MoveToDeletedItems": "trash"}[
        request.get("DeleteType", "")
    ]

    def one(asked: etree._Element) -> bytes:
        item = session.item(asked)
        kind = element_name(item.item_class)
        if kind == "CalendarItem" and request.get("SendMeetingCancellations") is None:
            raise Fault(
                "ErrorSendMeetingCancellationsRequired",
                "SendMeetingCancellations attribute is required for calendar items.",
            )
        if kind == "Task" and request.get("AffectedTaskOccurrences") is None:
            raise Fault(
                "ErrorAffectedTaskOccurrencesRequired",
                "AffectedTaskOccurrences attribute is required for tasks.",
            )
        session.world.exchange.delete_item(item, how=how)
        session.call.deleted += 1
        return success("DeleteItem", b"")

    return session.each("DeleteItem", asked_ids, one)


def move_item(session: Session, request: etree._Element) -> list[bytes]:
    return _transport(session, request, "MoveItem")


def copy_item(session: Session, request: etree._Element) -> list[bytes]:
    return _transport(session, request, "CopyItem")


def _transport(session: Session, request: etree._Element, operation: str) -> list[bytes]:
    session.call.write = True
    target = session.target(request, "ToFolderId")
    asked_ids = request.find(f"{M}ItemIds")
    assert asked_ids is not None
    told = (request.findtext(f"{M}ReturnNewItemIds") or "true").strip() in ("true", "1")
    store = session.world.exchange

    def one(asked: etree._Element) -> bytes:
        item = session.item(asked)
        if item.mailbox is not target.mailbox:
            # between mailboxes the server copies, then deletes, and cannot tell the new id
            store.check_room(target, item.size)
            made = store.add_item(target, item.content, facts=item.facts)
            if operation == "MoveItem":
                store.delete_item(item)
            return success(operation, _NO_ITEMS if made else b"")
        made = store.move_item(item, target) if operation == "MoveItem" else store.copy_item(item, target)
        return success(operation, element("m:Items", _bare(session, made) if told else b""))

    return session.each(operation, asked_ids, one)
