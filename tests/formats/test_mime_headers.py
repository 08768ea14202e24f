"""Header fields read forgivingly and written by the book."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.formats.mime import headers
from migrator.formats.mime.headers import Address


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b" =?utf-8?q?gr=C3=BCn?=", "grün"),
        (b"=?UTF-8?B?Z3LDvG4=?= und =?iso-8859-1*de?Q?wei=DF?=", "grün und weiß"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?b?=", "ab"),
        (b"=?utf-8?b?w7w=?==?utf-8?b?w7w=?=", "üü"),
        (b"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "€"),  # split inside a character
        (b"=?utf-8?q?a_b=20c?=", "a b c"),
        (b"=?utf-8?q?a b?=", "a b"),  # a space where an underscore belongs
        (b"=?utf-8?b?Z3LDvG4?=", "grün"),  # padding left out
        (b"=?x-unknown?q?a=FCb?=", "aüb"),
        (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        ("grün".encode(), "grün"),
        (b"gr\xfcn", "grün"),
        (b"=?iso-8859-1?q?gr\xfcn?=", "grün"),
        (b"folded\r\n\tline", "folded line"),
        (b"with\0nul \x1b[31mred", "withnul [31mred"),
        (b"", ""),
    ],
)
def test_texts(raw: bytes, text: str) -> None:
    assert headers.text(raw) == text


@pytest.mark.parametrize(
    ("raw", "people"),
    [
        (b"a@b.example", [("", "a@b.example")]),
        (b"A <a@b.example>, <c@d.example>", [("A", "a@b.example"), ("", "c@d.example")]),
        (b'"Doe, J." <j@d.example>', [("Doe, J.", "j@d.example")]),
        (b'"a \\"b\\" c" <j@d.example>', [('a "b" c', "j@d.example")]),
        (b"j@d.example (John Doe)", [("John Doe", "j@d.example")]),
        (b"John Doe j@d.example", [("John Doe", "j@d.example")]),
        (b"=?utf-8?q?Doe=2C_J=C3=B6?= <j@d.example>", [("Doe, Jö", "j@d.example")]),
        (b"=?utf-8?q?Doe,_J?= <j@d.example>", [("Doe, J", "j@d.example")]),
        (b'"=?utf-8?q?J=C3=B6?=" <j@d.example>', [("Jö", "j@d.example")]),
        (b"=?utf-8?q?A?= =?utf-8?q?B?= <j@d.example>", [("AB", "j@d.example")]),
        (
            b"Group: a@b.example, C <c@d.example>; e@f.example",
            [("", "a@b.example"), ("C", "c@d.example"), ("", "e@f.example")],
        ),
        (b"undisclosed-recipients:;", []),
        (b"Root <root>", [("Root", "root")]),
        (b"root", [("", "root")]),
        (b"MAILER DAEMON <>", [("MAILER DAEMON", "")]),
        (b"<@a.example,@b.example:j@d.example>", [("", "j@d.example")]),
        (b'"odd name"@d.example', [("", '"odd name"@d.example')]),
        (b"a@b.example, , c@d.example,", [("", "a@b.example"), ("", "c@d.example")]),
        (b"A <a@b.example", [("A", "a@b.example")]),
        (b"pete(his account)@silly.example (Pete)", [("his account Pete", "pete@silly.example")]),
        (b"A <mailto:a@b.example>", [("A", "a@b.example")]),
        (b"<Saved by a browser>", [("Saved by a browser", "")]),
        (b"J\xf6 <j@d.example>", [("Jö", "j@d.example")]),
        (b"'A' <a@b.example>", [("'A'", "a@b.example")]),
        (b"", []),
    ],
)
def test_addresses(raw: bytes, people: list[tuple[str, str]]) -> None:
    assert [(a.name, a.address) for a in headers.addresses(raw)] == people


@pytest.mark.parametrize(
    ("raw", "kind", "parameters"),
    [
        (b"text/plain", "text/plain", {}),
        (b"TEXT/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        (
            b'text/plain; charset="utf-8"; format=flowed',
            "text/plain",
            {"charset": "utf-8", "format": "flowed"},
        ),
        (b'multipart/mixed; boundary="a;b=c"', "multipart/mixed", {"boundary": "a;b=c"}),
        (b"multipart/mixed;boundary=--x--", "multipart/mixed", {"boundary": "--x--"}),
        (b"text/plain (comment); charset=utf-8 (comment)", "text/plain", {"charset": "utf-8"}),
        (b'a/b; name="c:\\temp\\x.txt"', "a/b", {"name": "c:\\temp\\x.txt"}),
        (b"a/b; name*=utf-8''gr%C3%BCn.txt", "a/b", {"name": "grün.txt"}),
        (b"a/b; name*0*=utf-8''gr%C3; name*1*=%BCn; name*2=.txt", "a/b", {"name": "grün.txt"}),
        (b"a/b; name*1=b; name*0=a", "a/b", {"name": "ab"}),
        (b'a/b; name="=?utf-8?q?gr=C3=BCn?="', "a/b", {"name": "grün"}),
        (b"a/b; name=gr\xfcn", "a/b", {"name": "grün"}),
        (b"a/b; name=my file.txt", "a/b", {"name": "my file.txt"}),
        (b'a/b; name="no end', "a/b", {"name": "no end"}),
        (b"a/b;;; x=1;", "a/b", {"x": "1"}),
        (b"a/b; x=1; x=2", "a/b", {"x": "1"}),
    ],
)
def test_content_types(raw: bytes, kind: str, parameters: dict[str, str]) -> None:
    assert headers.parse_content_type(raw) == (kind, parameters)


@pytest.mark.parametrize("raw", [b"", b"text", b"<html>", b";"])
def test_what_is_no_content_type(raw: bytes) -> None:
    assert headers.parse_content_type(raw) is None


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        (b"Mon, 3 Feb 2020 10:00:00 +0100", datetime(2020, 2, 3, 9, tzinfo=UTC)),
        (b"3 Feb 20 10:00 EST", datetime(2020, 2, 3, 15, tzinfo=UTC)),
        (b"Mon, 3 Feb 2020 10:00:00 GMT (comment)", datetime(2020, 2, 3, 10, tzinfo=UTC)),
        (b"Mon, 3 Feb 2020 10:00:00", datetime(2020, 2, 3, 10, tzinfo=UTC)),
        (b"Wed, 20 Sep 1995 00:19:00 (EDT) -0400", datetime(1995, 9, 20, 4, 19, tzinfo=UTC)),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        (b"nonsense", None),
        (b"Mon, 99 Feb 2020 10:00:00 +0100", None),
        (b"3 Feb 9999 10:00:00 +0000", None),
        (b"", None),
    ],
)
def test_dates(raw: bytes, moment: datetime | None) -> None:
    assert headers.date(raw) == moment


names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=80)
locals_ = st.from_regex(r"[a-z0-9]([a-z0-9.+_-]{0,20}[a-z0-9])?", fullmatch=True)


@given(names, locals_)
def test_addresses_come_back(name: str, local: str) -> None:
    name = headers.clean(" ".join(name.split()))
    person = Address(name, f"{local}@example.org")
    wire = headers.encode_addresses("To", [person, Address("", "b@example.org")])
    assert all(len(line) <= 998 for line in wire.split(b"\r\n")) and wire.isascii()
    found = headers.addresses(wire.partition(b":")[2])
    assert [one.address for one in found] == [person.address, "b@example.org"]
    assert found[0].name == name


@given(st.text(max_size=300))
def test_texts_come_back(text: str) -> None:
    wire = headers.encode_text("Subject", text)
    assert wire.isascii() and wire.count(b"\r\n") == wire.count(b"\n") == wire.count(b"\r")
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    assert b"\r\n\r\n" not in wire[:-2]
    expected = headers.clean(text).encode("utf-8", "replace").decode()
    assert headers.text(wire.partition(b":")[2]).split() == expected.split()


@given(names.filter(lambda name: name.strip() and "\\" not in name))
def test_parameters_come_back(value: str) -> None:
    value = headers.clean(value)
    wire = headers.encode_structured("Content-Disposition", "attachment", [("filename", value)])
    assert wire.isascii()
    assert headers.parse_disposition(wire.partition(b":")[2]) == ("attachment", {"filename": value})


@given(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=60))
def test_another_parser_reads_what_is_written(text: str) -> None:
    raw = headers.encode_text("Subject", text) + headers.encode_structured(
        "Content-Type", "application/pdf", [("name", text)]
    )
    parsed = message_from_bytes(raw + b"\r\n", policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert str(parsed["subject"]) == text
    assert parsed.get_filename() == text


@given(st.binary(max_size=400))
def test_no_octets_break_a_parser(raw: bytes) -> None:
    headers.text(raw)
    headers.addresses(raw)
    headers.parse_content_type(raw)
    headers.parse_disposition(raw)
    headers.date(raw)
    headers.message_id(raw)


@given(st.text(st.sampled_from("=?utf8QBq_ \"<>(),;:@\\*'%ab\r\n\t"), max_size=200))
def test_no_mixture_of_marks_breaks_a_parser(text: str) -> None:
    test_no_octets_break_a_parser.hypothesis.inner_test(text.encode())  # type: ignore[attr-defined]
