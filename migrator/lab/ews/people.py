"""ResolveNames and ConvertId.

Facts this module rests on (MS-OXWSRSLNM; learn.microsoft.com/…/resolvenames-operation, convertid-operation):
- none found: Error, ErrorNameResolutionNoResults; several: Warning, ErrorNameResolutionMultipleResults; at most 100
- ConvertId is one of the probes by which clients find out the server's version
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from lxml import etree

from migrator.lab.ews import ids
from migrator.lab.ews.envelope import M, Refused, element, error, success, text
from migrator.lab.ews.session import MALFORMED, Session
from migrator.lab.store import LabMailbox, MailboxNotFound

_MOST = 100


def resolve_names(session: Session, request: etree._Element) -> list[bytes]:
    wanted = (request.findtext(f"{M}UnresolvedEntry") or "").strip()
    full = request.get("ReturnFullContactData") in ("true", "1")
    needle = wanted.lower().removeprefix("smtp:").removeprefix("=")
    found = [box for box in session.world.exchange.mailboxes.values() if needle and _fits(box, needle)]
    exact = [box for box in found if box.owns(needle)]
    found = exact or found
    if not found:
        return [
            session.refuse("ResolveNames", Refused("ErrorNameResolutionNoResults", "No results were found."))
        ]
    shown = found[:_MOST]
    people = b"".join(element("t:Resolution", _person(box, full)) for box in shown)
    complete = b"true" if len(found) <= _MOST else b"false"
    body = b'<m:ResolutionSet TotalItemsInView="%d" IncludesLastItemInRange="%b">%b</m:ResolutionSet>' % (
        len(shown),
        complete,
        people,
    )
    if len(found) == 1:
        return [success("ResolveNames", body)]
    several = Refused("ErrorNameResolutionMultipleResults", "Multiple results were found.")
    return [error("ResolveNames", several, body=body, response_class="Warning")]


def _fits(box: LabMailbox, needle: str) -> bool:
    names = (box.address, box.upn, box.display_name, *box.display_name.split(), *box.aliases)
    return any(name.lower().startswith(needle) for name in names)


def _person(box: LabMailbox, full: bool) -> bytes:
    mailbox = (
        element("t:Name", box.display_name)
        + element("t:EmailAddress", box.address)
        + element("t:RoutingType", "SMTP")
        + element("t:MailboxType", "Mailbox")
    )
    contact = b""
    if full:
        first, _, last = box.display_name.rpartition(" ")
        contact = element("t:DisplayName", box.display_name)
        contact += element("t:GivenName", first or last)
        contact += element(
            "t:EmailAddresses",
            b'<t:Entry Key="EmailAddress1">%b</t:Entry>' % text(f"SMTP:{box.address}"),
        )
        contact += element("t:ContactSource", "ActiveDirectory")
        if last and first:
            contact += element("t:Surname", last)
        contact = element("t:Contact", contact)
    return element("t:Mailbox", mailbox) + contact


def convert_id(session: Session, request: etree._Element) -> list[bytes]:
    source = request.find(f"{M}SourceIds")
    assert source is not None
    wanted = request.get("DestinationFormat", "")

    def one(asked: etree._Element) -> bytes:
        if etree.QName(asked).localname != "AlternateId":
            raise Refused("ErrorInvalidOperation", "The lab has no public folders.")
        address = asked.get("Mailbox", "")
        if "@" not in address:
            raise Refused("ErrorInvalidSmtpAddress", "The SMTP address format is invalid.")
        try:
            box = session.world.exchange.mailbox(address)
        except MailboxNotFound:
            raise Refused(
                "ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it."
            ) from None
        folder, item = _read(session, box, asked.get("Format", ""), asked.get("Id", ""))
        maker = session.maker(box)
        entry = maker.entry_id(folder, item)
        made = {
            "EwsId": maker.make(folder, item),
            "EwsLegacyId": maker.make(folder, item),
            "EntryId": b64encode(entry).decode(),
            "HexEntryId": entry.hex().upper(),
            "StoreId": b64encode(entry).decode(),
            "OwaId": maker.make(folder, item).replace("/", "%2f").replace("+", "%2b").replace("=", "%3d"),
        }[wanted]
        return success(
            "ConvertId",
            b'<m:AlternateId xsi:type="t:AlternateIdType" Format="%b" Id="%b" Mailbox="%b"/>'
            % (wanted.encode(), text(made), text(address)),
        )

    return session.each("ConvertId", source, one)


def _read(session: Session, box: LabMailbox, kind: str, value: str) -> tuple[int, int]:
    """(folder, item) of an id in any format. Raises Refused."""
    if kind == "OwaId":
        value = value.replace("%2f", "/").replace("%2b", "+").replace("%3d", "=")
    if kind in ("EwsId", "EwsLegacyId", "OwaId"):
        found = ids.decode(value)
        if found is None:
            raise Refused("ErrorInvalidIdMalformed", MALFORMED)
        return found.folder, found.item
    try:
        entry = bytes.fromhex(value) if kind == "HexEntryId" else b64decode(value, validate=True)
    except ValueError:
        raise Refused("ErrorInvalidIdMalformed", MALFORMED) from None
    maker = session.maker(box)
    if len(entry) not in (ids.FOLDER_ENTRY, ids.ITEM_ENTRY) or entry[4:20] != maker.provider:
        raise Refused("ErrorInvalidIdMalformed", MALFORMED)
    folder = int.from_bytes(entry[38:44], "big")
    return folder, int.from_bytes(entry[62:68], "big") if len(entry) == ids.ITEM_ENTRY else 0
