"""Any tree → bytes → the same tree; any change of the bytes → a tree or one typed error."""

from __future__ import annotations

import base64
import io
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrator.mapi import fasttransfer as fts
from migrator.mapi.item import Message, Properties, Value
from tests.mapi import vectors as v
from tests.mapi.trees import messages, plain

PAGES = (64, 65, 127, 31_680)


@given(messages())
@settings(max_examples=150, deadline=None)
def test_any_tree_comes_back_at_any_page_size(message: Message) -> None:
    for size in PAGES:
        octets = fts.write(message, page=size)
        assert plain(fts.read(octets, strict=True)) == plain(message)
        assert plain(fts.read(octets)) == plain(message)


@given(messages(), st.sampled_from(PAGES))
@settings(max_examples=60, deadline=None)
def test_what_was_read_is_written_the_same_again(message: Message, size: int) -> None:
    octets = fts.write(message, page=size)
    assert fts.write(fts.read(octets), page=size) == octets


@given(messages(), st.sampled_from(PAGES))
@settings(max_examples=60, deadline=None)
def test_pages_hold_what_they_may(message: Message, size: int) -> None:
    octets = fts.write(message, page=size)
    assert octets.startswith(v.PREAMBLE)
    at, sizes = len(v.PREAMBLE), []
    while at < len(octets):
        opcode, length = struct.unpack_from("<II", octets, at)
        assert opcode == 2
        sizes.append(length)
        at += 8 + length
    assert at == len(octets)
    assert all(sizes)
    # Larger only for an atom that is larger itself: the name of a property.
    assert all(s <= size or s <= 4 + 17 + 4 * 30 + 2 for s in sizes)


@given(messages(), st.sampled_from(PAGES))
@settings(max_examples=80, deadline=None)
def test_the_summary_is_the_top_of_the_tree(message: Message, size: int) -> None:
    octets = fts.write(message, page=size)
    text = base64.b64encode(octets)
    sources = (
        octets,
        fts.FileOctets(io.BytesIO(octets)),
        fts.Base64Octets(text),
        fts.PlainOctets(bytearray(octets)),
    )
    for source in sources:
        found = fts.summary(source)
        assert plain(found.properties) == plain(message.properties)
        assert set(found.sizes) == set(message.properties)
        assert found.recipients == len(message.recipients)
        assert found.attachments == len(message.attachments)
        assert found.embedded == sum(1 for _ in message.walk()) - 1
        assert found.version == fts.VERSION
    wanted = set(list(message.properties)[::2])
    assert set(fts.summary(octets, wanted).properties) == wanted


@given(messages(depth=1), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_octet_is_a_tree_or_a_typed_error(message: Message, data: st.DataObject) -> None:
    octets = bytearray(fts.write(message, page=data.draw(st.sampled_from(PAGES))))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    outcomes = []
    for call in (fts.read, lambda o: fts.read(o, strict=True), fts.summary):
        try:
            call(bytes(octets))
            outcomes.append(True)
        except fts.StreamError as error:
            assert 0 <= error.offset <= len(octets)  # noqa: PT017
            assert error.element  # noqa: PT017
            outcomes.append(False)
    tolerant, strict, scanned = outcomes
    assert tolerant or not strict
    assert scanned or not tolerant


@given(st.integers(0, len(v.GOLDEN) - 1), st.integers(0, 255))
@example(0x50, 0x40)
def test_any_octet_of_the_golden_vector_may_be_anything(at: int, octet: int) -> None:
    octets = bytearray(v.GOLDEN)
    octets[at] = octet
    try:
        tree = fts.read(octets)
    except fts.StreamError as error:
        assert 0 <= error.offset <= len(octets)  # noqa: PT017
        return
    assert isinstance(tree, Message)


def test_large_values_cross_pages_whole() -> None:
    body = "aé😀" * 40_000
    blob = bytes(range(256)) * 2_000
    message = Message(Properties({0x1000: Value(0x001F, body), 0x1009: Value(0x0102, blob)}))
    for size in (64, 65, 31_680):
        octets = fts.write(message, page=size)
        assert plain(fts.read(octets, strict=True)) == plain(message)
    found = fts.summary(octets)
    assert found.sizes == {0x1000: len(body.encode("utf-16-le")) + 2, 0x1009: len(blob)}
    assert found.properties == {}
    assert plain(fts.summary(octets, largest=1 << 30).properties) == plain(message.properties)


def test_summary_of_a_large_item_touches_a_small_part_of_it() -> None:
    """Reading counts: of 20 MB of attachment only the record headers are looked at."""

    class Counting(fts.PlainOctets):
        touched = 0

        def at(self, offset: int, length: int) -> bytes:
            self.touched += length
            return super().at(offset, length)

    attachment = v.attachment(0, v.integer(0x3705, 1), v.tag(0x0102, 0x3701) + v.sized(bytes(20_000_000)))
    message = fts.read(v.stream(v.CLASS + attachment))
    for size, most in ((31_680, 60_000), (40_000_000, 60_000)):
        source = Counting(fts.write(message, page=size))
        assert fts.summary(source).attachments == 1
        assert source.touched < most


@pytest.mark.parametrize(
    "text",
    [b"AQAAAAg", b"=== Truncated Data ===", b"AQAAAAgAAAAA\nAAAA", b"AQAAAAgAAA=A", b"\xff" * 16, b"===="],
)
def test_text_that_is_not_base64_is_a_typed_error(text: bytes) -> None:
    with pytest.raises(fts.StreamError):
        fts.summary(fts.Base64Octets(text))
