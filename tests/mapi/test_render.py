"""The dictionary, and what people see of a tree: names, short values, nothing a terminal would act on."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapi import blobs, dictionary, render
from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.compare import compare
from migrator.mapi.item import Attachment, Key, Message, Named, Properties, Value
from migrator.mapi.values import harmless, shown
from tests.mapi.recurrences import WEEKLY
from tests.mapi.trees import messages
from tests.mapi.vectors import GOLDEN


def constants() -> dict[str, Key]:
    return {n: v for n, v in vars(p).items() if n.startswith(("PidTag", "PidLid", "PidName"))}


def test_constants_and_dictionary_agree() -> None:
    assert len(constants()) > 300
    for name, key in constants().items():
        assert dictionary.name_of(key) == name
        assert dictionary.key_of(name.upper()) == key
        info = dictionary.describe(key)
        assert info is not None
        assert info.source


def test_dictionary_rows_are_whole() -> None:
    rows = dictionary._rows()
    assert len(rows) > 600
    assert len({row[2] for row in rows.values()}) == len(rows)
    for key, (_, kind, name, whose, source) in rows.items():
        assert dictionary.type_name(kind).startswith("Ptyp"), name
        assert name.startswith("PidTag" if isinstance(key, int) else ("PidLid", "PidName"))
        assert whose
        assert source.startswith("M")


def test_describe_says_whose_and_whether_it_may_differ() -> None:
    subject, size = dictionary.describe(p.PidTagSubject), dictionary.describe(p.PidTagMessageSize)
    assert subject is not None
    assert size is not None
    assert (subject.name, subject.type, subject.kind, subject.volatile) == (
        "PidTagSubject",
        0x001F,
        "message",
        "",
    )
    assert size.volatile
    assert dictionary.describe(0x7ABC) is None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (0x7ABC, "0x7ABC"),
        (Named(p.PSETID_COMMON, 0x8FFF), "PSETID_Common:0x8FFF"),
        (Named(p.PS_INTERNET_HEADERS, name="x-mailer"), "PS_INTERNET_HEADERS:x-mailer"),
        (Named(UUID(int=7), 3), "{00000000-0000-0000-0000-000000000007}:0x0003"),
        (p.PidLidReminderSet, "PidLidReminderSet"),
    ],
)
def test_names_go_both_ways(key: Key, name: str) -> None:
    assert dictionary.name_of(key) == name
    assert dictionary.key_of(name) == key


@pytest.mark.parametrize("name", ["", "Subject", "0x", "0xFFFFFF", "nobody:0x1", "{12}:x"])
def test_what_is_no_name_is_none(name: str) -> None:
    assert dictionary.key_of(name) is None


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.none() | st.integers(5, 60))
@settings(max_examples=300)
def test_nothing_harmful_is_left(text: str, width: int | None) -> None:
    safe = harmless(text, width)
    assert all(c.isprintable() for c in safe)
    safe.encode("utf-8")  # no lone surrogates
    if width is not None:
        assert len(safe) <= width + 1


def test_escapes_overrides_and_invisible_characters_are_shown() -> None:
    assert harmless("a\x1b[31m\u202eb\u2066\u200b\x9b\x00\ud800\u2028é😀") == (
        "a\\x1b[31m\\u202eb\\u2066\\u200b\\x9b\\x00\\ud800\\u2028é😀"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "(absent)"),
        (Value(0x0003, 7), "7"),
        (Value(0x0003, -1), "-1"),
        (Value(0x0003, 4096), "4096 (0x1000)"),
        (Value(0x000B, True), "yes"),
        (Value(0x0006, -12_345), "-1.2345"),
        (Value(0x0102, b""), "(0 octets)"),
        (Value(0x0102, b"\1\2"), "0102 (2 octets)"),
        (Value(0x0040, 134_082_326_728_441_856), "2025-11-21 21:04:32.8441856 UTC"),
        (Value(0x0040, (1 << 64) - 1), "FILETIME 18446744073709551615"),
        (Value(0x101F, ["a", "b"]), '["a", "b"]'),
        (Value(0x0048, UUID(int=1)), "{00000000-0000-0000-0000-000000000001}"),
    ],
)
def test_values_as_people_read_them(value: Value | None, text: str) -> None:
    assert shown(value) == text


@given(messages())
@settings(max_examples=60, deadline=None)
def test_any_tree_is_printable_and_json(message: Message) -> None:
    text = render.tree_text(message, width=60)
    assert all(line.isprintable() for line in text.splitlines())
    text.encode("utf-8")
    for width in (None, 60):
        json.dumps(render.tree_json(message, width=width), allow_nan=False)
    differences = compare(message, Message())
    assert all(
        line.isprintable() for line in render.differences_text(differences, all_classes=True).splitlines()
    )
    json.dumps(render.differences_json(differences))


def test_the_golden_vector_as_text() -> None:
    assert render.tree_text(fts.read(GOLDEN)) == (
        "message IPM.Note\n"
        "  PidTagImportance = 1\n"
        '  PidTagMessageClass = "IPM.Note"\n'
        '  PidTagSubject = "Hi ü"\n'
        "  PidTagClientSubmitTime = 2025-11-21 21:04:32.8441856 UTC\n"
        '  PidTagSubjectPrefix = ""\n'
        "  PidTagMessageDeliveryTime = 2025-11-21 21:04:32.8441856 UTC\n"
        "  PidTagMessageFlags = 1\n"
        '  PidTagBody = "ok\\r\\n"\n'
        "  PidLidReminderSet = yes\n"
        '  PS_INTERNET_HEADERS:x-a = "v"\n'
        "  recipient 0\n"
        "    PidTagRowid = 0\n"
        "    PidTagRecipientType = 1\n"
        '    PidTagDisplayName = "A"\n'
        '    PidTagAddressType = "SMTP"\n'
        '    PidTagEmailAddress = "a@b.c"\n'
        "  attachment 0\n"
        "    PidTagAttachNumber = 0\n"
        "    PidTagAttachDataBinary = deadbeef (4 octets)\n"
        "    PidTagAttachMethod = 1\n"
        '    PidTagAttachLongFilename = "f"\n'
    )


def test_binary_values_say_what_they_mean() -> None:
    message = Message()
    put = message.properties.set
    put(p.PidLidAppointmentRecur, 0x0102, WEEKLY)
    put(p.PidTagSenderEntryId, 0x0102, blobs.build_one_off("A", "SMTP", "a@\u202eb.c"))
    put(
        p.PidLidGlobalObjectId,
        0x0102,
        blobs.build_global_object_id(blobs.global_object_id_of("x@y", (2026, 1, 2))),
    )
    put(p.PidTagConversationIndex, 0x0102, b"junk")
    text = render.tree_text(message)
    assert "# every week on Tuesday, 08:00-08:30" in text
    assert "# SMTP:a@\\u202eb.c" in text
    assert "# UID x@y on 2026-01-02" in text
    assert "PidTagConversationIndex = 6a756e6b (4 octets)\n" in text


def test_differences_as_text() -> None:
    left = Message(Properties({0x0037: Value(0x001F, "a"), 0x0E08: Value(3, 1), 0x0017: Value(3, 1)}))
    right = Message(Properties({0x0037: Value(0x001F, "b"), 0x0E08: Value(3, 2)}), [], [Attachment()])
    found = compare(left, right)
    assert render.differences_text(found) == (
        "lost        PidTagImportance = 1\n"
        'added       attachment 0: attachment = ""\n'
        'changed     PidTagSubject: "a" → "b"\n'
        "1 lost, 1 added, 1 changed, 1 volatile\n"
    )
    assert "volatile    PidTagMessageSize: 1 → 2  (size, computed)\n" in render.differences_text(
        found, all_classes=True
    )
    assert render.differences_text([]) == "no difference\n"
    assert [d["counts"] for d in render.differences_json(found)] == [True, False, True, True]
