"""EWS on the wire: envelopes out, answers in. No HTTP and no judgement here.

Facts this module rests on:
- SOAP 1.1, `text/xml; charset=utf-8`; header elements in the order RequestServerVersion, ExchangeImpersonation
  (learn.microsoft.com/exchange/client-developer/web-service-reference/exchangeimpersonation; Services.wsdl)
- every response message starts with MessageText?, ResponseCode?, DescriptiveLinkKey?, MessageXml? (Messages.xsd); values such as
  BackOffMilliseconds stand in MessageXml, in the namespace `messages` there, in `types` inside a fault
- ServerVersionInfo comes with any prefix, or as the default namespace: names are compared by namespace
- Exchange writes characters that XML 1.0 forbids as references (`&#x3;`, halves of surrogate pairs): such an answer is mended
  before it is parsed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from migrator.record import record

NS_S = "http://schemas.xmlsoap.org/soap/envelope/"
NS_T = "http://schemas.microsoft.com/exchange/services/2006/types"
NS_M = "http://schemas.microsoft.com/exchange/services/2006/messages"
NS_E = "http://schemas.microsoft.com/exchange/services/2006/errors"
T = f"{{{NS_T}}}"
M = f"{{{NS_M}}}"
S = f"{{{NS_S}}}"

CONTENT_TYPE = "text/xml; charset=utf-8"

VERSIONS = (
    "Exchange2007_SP1",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2016",
)
"""Schema versions that a client asks for, oldest first. What an answer says (`V2017_07_11` …) may be newer."""


class NotSoap(Exception):
    """What came is no whole, well-formed SOAP answer."""


@record
class Impersonate:
    """by: PrimarySmtpAddress, PrincipalName or SID."""

    by: str
    value: str


def envelope(body: str, *, version: str, impersonate: Impersonate | None = None) -> bytes:
    who = ""
    if impersonate is not None:
        who = (
            f"<t:ExchangeImpersonation><t:ConnectingSID><t:{impersonate.by}>{escape(impersonate.value)}</t:{impersonate.by}>"
            "</t:ConnectingSID></t:ExchangeImpersonation>"
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{NS_S}" xmlns:t="{NS_T}" xmlns:m="{NS_M}">'
        f"<s:Header><t:RequestServerVersion Version={quoteattr(version)}/>{who}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


# ---- pieces of requests


def field_uri(name: str) -> str:
    return f'<t:FieldURI FieldURI="{name}"/>'


def property_tag(tag: str, kind: str) -> str:
    return f'<t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="{kind}"/>'


def shape(name: str, paths: Iterable[str] = (), *, mime: bool = False) -> str:
    """name: FolderShape or ItemShape."""
    inside = "<t:BaseShape>IdOnly</t:BaseShape>"
    if mime:
        inside += "<t:IncludeMimeContent>true</t:IncludeMimeContent>"
    if listed := "".join(paths):
        inside += f"<t:AdditionalProperties>{listed}</t:AdditionalProperties>"
    return f"<m:{name}>{inside}</m:{name}>"


def distinguished(name: str, owner: str = "") -> str:
    """owner: SMTP address, when another's folder is meant (delegate access)."""
    if not owner:
        return f'<t:DistinguishedFolderId Id="{name}"/>'
    return (
        f'<t:DistinguishedFolderId Id="{name}"><t:Mailbox><t:EmailAddress>{escape(owner)}</t:EmailAddress></t:Mailbox>'
        "</t:DistinguishedFolderId>"
    )


def folder_id(ident: str) -> str:
    return f"<t:FolderId Id={quoteattr(ident)}/>"


def _quoted(text: str) -> str:
    """An attribute's value in quotes; ids hold nothing that needs more, so that is looked at first."""
    if text.isalnum() or not (set(text) & _SPECIAL):
        return f'"{text}"'
    return quoteattr(text)


_SPECIAL = frozenset('&<>"\t\r\n')


def item_ids(ids: Sequence[tuple[str, str]]) -> str:
    """ids: (id, change key or "")."""
    listed = "".join(
        f"<t:ItemId Id={_quoted(ident)}" + (f" ChangeKey={_quoted(key)}/>" if key else "/>")
        for ident, key in ids
    )
    return f"<m:ItemIds>{listed}</m:ItemIds>"


# ---- answers


def parse(data: bytes) -> etree._Element:
    """The answer's root element. Raises NotSoap for what is not whole, not XML, or carries a document type."""
    try:
        root = _parse(data)
    except etree.XMLSyntaxError:
        try:
            root = _parse(mend(data))
        except etree.XMLSyntaxError as e:
            raise NotSoap(f"the answer is not well-formed XML (line {e.lineno})") from e
    if root.getroottree().docinfo.internalDTD is not None:
        raise NotSoap("the answer carries a document type")
    if root.tag != f"{S}Envelope":
        raise NotSoap("the answer is no SOAP envelope")
    return root


