"""The lab's own schema check agrees with Microsoft's XSD: on Microsoft's examples, and on requests that are wrong in one place."""

from __future__ import annotations

import pytest
from lxml import etree

from migrator.lab.ews.schema import NS_M, NS_T, TYPES, Violation, checker, field_order
from tests.lab.ews_schema import S, schema_or_skip
from tests.shared_data import shared

LATEST = checker("V2017_07_11")


def element(body: str) -> etree._Element:
    return etree.fromstring(f'<x xmlns:m="{NS_M}" xmlns:t="{NS_T}">{body}</x>')[0]


def refused(body: str, version: str = "V2017_07_11") -> str:
    try:
        checker(version).check(element(body))
    except Violation as wrong:
        return wrong.text
    return ""


SHAPE = "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>"
FOLDER_SHAPE = "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"
INBOX = '<t:DistinguishedFolderId Id="inbox"/>'
GOOD = {
    "get folder": f"<m:GetFolder>{FOLDER_SHAPE}<m:FolderIds>{INBOX}</m:FolderIds></m:GetFolder>",
    "find folder": f'<m:FindFolder Traversal="Deep">{FOLDER_SHAPE}<m:IndexedPageFolderView MaxEntriesReturned="1000" Offset="0" '
    f'BasePoint="Beginning"/><m:ParentFolderIds>{INBOX}</m:ParentFolderIds></m:FindFolder>',
    "sync hierarchy": f"<m:SyncFolderHierarchy>{FOLDER_SHAPE}<m:SyncFolderId>{INBOX}</m:SyncFolderId></m:SyncFolderHierarchy>",
    "sync items": f"<m:SyncFolderItems>{SHAPE}<m:SyncFolderId>{INBOX}</m:SyncFolderId><m:SyncState>AAAA</m:SyncState>"
    "<m:MaxChangesReturned>512</m:MaxChangesReturned><m:SyncScope>NormalItems</m:SyncScope></m:SyncFolderItems>",
    "export": '<m:ExportItems><m:ItemIds><t:ItemId Id="AAMk" ChangeKey="CQ"/><t:ItemId Id="AAMl"/></m:ItemIds></m:ExportItems>',
    "upload": '<m:UploadItems><m:Items><t:Item CreateAction="UpdateOrCreate" IsAssociated="false"><t:ParentFolderId Id="A"/>'
    '<t:ItemId Id="B"/><t:Data>AQAA</t:Data></t:Item></m:Items></m:UploadItems>',
    "find": f'<m:FindItem Traversal="Shallow">{SHAPE}<m:Restriction><t:And><t:IsEqualTo><t:FieldURI FieldURI="item:Subject"/>'
    '<t:FieldURIOrConstant><t:Constant Value="a"/></t:FieldURIOrConstant></t:IsEqualTo><t:Exists>'
    '<t:ExtendedFieldURI PropertyTag="0x300B" PropertyType="Binary"/></t:Exists></t:And></m:Restriction><m:SortOrder>'
    '<t:FieldOrder Order="Descending"><t:FieldURI FieldURI="item:DateTimeReceived"/></t:FieldOrder></m:SortOrder>'
    f"<m:ParentFolderIds>{INBOX}</m:ParentFolderIds></m:FindItem>",
    "create": '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message><t:MimeContent CharacterSet="UTF-8">QQ==</t:MimeContent>'
    '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/><t:Value>1</t:Value></t:ExtendedProperty>'
    "<t:IsRead>true</t:IsRead></t:Message></m:Items></m:CreateItem>",
    "delete": '<m:DeleteItem DeleteType="HardDelete"><m:ItemIds><t:ItemId Id="A"/></m:ItemIds></m:DeleteItem>',
    "move": f'<m:MoveItem><m:ToFolderId>{INBOX}</m:ToFolderId><m:ItemIds><t:ItemId Id="A"/></m:ItemIds></m:MoveItem>',
    "resolve": '<m:ResolveNames ReturnFullContactData="false"><m:UnresolvedEntry>a</m:UnresolvedEntry></m:ResolveNames>',
}
BAD = {
    "no such traversal": GOOD["find folder"].replace("Deep", "Deeper"),
    "no such folder name": GOOD["get folder"].replace("inbox", "postbox"),
    "no shape": GOOD["get folder"].replace(FOLDER_SHAPE, ""),
    "wrong order": f"<m:GetFolder><m:FolderIds>{INBOX}</m:FolderIds>{FOLDER_SHAPE}</m:GetFolder>",
    "unknown element": GOOD["export"].replace("<m:ItemIds>", "<m:Extra/><m:ItemIds>"),
    "wrong namespace": GOOD["export"].replace("t:ItemId", "m:ItemId"),
    "empty list": "<m:ExportItems><m:ItemIds/></m:ExportItems>",
    "distinguished id as item": f"<m:ExportItems><m:ItemIds>{INBOX}</m:ItemIds></m:ExportItems>",
    "513 changes": GOOD["sync items"].replace("512", "513"),
    "0 changes": GOOD["sync items"].replace("512", "0"),
    "unknown field": GOOD["find"].replace("item:Subject", "item:Subjekt"),
    "tag out of range": GOOD["find"].replace("0x300B", "0x1300B"),
    "no property type": GOOD["find"].replace(' PropertyType="Binary"', ""),
    "distinguished parent": GOOD["upload"].replace(
        '<t:ParentFolderId Id="A"/>', f"<t:ParentFolderId>{INBOX}</t:ParentFolderId>"
    ),
    "no action": GOOD["upload"].replace(' CreateAction="UpdateOrCreate"', ""),
    "action unknown": GOOD["upload"].replace("UpdateOrCreate", "Replace"),
    "data no base64": GOOD["upload"].replace("AQAA", "AQA*"),
    "two uploads of data": GOOD["upload"].replace(
        "<t:Data>AQAA</t:Data>", "<t:Data>AQAA</t:Data><t:Data>AQAA</t:Data>"
    ),
    "boolean in words": GOOD["upload"].replace('"false"', '"no"'),
    "elements of a message shuffled": GOOD["create"]
    .replace("<t:IsRead>true</t:IsRead>", "")
    .replace("<t:Message>", "<t:Message><t:IsRead>true</t:IsRead>"),
    "no delete type": GOOD["delete"].replace(' DeleteType="HardDelete"', ""),
    "undeclared attribute": GOOD["delete"].replace("<m:DeleteItem ", '<m:DeleteItem Why="x" '),
    "text among elements": GOOD["move"].replace("<m:ItemIds>", "<m:ItemIds>stray"),
    "empty name": GOOD["resolve"].replace(">a<", "><"),
}


