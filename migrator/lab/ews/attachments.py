"""Attachments: their list in GetItem, GetAttachment, CreateAttachment, DeleteAttachment.

Facts this module rests on (MS-OXWSATT): a file comes as FileAttachment with Content, an embedded message as
ItemAttachment with the item inside, opened by the shape asked for; adding or removing one gives the item a new change
key, told as RootItemChangeKey.
"""

from __future__ import annotations

import pybase64
from lxml import etree

from migrator.lab.describe import facts_of
from migrator.lab.ews import fields, identity, ids, writing
from migrator.lab.ews.envelope import M, Refused, element, success
from migrator.lab.ews.session import MALFORMED, Session, not_found, object_class
from migrator.lab.store import LabItem
from migrator.mapi import properties as p
from migrator.mapi.item import Attachment, Message


def _id(view: fields.View, number: int) -> bytes:
    root = view.root
    assert root is not None
    made = view.session.maker(root.mailbox).make(root.folder.id, root.id, (*view.number, number))
    return b'<t:AttachmentId Id="%b"/>' % made.encode()


def _name(attachment: Attachment) -> str:
    props = attachment.properties
    return (
        props.text(p.PidTagAttachLongFilename)
        or props.text(p.PidTagAttachFilename)
        or props.text(p.PidTagDisplayName)
        or (attachment.embedded.properties.text(p.PidTagSubject) if attachment.embedded is not None else "")
    )


def _common(attachment: Attachment, identifier: bytes) -> bytes:
    props = attachment.properties
    parts = identifier
    name = _name(attachment)
    if name:
        parts += element("t:Name", name)
    kind = props.text(p.PidTagAttachMimeTag)
    if kind:
        parts += element("t:ContentType", kind)
    content_id = props.text(p.PidTagAttachContentId)
    if content_id:
        parts += element("t:ContentId", content_id)
    location = props.text(p.PidTagAttachContentLocation)
    if location:
        parts += element("t:ContentLocation", location)
    size = len(props.binary(p.PidTagAttachDataBinary)) or props.integer(p.PidTagAttachSize)
    parts += element("t:Size", str(size))
    inline = props.flag(p.PidTagAttachmentHidden) or bool(props.integer(p.PidTagAttachFlags) & 4)
    return parts + element("t:IsInline", "true" if inline else "false")


def listing(view: fields.View) -> bytes:
    """The content of t:Attachments, b"" when there are none."""
    parts = []
    for number, attachment in enumerate(view.message.attachments):
        tag = "t:FileAttachment" if attachment.embedded is None else "t:ItemAttachment"
        parts.append(element(tag, _common(attachment, _id(view, number))))
    return b"".join(parts)


def _find(session: Session, text: str) -> tuple[LabItem, Message, Attachment, tuple[int, ...]]:
    """Item, the message that holds the attachment, the attachment, and its path. Raises Refused."""
    found = ids.decode(text)
    if found is None:
        raise Refused("ErrorInvalidIdMalformed", MALFORMED)
    if not found.attachments:
        raise Refused("ErrorInvalidAttachmentId", "The attachment Id is invalid.")
    box = identity.mailbox_of_guid(session.world, session.who, str(found.mailbox))
    item = box.items.get(found.item)
    if item is None or item.folder.id != found.folder:
        raise not_found()
    message: Message | None = item.message()
    attachment: Attachment | None = None
    holder = message
    for number in found.attachments:
        if message is None or number >= len(message.attachments):
            raise not_found()
        holder = message
        attachment = message.attachments[number]
        message = attachment.embedded
    assert holder is not None
    assert attachment is not None
    return item, holder, attachment, found.attachments


def get_attachment(session: Session, request: etree._Element) -> list[bytes]:
    asked_ids = request.find(f"{M}AttachmentIds")
    assert asked_ids is not None
    wanted = fields.shape(request.find(f"{M}AttachmentShape"))

    def one(asked: etree._Element) -> bytes:
        item, _, attachment, path = _find(session, asked.get("Id", ""))
        made = session.maker(item.mailbox).make(item.folder.id, item.id, path)
        common = _common(attachment, b'<t:AttachmentId Id="%b"/>' % made.encode())
        if attachment.embedded is None:
            data = pybase64.b64encode(attachment.properties.binary(p.PidTagAttachDataBinary))
            body = element("t:FileAttachment", b"%b<t:Content>%b</t:Content>" % (common, data))
        else:
            view = fields.View(
                session,
                None,
                message=attachment.embedded,
                facts=facts_of(attachment.embedded),
                root=item,
                number=path,
            )
            body = element("t:ItemAttachment", common + fields.render(view, wanted))
        return success("GetAttachment", element("m:Attachments", body))

    return session.each("GetAttachment", asked_ids, one)


def create_attachment(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    parent, wanted = request.find(f"{M}ParentItemId"), request.find(f"{M}Attachments")
    assert parent is not None
    assert wanted is not None

    def one(asked: etree._Element) -> bytes:
        item = session.item(parent)
        message = item.message()
        number = len(message.attachments)
        message.attachments.append(writing.attachment(asked, number))
        session.world.exchange.update_item(item, writing.to_stream(session, message))
        tag = "t:ItemAttachment" if message.attachments[-1].embedded is not None else "t:FileAttachment"
        return success(
            "CreateAttachment", element("m:Attachments", element(tag, _rooted(session, item, number)))
        )

    return session.each("CreateAttachment", wanted, one)


def _rooted(session: Session, item: LabItem, number: int) -> bytes:
    maker = session.maker(item.mailbox)
    return b'<t:AttachmentId Id="%b" RootItemId="%b" RootItemChangeKey="%b"/>' % (
        maker.make(item.folder.id, item.id, (number,)).encode(),
        maker.make(item.folder.id, item.id).encode(),
        maker.change_key(object_class(item.item_class), item.change).encode(),
    )


def delete_attachment(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    asked_ids = request.find(f"{M}AttachmentIds")
    assert asked_ids is not None

    def one(asked: etree._Element) -> bytes:
        item, _, _, path = _find(session, asked.get("Id", ""))
        if len(path) != 1:
            raise Refused("ErrorCannotDeleteObject", "Attachments of attachments cannot be deleted.")
        message = item.message()
        del message.attachments[path[0]]
        session.world.exchange.update_item(item, writing.to_stream(session, message))
        maker = session.maker(item.mailbox)
        root = b'<m:RootItemId RootItemId="%b" RootItemChangeKey="%b"/>' % (
            maker.make(item.folder.id, item.id).encode(),
            maker.change_key(object_class(item.item_class), item.change).encode(),
        )
        return success("DeleteAttachment", root)

    return session.each("DeleteAttachment", asked_ids, one)
