"""Refuses what Exchange's schema refuses: unknown elements, wrong order, missing attributes, values off the list.

`Checker` works from the names in `grammar`, never from Microsoft's files. Each schema version has its own checker, because a
request is validated against the version that it names. Wording of violations follows .NET's validator, which a real
server quotes (recorded from Exchange 2010).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from lxml import etree

from migrator.lab.ews import grammar
from migrator.lab.ews.versions import OPERATION_SINCE, RANK

NS_M = "http://schemas.microsoft.com/exchange/services/2006/messages"
NS_T = "http://schemas.microsoft.com/exchange/services/2006/types"
NAMESPACES = {"m": NS_M, "t": NS_T}

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_DATETIME = re.compile(r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TAG = re.compile(r"0[xX][0-9A-Fa-f]{1,4}|\d{1,5}")
_INT = re.compile(r"[+-]?\d{1,10}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def _is_base64(text: str) -> bool:
    # a long run without white space is the rule: look at its ends instead of copying megabytes
    if any(c in text[:200] or c in text[-200:] for c in " \r\n\t"):
        text = "".join(text.split())
    return len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None


def _is_int(text: str) -> bool:
    return _INT.fullmatch(text.strip()) is not None and -(2**31) <= int(text) < 2**31


_SIMPLE: dict[str, tuple[str, Callable[[str], bool]]] = {
    "string": ("http://www.w3.org/2001/XMLSchema:string", lambda text: True),
    "filled": (f"{NS_T}:NonEmptyStringType", lambda text: bool(text)),
    "bool": (
        "http://www.w3.org/2001/XMLSchema:boolean",
        lambda text: text.strip() in ("true", "false", "1", "0"),
    ),
    "int": ("http://www.w3.org/2001/XMLSchema:int", _is_int),
    "double": (
        "http://www.w3.org/2001/XMLSchema:double",
        lambda text: _NUMBER.fullmatch(text.strip()) is not None,
    ),
    "base64": ("http://www.w3.org/2001/XMLSchema:base64Binary", _is_base64),
    "dateTime": (
        "http://www.w3.org/2001/XMLSchema:dateTime",
        lambda text: _DATETIME.fullmatch(text.strip()) is not None,
    ),
    "guid": (f"{NS_T}:GuidType", lambda text: _GUID.fullmatch(text) is not None),
    "tag": (f"{NS_T}:PropertyTagType", lambda text: _TAG.fullmatch(text) is not None),
    "MaxChangesReturned": (
        f"{NS_T}:MaxSyncChangesReturnedType",
        lambda text: _is_int(text) and 1 <= int(text) <= 512,
    ),
}


@dataclass(slots=True)
class Violation(Exception):
    """What a validator would say, and where."""

    text: str
    line: int = 1
    position: int = 1


@dataclass(slots=True)
class _Type:
    name: str
    ns: str
    attributes: dict[str, tuple[bool, str]] = field(default_factory=dict)  # name → (required, type)
    children: dict[str, str] = field(default_factory=dict)  # name → type
    order: str = ""
    pattern: re.Pattern[str] = re.compile("")
    simple: str = ""


_PARTICLE = re.compile(r"([A-Za-z0-9]+)(?::([A-Za-z0-9]+))?")


def _read_types(text: str) -> dict[str, _Type]:
    types: dict[str, _Type] = {}
    for line in text.strip().splitlines():
        if not line.strip():
            continue
        ns, name, *words = line.split()
        ends = name.endswith(":")
        kind = _Type(name.rstrip(":"), ns)
        base: _Type | None = None
        at = 0
        while not ends and words[at] != "=":
            word = words[at]
            at += 1
            ends = word.endswith(":")
            word = word.rstrip(":")
            if word == "<":
                continue
            if not word.startswith("@"):
                base = types[word]
                continue
            word, _, of = word[1:].partition(":")
            required = word.endswith("!")
            word = word.rstrip("!")
            kind.attributes[word] = (required, of or word)
        if not ends:
            kind.simple = words[at + 1]
            types[kind.name] = kind
            continue
        content = " ".join(words[at:])
        kind.order = f"{base.order} {content}".strip() if base else content
        for child, of in _PARTICLE.findall(kind.order):
            kind.children[child] = of or child
        kind.pattern = re.compile(_PARTICLE.sub(r"(?:\1;)", kind.order).replace(" ", ""))
        types[kind.name] = kind
    return types


TYPES = _read_types(grammar.REQUESTS) | _read_types(grammar.ITEM_TYPES)
# an item type may stand in a request's content before its own line: read both, then resolve by name
_VALUES = {
    name: frozenset(values.split("|"))
    for name, _, values in (line.partition(" = ") for line in grammar.VALUES.strip().splitlines())
}


def field_order(type_name: str) -> tuple[str, ...]:
    """The child elements of a type in schema order."""
    return tuple(TYPES[type_name].children)


@cache
def checker(version: str) -> Checker:
    return Checker(version)


class Checker:
    """Validates request bodies against one schema version."""

    def __init__(self, version: str) -> None:
        self.version = version
        rank = RANK[version]
        names = set(grammar.FOLDER_NAMES.split())
        fields = [grammar.FIELDS]
        if rank >= RANK["Exchange2010"]:
            fields.append(grammar.FIELDS_2010)
        if rank >= RANK["Exchange2010_SP1"]:
            names |= set(grammar.FOLDER_NAMES_2010_SP1.split())
        if rank >= RANK["Exchange2013"]:
            names |= set(grammar.FOLDER_NAMES_2013.split())
            fields.append(grammar.FIELDS_2013)
        self._fields = frozenset(
            f"{group}:{name}" for table in fields for group, text in table.items() for name in text.split()
        )
        self._values = _VALUES | {"FolderName": frozenset(names)}

    def knows(self, operation: str) -> bool:
        """Whether this schema has the operation and the lab knows it too."""
        return (
            operation in TYPES
            and TYPES[operation].ns[0] == "m"
            and RANK[OPERATION_SINCE.get(operation, "Exchange2007")] <= RANK[self.version]
        )

    def check(self, operation: etree._Element) -> None:
        """Raise Violation when the body's element is not valid."""
        self._element(operation, etree.QName(operation).localname)

    # -- one element

    def _element(self, element: etree._Element, type_name: str) -> None:
        if type_name == "any":
            return
        kind = TYPES.get(type_name)
        if kind is None:
            if len(element):
                raise self._violation(
                    element,
                    f"The element '{_shown(element)}' cannot contain child element '{_shown(element[0])}'.",
                )
            self._value(element, element.text or "", type_name, None)
            return
        self._attributes(element, kind)
        if kind.simple:
            self._value(element, element.text or "", kind.simple, None)
            return
        namespace = NAMESPACES[kind.ns[-1]]
        names: list[str] = []
        children = list(element.iterchildren("*"))
        for child in children:
            qname = etree.QName(child)
            of = kind.children.get(qname.localname)
            if of is None or qname.namespace != namespace:
                raise self._unexpected(element, child, kind)
            names.append(qname.localname)
        if kind.pattern.fullmatch("".join(f"{name};" for name in names)) is None:
            raise self._out_of_order(element, kind, names)
        if (element.text or "").strip():
            raise self._violation(element, f"The element '{_shown(element)}' cannot contain text.")
        for child in children:
            self._element(child, kind.children[etree.QName(child).localname])

    def _attributes(self, element: etree._Element, kind: _Type) -> None:
        for raw_name, raw_value in element.items():
            name, value = str(raw_name), str(raw_value)
            if name.startswith("{"):
                continue  # xsi:type, xml:lang, soap:mustUnderstand
            rule = kind.attributes.get(name)
            if rule is None:
                raise self._violation(element, f"The '{name}' attribute is not declared.")
            self._value(element, value, rule[1], name)
        for name, (required, _) in kind.attributes.items():
            if required and element.get(name) is None:
                raise self._violation(element, f"The required attribute '{name}' is missing.")

    def _value(self, element: etree._Element, text: str, type_name: str, attribute: str | None) -> None:
        allowed = self._values.get(type_name)
        if type_name == "FieldName":
            ok = text in self._fields or text.partition(":")[0] in grammar.OTHER_FIELD_GROUPS
            shown, why = f"{NS_T}:UnindexedFieldURIType", "The Enumeration constraint failed."
        elif allowed is not None:
            ok = text in allowed
            shown, why = (
                f"{NS_T}:{_SCHEMA_NAMES.get(type_name, type_name + 'Type')}",
                "The Enumeration constraint failed.",
            )
        elif type_name in _SIMPLE:
            shown, test = _SIMPLE[type_name]
            ok, why = test(text), f"The string '{text[:80]}' is not a valid value."
        else:
            return  # a string
        if not ok:
            what = f"'{attribute}' attribute" if attribute else f"'{_shown(element)}' element"
            raise self._violation(
                element,
                f"The {what} is invalid - The value '{text[:80]}' is invalid according to its datatype '{shown}' - {why}",
            )

    # -- wording

    def _unexpected(self, parent: etree._Element, child: etree._Element, kind: _Type) -> Violation:
        expected = ", ".join(kind.children) or "none"
        return self._violation(
            child,
            f"The element '{_name(parent)}' in namespace '{_namespace(parent)}' has invalid child element "
            f"'{_name(child)}' in namespace '{_namespace(child)}'. List of possible elements expected: '{expected}'.",
        )

    def _out_of_order(self, element: etree._Element, kind: _Type, names: list[str]) -> Violation:
        where = f"The element '{_name(element)}' in namespace '{_namespace(element)}' has "
        for count, name in enumerate(names, 1):
            if _could_start(kind, names[:count]):
                continue
            return self._violation(
                element,
                f"{where}invalid child element '{name}' in namespace '{NAMESPACES[kind.ns[-1]]}'. "
                f"List of possible elements expected: '{', '.join(kind.children)}'.",
            )
        return self._violation(
            element,
            f"{where}incomplete content. List of possible elements expected: '{', '.join(kind.children)}'.",
        )

    @staticmethod
    def _violation(element: etree._Element, text: str) -> Violation:
        return Violation(text, line=_line(element))


