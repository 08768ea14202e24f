"""The comparison: what counts, what may differ and why, what is the same in another form."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings

from migrator.mapi import blobs, rtf
from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.compare import Class, Difference, compare, counting
from migrator.mapi.dictionary import rule
from migrator.mapi.item import Attachment, Key, Message, Named, Properties, Value
from migrator.mapi.recurrence import build_recurrence, parse_recurrence
from tests.mapi.recurrences import WEEKLY
from tests.mapi.trees import messages

DN = "/o=Org/ou=Exchange Administrative Group/cn=Recipients/cn=anna"
TYPES: dict[type, int] = {
    str: 0x001F,
    int: 0x0003,
    bool: 0x000B,
    bytes: 0x0102,
    datetime: 0x0040,
    float: 0x0005,
}


def bag(values: dict[Key, Any]) -> Properties:
    made = Properties()
    for key, value in values.items():
        if isinstance(value, list):
            made.set(key, 0x1000 | TYPES[type(value[0])], value)
        else:
            made.set(key, TYPES[type(value)], value)
    return made


def diff(left: dict[Key, Any], right: dict[Key, Any], **options: Any) -> list[tuple[str, str]]:
    """As (class, name), both ways round: what is lost in one direction is added in the other."""
    there = compare(Message(bag(left)), Message(bag(right)), **options)
    back = compare(Message(bag(right)), Message(bag(left)), **options)
    mirror = {Class.LOST: Class.ADDED, Class.ADDED: Class.LOST}
    assert sorted((mirror.get(d.class_, d.class_), d.name) for d in back) == sorted(
        (d.class_, d.name) for d in there
    )
    return [(str(d.class_), d.name) for d in there]


@given(messages())
@settings(max_examples=60, deadline=None)
def test_a_copy_of_any_tree_differs_in_nothing(message: Message) -> None:
    assert compare(message, copy.deepcopy(message)) == []
    assert compare(message, fts.read(fts.write(message))) == []


def test_lost_added_changed() -> None:
    assert diff({0x0037: "a", 0x0017: 1}, {0x0037: "b", 0x0036: 2}) == [
        ("changed", "PidTagSubject"),
        ("lost", "PidTagImportance"),
        ("added", "PidTagSensitivity"),
    ]
    (found,) = compare(Message(bag({0x0037: "a\x1b[2J"})), Message(bag({0x0037: "b" * 500})))
    assert found.left == '"a\\x1b[2J"'
    assert found.right.startswith('"bbbb')
    assert found.right.endswith('…" (500 characters)')
    assert found.counts


def test_types_differ_but_not_string8_and_string_nor_absent_and_empty() -> None:
    wide, narrow = Properties({0x0037: Value(0x001F, "a")}), Properties({0x0037: Value(0x001E, "a")})
    assert compare(Message(wide), Message(narrow)) == []
    long, short = Properties({0x0017: Value(0x0003, 1)}), Properties({0x0017: Value(0x0002, 1)})
    (found,) = compare(Message(long), Message(short))
    assert (found.left, found.right) == ("PtypInteger32 1", "PtypInteger16 1")
    assert diff({0x003D: ""}, {}) == []
    assert diff({0x003D: "RE: "}, {}) == [("lost", "PidTagSubjectPrefix")]
    error = Properties({0x0037: Value(0x000A, 0x8004010F)})
    assert compare(Message(error), Message()) == []


def test_named_headers_compare_without_case_others_with() -> None:
    header, upper = (
        Named(p.PS_INTERNET_HEADERS, name="x-mailer"),
        Named(p.PS_INTERNET_HEADERS, name="X-Mailer"),
    )
    assert diff({header: "a"}, {upper: "a"}) == []
    one, other = Named(p.PS_PUBLIC_STRINGS, name="Mine"), Named(p.PS_PUBLIC_STRINGS, name="mine")
    assert {c for c, _ in diff({one: "a"}, {other: "a"})} == {"lost", "added"}


@pytest.mark.parametrize(
    "key",
    [
        0x0FFF,
        0x0FF9,
        0x65E0,
        0x65E3,
        0x6610,
        0x3013,
        0x0E08,
        0x0E1B,
        0x0E04,
        0x3008,
        0x3FFA,
        0x0E69,
        0x0E1D,
        Named(p.PSETID_COMMON, 0x85A0),
        Named(p.PSETID_XML_EXTRACTED_ENTITIES, name="XmlExtractedTasks"),
    ],
)
def test_what_the_store_makes_is_volatile_with_a_reason(key: Key) -> None:
    for left, right in (({key: 1}, {}), ({key: 1}, {key: 2}), ({}, {key: 1})):
        (found,) = compare(Message(bag(left)), Message(bag(right)))
        assert found.class_ is Class.VOLATILE
        assert found.reason
        assert not found.counts
        assert counting([found]) == []


@pytest.mark.parametrize(
    ("left", "right", "class_"),
    [
        (0x01, 0x03, "volatile"),
        (0x11, 0x01, "volatile"),
        (0x01, 0x00, "changed"),
        (0x09, 0x01, "changed"),
        (0x21, 0x01, "changed"),
    ],
)
def test_only_the_items_own_message_flags_count(left: int, right: int, class_: str) -> None:
    assert diff({0x0E07: left}, {0x0E07: right}) == [(class_, "PidTagMessageFlags")]


def test_ways_of_copying_differ_in_what_they_stamp_anew() -> None:
    then = datetime(2020, 1, 2, 3, 4, 5, 600_000, UTC)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert diff({0x0E06: then}, {0x0E06: now}) == [("changed", "PidTagMessageDeliveryTime")]
    assert diff({0x0E06: then}, {0x0E06: now}, path="json") == [("volatile", "PidTagMessageDeliveryTime")]
    rounded = then.replace(microsecond=0)
    assert diff({0x0039: then}, {0x0039: rounded}) == [("changed", "PidTagClientSubmitTime")]
    assert diff({0x0039: then}, {0x0039: rounded}, path="json") == [("normalised", "PidTagClientSubmitTime")]
    assert diff({0x0039: then}, {0x0039: then + timedelta(seconds=1)}, path="json")[0][0] == "changed"
    assert diff({0x0039: then}, {0x0039: then + timedelta(microseconds=1)}) == [
        ("changed", "PidTagClientSubmitTime")
    ]


# Bodies ---------------------------------------------------------------------------------------------------------------


def test_the_native_body_counts_and_the_others_are_made_from_it() -> None:
    html = {0x1016: 3, 0x3FDE: 65001, 0x1013: "<p>né</p>\r\n".encode()}
    made = html | {0x1000: "né\r\n", 0x1009: rtf.store(b"{\\rtf1 n}"), 0x0E1F: True}
    assert {c for c, _ in diff(html, made)} == {"normalised"}
    assert diff(made | {0x1000: "né\r\n "}, made) == [("normalised", "PidTagBody")]
    assert diff(html, html | {0x1013: b"<p>ne</p>"}) == [("changed", "PidTagHtml")]
    assert ("changed", "PidTagBody") in diff(made | {0x1000: "x", 0x1013: b"y"}, made)
    assert diff(html, html | {0x1013: "<p>né</p>\n".encode()}) == [("normalised", "PidTagHtml")]
    latin = html | {0x3FDE: 28591, 0x1013: "<p>né</p>\r\n".encode("latin-1")}
    assert set(diff(html, latin)) == {("normalised", "PidTagHtml"), ("normalised", "PidTagInternetCodepage")}
    assert diff({0x1016: 1, 0x1000: "a"}, {0x1016: 1}) == [("lost", "PidTagBody")]


def test_rtf_compressed_anew_is_the_same() -> None:
    known = bytes.fromhex("1A0000001C0000004C5A4675E2D44B51410004205758595A0D6E7D010EB0")
    plain = rtf.store(rtf.decompress(known))
    assert known != plain
    assert diff({0x1016: 2, 0x1009: known}, {0x1016: 2, 0x1009: plain}) == [
        ("normalised", "PidTagRtfCompressed")
    ]
    other = rtf.store(b"{\\rtf1 other}")
    assert diff({0x1016: 2, 0x1009: known}, {0x1016: 2, 0x1009: other}) == [
        ("changed", "PidTagRtfCompressed")
    ]
    assert diff({0x1009: b"junk"}, {0x1009: b"junk2"}) == [("changed", "PidTagRtfCompressed")]


# Addresses --------------------------------------------------------------------------------------------------------------


def sender(kind: str, address: str, **more: Any) -> dict[Key, Any]:
    key = blobs.search_key(kind, address)
    return {0x0C1A: "Anna", 0x0C1E: kind, 0x0C1F: address, 0x0C1D: key} | {
        int(k[1:], 16): v for k, v in more.items()
    }


def test_ex_and_smtp_are_one_when_known_to_be() -> None:
    ex, smtp = sender("EX", DN), sender("SMTP", "Anna@Example.org")
    assert {c for c, _ in diff(ex, smtp)} == {"changed"}
    directory = {DN.upper(): "anna@example.org"}
    assert {c for c, _ in diff(ex, smtp, directory=directory)} == {"normalised"}
    assert {c for c, _ in diff(ex, smtp, directory={DN: "other@example.org"})} == {"changed"}
    with_smtp = sender("EX", DN, x5D01="anna@example.org")
    assert {c for c, _ in diff(with_smtp, smtp)} == {"normalised"}
    assert ("changed", "PidTagSenderName") in diff(ex | {0x0C1A: "Anne"}, smtp, directory=directory)
    one_off = {0x0C1A: "Anna", 0x0C19: blobs.build_one_off("Anna", "SMTP", "anna@example.org")}
    assert {c for c, _ in diff(one_off, smtp)} <= {"normalised"}


def recipients(*rows: dict[Key, Any]) -> Message:
    return Message(recipients=[bag({0x3000: n} | row) for n, row in enumerate(rows)])


def test_recipients_are_found_again_whatever_their_order() -> None:
    anna = {0x0C15: 1, 0x3001: "Anna", 0x3002: "EX", 0x3003: DN}
    ben = {0x0C15: 1, 0x3001: "Ben", 0x3002: "SMTP", 0x3003: "ben@example.org"}
    copied = {0x0C15: 1, 0x3001: "Anna", 0x3002: "SMTP", 0x3003: "anna@example.org"}
    found = compare(recipients(anna, ben), recipients(ben, copied), directory={DN: "anna@example.org"})
    assert found
    assert counting(found) == []
    assert {d.path for d in found} == {"recipient 0", "recipient 1"}
    found = counting(compare(recipients(anna, ben), recipients(anna)))
    assert found == [Difference("recipient 1", "recipient", "Ben <ben@example.org>", "(absent)", Class.LOST)]
    found = counting(compare(recipients(anna), recipients(anna, ben)))
    assert [(d.class_, d.path) for d in found] == [(Class.ADDED, "recipient 1")]
    cc = ben | {0x0C15: 2}
    found = counting(compare(recipients(ben), recipients(cc)))
    assert [(d.class_, d.name) for d in found] == [(Class.CHANGED, "PidTagRecipientType")]
    twice = counting(compare(recipients(ben, ben), recipients(ben)))
    assert [d.class_ for d in twice] == [Class.LOST]


# Attachments ----------------------------------------------------------------------------------------------------------


def attachment(name: str, data: bytes, **more: Any) -> Attachment:
    return Attachment(bag({0x3705: 1, 0x3707: name, 0x3701: data}))


def test_attachments_are_matched_by_name_and_content() -> None:
    a, b, c = attachment("a", b"1"), attachment("b", b"2"), attachment("b", b"3")
    found = compare(Message(attachments=[a, b, c]), Message(attachments=[c, b, a]))
    assert {d.class_ for d in found} == {Class.NORMALISED}
    assert [d.left for d in found] == ["place 0", "place 2"]
    found = counting(compare(Message(attachments=[a, b]), Message(attachments=[b])))
    assert [(d.class_, d.left) for d in found] == [(Class.LOST, '"a" (1 octets)')]
    found = counting(compare(Message(attachments=[b]), Message(attachments=[c])))
    assert [(d.class_, d.name) for d in found] == [(Class.CHANGED, "PidTagAttachDataBinary")]
    large = bytes(100_000)
    view = Attachment(Properties(attachment("a", large).properties))
    view.properties[0x3701] = Value(0x0102, memoryview(large))
    assert compare(Message(attachments=[attachment("a", large)]), Message(attachments=[view])) == []


def test_embedded_messages_are_compared_inside() -> None:
    def outer(subject: str, body: str) -> Message:
        inner = Message(bag({0x0037: subject, 0x1000: body}))
        return Message(attachments=[Attachment(bag({0x3705: 5}), inner)])

    (found,) = compare(outer("s", "a"), outer("s", "b"))
    assert (found.path, found.name, found.class_) == (
        "attachment 0 / embedded message",
        "PidTagBody",
        Class.CHANGED,
    )
    gone = Message(attachments=[Attachment(bag({0x3705: 5}))])
    assert [(d.class_, d.name) for d in compare(outer("s", "a"), gone)] == [(Class.LOST, "message")]


# By meaning -----------------------------------------------------------------------------------------------------------


def rewritten(change: Callable[[Any], None]) -> bytes:
    value = parse_recurrence(WEEKLY)
    change(value)
    return build_recurrence(value)


def test_recurrences_are_compared_by_meaning() -> None:
    key = p.PidLidAppointmentRecur

    def version(value: Any) -> None:
        value.writer_version = 0x3008
        value.pattern.occurrences = 0
        value.pattern.end_type = 0xFFFFFFFF
        value.pattern.deleted.reverse()

    def later(value: Any) -> None:
        value.start_offset += 30

    def one_more(value: Any) -> None:
        value.pattern.deleted.append(value.pattern.start_date)

    assert diff({key: WEEKLY}, {key: rewritten(version)}) == [("normalised", "PidLidAppointmentRecur")]
    assert diff({key: WEEKLY}, {key: rewritten(later)}) == [("changed", "PidLidAppointmentRecur")]
    assert diff({key: WEEKLY}, {key: rewritten(one_more)}) == [("changed", "PidLidAppointmentRecur")]
    assert diff({key: WEEKLY}, {}) == [("lost", "PidLidAppointmentRecur")]
    assert diff({key: WEEKLY}, {key: WEEKLY[:-1]}) == [("changed", "PidLidAppointmentRecur")]


def test_time_zones_are_compared_by_meaning() -> None:
    last = blobs.SystemTime(month=10, day=5, hour=3)
    first = blobs.SystemTime(month=3, day=5, hour=2)
    rule_ = blobs.TimeZoneRule(2, 1601, -60, 0, -60, last, first)
    zone = blobs.TimeZoneDefinition("W. Europe Standard Time", (rule_,))
    key = p.PidLidAppointmentTimeZoneDefinitionStartDisplay

    def wire(**change: Any) -> bytes:
        changed = blobs.TimeZoneRule(**{n: getattr(rule_, n) for n in rule_.__slots__} | change)
        return blobs.build_time_zone_definition(blobs.TimeZoneDefinition(zone.name, (changed,)))

    name = "PidLidAppointmentTimeZoneDefinitionStartDisplay"
    assert diff({key: wire()}, {key: wire(flags=0, reserved=b"\1" * 14)}) == [("normalised", name)]
    assert diff({key: wire()}, {key: wire(bias=0)}) == [("changed", name)]
    struct_key = p.PidLidTimeZoneStruct
    without = blobs.TimeZoneStruct(-330, 0, 0, blobs.SystemTime(), blobs.SystemTime())
    with_bias = blobs.TimeZoneStruct(-330, 0, -60, blobs.SystemTime(), blobs.SystemTime(hour=2))
    left, right = blobs.build_time_zone_struct(without), blobs.build_time_zone_struct(with_bias)
    assert diff({struct_key: left}, {struct_key: right}) == [("normalised", "PidLidTimeZoneStruct")]


def test_categories_are_a_set() -> None:
    key = p.PidNameKeywords
    assert diff({key: ["Red", "Blue"]}, {key: ["Blue", "Red"]}) == [("normalised", "PidNameKeywords")]
    assert diff({key: ["Red", "Blue"]}, {key: ["Red"]}) == [("changed", "PidNameKeywords")]
    assert diff({key: ["Red"]}, {key: ["red"]}) == [("changed", "PidNameKeywords")]


def test_reminders_are_compared_by_when_they_come_up() -> None:
    due = datetime(2026, 5, 1, 8, tzinfo=UTC)
    by_signal = {
        p.PidLidReminderSet: True,
        p.PidLidReminderSignalTime: due - timedelta(minutes=15),
        p.PidLidReminderTime: due,
    }
    by_delta = {p.PidLidReminderSet: True, p.PidLidReminderDelta: 15, p.PidLidReminderTime: due}
    assert {c for c, _ in diff(by_signal, by_delta)} == {"normalised"}
    assert {c for c, _ in diff(by_delta, by_delta | {p.PidLidReminderDelta: 30})} == {"changed"}
    off = {p.PidLidReminderSet: False, p.PidLidReminderTime: due}
    assert {c for c, _ in diff(off, {})} == {"normalised"}
    assert ("lost", "PidLidReminderSet") in diff(by_delta, {})


def test_conversations_and_meetings_are_compared_by_meaning() -> None:
    index = blobs.ConversationIndex(0x01DC5B2A6F4E0000, UUID(int=5), (b"12345",))
    wire = blobs.build_conversation_index(index)
    assert diff({0x0071: wire}, {0x0071: wire[:-5]}) == [("changed", "PidTagConversationIndex")]
    value = blobs.global_object_id_of("meeting@example.org")
    left = blobs.build_global_object_id(value)
    right = left[:-1]  # the same UID without its closing zero
    right = right[:36] + (len(value.data) - 1).to_bytes(4, "little") + right[40:]
    assert diff({p.PidLidGlobalObjectId: left}, {p.PidLidGlobalObjectId: right}) == [
        ("normalised", "PidLidGlobalObjectId")
    ]
    other = blobs.build_global_object_id(blobs.global_object_id_of("other@example.org"))
    assert diff({p.PidLidGlobalObjectId: left}, {p.PidLidGlobalObjectId: other})[0][0] == "changed"


def test_every_rule_has_a_reason_and_a_known_place() -> None:
    from migrator.mapi.dictionary import _rules

    single, ranges, sets = _rules()
    rules = [r for rows in (*single.values(), *sets.values()) for r in rows] + [r for _, _, r in ranges]
    assert len(rows := rules) > 40
    assert all(len(r.reason) > 10 for r in rows)
    assert {r.where for r in rows} <= {"any", "message", "recipient", "attachment"}
    assert {r.path for r in rows} <= {"any", "stream", "json", "mime"}
    assert rule(0x6650, "message", "stream") is not None
    assert rule(0x0037, "message", "stream") is None
    assert rule(0x300B, "message", "stream") is None
    assert rule(0x300B, "message", "json") is not None
