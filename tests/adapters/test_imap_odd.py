"""What servers do that keeps to the protocol and is seldom seen: each on a scripted server, by what the RFC demands."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from migrator.adapters.imap.client import ImapClient
from migrator.adapters.imap.target import ImapTarget
from migrator.adapters.spool import BufferContent
from migrator.errors import InDoubt, ItemError, JobError, Transient
from migrator.events import Event, Notice
from migrator.interfaces import Context, Source
from migrator.model import Folder, Format, Item, ItemRef, Kind, Mailbox, Outcome, Role, SkipReason, State
from migrator.settings import Endpoint, Limits
from migrator.wrappers.retry import Patience, RetryingSource
from tests.contracts.samples import mails
from tests.servers import imap_servers as servers
from tests.servers.small_imap import Gone, Line, SmallServer

Parts = Sequence[bytes]
BOX = Mailbox("mail", "ada", login="ada")


def text(number: int, size: int = 20) -> bytes:
    return b"Message-ID: <%d@x>\r\nSubject: n%d\r\n\r\n%s\r\n" % (number, number, b"x" * size)


def some(count: int) -> dict[int, bytes]:
    return {uid: text(uid) for uid in range(1, count + 1)}


class Setting:
    """A server, a client of it, and what was told to a person."""

    def __init__(self, server: SmallServer, **options: str) -> None:
        self.server = server
        self.events: list[Event] = []
        endpoint = Endpoint(
            name="mail",
            kind="imap",
            url=f"imap://127.0.0.1:{server.port}",
            username="any",
            secret="env:PASSWORD",
            limits=Limits(timeout_s=5),
            options=options,
        )
        clock = servers.SystemClock()
        self.client = ImapClient(endpoint, Context(clock, servers.Purse(), emit=self.events.append))

    @property
    def source(self) -> Source:
        return self.client.source(BOX)

    @property
    def target(self) -> ImapTarget:
        target = self.client.target(BOX)
        assert isinstance(target, ImapTarget)
        return target


@pytest.fixture
def on() -> Iterator[Callable[..., Setting]]:
    with contextlib.ExitStack() as stack:

        def make(server: SmallServer, **options: str) -> Setting:
            setting = Setting(server, **options)
            stack.callback(server.close)
            stack.callback(setting.client.close)
            return setting

        yield make


Make = Callable[..., Setting]


def inbox(source: Source) -> Folder:
    return next(folder for folder in source.folders() if folder.role is Role.INBOX)


def items(*octets: bytes) -> list[Item]:
    ref = mails(1)[0].ref()
    return [
        Item(replace(ref, id=f"s{n}"), Format.MIME, BufferContent([one], len(one)), origin="x")
        for n, one in enumerate(octets)
    ]


def body(result: Item | Outcome) -> bytes:
    assert isinstance(result, Item), result
    return b"".join(bytes(piece) for piece in result.content.pieces())


def stored(setting: Setting, *octets: bytes) -> list[Outcome]:
    target = setting.target
    return target.store(target.ensure_folder(("Inbox",), Kind.MAIL), items(*octets))


def exported(setting: Setting) -> tuple[list[ItemRef], list[Item | Outcome]]:
    source = setting.source
    refs = source.page(inbox(source), None).refs
    return list(refs), source.export(refs, Format.MIME)


# ---------------------------------------------------------------------- XLIST


class Xlist(SmallServer):
    """As Gmail and Cyrus 2.4 did before RFC 6154: the Inbox by its name in the user's language, roles as attributes."""

    capability = b"IMAP4rev1 XLIST"
    refuses = False

    def on_list(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if b'""' in parts[0][6:]:
            return super().on_list(line, parts, tag)
        for name in (b"INBOX", b"Weg", b"Raus", b"Zeug"):
            line.send(b'* list () "/" "' + name + b'"\r\n')
        return None

    def on_xlist(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if self.refuses:
            return b"NO not today"
        named = (b'\\Inbox) "/" "Posteingang', b'\\Trash) "/" "Weg', b'\\Sent) "/" "Raus', b') "/" "Zeug')
        for words in named:
            line.send(b"* xlist (" + words + b'"\r\n')
        return None


@pytest.mark.parametrize("more", [b"", b" LIST-EXTENDED"], ids=["plain", "list-extended"])
def test_xlist_tells_roles(on: Make, more: bytes) -> None:
    """Responses are read in any case of letters (RFC 3501 9); LIST-EXTENDED alone knows no roles."""
    server = Xlist()
    server.capability += more
    roles = {folder.path: folder.role for folder in on(server).source.folders()}
    assert roles == {("Inbox",): Role.INBOX, ("Weg",): Role.DELETED, ("Raus",): Role.SENT, ("Zeug",): None}


def test_an_xlist_that_is_refused_costs_the_roles_only(on: Make) -> None:
    server = Xlist()
    server.refuses = True
    assert len(on(server).source.folders()) == 4


# ------------------------------------------------------------------- COMPRESS


class Deflating(SmallServer):
    capability = b"IMAP4rev1 UIDPLUS LITERAL+ COMPRESS=DEFLATE"
    agrees = True

    def on_compress(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if not self.agrees:
            return b"NO [COMPRESSIONACTIVE] TLS does that already"
        # The deflate stream begins right behind the answer (RFC 4978 3): here in the same packet.
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
        early = squeeze.compress(b"* OK here already\r\n") + squeeze.flush(zlib.Z_SYNC_FLUSH)
        line.sock.sendall(tag + b" OK active\r\n" + early)
        line.compressed()
        line.deflate = squeeze
        return b""


@pytest.mark.parametrize("agrees", [True, False])
def test_compress_both_ways(on: Make, agrees: bool) -> None:
    """Agreed to: everything behind it is deflated, in both directions. Refused with NO: as if it had not been asked."""
    large = text(9, 300_000)
    server = Deflating({1: large, 2: text(2)})
    server.agrees = agrees
    setting = on(server, compress="yes")
    _, results = exported(setting)
    assert [body(one) for one in results] == [large, text(2)]
    (outcome,) = stored(setting, text(5, 200_000))
    assert outcome.state is State.COPIED
    assert server.appended == [text(5, 200_000)]
    assert b"COMPRESS DEFLATE" in server.lines


def test_compress_is_not_asked_for_by_itself(on: Make) -> None:
    server = Deflating()
    on(server).source.folders()
    assert b"COMPRESS DEFLATE" not in server.lines


# ----------------------------------------------------------------------- UTF-8


class Utf8Only(SmallServer):
    """RFC 6855 6: every command before ENABLE UTF8=ACCEPT is refused; names and strings are UTF-8 in quotes."""

    capability = b"IMAP4rev1 UIDPLUS LITERAL+ UTF8=ONLY"
    name = "Entwürfe & 日本"

    def __init__(self, messages: dict[int, bytes] | None = None) -> None:
        self.enabled = False
        super().__init__(messages)

    def on_enable(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        assert b"UTF8=ACCEPT" in parts[0]
        self.enabled = True
        line.send(b"* ENABLED UTF8=ACCEPT\r\n")
        return None

    def on_list(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if not self.enabled:
            return b"BAD ENABLE UTF8=ACCEPT first"
        super().on_list(line, parts, tag)
        if b'""' not in parts[0][6:]:
            line.send(b'* LIST () "/" "' + self.name.encode() + b'"\r\n')
        return None

    def on_examine(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        name = parts[0].split(b" ", 1)[1].strip()
        if name not in (b'"INBOX"', b"INBOX", b'"' + self.name.encode() + b'"'):
            return b"NO [NONEXISTENT] " + name
        return super().on_examine(line, parts, tag)

    on_select = on_examine

    def told(self, uid: int, whole: bool) -> bytes:
        """Header fields as a quoted string, which may hold UTF-8 now (RFC 6855 3)."""
        if whole:
            return super().told(uid, whole)
        return (
            b'* 1 FETCH (UID %d FLAGS () INTERNALDATE "01-Jan-2024 10:00:00 +0000" RFC822.SIZE 9 '
            b'BODY[HEADER.FIELDS (MESSAGE-ID SUBJECT DATE)] "Subject: Gr\xc3\xbc\xc3\x9fe")\r\n' % uid
        )

    def on_append(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if b"UTF8 (~{" not in parts[0] and not parts[1].partition(b"\r\n\r\n")[0].isascii():
            return b"NO 8-bit letters in the head"
        return super().on_append(line, parts, tag)


@pytest.mark.parametrize("more", [b"", b" ENABLE", b" ENABLE BINARY"])
def test_a_server_that_takes_utf8_only(on: Make, more: bytes) -> None:
    server = Utf8Only({1: "Subject: Grüße\r\n\r\nx\r\n".encode()})
    server.capability += more
    setting = on(server)
    source = setting.source
    folder = next(one for one in source.folders() if one.path == (server.name,))
    (ref,) = source.page(folder, None).refs
    assert ref.subject == "Grüße"
    (item,) = source.export([ref], Format.MIME)
    assert body(item) == server.messages[1]
    mail = "Subject: schön\r\n\r\nx\r\n".encode()
    target = setting.target
    outcomes = target.store(target.ensure_folder((server.name,), Kind.MAIL), items(mail, text(2)))
    assert [one.state for one in outcomes] == [State.COPIED] * 2, outcomes
    assert server.appended == [mail, text(2)]
    first, second = (line for line in server.lines if line.startswith(b"APPEND"))
    # A literal8 goes without waiting only where BINARY is, too (RFC 4466 6).
    assert (b"+}" in first) == (b"BINARY" in more)
    assert b"UTF8" not in second


# ----------------------------------------------------------------- APPENDLIMIT


class Limited(SmallServer):
    capability = b"IMAP4rev1 UIDPLUS LITERAL+ APPENDLIMIT"
    limit = b"500"

    def on_status(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if b"APPENDLIMIT" not in parts[0]:
            return super().on_status(line, parts, tag)
        if not self.limit:
            return b"NO not here"
        line.send(b"* STATUS INBOX (APPENDLIMIT " + self.limit + b")\r\n")
        return None


@pytest.mark.parametrize(
    ("word", "limit", "skipped"),
    [
        (b"APPENDLIMIT=500", b"", True),
        (b"APPENDLIMIT", b"500", True),
        (b"APPENDLIMIT", b"NIL", False),  # no limit (RFC 7889 3)
        (b"APPENDLIMIT", b"", False),
    ],
    ids=["for-all", "of-the-folder", "none", "refused"],
)
def test_an_announced_limit_is_kept_before_sending(
    on: Make, word: bytes, limit: bytes, skipped: bool
) -> None:
    server = Limited()
    server.capability = server.capability.replace(b"APPENDLIMIT", word)
    server.limit = limit
    setting = on(server)
    outcomes = stored(setting, text(1), text(2, 600), text(3))
    assert [one.state for one in outcomes] == [
        State.COPIED,
        State.SKIPPED if skipped else State.COPIED,
        State.COPIED,
    ]
    assert server.appended == [text(1), *([] if skipped else [text(2, 600)]), text(3)]
    if skipped:
        assert outcomes[1].reason is SkipReason.TOO_LARGE
    stored(setting, text(4))
    assert sum(b"(APPENDLIMIT)" in line for line in server.lines) == (word == b"APPENDLIMIT")


# ---------------------------------------------------------- what cannot be given


class Refusing(SmallServer):
    """NO to whatever holds a bad message, after the good ones before it (RFC 3501 6.4.5); hangs up after so many errors."""

    bad: frozenset[int] = frozenset()
    word = b"NO cannot read it"
    patience = 1 << 30
    listing_too = False

    def on_uid_fetch(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        words = parts[0].split(b" ", 3)
        whole = b"BODY.PEEK[]" in words[3].upper()
        for uid in self.uids(words[2]):
            if uid in self.bad and (whole or self.listing_too):
                return self.word
            line.send(self.told(uid, whole))
        return None

    def after(self, line: Line) -> None:
        if line.errors >= self.patience:
            line.send(b"* BYE too many errors\r\n")
            raise Gone


def refusing(count: int, bad: set[int], **more: Any) -> Refusing:
    server = Refusing(some(count))
    server.bad = frozenset(bad)
    for name, value in more.items():
        setattr(server, name, value)
    return server


def test_a_no_to_one_message_is_its_own(on: Make) -> None:
    _, results = exported(on(refusing(6, {3})))
    assert [body(one) for n, one in enumerate(results, 1) if n != 3] == [text(n) for n in (1, 2, 4, 5, 6)]
    bad = results[2]
    assert isinstance(bad, Outcome)
    assert isinstance(bad.error, ItemError)
    assert (bad.state, bad.error.code) == (State.FAILED, "undeliverable")
    assert "cannot read it" in bad.error.message
    assert bad.error.remedy


def test_expungeissued_is_a_message_that_went(on: Make) -> None:
    """RFC 5530 3: some of what was asked for is expunged; what is left of it is still to be had."""
    _, results = exported(on(refusing(6, {3}, word=b"NO [EXPUNGEISSUED] gone")))
    assert [isinstance(one, Item) for one in results] == [True, True, False, True, True, True]
    assert (results[2].state, results[2].reason) == (State.SKIPPED, SkipReason.VANISHED)  # type: ignore[union-attr]


def test_what_cannot_be_listed_is_not_forgotten(on: Make) -> None:
    """A listing that ends with NO told of the first ones only: the rest is listed one by one, the bad one fails by itself."""
    refs, results = exported(on(refusing(6, {3}, listing_too=True)))
    assert [int(ref.id.split("/")[1]) for ref in refs] == [1, 2, 3, 4, 5, 6]
    assert [isinstance(one, Item) for one in results] == [True, True, False, True, True, True]
    assert results[2].error.code == "undeliverable"  # type: ignore[union-attr]


class Swift(servers.SystemClock):
    def sleep(self, seconds: float) -> None:
        """No test waits."""


@pytest.mark.parametrize("patience", [1, 2, 3, 6])
def test_a_server_that_drops_after_some_errors_blames_no_good_message(on: Make, patience: int) -> None:
    """Exchange hangs up after about ten errors: whose turn it is then is not to blame."""
    server = refusing(14, {1, 2, 3, 4, 5, 9, 10, 11}, patience=patience)
    source = on(server).source
    refs = source.page(inbox(source), None).refs
    limits = Limits(tries=30, give_up_s=60.0)
    results = RetryingSource(source, Patience(limits, Swift())).export(refs, Format.MIME)
    for uid, one in enumerate(results, 1):
        if uid in server.bad:
            assert isinstance(one, Outcome)
            assert isinstance(one.error, ItemError)
            assert one.error.code == "undeliverable", (uid, one)
        else:
            assert body(one) == text(uid)
    assert server.connections > 1


# ------------------------------------------------------------------ lying sizes


@pytest.mark.parametrize("lie", [1, 7_000, 0])
def test_a_size_that_is_not_true_changes_no_octet(on: Make, lie: int) -> None:
    class Liar(SmallServer):
        capability = b"IMAP4rev1 LITERAL+"  # without UIDPLUS what was stored is looked up

        def size(self, uid: int) -> int:
            return lie

    server = Liar({1: text(1, 3_000), 2: text(2)})
    setting = on(server)
    refs, results = exported(setting)
    assert [body(one) for one in results] == [text(1, 3_000), text(2)]
    assert {ref.size for ref in refs} == {lie or None}


# -------------------------------------------------------------------- quota


class Full(SmallServer):
    room = 2
    capability = b"IMAP4rev1 UIDPLUS LITERAL+ QUOTA"

    def on_append(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        count = len(parts[1::2])
        if len(self.appended) + count > self.room:
            return b"NO [OVERQUOTA] Mailbox is full"
        return super().on_append(line, parts, tag)

    def before_literal(self, line: Line, rest: bytes) -> bytes:
        if len(self.appended) < self.room:
            return b""
        line.errors += 1
        self.lines.append(rest.strip())
        return b"NO [OVERQUOTA] Mailbox is full"


def test_overquota_of_several_at_once_is_none_stored(on: Make) -> None:
    server = Full()
    server.capability += b" MULTIAPPEND"
    with pytest.raises(JobError) as caught:
        stored(on(server), *(text(n) for n in range(5)))
    assert caught.value.code == "quota_full"
    assert server.appended == []


@pytest.mark.parametrize("words", [b"LITERAL+", b"LITERAL-", b""])
def test_overquota_ends_the_mailbox_with_a_remedy(on: Make, words: bytes) -> None:
    """RFC 9208 5.3. What was stored before counts; without LITERAL+ no further message is offered after the refusal."""
    server = Full()
    server.capability = server.capability.replace(b"LITERAL+", words)
    setting = on(server)
    outcomes = stored(setting, *(text(n, 5_000) for n in range(5)))
    assert [one.state for one in outcomes] == [State.COPIED] * 2 + [State.FAILED] * 3
    for one in outcomes[2:]:
        assert isinstance(one.error, JobError)
        assert one.error.code == "quota_full"
        assert "quota" in one.error.remedy
    if b"LITERAL+" not in words:
        assert sum(line.startswith(b"APPEND") for line in server.lines) == 3
    with pytest.raises(JobError) as caught:
        stored(setting, text(9))
    assert caught.value.code == "quota_full"


# ---------------------------------------------------------------- unsolicited

NOISE = (
    b"* 99 EXISTS\r\n",
    b"* 1 EXPUNGE\r\n",
    b"* 2 FETCH (FLAGS (\\Deleted))\r\n",
    b"* 2 FETCH (UID 2 FLAGS (\\Answered))\r\n",
    b"* OK [ALERT] The server goes down at \x1b[31mnoon {12}\r\n",
    b"* 0 RECENT\r\n",
    b"* FLAGS (\\Seen)\r\n",
)


class Noisy(SmallServer):
    def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
        line.send(b"".join(NOISE))
        return super().fetch(line, uid, whole)

    def on_append(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        line.send(b"".join(NOISE))
        return super().on_append(line, parts, tag)

    def before_literal(self, line: Line, rest: bytes) -> bytes:
        line.send(b"".join(NOISE))
        return b""


@pytest.mark.parametrize("words", [b"LITERAL+", b""], ids=["at-once", "waiting"])
def test_what_nobody_asked_for_changes_nothing_and_alerts_are_shown(on: Make, words: bytes) -> None:
    """Untagged data may come at any time (RFC 3501 5.2), text that looks like a literal's head is none, and an ALERT MUST be
    shown to the user (7.1): once, and harmless."""
    server = Noisy(some(4))
    server.capability = server.capability.replace(b"LITERAL+", words)
    setting = on(server)
    refs, results = exported(setting)
    assert [ref.message_id for ref in refs] == [f"<{n}@x>" for n in range(1, 5)]
    assert [body(one) for one in results] == [text(n) for n in range(1, 5)]
    outcomes = stored(setting, text(7), text(8, 5_000))
    assert [one.state for one in outcomes] == [State.COPIED] * 2
    assert server.appended == [text(7), text(8, 5_000)]
    (told,) = [event for event in setting.events if isinstance(event, Notice)]
    assert told.level == "warning"
    assert "The server goes down at" in told.text
    assert "\x1b" not in told.text


@pytest.mark.parametrize("where", ["greeting", "login", "answer", "refusal", "tagged"])
def test_an_alert_of_the_sign_in_is_shown(on: Make, where: str) -> None:
    class Alerting(SmallServer):
        if where == "greeting":
            greeting = b"* OK [ALERT] Your password ends soon\r\n"

        def on_login(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
            if where in ("login", "refusal"):
                line.send(b"* OK [ALERT] Your password ends soon\r\n")
            if where == "refusal":
                return b"NO [AUTHENTICATIONFAILED] it has ended"
            return b"OK [ALERT] Your password ends soon" if where == "answer" else None

        def on_list(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
            super().on_list(line, parts, tag)
            return b"OK [ALERT] Your password ends soon" if where == "tagged" else None

    setting = on(Alerting())
    if where == "refusal":
        with pytest.raises(JobError):
            setting.source.folders()
    else:
        setting.source.folders()
    assert [event.text for event in setting.events if isinstance(event, Notice)] == [
        "ada: the server says: Your password ends soon"
    ]


class Leaving(SmallServer):
    """BYE in the midst of the second body, the first time; with an APPEND, at a given point of it."""

    at = ""

    def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
        if whole and uid == 2 and self.at == "fetch":
            self.at = ""
            line.send(b"* BYE Server shutting down\r\n")
            raise Gone
        return super().fetch(line, uid, whole)

    def before_literal(self, line: Line, rest: bytes) -> bytes:
        if self.at == "literal" and len(self.appended) == 1:
            self.at = ""
            line.send(b"* BYE Server shutting down\r\n")
            raise Gone
        return b""

    def on_append(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        said = super().on_append(line, parts, tag)
        if self.at == "stored" and len(self.appended) == 2:
            self.at = ""
            line.send(b"* BYE Server shutting down\r\n")
            raise Gone
        return said


def test_a_bye_in_a_fetch_is_a_pause(on: Make) -> None:
    server = Leaving(some(4))
    server.at = "fetch"
    source = on(server).source
    refs = source.page(inbox(source), None).refs
    first = source.export(refs, Format.MIME)
    assert body(first[0]) == text(1)
    for one in first[1:]:
        assert isinstance(one, Outcome)
        assert isinstance(one.error, Transient)
        assert "Server shutting down" in one.error.message
    again = source.export(refs[1:], Format.MIME)
    assert [body(one) for one in again] == [text(2), text(3), text(4)]


def test_a_bye_in_an_append_leaves_in_doubt_what_left_alone(on: Make) -> None:
    """Answered, perhaps stored, never sent: three words for three."""
    server = Leaving()
    server.capability = b"IMAP4rev1 UIDPLUS"
    server.at = "stored"
    outcomes = stored(on(server), text(1), text(2), text(3))
    assert outcomes[0].state is State.COPIED
    assert isinstance(outcomes[1].error, InDoubt)
    assert isinstance(outcomes[2].error, Transient)
    assert server.appended == [text(1), text(2)]


def test_a_bye_in_place_of_the_go_ahead_leaves_nothing_in_doubt(on: Make) -> None:
    server = Leaving()
    server.capability = b"IMAP4rev1 UIDPLUS"
    server.at = "literal"
    outcomes = stored(on(server), text(1), text(2), text(3))
    assert outcomes[0].state is State.COPIED
    assert [type(one.error) for one in outcomes[1:]] == [Transient, Transient]
    assert server.appended == [text(1)]
