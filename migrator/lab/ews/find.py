"""What FindFolder and FindItem share: pages and restrictions.

Facts this module rests on (MS-OXWSSRCH; learn.microsoft.com/…/how-to-perform-paged-searches-by-using-ews-in-exchange):
- IndexedPagingOffset is the offset of the next page; IncludesLastItemInRange says that there is none
- a page never holds more than the throttling policy's find limit (1000), whatever is asked for
- a view that counts from the end goes backwards
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from lxml import etree

from migrator.lab.ews.envelope import M, Refused
from migrator.lab.ews.extended import read_time

Thing = TypeVar("Thing")
Test = Callable[[Thing], bool]
Reader = Callable[[etree._Element], Callable[[Any], Any]]
"""Gives for a path element (FieldURI, IndexedFieldURI, ExtendedFieldURI) the function that reads it from a thing."""


@dataclass(frozen=True, slots=True)
class Page:
    start: int
    end: int
    attributes: bytes


def page(request: etree._Element, noun: str, total: int, limit: int) -> Page:
    """noun: "Folder" or "Item". Raises Refused for offsets that make no sense."""
    indexed = request.find(f"{M}IndexedPage{noun}View")
    fraction = request.find(f"{M}FractionalPage{noun}View")
    start, most, backwards = 0, limit, False
    view = indexed if indexed is not None else fraction
    for other in ("CalendarView", "ContactsView"):
        if view is None:
            view = request.find(f"{M}{other}")
    if view is not None and view.get("MaxEntriesReturned") is not None:
        most = int(view.get("MaxEntriesReturned", "0"))
        if most < 1:
            raise Refused(
                "ErrorInvalidPagingMaxRows", "The maximum number of rows must be greater than zero."
            )
    most = min(most, limit)
    if indexed is not None:
        start = int(indexed.get("Offset", "0"))
        backwards = indexed.get("BasePoint") == "End"
        if start < 0:
            raise Refused("ErrorInvalidIndexedPagingParameters", "The offset must not be negative.")
    elif fraction is not None:
        numerator, denominator = int(fraction.get("Numerator", "0")), int(fraction.get("Denominator", "0"))
        if denominator < 1 or not 0 <= numerator <= denominator:
            raise Refused("ErrorInvalidFractionalPagingParameters", "The fraction must lie between 0 and 1.")
        start = total * numerator // denominator
    start = min(start, total)
    if backwards:
        end = total - start
        first = max(0, end - most)
        last = first == 0
        after = total - first
    else:
        first, end = start, min(total, start + most)
        last = end == total
        after = end
    attributes = b' IndexedPagingOffset="%d"' % after if indexed is not None else b""
    if fraction is not None:
        attributes += b' NumeratorOffset="%d" AbsoluteDenominator="%d"' % (after, max(total, 1))
    attributes += b' TotalItemsInView="%d" IncludesLastItemInRange="%b"' % (
        total,
        b"true" if last else b"false",
    )
    return Page(first, end, attributes)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "IsEqualTo": lambda a, b: a == b,
    "IsNotEqualTo": lambda a, b: a != b,
    "IsGreaterThan": lambda a, b: a > b,
    "IsGreaterThanOrEqualTo": lambda a, b: a >= b,
    "IsLessThan": lambda a, b: a < b,
    "IsLessThanOrEqualTo": lambda a, b: a <= b,
}


def restriction(holder: etree._Element, reader: Reader) -> Test[Any]:
    """A test from an m:Restriction. Raises Refused for what cannot be asked."""
    return _expression(holder[0], reader, 0)


def _expression(node: etree._Element, reader: Reader, depth: int) -> Test[Any]:
    if depth > 32:
        raise Refused("ErrorRestrictionTooComplex", "The restriction is too complex.")
    name = etree.QName(node).localname
    if name in ("And", "Or"):
        tests = [_expression(child, reader, depth + 1) for child in node]
        combine = all if name == "And" else any
        return lambda thing: combine(test(thing) for test in tests)
    if name == "Not":
        inner = _expression(node[0], reader, depth + 1)
        return lambda thing: not inner(thing)
    read = reader(node[0])
    if name == "Exists":
        return lambda thing: read(thing) is not None
    if name == "Excludes":
        try:
            mask = int(node[1].get("Value", "0"), 0)
        except ValueError:
            raise Refused("ErrorInvalidExcludesRestriction", "The bit mask is not a number.") from None
        return lambda thing: not (int(read(thing) or 0) & mask)
    if name == "Contains":
        return _contains(node, read)
    return _comparison(name, node[1], read, reader)


def _contains(node: etree._Element, read: Callable[[Any], Any]) -> Test[Any]:
    wanted = node[1].get("Value", "")
    mode = node.get("ContainmentMode", "FullString")
    comparison = node.get("ContainmentComparison", "Exact")
    ignore_case = "IgnoreCase" in comparison or "Loose" in comparison
    fold: Callable[[str], str] = str.casefold if ignore_case else str
    needle = fold(wanted)

    def one(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        hay = fold(value)
        if mode == "FullString":
            return hay == needle
        if mode == "Prefixed":
            return hay.startswith(needle)
        return needle in hay

    def test(thing: Any) -> bool:
        value = read(thing)
        return any(map(one, value)) if isinstance(value, tuple | list) else one(value)

    return test


def _comparison(name: str, operand: etree._Element, read: Callable[[Any], Any], reader: Reader) -> Test[Any]:
    compare = _COMPARE[name]
    inner = operand[0]
    if etree.QName(inner).localname != "Constant":
        other = reader(inner)
        return lambda thing: _compare(compare, name, read(thing), other(thing))
    constant = inner.get("Value", "")

    def test(thing: Any) -> bool:
        value = read(thing)
        if isinstance(value, tuple | list):
            return any(_compare(compare, name, one, _as(one, constant)) for one in value)
        return _compare(compare, name, value, _as(value, constant))

    return test


def _compare(compare: Callable[[Any, Any], bool], name: str, one: Any, other: Any) -> bool:
    if one is None or other is None:
        return name == "IsNotEqualTo" and one is not other
    if isinstance(one, str) and isinstance(other, str):
        return compare(one.casefold(), other.casefold())
    try:
        return compare(one, other)
    except TypeError:
        return False


def _as(value: Any, constant: str) -> Any:
    """The constant in the type of the value that it is compared with."""
    try:
        if isinstance(value, bool):
            return constant.strip().lower() in ("true", "1")
        if isinstance(value, int):
            return int(constant, 0)
        if isinstance(value, float):
            return float(constant)
        if isinstance(value, datetime):
            return read_time(constant)
    except ValueError:
        raise Refused("ErrorInvalidValueForProperty", "The constant does not fit the property.") from None
    if isinstance(value, bytes | memoryview):
        import pybase64

        return pybase64.b64decode(constant)
    return constant
