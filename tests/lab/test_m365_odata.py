"""Query options, extended property ids and change keys, apart from any server."""

from __future__ import annotations

import base64
import contextlib
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.lab.m365 import extended, ids, odata
from migrator.mapi.item import Named
from migrator.mapi.properties import PS_PUBLIC_STRINGS


def _options(query: str) -> odata.Options:
    return odata.parse(query)


def test_options_with_and_without_encoded_dollar() -> None:
    options = _options("%24top=5&$skip=10&%24select=id,%20type&$count=true&includeHiddenFolders=true")
    assert (options.top, options.skip, options.select, options.count) == (5, 10, {"id", "type"}, True)
    assert options.flag("IncludeHiddenFolders")


@pytest.mark.parametrize(
    "query",
    [
        "$top=0",
        "$top=x",
        "$top=1001",
        "$skip=-1",
        "$count=maybe",
        "$search=x",
        "$nonsense=1",
        "$orderby=size down",
    ],
)
def test_bad_options_are_refused(query: str) -> None:
    with pytest.raises(odata.ODataError):
        odata.parse(query, max_top=1000)


def test_expand_of_extended_properties_in_the_forms_seen() -> None:
    for text in (
        "singleValueExtendedProperties($filter=id eq 'String 0x1035' or id eq 'SystemTime 0x0E06')",
        "singleValueExtendedProperties($filter=(id eq 'String 0x1035') or (id eq 'SystemTime 0x0E06'))",
        "singleValueExtendedProperties($filter=Id eq 'String 0x1035' OR id eq 'SystemTime 0x0E06')",
    ):
        expand = _options(f"$expand={text}").expand["singleValueExtendedProperties"]
        assert odata.property_ids(expand) == ["String 0x1035", "SystemTime 0x0E06"]


@pytest.mark.parametrize(
    "text",
    [
        "singleValueExtendedProperties",
        "singleValueExtendedProperties($filter=value eq 'x')",
        "singleValueExtendedProperties($filter=id eq 'String 0x1035' and id eq 'x')",
    ],
)
def test_expand_needs_ids_joined_by_or(text: str) -> None:
    with pytest.raises(odata.ODataError):
        odata.property_ids(_options(f"$expand={text}").expand["singleValueExtendedProperties"])


ROW = {
    "type": "IPM.Note",
    "size": 40,
    "isRead": False,
    "categories": None,
    "createdDateTime": datetime(2020, 5, 1, tzinfo=UTC),
    "from": {"emailAddress": {"address": "Ann@x.org"}},
    "subject": "it's (here)",
    "singleValueExtendedProperties/String {a} Name K": "Key-1",
}


def _look(path: str) -> Any:
    return ROW[path] if path in ROW else odata.dig(ROW, path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type eq 'ipm.note'", True),
        ("type ne 'IPM.Note'", False),
        ("size gt 39 and size le 40", True),
        ("size lt 10 or isRead eq false", True),
        ("not (isRead eq true)", True),
        ("createdDateTime ge 2020-05-01T00:00:00Z and createdDateTime lt 2021-01-01", True),
        ("createdDateTime gt 2020-05-01T02:00:00+02:00", False),
        ("from/emailAddress/address eq 'ann@X.org'", True),
        ("contains(subject,'HERE')", True),
        ("startswith(subject, 'it''s (')", True),
        ("endswith(subject, 'nope')", False),
        ("categories eq null", True),
        ("type in ('IPM.Task','IPM.Note')", True),
        ("singleValueExtendedProperties/Any(ep: ep/id eq 'String {a} Name K' and ep/value eq 'KEY-1')", True),
        (
            "singleValueExtendedProperties/any(p:p/id eq 'String {a} Name K' and contains(p/value,'key'))",
            True,
        ),
        (
            "singleValueExtendedProperties/Any(ep: ep/id eq 'String {b} Name K' and ep/value eq 'KEY-1')",
            False,
        ),
    ],
)
def test_filters(text: str, expected: bool) -> None:
    assert odata.where(text).test(_look) is expected


@pytest.mark.parametrize(
    "text",
    ["", "type", "type eq", "type eq IPM", "type like 'x'", "(type eq 'x'", "type eq 'x' type eq 'y'", "size eq 'x' and",
     "singleValueExtendedProperties/Any(ep: ep/id eq 'String 0x1')", "type eq 'x'; drop"],
)  # fmt: skip
def test_filters_that_the_service_refuses(text: str) -> None:
    with pytest.raises(odata.ODataError):
        odata.where(text)


