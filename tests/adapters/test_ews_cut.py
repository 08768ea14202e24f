"""Item data cut out of answers: strict where the parser does not look, and never other than the parser would say."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.adapters.ews.cut import (
    DATA,
    MIME,
    StreamCutter,
    Truncated,
    _only_by_decoder,
    _only_by_table,
    cut,
    is_base64,
)
from migrator.adapters.ews.soap import NS_M, NS_S, NS_T, NotSoap, messages_of, parse
from tests.shared_data import shared


def answer(*messages: bytes, prefix: bytes = b"m:", tail: bytes = b"") -> bytes:
    own = b'xmlns:m="%b"' if prefix else b'xmlns="%b"'
    return (
        b'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="' + NS_S.encode() + b'"><s:Body><%bExportItemsResponse ' % prefix
        + own % NS_M.encode() + b'><%bResponseMessages>' % prefix + b"".join(messages)
        + b"</%bResponseMessages></%bExportItemsResponse></s:Body></s:Envelope>" % (prefix, prefix) + tail
    )  # fmt: skip


def good(data: bytes, prefix: bytes = b"m:") -> bytes:
    p = prefix
    return (
        b'<%bExportItemsResponseMessage ResponseClass="Success"><%bResponseCode>NoError</%bResponseCode>' % (p, p, p)
        + b'<%bItemId Id="AAA=" ChangeKey="B"/><%bData>' % (p, p) + data
        + b"</%bData></%bExportItemsResponseMessage>" % (p, p)
    )  # fmt: skip


BAD = (
    b'<m:ExportItemsResponseMessage ResponseClass="Error"><m:MessageText>&lt;m:Data&gt;gone&lt;/m:Data&gt;</m:MessageText>'
    b"<m:ResponseCode>ErrorItemNotFound</m:ResponseCode></m:ExportItemsResponseMessage>"
)


def read(body: bytes) -> list[bytes | None]:
    found = cut(body, DATA)
    out = []
    for message in messages_of(found.root):
        element = message.element.find(DATA)
        data = found.data_of(element) if element is not None else None
        out.append(None if data is None else bytes(data))
    return out


def coded(size: int, seed: int = 1) -> bytes:
    return base64.b64encode(random.Random(seed).randbytes(size))


@pytest.mark.parametrize("prefix", [b"m:", b"", b"msg.x:"])
def test_data_and_errors_in_one_answer_keep_their_places(prefix: bytes) -> None:
    one, two = coded(1000), coded(70_001)
    body = answer(good(one, prefix), good(two, prefix), prefix=prefix)
    if prefix == b"m:":
        body = answer(good(one), BAD, good(two))
        assert read(body) == [one, None, two]
        return
    if prefix == b"msg.x:":
        body = body.replace(b"xmlns:m=", b"xmlns:msg.x=")
    assert read(body) == [one, two]


def test_data_is_a_view_on_the_answer_not_a_copy() -> None:
    body = answer(good(coded(1000)))
    found = cut(body, DATA)
    element = next(found.root.iter(DATA))
    data = found.data_of(element)
    assert isinstance(data, memoryview)
    assert data.obj is body


@pytest.mark.parametrize("white", [b"\r\n  ", b"\n", b" "])
def test_white_space_in_data_is_taken_out(white: bytes) -> None:
    data = coded(300)
    spread = white + data[:40] + white + data[40:] + white
    assert read(answer(good(spread), good(data))) == [data, data]


@pytest.mark.parametrize(
    "data", [b"abc", b"ab=c", b"a===", b"ab!d", b"\xc3\xa4bc", b"====", b"abcd=", b"=abc"]
)
def test_what_is_not_base64_is_no_data(data: bytes) -> None:
    assert read(answer(good(data), good(b"abcd"))) == [None, b"abcd"]


def test_empty_data_is_told_from_none() -> None:
    assert read(answer(good(b""), BAD)) == [b"", None]


@pytest.mark.parametrize("at", [50, 300, 700, -1, -20])
def test_a_torn_answer_is_refused(at: int) -> None:
    body = answer(good(coded(500)))
    with pytest.raises(NotSoap):
        cut(body[:at], DATA)


def test_an_answer_cut_within_data_but_closed_is_refused() -> None:
    body = answer(good(coded(500)[:-3]))
    assert read(body) == [None]


@pytest.mark.parametrize("place", ["data", "tail"])
def test_the_servers_own_mark_of_a_cut(place: str) -> None:
    mark = b"=== Truncated Data ==="
    body = (
        answer(good(coded(90_000) + mark), good(coded(9000)))
        if place == "data"
        else answer(good(coded(9)), tail=mark)
    )
    with pytest.raises(Truncated):
        cut(body, DATA)


def test_what_only_looks_like_data_is_left_to_the_parser() -> None:
    data = coded(60)
    trap = b"<m:MessageText><![CDATA[<m:Data>AAAA</m:Data>]]></m:MessageText>"
    body = answer(good(data).replace(b"<m:ItemId", trap + b"<m:ItemId"))
    assert read(body) == [data]
    other = b'<x:Extra xmlns:x="urn:x"><x:Data>AAAA</x:Data></x:Extra>'
    assert read(answer(good(data).replace(b"<m:ItemId", other + b"<m:ItemId"))) == [data]


def test_an_entity_bomb_is_refused() -> None:
    bomb = b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    body = answer(good(coded(9))).replace(b"?>", b"?>" + bomb, 1)
    with pytest.raises(NotSoap):
        cut(body, DATA)


@given(st.lists(st.one_of(st.none(), st.binary(max_size=300)), min_size=1, max_size=6))
def test_cutting_says_what_parsing_says(items: list[bytes | None]) -> None:
    body = answer(*(BAD if item is None else good(base64.b64encode(item)) for item in items))
    root = parse(body)
    expected = []
    for message in messages_of(root):
        element = message.element.find(DATA)
        expected.append(None if element is None else (element.text or "").encode())
    assert read(body) == expected == [None if item is None else base64.b64encode(item) for item in items]


@given(st.binary(max_size=64))
def test_both_checkers_agree(data: bytes) -> None:
    fast = _only_by_decoder()
    assert fast is not None
    plain = data.replace(b"=", b"")
    view = memoryview(plain[: len(plain) - len(plain) % 4])
    assert fast(view) == _only_by_table(view)


@given(st.binary(max_size=200))
def test_any_base64_is_base64(data: bytes) -> None:
    text = base64.b64encode(data)
    assert is_base64(text)
    assert not is_base64(text + b"A")
    if text:
        assert not is_base64(b"-" + text[1:])


@pytest.mark.parametrize("at", [0, 262_143, 262_144, 399_999])
def test_one_wrong_octet_anywhere_is_seen(at: int) -> None:
    data = bytearray(b"A" * 400_000)
    for wrong in (b"=", b" ", b"-", b"\0", b"\xff"):
        data[at : at + 1] = wrong
        assert not is_base64(bytes(data)) or (at == 399_999 and wrong == b"=")


# ---- the same while the answer arrives


class Sink(bytearray):
    def write(self, piece: bytes | memoryview) -> None:
        self.extend(piece)


def stream(body: bytes, size: int) -> tuple[bytes, StreamCutter]:
    sink = Sink()
    cutter = StreamCutter(DATA, sink.write)
    for at in range(0, len(body), size):
        cutter.feed(memoryview(body)[at : at + size])
    root = cutter.finish()
    assert messages_of(root)
    return bytes(sink), cutter


@given(st.binary(min_size=1, max_size=400), st.integers(1, 500))
def test_streaming_at_any_size_of_piece(item: bytes, size: int) -> None:
    data = base64.b64encode(item)
    assert stream(answer(good(data)), size)[0] == data


def test_streaming_takes_white_space_out() -> None:
    data = coded(200)
    assert stream(answer(good(b"\r\n " + data[:100] + b"\r\n" + data[100:] + b"\n")), 7)[0] == data


def test_streaming_an_error_writes_nothing() -> None:
    written, cutter = stream(answer(BAD), 11)
    assert written == b""
    assert messages_of(cutter.finish())[0].code == "ErrorItemNotFound"


@pytest.mark.parametrize(
    "body",
    [
        answer(good(coded(500)))[:700],
        answer(good(coded(500)))[:-5],
        answer(good(b"abc")),
        answer(good(b"ab=c")),
        answer(good(b"a===")),
        answer(good(b"ab-d")),
        answer(good(coded(50)), good(coded(50))).replace(b"AAA=", b"BBB=", 1),
    ],
)
@pytest.mark.parametrize("size", [1, 64, 100_000])
def test_streaming_refuses_what_is_not_whole(body: bytes, size: int) -> None:
    with pytest.raises((NotSoap, Truncated)):
        stream(body, size)


def test_streaming_sees_the_servers_mark() -> None:
    for size in (1, 5, 100_000):
        with pytest.raises(Truncated):
            stream(answer(good(coded(90) + b"=== Truncated Data ===")), size)
    with pytest.raises(Truncated):
        stream(answer(good(coded(90)), tail=b"=== Truncated Data ==="), 100_000)


# ---- MIME


def test_mime_content_with_its_attribute() -> None:
    data = coded(90)
    body = (
        f'<s:Envelope xmlns:s="{NS_S}" xmlns:m="{NS_M}" xmlns:t="{NS_T}"><s:Body><m:GetItemResponse><m:ResponseMessages>'
        '<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Items><t:Message>'
        f'<t:MimeContent CharacterSet="UTF-8">{data.decode()}</t:MimeContent><t:ItemId Id="A"/></t:Message></m:Items>'
        "</m:GetItemResponseMessage></m:ResponseMessages></m:GetItemResponse></s:Body></s:Envelope>"
    ).encode()
    found = cut(body, MIME)
    (element,) = found.root.iter(MIME)
    assert bytes(found.data_of(element) or b"") == data


# ---- Microsoft's printed answers


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("exportitems-operation.2.ExportItemsResponse.xml", ["NoError"] * 3),
        (
            "exportitems-operation.3.ExportItemsResponse.xml",
            ["NoError", "ErrorInvalidChangeKey", "ErrorNonExistentMailbox"],
        ),
    ],
)
def test_printed_answers(name: str, codes: list[str]) -> None:
    body = shared(f"ews/docs-examples/{name}").read_bytes()
    found = cut(body, DATA)
    messages = messages_of(found.root)
    assert [message.code for message in messages] == codes
    first = found.data_of(messages[0].element.find(DATA))  # type: ignore[arg-type]
    assert first is not None
    assert base64.b64decode(first, validate=True)[:4] == b"\x01\0\0\0"
    if codes[2] != "NoError":
        assert messages[2].values == {"MailboxGuid": "f3f6f699-2254-40ce-9994-388d9d98419e"}