@pytest.mark.parametrize("name", GOOD)
def test_valid_requests_pass(name: str) -> None:
    assert refused(GOOD[name]) == ""


@pytest.mark.parametrize("name", BAD)
def test_wrong_requests_are_refused(name: str) -> None:
    assert refused(BAD[name]) != ""


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_microsoft_agrees(name: str) -> None:
    body = GOOD.get(name) or BAD[name]
    alone = etree.fromstring(etree.tostring(element(body)))
    assert schema_or_skip().validate(alone) == (name in GOOD)


def test_agrees_on_every_documented_request() -> None:
    schema = schema_or_skip()
    judged = 0
    for file in sorted(shared("ews/docs-examples").glob("*.xml")):
        try:
            root = etree.parse(
                str(file), etree.XMLParser(resolve_entities=False, remove_comments=True)
            ).getroot()
        except etree.XMLSyntaxError:
            continue
        body = root.find(S + "Body")
        if body is None or not len(body) or not LATEST.knows(etree.QName(body[0]).localname):
            continue
        try:
            LATEST.check(body[0])
            ours = True
        except Violation:
            ours = False
        assert ours == schema.validate(etree.fromstring(etree.tostring(body[0]))), file.name
        judged += 1
    assert judged > 140


def test_element_order_is_that_of_the_schema() -> None:
    """What `fields` puts out stands in the order that Microsoft's types have."""
    schema_or_skip()
    types = etree.parse(str(shared("schema/ews/types.xsd"))).getroot()
    xs = "{http://www.w3.org/2001/XMLSchema}"

    def names(type_name: str) -> list[str]:
        found = next(one for one in types.findall(f"{xs}complexType") if one.get("name") == type_name)
        base = found.find(f"{xs}complexContent/{xs}extension")
        above = names(base.get("base").split(":")[1]) if base is not None else []
        holder = base if base is not None else found
        return above + [one.get("name") for one in holder.findall(f"{xs}sequence/{xs}element")]

    for ours, theirs in (
        ("Item", "ItemType"),
        ("Message", "MessageType"),
        ("CalendarItem", "CalendarItemType"),
        ("Contact", "ContactItemType"),
        ("Task", "TaskType"),
        ("PostItem", "PostItemType"),
        ("DistributionList", "DistributionListType"),
    ):
        assert list(field_order(ours)) == names(theirs)
    wanted = names("MeetingRequestMessageType")
    assert list(field_order("MeetingRequest")) == [
        name for name in wanted if name in field_order("MeetingRequest")
    ]


def test_older_versions_do_not_know_newer_words() -> None:
    flag = GOOD["find"].replace("item:Subject", "item:Flag")
    assert refused(flag, "Exchange2010_SP2")
    assert not refused(flag, "Exchange2013")
    history = GOOD["get folder"].replace("inbox", "conversationhistory")
    assert refused(history, "Exchange2010_SP2")
    assert not refused(history, "Exchange2013")
    assert not checker("Exchange2010").knows("ExportItems")
    assert checker("Exchange2010_SP1").knows("ExportItems")


def test_wording_follows_the_real_validator() -> None:
    assert refused(GOOD["get folder"].replace("inbox", "invalidparentid")) == (
        "The 'Id' attribute is invalid - The value 'invalidparentid' is invalid according to its datatype "
        f"'{NS_T}:DistinguishedFolderIdNameType' - The Enumeration constraint failed."
    )


def test_grammar_has_no_loose_ends() -> None:
    for kind in TYPES.values():
        assert kind.simple or kind.order or kind.attributes or kind.name in ("GetInboxRules",), kind.name
