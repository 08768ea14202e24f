"""The SOAP envelope: reading hostile requests, writing answers as bytes.

Facts this module rests on:
- header and fault shapes as recorded from Exchange 2010 SP2 and Exchange Online; `MessageXml` is in the types namespace
  inside a fault and in the messages namespace inside a response message (MS-OXWSCDATA 2.2.3, Messages.xsd)
- a message-level fault comes with HTTP 500
- .NET writes carriage returns, and control characters that XML 1.0 forbids, as character references

Requests are parsed without entities, DTD or network; a document with a DTD is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape as _escape

from lxml import etree

from migrator.lab.ews.schema import NS_M, NS_T
from migrator.lab.ews.versions import Profile

NS_S = "http://schemas.xmlsoap.org/soap/envelope/"
NS_E = "http://schemas.microsoft.com/exchange/services/2006/errors"
S, M, T = f"{{{NS_S}}}", f"{{{NS_M}}}", f"{{{NS_T}}}"

_DEPTH = 64  # no request needs more; a deeper one is an attack
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")
_UNWRITABLE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """The request is not a SOAP envelope that can be worked with. str() is what IIS/WCF would say about it."""


class Fault(Exception):
    """The whole request is refused. code: a ResponseCode; values: MessageXml as (element or Value name, text) pairs."""

    def __init__(
        self,
        code: str,
        text: str,
        *,
        values: tuple[tuple[str, str], ...] = (),
        elements: tuple[tuple[str, str], ...] = (),
        status: int = 500,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.values = values
        self.elements = elements
        self.status = status


class Refused(Exception):
    """One id or item of a request is refused; its neighbours are not. code: a ResponseCode."""

    def __init__(self, code: str, text: str, *, values: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.values = values


@dataclass(slots=True)
class Envelope:
    """A request: operation element, its name, and what the header says."""

    operation: etree._Element
    name: str
    version: str = ""
    impersonated: tuple[str, str] | None = None  # (kind: PrimarySmtpAddress …, value)
    header_names: tuple[str, ...] = field(default_factory=tuple)


def parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=True,  # uploads are long text nodes; the size of a request is limited before it comes here
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


def read(body: bytes | bytearray) -> Envelope:
    """Raises Unreadable for what is no envelope, Fault for headers that contradict each other."""
    if not body:
        raise Unreadable("The request body is empty.")
    if b"<!DOCTYPE" in body[:4096] or b"<!ENTITY" in body[:4096]:
        raise Unreadable("For security reasons DTD is prohibited in this XML document.")
    try:
        root = etree.fromstring(bytes(body), parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"The request is not well-formed XML: {_short(str(error))}") from None
    if has_doctype(root):
        raise Unreadable("For security reasons DTD is prohibited in this XML document.")
    if root.tag != f"{S}Envelope":
        raise Unreadable("The message is not a SOAP 1.1 envelope.")
    soap_body = root.find(f"{S}Body")
    operations = [] if soap_body is None else [child for child in soap_body if isinstance(child.tag, str)]
    if len(operations) != 1:
        raise Unreadable("The SOAP body must hold exactly one operation.")
    _check_depth(operations[0])
    operation = operations[0]
    name = etree.QName(operation)
    found = Envelope(operation, name.localname if name.namespace == NS_M else "")
    header = root.find(f"{S}Header")
    if header is not None:
        _read_header(header, found)
    return found


def has_doctype(root: etree._Element) -> bool:
    """Whether the document declares a type; such documents are never worked with."""
    return bool(getattr(root.getroottree().docinfo, "doctype", ""))


def _check_depth(element: etree._Element) -> None:
    depth = 0
    for event, _ in etree.iterwalk(element, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > _DEPTH:
            raise Unreadable("The XML document is nested too deeply.")


def _read_header(header: etree._Element, found: Envelope) -> None:
    names = tuple(etree.QName(child).localname for child in header if isinstance(child.tag, str))
    found.header_names = names
    for name in ("RequestServerVersion", "ExchangeImpersonation"):
        if names.count(name) > 1:
            raise Fault("ErrorDuplicateSOAPHeader", f"The SOAP header {name} appears more than once.")
    version = header.find(f"{T}RequestServerVersion")
    if version is not None:
        found.version = version.get("Version", "")
        if not found.version:
            raise Fault("ErrorSchemaValidation", "The required attribute 'Version' is missing.")
    impersonation = header.find(f"{T}ExchangeImpersonation")
    if impersonation is not None:
        sid = impersonation.find(f"{T}ConnectingSID")
        children = [] if sid is None else [child for child in sid if isinstance(child.tag, str)]
        if len(children) != 1 or not (children[0].text or "").strip():
            raise Fault(
                "ErrorInvalidExchangeImpersonationHeaderData",
                "ExchangeImpersonation SOAP header must have exactly one of PrincipalName, SID, PrimarySmtpAddress, SmtpAddress.",
            )
        found.impersonated = (etree.QName(children[0]).localname, (children[0].text or "").strip())


def _short(text: str) -> str:
    return " ".join(text.split())[:200]


# -- writing


def text(value: str) -> bytes:
    """A string as XML character data or attribute value. Control characters go out as .NET writes them: by reference."""
    value = _escape(value)
    if _CONTROL.search(value):
        value = _CONTROL.sub(lambda found: f"&#x{ord(found[0]):X};", value)
    if _UNWRITABLE.search(value):
        value = _UNWRITABLE.sub("?", value)
    return value.encode("utf-8")


def element(name: str, value: str | bytes) -> bytes:
    """<name>value</name>; bytes are taken as ready XML."""
    ready = value if isinstance(value, bytes) else text(value)
    tag = name.encode("ascii")
    return b"<%b>%b</%b>" % (tag, ready, tag) if ready else b"<%b/>" % tag


_HEAD = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>'
    b'<h:ServerVersionInfo MajorVersion="%d" MinorVersion="%d" MajorBuildNumber="%d" MinorBuildNumber="%d"%b '
    b'xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types" '
    b'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"/></s:Header>'
    b'<s:Body xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
)
_TAIL = b"</s:Body></s:Envelope>"
_NAMESPACES = f'xmlns:m="{NS_M}" xmlns:t="{NS_T}"'.encode("ascii")


def head(profile: Profile) -> bytes:
    # 2007 did not tell its schema version
    version = b' Version="%b"' % profile.highest.encode() if profile.build[0] > 8 else b""
    return _HEAD % (*profile.build, version)


def answer(profile: Profile, operation: str, messages: list[bytes]) -> list[bytes]:
    """A whole answer as buffers: the response messages of an operation, in the order of the request."""
    name = operation.encode("ascii")
    return [
        b"%b<m:%bResponse %b><m:ResponseMessages>" % (head(profile), name, _NAMESPACES),
        *messages,
        b"</m:ResponseMessages></m:%bResponse>%b" % (name, _TAIL),
    ]


def bare_answer(profile: Profile, name: str, attributes: bytes, body: bytes) -> list[bytes]:
    """An answer without ResponseMessages: <m:NAME attributes>body</m:NAME>."""
    tag = name.encode("ascii")
    return [head(profile), b"<m:%b %b%b>%b</m:%b>" % (tag, _NAMESPACES, attributes, body, tag), _TAIL]


def success(operation: str, body: bytes) -> bytes:
    """A ResponseMessage that went well."""
    name = operation.encode("ascii")
    return (
        b'<m:%bResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>%b</m:%bResponseMessage>'
        % (name, body, name)
    )


_EMPTY = {
    name: f"<m:{holder}/>".encode()
    for holder, names in (
        ("Items", "GetItem CreateItem UpdateItem MoveItem CopyItem"),
        ("Folders", "GetFolder CreateFolder UpdateFolder MoveFolder"),
        ("Attachments", "GetAttachment CreateAttachment"),
    )
    for name in names.split()
}
"""What these operations send even with an error."""


def error(operation: str, refused: Refused, *, body: bytes = b"", response_class: str = "Error") -> bytes:
    """A ResponseMessage that tells of an error. body: what follows the code, where it is not an empty list."""
    name = operation.encode("ascii")
    values = b"".join(
        b'<t:Value Name="%b">%b</t:Value>' % (text(key), text(value)) for key, value in refused.values
    )
    more = element("m:MessageXml", values) if values else b""
    return (
        b'<m:%bResponseMessage ResponseClass="%b"><m:MessageText>%b</m:MessageText><m:ResponseCode>%b</m:ResponseCode>'
        b"<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>%b%b</m:%bResponseMessage>"
        % (
            name,
            response_class.encode(),
            text(refused.text),
            refused.code.encode(),
            more,
            body or _EMPTY.get(operation, b""),
            name,
        )
    )


def fault(problem: Fault, profile: Profile | None = None) -> bytes:
    """A SOAP fault, as Exchange words it. Faults of validation carry no header, as on a real server."""
    code, message = problem.code.encode(), text(problem.text)
    inner = b"".join(b"<t:%b>%b</t:%b>" % (k.encode(), text(v), k.encode()) for k, v in problem.elements)
    inner += b"".join(b'<t:Value Name="%b">%b</t:Value>' % (text(k), text(v)) for k, v in problem.values)
    more = b'<t:MessageXml xmlns:t="%b">%b</t:MessageXml>' % (NS_T.encode(), inner) if inner else b""
    return (
        b'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        b'<s:Fault><faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:%b</faultcode>'
        b'<faultstring xml:lang="en-US">%b</faultstring><detail>'
        b'<e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">%b</e:ResponseCode>'
        b'<e:Message xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">%b</e:Message>'
        b"%b</detail></s:Fault></s:Body></s:Envelope>" % (code, message, code, _brief(problem), more)
    )


def client_fault(message: str) -> bytes:
    """What WCF answers to a message that never reached Exchange's own code."""
    return (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        b'<faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:ErrorInvalidRequest</faultcode>'
        b'<faultstring xml:lang="en-US">%b</faultstring></s:Fault></s:Body></s:Envelope>' % text(message)
    )


def _brief(problem: Fault) -> bytes:
    # recorded: the long wording stands in faultstring, the detail has a short one
    return (
        b"The request failed schema validation."
        if problem.code == "ErrorSchemaValidation"
        else text(problem.text)
    )