@given(st.text(max_size=80))
def test_no_filter_text_crashes_the_parser(text: str) -> None:
    with contextlib.suppress(odata.ODataError):
        odata.where(text)


def test_next_link_keeps_the_other_options() -> None:
    link = odata.next_link("https://x/items", "$top=2&$filter=type eq 'A B'&$skip=2", skip=4)
    assert link == "https://x/items?%24top=2&%24filter=type%20eq%20%27A%20B%27&%24skip=4"
    assert odata.parse(link.partition("?")[2]).filter == "type eq 'A B'"


# -- extended properties


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("SystemTime 0x0E06", "SystemTime 0xE06"),
        ("string 0x1a", "String 0x1A"),
        ("Integer {00062008-0000-0000-C000-000000000046} Id 0x8503",
         "Integer {00062008-0000-0000-c000-000000000046} Id 0x8503"),
        ("String {00020329-0000-0000-C000-000000000046} Name Mig Key",
         "String {00020329-0000-0000-c000-000000000046} Name Mig Key"),
        ("StringArray {00020329-0000-0000-c000-000000000046} Name Keywords",
         "StringArray {00020329-0000-0000-c000-000000000046} Name Keywords"),
    ],
)  # fmt: skip
def test_ids_come_back_normalised(asked: str, answered: str) -> None:
    assert str(extended.parse_id(asked)) == answered


@pytest.mark.parametrize(
    "text", ["0x1035", "Text 0x1035", "String 1035", "String {x} Name A", "String 0x8001", ""]
)
def test_what_is_no_property_id(text: str) -> None:
    with pytest.raises(extended.BadId):
        extended.parse_id(text)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (0x0003, -5, "-5"),
        (0x000B, True, "true"),
        (0x0102, b"\x01\x02", "AQI="),
        (0x001F, "ü", "ü"),
        (0x0048, PS_PUBLIC_STRINGS, "00020329-0000-0000-c000-000000000046"),
        (0x0005, 1.5, "1.5"),
    ],
)
def test_values_as_text_and_back(kind: int, value: Any, text: str) -> None:
    assert extended.write_value(kind, value) == text
    assert extended.read_value(kind, text) == value


def test_times_are_whole_seconds() -> None:
    assert extended.write_value(0x0040, 132_000_000_009_999_999) == "2019-04-17T18:40:00Z"
    assert extended.iso(2**63) == "9999-12-31T23:59:59Z"
    assert extended.read_value(0x0040, "2019-04-17T18:40:00.1234567Z").microsecond == 123456


@pytest.mark.parametrize(
    ("kind", "text"), [(3, "x"), (3, "99999999999"), (11, "yes"), (0x0102, "%%"), (0x40, "now")]
)
def test_values_of_the_wrong_type(kind: int, text: str) -> None:
    with pytest.raises(extended.BadValue):
        extended.read_value(kind, text)


def test_named_ids_are_the_keys_of_the_tree() -> None:
    found = extended.parse_id("String {00020329-0000-0000-c000-000000000046} Name MigKey")
    assert found.key == Named(PS_PUBLIC_STRINGS, name="MigKey")


# -- change keys


def test_both_encodings_name_the_same_state() -> None:
    """Lengths and heads as in the documentation's samples: CQAAABYAAAC… of 30 octets, and the bare 22."""
    replica = uuid.UUID("9df2d990-af86-4828-a103-495add8b7951")
    long, short = (
        ids.long_change_key(replica, 0x12EE02F86, "IPM.Note"),
        ids.short_change_key(replica, 0x12EE02F86),
    )
    assert long == "CQAAABYAAACQ2fKdhq8oSKEDSVrdi3lRAAEu4C+G"
    assert len(base64.b64decode(short)) == 22 and len(base64.b64decode(long)) == 30
    assert ids.parse_change_key(long, replica) == ids.parse_change_key(short, replica) == 0x12EE02F86
    assert ids.parse_change_key(short, uuid.uuid4()) is None
    assert ids.parse_change_key("%%", replica) is None


def test_change_keys_tell_the_kind() -> None:
    replica = uuid.uuid4()
    heads = {
        kind: ids.long_change_key(replica, 1, kind)[:2]
        for kind in ("IPM.Note", "IPM.Schedule.Meeting.Request", "IPM.Appointment", "IPM.Contact", "IPM.Task")
    }
    assert list(heads.values()) == ["CQ", "Cw", "Dw", "EQ", "Ew"]