def _could_start(kind: _Type, names: list[str]) -> bool:
    """Whether names are the beginning of some valid content (roughly: each may follow in the declared order)."""
    order = list(kind.children)
    last = -1
    for name in names:
        here = order.index(name)
        if here < last and "+" not in kind.order and "*" not in kind.order:
            return False
        if (
            here == last
            and names.count(name) > 1
            and f"{name}+" not in kind.order
            and f"{name}*" not in kind.order
            and ")+" not in kind.order
        ):
            return False
        last = here
    return True


def _line(element: etree._Element) -> int:
    found: int | None = getattr(element, "sourceline", None)
    return found or 1


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname


def _namespace(element: etree._Element) -> str:
    return etree.QName(element).namespace or ""


def _shown(element: etree._Element) -> str:
    return f"{_namespace(element)}:{_name(element)}"


_SCHEMA_NAMES = {
    "BaseShape": "DefaultShapeNamesType",
    "FolderName": "DistinguishedFolderIdNameType",
    "BodyKind": "BodyTypeResponseType",
    "BodyFormat": "BodyTypeType",
    "FolderTraversal": "FolderQueryTraversalType",
    "ItemTraversal": "ItemQueryTraversalType",
    "DeleteType": "DisposalType",
    "PropertyType": "MapiPropertyTypeType",
    "DistinguishedPropertySetId": "DistinguishedPropertySetType",
    "ConflictResolution": "ConflictResolutionType",
    "IndexedFieldName": "DictionaryURIType",
    "SyncScope": "SyncFolderItemsScopeType",
}