def _parse(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    return etree.fromstring(data, parser)


_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,7})|([0-9]{1,8}));")
_PAIR = re.compile(
    r"&#(?:x([dD][89abAB][0-9a-fA-F]{2})|(5[56][0-9]{3}));&#(?:x([dD][c-fC-F][0-9a-fA-F]{2})|(5[67][0-9]{3}));"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def _number(hexa: str | None, deci: str | None) -> int:
    return int(hexa, 16) if hexa else int(deci or "0")


def _forbidden(code: int) -> bool:
    return not (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


def mend(data: bytes) -> bytes:
    """The same text with characters that XML 1.0 forbids turned into U+FFFD."""

    def pair(match: re.Match[str]) -> str:
        high, low = _number(match[1], match[2]), _number(match[3], match[4])
        if 0xD800 <= high <= 0xDBFF and 0xDC00 <= low <= 0xDFFF:
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        return match[0]

    text = data.decode("utf-8", "replace")
    text = _PAIR.sub(pair, text)
    text = _REFERENCE.sub(lambda m: "\ufffd" if _forbidden(_number(m[1], m[2])) else m[0], text)
    return _CONTROL.sub("\ufffd", text).encode()


@record
class Message:
    """One response message. level: Success, Warning or Error."""

    level: str
    code: str
    text: str
    values: dict[str, str]
    element: etree._Element = field(repr=False)

    @property
    def ok(self) -> bool:
        return self.level == "Success" and self.code in ("NoError", "")

    def child(self, tag: str) -> etree._Element | None:
        """The first child with this tag. Faster than `find`, and asked once per item."""
        for child in self.element:
            if child.tag == tag:
                return child
        return None


@record
class Fault:
    code: str
    text: str
    values: dict[str, str]


def _values(parent: etree._Element) -> dict[str, str]:
    """What MessageXml tells, in whichever namespace it stands."""
    found: dict[str, str] = {}
    for ns in (NS_M, NS_T):
        for holder in parent.iterchildren(f"{{{ns}}}MessageXml"):
            for child in holder:
                name = child.get("Name") or etree.QName(child).localname
                found[name] = (child.text or "").strip()
    return found


def fault_of(root: etree._Element) -> Fault | None:
    fault = root.find(f"{S}Body/{S}Fault")
    if fault is None:
        return None
    detail = fault.find("detail")
    code = (fault.findtext("faultcode") or "").strip().rpartition(":")[2]
    text = (fault.findtext("faultstring") or "").strip()
    values: dict[str, str] = {}
    if detail is not None:
        code = (detail.findtext(f"{{{NS_E}}}ResponseCode") or code).strip()
        text = (detail.findtext(f"{{{NS_E}}}Message") or text).strip()
        values = _values(detail)
    return Fault(code, text, values)


def messages_of(root: etree._Element) -> list[Message]:
    """The response messages in order. Raises NotSoap when the body is no EWS answer."""
    body = root.find(f"{S}Body")
    response = body[0] if body is not None and len(body) else None
    holder = response.find(f"{M}ResponseMessages") if response is not None else None
    if holder is None:
        raise NotSoap("the answer holds no response messages")
    return [_message(element) for element in holder]


def _message(element: etree._Element) -> Message:
    level = element.get("ResponseClass", "")
    code = ""
    for child in element:
        if child.tag == _CODE:
            code = (child.text or "").strip()
            break
    if level == "Success":
        return Message(level, code, "", {}, element)
    text = (element.findtext(f"{M}MessageText") or "").strip()
    return Message(level, code, text, _values(element), element)


_CODE = f"{M}ResponseCode"

_SERVER = re.compile(rb"<(?:[\w.-]+:)?ServerVersionInfo\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"\b(\w+)\s*=\s*[\"']([^\"']*)[\"']")


@record
class Server:
    """build: major, minor, build, revision. schema: what the answer was written in, "" where not told."""

    build: tuple[int, int, int, int]
    schema: str

    @property
    def short(self) -> str:
        return f"{self.build[0]}.{self.build[1]}"

    @property
    def exports(self) -> bool:
        """ExportItems came with Exchange 2010 SP1 (…/web-service-reference/exportitems-operation)."""
        return self.build[:2] >= (14, 1)

    @property
    def highest(self) -> str:
        """The newest of VERSIONS that this build takes (…/ews-schema-versions-in-exchange)."""
        major, minor, build, _ = self.build
        if major < 14:
            return "Exchange2007_SP1"
        if major == 14:
            return ("Exchange2010", "Exchange2010_SP1")[minor] if minor < 2 else "Exchange2010_SP2"
        if (major, minor) == (15, 0):
            return "Exchange2013_SP1" if build >= 847 else "Exchange2013"
        return "Exchange2016"

    @property
    def product(self) -> str:
        names = {(8,): "2007", (14,): "2010", (15, 0): "2013", (15, 1): "2016", (15, 20): "Online"}
        name = names.get(self.build[:2]) or names.get(self.build[:1])
        if name is None and self.build[:2] == (15, 2):
            # one version number for two products: the Subscription Edition starts at build 2562
            name = "Subscription Edition" if self.build[2] >= 2562 else "2019"
        number = ".".join(str(part) for part in self.build)
        return f"Exchange {name} ({number})" if name else f"Exchange ({number})"


def server_of(data: bytes) -> Server | None:
    match = _SERVER.search(data, 0, 8192)
    if match is None:
        return None
    attributes = {
        name.decode(): value.decode("ascii", "replace") for name, value in _ATTRIBUTE.findall(match[1])
    }
    numbers = [
        attributes.get(name, "0")
        for name in ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    ]
    if not all(number.isdigit() for number in numbers):
        return None
    major, minor, build, revision = (int(number) for number in numbers)
    return Server((major, minor, build, revision), attributes.get("Version", ""))


def children(parent: etree._Element | None) -> Iterator[tuple[str, etree._Element]]:
    """(local name, element) of each child."""
    if parent is not None:
        for child in parent:
            yield etree.QName(child).localname, child
