"""Wire-level cases: what imapclient is changed in, TLS and sign-in, grammar, names, what is mended before sending."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from migrator.adapters.imap import fit
from migrator.adapters.imap.client import ImapClient
from migrator.adapters.imap.grammar import (
    Garbled,
    compact,
    decode_name,
    expand,
    format_date,
    parse_date,
    sets,
    values,
    wire_name,
)
from migrator.adapters.imap.listing import head_of, marks_of, parse_token, version_of
from migrator.adapters.imap.names import Naming, tame, usual_role
from migrator.adapters.imap.wire import Wire, parse_tagged
from migrator.errors import CheckpointLost, JobError, SourceDown, Throttled, Transient, UserError
from migrator.interfaces import Context
from migrator.model import Checkpoint, Mailbox, Role
from migrator.settings import Endpoint, Limits
from tests.adapters.imap_kit import dovecot  # noqa: F401 - fixture
from tests.auth.test_microsoft import Authority
from tests.servers import imap_servers as servers

Answer = Callable[[bytes, bytes], bytes]


class Ended(Exception):
    """The server's last words, before it hangs up."""


class Script:
    """A server of few words: `answer` gives what comes back for a command (tag, rest of the line)."""

    def __init__(
        self,
        answer: Answer,
        *,
        greeting: bytes = b"* OK hello\r\n",
        tls: ssl.SSLContext | None = None,
        starttls: bool = False,
    ) -> None:
        self._answer = answer
        self._greeting = greeting
        self._tls = tls
        self._starttls = starttls
        self.lines: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        if self._tls is not None and not self._starttls:
            sock = self._tls.wrap_socket(sock, server_side=True)
        sock.sendall(self._greeting)
        file = sock.makefile("rb")
        while line := file.readline():
            tag, _, rest = line.strip().partition(b" ")
            self.lines.append(rest)
            if self._starttls and rest.upper() == b"STARTTLS":
                assert self._tls is not None
                sock.sendall(tag + b" OK go\r\n")
                sock = self._tls.wrap_socket(sock, server_side=True)
                file = sock.makefile("rb")
                continue
            try:
                sock.sendall(self._answer(tag, rest))
            except Ended as last:
                sock.sendall(last.args[0])
                file.close()
                sock.close()
                return


def usual(tag: bytes, rest: bytes) -> bytes:
    if rest.upper() == b"CAPABILITY":
        return b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=XOAUTH2 SASL-IR\r\n" + tag + b" OK done\r\n"
    if rest.upper().startswith(b'LIST "" ""'):
        return b'* LIST (\\Noselect) "/" ""\r\n' + tag + b" OK done\r\n"
    return tag + b" OK done\r\n"


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    with contextlib.ExitStack() as stack:

        def make(answer: Answer = usual, **more: object) -> Script:
            server = Script(answer, **more)  # type: ignore[arg-type]
            stack.callback(server.close)
            return server

        yield make


def client(port: int, url: str = "imap://127.0.0.1", **more: object) -> ImapClient:
    given_: dict[str, object] = {
        "name": "mail",
        "kind": "imap",
        "url": f"{url}:{port}",
        "limits": Limits(timeout_s=5),
        **more,
    }
    return ImapClient(Endpoint(**given_), Context(servers.SystemClock(), servers.Purse()))  # type: ignore[arg-type]


# ------------------------------------------------ imapclient, the two changes


def test_imapclient_logs_nothing_and_waits_for_nobody(dovecot: servers.Server) -> None:  # noqa: F811
    """What is undone must have been done: else the patch has become superfluous."""
    import imapclient

    fresh = imapclient.IMAPClient("127.0.0.1", dovecot.port, ssl=False)
    assert fresh._imap.debug > 0
    assert fresh.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
    fresh.shutdown()
    mail = servers.client_of(dovecot)
    source = mail.source(servers.box(dovecot.new_user()))
    source.probe()
    wire = source._box.wire()  # type: ignore[attr-defined]
    assert wire.keep._imap.debug == 0
    assert wire._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    mail.close()


# ---------------------------------------------------------------- TLS, sign-in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    certificate = authority.issue_cert(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return context, hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("greeting", ["IMAP4rev1 SASL-IR", "imap4rev1", "SASL-IR", ""])
def test_capabilities_that_the_greeting_tells_are_not_asked_for(
    script: Callable[..., Script], greeting: str
) -> None:
    """A round trip less, unless what is told cannot be all of it; after the sign-in they count anew."""
    told = f"* OK [CAPABILITY {greeting}] hello [there]\r\n" if greeting else "* OK hello\r\n"
    server = script(lambda tag, rest: usual(tag, rest).replace(b"STARTTLS ", b""), greeting=told.encode())
    box = Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")
    with contextlib.closing(client(server.port)) as mail:
        mail.source(box).probe()
    words = [line.split()[0].upper() for line in server.lines]
    at = words.index(b"LOGIN")
    assert words[:at] == ([] if "imap4rev1" in greeting.lower() else [b"CAPABILITY"])
    assert words[at + 1] == b"CAPABILITY"


def test_what_was_told_before_tls_counts_no_more(
    script: Callable[..., Script], authority: trustme.CA, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    """Anybody on the way may have written it (RFC 3501 6.2.1)."""
    context, _ = server_context(authority)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    greeting = b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hello\r\n"
    server = script(tls=context, starttls=True, greeting=greeting)
    box = Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")
    assert client(server.port, ca_file=str(ca)).source(box).probe().identity
    words = [line.split()[0].upper() for line in server.lines]
    assert words[:3] == [b"STARTTLS", b"CAPABILITY", b"LOGIN"]


@pytest.mark.parametrize("starttls", [False, True], ids=["imaps", "starttls"])
def test_tls_is_verified(
    script: Callable[..., Script], authority: trustme.CA, starttls: bool, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    context, pin = server_context(authority)
    server = script(tls=context, starttls=starttls)
    url = "imap://127.0.0.1" if starttls else "imaps://127.0.0.1"
    box = Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")
    with pytest.raises(SourceDown) as caught:
        client(server.port, url).source(box).probe()
    assert caught.value.code == "tls"
    assert not any(line.upper().startswith((b"LOGIN", b"AUTHENTICATE")) for line in server.lines)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    assert client(server.port, url, ca_file=str(ca)).source(box).probe().identity
    assert client(server.port, url, options={"pin": pin}).source(box).probe().identity
    before = len([line for line in server.lines if line.upper().startswith(b"LOGIN")])
    with pytest.raises(UserError) as wrong:
        client(server.port, url, options={"pin": "0" * 64}).source(box).probe()
    assert wrong.value.code == "pin_mismatch"
    assert len([line for line in server.lines if line.upper().startswith(b"LOGIN")]) == before


def test_a_wrong_password_is_tried_once_and_never_told(dovecot: servers.Server) -> None:  # noqa: F811
    mail = servers.client_of(dovecot)
    box = Mailbox("mail", "ada", login="ada", secret="env:WRONG")
    for _ in range(2):
        with pytest.raises(JobError) as caught:
            mail.source(box).probe()
        assert caught.value.code == "sign_in_refused"
        assert "no such word" not in str(caught.value) + caught.value.remedy
    mail.close()


@pytest.mark.parametrize(
    ("options", "auth"),
    [
        ({"master": "{user}*{master}"}, "login"),
        ({"master": "{user}*{master}"}, "plain"),
        ({"master": "authzid"}, ""),
    ],
)
def test_a_master_user_opens_a_mailbox(dovecot: servers.Server, options: dict[str, str], auth: str) -> None:  # noqa: F811
    user = dovecot.new_user()
    raw = dovecot.raw(user)
    raw.append("INBOX", b"Subject: mine\r\n\r\nx\r\n")
    mail = servers.client_of(dovecot, options=options, username=servers.MASTER, auth=auth)
    source = mail.source(Mailbox("mail", user, login=user))
    assert next(folder.total for folder in source.folders() if folder.role is Role.INBOX) == 1
    mail.close()


def test_xoauth2_sends_name_and_token(script: Callable[..., Script]) -> None:
    tags: list[bytes] = []
    sent: list[bytes] = []

    def answer(tag: bytes, rest: bytes) -> bytes:
        if rest.upper().startswith(b"AUTHENTICATE XOAUTH2"):
            tags.append(tag)
            return b"+ \r\n"
        if not rest:  # the continuation: no tag, one word
            sent.append(base64.b64decode(tag))
            return tags[0] + b" OK done\r\n"
        return usual(tag, rest).replace(b"STARTTLS ", b"").replace(b" SASL-IR", b"")

    server = script(answer)
    mail = client(server.port, auth="xoauth2")
    mail.source(Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")).probe()
    assert sent == [f"user=ada\x01auth=Bearer {servers.PASSWORD}\x01\x01".encode()]


@pytest.mark.parametrize("method", ["plain", "xoauth2"])
def test_with_sasl_ir_a_sign_in_is_one_trip(script: Callable[..., Script], method: str) -> None:
    """RFC 4959: the first answer travels with the command."""
    told = b"IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2"
    server = script(
        lambda tag, rest: usual(tag, rest).replace(b"STARTTLS ", b""),
        greeting=b"* OK [CAPABILITY %s] hello\r\n" % told,
    )
    with contextlib.closing(client(server.port, auth=method)) as mail:
        mail.source(Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")).probe()
    verb, name, words = server.lines[0].split()
    assert (verb, name) == (b"AUTHENTICATE", method.upper().encode())
    assert (
        base64.b64decode(words)
        == (
            f"\0ada\0{servers.PASSWORD}"
            if method == "plain"
            else f"user=ada\x01auth=Bearer {servers.PASSWORD}\x01\x01"
        ).encode()
    )


def test_an_xoauth2_refusal_is_heard_to_its_end(script: Callable[..., Script]) -> None:
    """It comes as a challenge with JSON, and as NO once that was answered with nothing."""
    tags: list[bytes] = []

    def answer(tag: bytes, rest: bytes) -> bytes:
        if rest.upper().startswith(b"AUTHENTICATE XOAUTH2"):
            tags.append(tag)
            return b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n"
        if not tag and not rest:
            return tags[-1] + b" NO AUTHENTICATE failed.\r\n"
        return usual(tag, rest)

    server = script(answer, greeting=b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\r\n")
    with pytest.raises(JobError) as caught:
        client(server.port, auth="xoauth2").source(
            Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")
        ).probe()
    assert caught.value.code == "sign_in_refused"
    assert "AUTHENTICATE failed" in caught.value.message
    assert servers.PASSWORD not in str(caught.value)


@pytest.mark.parametrize("method", ["login", "plain"])
@pytest.mark.parametrize("words", [b"* BYE go away\r\n", b""], ids=["bye", "closed"])
@pytest.mark.parametrize("sasl_ir", [b" SASL-IR", b""], ids=["at-once", "in-two"])
def test_only_who_goes_without_a_word_is_asked_again(
    script: Callable[..., Script], method: str, words: bytes, sasl_ir: bytes
) -> None:
    """A line that broke has refused nobody; a server that says goodbye to a sign-in may have, and locks accounts."""

    def answer(tag: bytes, rest: bytes) -> bytes:
        if rest.upper().startswith((b"LOGIN", b"AUTHENTICATE")):
            raise Ended(words)
        return usual(tag, rest)

    server = script(answer, greeting=b"* OK [CAPABILITY IMAP4rev1%s AUTH=PLAIN] hello\r\n" % sasl_ir)
    mail = client(server.port, auth=method)
    for _ in range(2):
        with pytest.raises(JobError if words else Transient):
            mail.source(Mailbox("mail", "ada", login="ada", secret="env:PASSWORD")).probe()
    assert len(server.lines) == (1 if words else 2)


def gmail(tag: bytes, rest: bytes) -> bytes:
    """As Gmail answers: labels in an order of its own, All Mail with everything (developers.google.com/gmail/imap)."""
    word = rest.upper()
    if word == b"CAPABILITY":
        return b"* CAPABILITY IMAP4rev1 X-GM-EXT-1 SPECIAL-USE UIDPLUS ESEARCH\r\n" + tag + b" OK done\r\n"
    if word == b'LIST "" "*"':
        names = (b'(\\HasNoChildren) "/" "INBOX"', b'(\\HasNoChildren) "/" "Work"')
        names += (b'(\\All \\HasNoChildren) "/" "[Gmail]/All Mail"', b'(\\Flagged) "/" "[Gmail]/Starred"')
        return b"".join(b"* LIST " + name + b"\r\n" for name in names) + tag + b" OK done\r\n"
    if word.startswith(b"EXAMINE"):
        return (
            b"* 4 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 5] .\r\n"
            + tag
            + b" OK [READ-ONLY] done\r\n"
        )
    if word.startswith(b"UID FETCH"):
        labels = (b'"\\\\Inbox"', b'"\\\\Important" "\\\\Starred"', b'Work "\\\\Starred"', b"")
        answers = []
        for n, said in enumerate(labels, 1):
            of_gmail = b"X-GM-LABELS (%s) " % said if b"X-GM-LABELS" in word else b""
            answers.append(
                b'* %d FETCH (%sUID %d RFC822.SIZE 99 INTERNALDATE "01-Jan-2024 10:00:00 +0000" FLAGS (\\Seen) '
                b"BODY[HEADER.FIELDS (MESSAGE-ID SUBJECT DATE)] {12}\r\nSubject: %d\r\n)\r\n"
                % (n, of_gmail, n, n)
            )
        return b"".join(answers) + tag + b" OK done\r\n"
    return usual(tag, rest)


@pytest.mark.parametrize(
    ("option", "expected"), [("archive", ["2", "4"]), ("everything", ["1", "2", "3", "4"])]
)
def test_of_all_mail_what_is_nowhere_else(
    script: Callable[..., Script], option: str, expected: list[str]
) -> None:
    server = script(gmail)
    mail = client(server.port, secret="env:PASSWORD", username="any", options={"all_mail": option})
    source = mail.source(Mailbox("mail", "ada", login="ada"))
    folders = {folder.path: folder for folder in source.folders()}
    assert folders["[Gmail]", "Starred"].search  # a view: not copied
    page = source.page(folders["[Gmail]", "All Mail"], None)
    assert [ref.subject for ref in page.refs] == expected
    assert page.last
    assert [ref.subject for ref in source.page(folders["Work",], None).refs] == ["1", "2", "3", "4"]
    mail.close()
    if option == "archive":
        assert folders["[Gmail]", "All Mail"].total is None  # known when it is listed


def test_xoauth2_with_a_token_of_microsofts_sign_in(
    script: Callable[..., Script], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client credentials by msal against a token service on loopback; what IMAP is told is the token that it gave."""
    authority_of = trustme.CA()
    pem = tmp_path / "ca.pem"
    authority_of.cert_pem.write_to_path(str(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority_of.issue_cert("localhost").configure_cert(tls)
    service = Authority(tls)
    tags: list[bytes] = []
    sent: list[bytes] = []

    def answer(tag: bytes, rest: bytes) -> bytes:
        if rest.upper().startswith(b"AUTHENTICATE XOAUTH2"):
            tags.append(tag)
            return b"+ \r\n"
        if not rest:
            sent.append(base64.b64decode(tag))
            return tags[-1] + b" OK done\r\n"
        return usual(tag, rest).replace(b"STARTTLS ", b"").replace(b" SASL-IR", b"")

    server = script(answer)
    mail = client(
        server.port,
        auth="secret",
        tenant="contoso.example",
        client_id="11111111-2222-3333-4444-555555555555",
        secret="env:PASSWORD",
        authority=service.server.url,
        ca_file=str(pem),
    )
    with service.server:
        mail.source(Mailbox("mail", "ada@contoso.example")).probe()
        mail.close()
    assert sent == [b"user=ada@contoso.example\x01auth=Bearer token-1\x01\x01"]
    (form,) = service.forms
    assert form["grant_type"] == "client_credentials"
    assert form["scope"].split()[0] == "https://outlook.office365.com/.default"


def test_too_many_connections_is_a_pause_not_a_failure(script: Callable[..., Script]) -> None:
    def full(tag: bytes, rest: bytes) -> bytes:
        if rest.upper().startswith(b"LOGIN"):
            return tag + b" NO [LIMIT] Too many connections from this user\r\n"
        return usual(tag, rest).replace(b"STARTTLS ", b"")

    server = script(full)
    with pytest.raises(Throttled) as caught:
        client(server.port).source(Mailbox("mail", "ada", secret="env:PASSWORD")).probe()
    assert caught.value.retry_after_s


def test_passwords_do_not_travel_in_the_clear() -> None:
    with pytest.raises(UserError):
        client(143, "http://mail.example")
    mail = client(143, "imap://mail.example")
    assert not mail.where.clear


@pytest.mark.parametrize(
    "more",
    [
        {"auth": "cram"},
        {"options": {"pin": "abc"}},
        {"options": {"master": "nobody"}, "username": "m"},
        {"options": {"page_items": "0"}},
        {"options": {"receipts": "maybe"}},
    ],
)
def test_settings_that_cannot_work_are_told(more: dict[str, object]) -> None:
    with pytest.raises(UserError):
        client(143, **more)


# -------------------------------------------------------------------- grammar


def test_values_of_every_form() -> None:
    pieces = [
        b'* X (a "b \\"c\\"" NIL (BODY[HEADER.FIELDS (X Y)] {3}\r\n',
        b"abc",
        b") ~{2}\r\n",
        b"\0\xff",
        b")\r\n",
    ]
    assert values(pieces, 4) == [[b"a", b'b "c"', None, [b"BODY[HEADER.FIELDS (X Y)]", b"abc"], b"\0\xff"]]
    for bad in (b"(a", b"a)", b"((((" * 40):
        with pytest.raises(Garbled):
            values([bad])


@given(st.lists(st.integers(1, 5000), unique=True))
def test_sets_hold_each_uid_once(uids: list[int]) -> None:
    uids.sort()
    assert list(expand(compact(uids))) == uids
    parts = list(sets(uids, most=60))
    assert [uid for part in parts for uid in expand(part.decode())] == uids
    assert all(len(part) <= 60 for part in parts)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_names_come_back_as_they_went(name: str) -> None:
    sent = wire_name(name, utf8=False)
    assert sent.isascii()
    inner = re.sub(rb"\\(.)", rb"\1", sent[1:-1], flags=re.DOTALL)
    assert decode_name(inner, utf8=False) == name


@pytest.mark.parametrize("name", [b"&", b"a&b", b"&AAA", b"\xc3\xa4", b"\xff", b"&Jjo!"])
def test_a_name_that_breaks_the_rules_is_asked_for_as_it_is(name: bytes) -> None:
    assert wire_name(decode_name(name, utf8=False), utf8=False) == b'"' + name + b'"'


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_dates_to_the_second(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC, microsecond=0)
    assert parse_date(format_date(aware)[1:-1]) == aware


def test_dates_of_other_zones_and_nonsense() -> None:
    assert parse_date(b" 5-Apr-2023 06:07:08 +0530") == datetime(2023, 4, 5, 0, 37, 8, tzinfo=UTC)
    assert parse_date(b"yesterday") is None
    assert parse_date(b"31-Feb-2023 00:00:00 +0000") is None


@given(st.binary(max_size=300))
def test_hostile_lines_are_refused_not_trusted(line: bytes) -> None:
    with contextlib.suppress(Garbled):
        values([line])
    parse_tagged(line)
    head_of(line)
    marks_of(line)


def test_flags_have_one_version_in_any_order() -> None:
    assert (
        marks_of(b"\\Seen $x \\Recent").version
        == marks_of(b"$x \\Seen").version
        == version_of([b"\\seen", b"$X"])
    )


@pytest.mark.parametrize("token", ["", "c;1;2;3;", "x;1;2;3;;", "c;a;2;3;;", "c;1;-2;3;;", "c;1;2;3;;;"])
def test_tokens_of_others_are_refused(token: str) -> None:
    with pytest.raises(CheckpointLost):
        parse_token(Checkpoint("imap-uid/1", token))


def test_pipelined_answers_are_matched_by_their_tag() -> None:
    near, far = socket.socketpair()
    wire = Wire(near)
    one, two = wire.begin(b"A"), wire.begin(b"B")
    wire.flush()
    far.sendall(b"* x\r\n" + two + b" NO [CODE 1] late\r\n" + one + b" OK first\r\n")
    (first, second), untagged = wire.finish(one, two)
    assert (first.ok, second.ok, second.code, second.rest) == (True, False, b"CODE", b"1")
    assert len(untagged) == 1
    wire.close()
    far.close()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_cap_on_the_line_is_asked_for_every_piece(compressed: bool) -> None:
    class Counting:
        piece = 1000

        def __init__(self) -> None:
            self.asked: dict[str, list[int]] = {"up": [], "down": []}

        def up(self, octets: int) -> float:
            self.asked["up"].append(octets)
            return 0.0

        def down(self, octets: int) -> float:
            self.asked["down"].append(octets)
            return 0.0

    near, far = socket.socketpair()
    pace = Counting()
    wire = Wire(near, pace=pace)
    out = random.Random(1).randbytes(20_000)
    answer = b"* 1 FETCH (BODY[] {20000}\r\n" + out + b")\r\n"
    if compressed:
        wire.compress()
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
        answer = squeeze.compress(answer) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    wire.begin(b"APPEND x {20000+}\r\n", out)
    wire.flush()
    far.sendall(answer)
    assert wire.next()[1] == out
    assert sum(pace.asked["down"]) == len(answer)
    assert 20_000 < sum(pace.asked["up"]) < 20_200
    assert max(pace.asked["up"]) <= 1000
    wire.close()
    far.close()


def test_a_large_literal_goes_to_a_file() -> None:
    near, far = socket.socketpair()
    wire = Wire(near, spool=1000)
    body = b"z" * 50_000
    far.sendall(b"* 1 FETCH (BODY[] {50000}\r\n" + body + b")\r\n")
    pieces = wire.next()
    content = pieces[1]
    assert not isinstance(content, (bytes, int))
    assert b"".join(content.pieces()) == body
    content.release()
    wire.close()
    far.close()


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("naming", "name", "path"),
    [
        (Naming("/"), "INBOX", ("Inbox",)),
        (Naming("/"), "Inbox/a", ("Inbox", "a")),
        (Naming(".", "INBOX."), "INBOX.Sent.2024", ("Sent", "2024")),
        (Naming(".", "INBOX."), "INBOX.Inbox.x", ("Inbox", "x")),
        (Naming(""), "a/b", ("a/b",)),
    ],
)
def test_names_and_paths(naming: Naming, name: str, path: tuple[str, ...]) -> None:
    assert naming.path(name) == path
    if naming.separator:
        assert naming.path(naming.name(path)) == path


def test_a_separator_in_a_name_becomes_its_look_alike() -> None:
    assert Naming("/").name(("a/b", "c")) == "a／b/c"
    assert tame(("back\\slash*",)) == ("back＼slash＊",)


@pytest.mark.parametrize(
    ("path", "role"),
    [
        (("Gesendete Objekte",), Role.SENT),
        (("Inbox", "Papierkorb"), Role.DELETED),
        (("[Gmail]", "Brouillons"), Role.DRAFTS),
        (("Work", "Sent"), None),
        (("Spam",), Role.JUNK),
    ],
)
def test_usual_names_tell_roles(path: tuple[str, ...], role: Role | None) -> None:
    assert usual_role(path) is role


# ------------------------------------------------------------------ fit to send


def test_only_the_part_that_needs_it_is_written_anew() -> None:
    long = b"y" * 12_000
    raw = (
        b'Content-Type: multipart/mixed; boundary="b"\r\nSubject: s\r\n\r\nhi\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nshort\r\n"
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + long + b"\r\n--b--\r\n"
    )
    done, notes = fit.shorten(raw)
    assert notes == ("reencoded",)
    assert not fit.too_long(done)
    assert done.startswith(raw[: raw.index(b"--b\r\nContent-Type: text/html")])
    parts = message_from_bytes(done).get_payload()
    assert parts[1].get_payload(decode=True).strip() == long  # type: ignore[union-attr,index]
    assert fit.shorten(done) == (done, ())


def test_signed_mail_is_left_alone() -> None:
    raw = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + b"x" * 20_000 + b"\r\n--b--\r\n"
    done, notes = fit.shorten(raw)
    assert done == raw
    assert notes == ("protected_part_kept",)


def test_bare_line_ends_and_nuls_are_mended() -> None:
    assert not fit.unfit(b"a: b\r\n\r\nx\r\n")
    assert fit.mend(b"a: b\n\nx\r\ny\n") == (b"a: b\r\n\r\nx\r\ny\r\n", ("line_ends_mended",))
    done, notes = fit.mend(b"a: b\r\n\r\nx\0y\r\n")
    assert b"\0" not in done
    assert "reencoded" in notes
    assert message_from_bytes(done).get_payload(decode=True) == b"x\0y\r\n"


def test_requests_for_receipts_are_disarmed_in_the_head_only() -> None:
    raw = b"Subject: s\r\nDisposition-Notification-To: a@b\r\n\r\nDisposition-Notification-To: text\r\n"
    done, armed = fit.disarm(raw)
    assert armed
    assert (
        done
        == b"Subject: s\r\nX-Was-Disposition-Notification-To: a@b\r\n\r\nDisposition-Notification-To: text\r\n"
    )


@given(st.binary(max_size=2000))
def test_mending_never_fails_and_ends(raw: bytes) -> None:
    done, _ = fit.mend(raw)
    assert not fit.unfit(done)
    fit.shorten(raw, 50)
