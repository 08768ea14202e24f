"""What servers refuse: too large, no room, a message that cannot be delivered, content that is no mail; told per item."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.adapters.imap import fit
from migrator.adapters.spool import BufferContent
from migrator.errors import ItemError, JobError
from migrator.interfaces import Target, Wanted
from migrator.model import Checkpoint, Flag, Folder, Format, Item, Kind, Outcome, SkipReason, State
from migrator.settings import Limits
from migrator.wrappers.retry import Patience, RetryingSource
from tests.adapters.imap_kit import closing, cyrus, dovecot  # noqa: F401 - fixtures
from tests.contracts.samples import MOMENT, mails
from tests.servers import imap_servers as servers


class SmoothClock(servers.SystemClock):
    def sleep(self, seconds: float) -> None:
        """No test waits."""


QUOTA = """
mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = count:user
  quota_vsizes = yes
  quota_rule = *:storage=400K
  quota_max_mail_size = 100K
}
"""


@pytest.fixture(scope="module")
def narrow() -> Iterator[servers.Server]:
    """A Dovecot with little room."""
    if not list(Path("/usr/lib").glob("**/lib10_quota_plugin.so")):
        servers.missing("Dovecot's quota plugin")
    with servers.short_folder("dq") as folder, servers.dovecot(folder, more=QUOTA) as server:
        yield server


def items(*octets: bytes) -> list[Item]:
    (sample,) = mails(1)
    ref = sample.ref()
    return [
        Item(
            replace(ref, id=f"s{n}"),
            Format.MIME,
            BufferContent([one], len(one)),
            frozenset({Flag.SEEN}),
            origin="x",
        )
        for n, one in enumerate(octets)
    ]


def inbox(target: Target) -> Folder:
    return target.ensure_folder(("Inbox",), Kind.MAIL)


def states(outcomes: list[Outcome]) -> list[str]:
    return [
        str(outcome.reason or str(getattr(outcome.error, "code", "")) or outcome.state.value)
        for outcome in outcomes
    ]


def open_target(server: servers.Server, closing: contextlib.ExitStack) -> Target:  # noqa: F811
    client = servers.client_of(server)
    closing.callback(client.close)
    return client.target(servers.box(server.new_user()))


def mail(size: int) -> bytes:
    return b"Subject: sized\r\n\r\n" + b"x" * 60 * (size // 60) + b"\r\n"


def test_a_message_above_the_servers_size_stands_alone(
    narrow: servers.Server,
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """The three are sent as one MULTIAPPEND, which the server refuses as a whole: the two that fit are sent by themselves."""
    target = open_target(narrow, closing)
    outcomes = target.store(inbox(target), items(mail(2_000), mail(150_000), mail(3_000)))
    assert [outcome.state for outcome in outcomes] == [State.COPIED, State.SKIPPED, State.COPIED]
    assert outcomes[1].reason is SkipReason.TOO_LARGE


def test_a_refusal_in_one_folder_is_not_that_of_the_others(
    narrow: servers.Server,
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    target = open_target(narrow, closing)
    target.probe()
    target.folders()
    target.prepare_folders([Wanted((name,), Kind.MAIL) for name in ("A", "B", "C")])
    folders = [target.ensure_folder((name,), Kind.MAIL) for name in ("A", "B", "C")]
    contents = [items(mail(300), mail(400)), items(mail(300), mail(150_000)), items(mail(500))]
    results = target.store_all(list(zip(folders, contents, strict=True)))
    assert [states(outcomes) for outcomes in results] == [["copied"] * 2, ["copied", "too_large"], ["copied"]]
    assert [len(target.page(folder, None).refs) for folder in folders] == [2, 1, 1]
    # And when there is no room any more, that is told of each.
    full = target.store_all([(folder, items(*[mail(99_000)] * 3)) for folder in folders])
    ends = [state for outcomes in full for state in states(outcomes)]
    assert "quota_full" in ends
    stored = sum(state == "copied" for state in ends)
    assert sum(len(target.page(folder, None).refs) for folder in folders) == 4 + stored


def test_a_full_mailbox_stops_the_mailbox(narrow: servers.Server, closing: contextlib.ExitStack) -> None:  # noqa: F811
    target = open_target(narrow, closing)
    folder = inbox(target)
    kept = target.store(folder, items(*[mail(90_000)] * 4))
    assert [outcome.state for outcome in kept] == [State.COPIED] * 4
    with pytest.raises(JobError) as full:
        target.store(folder, items(mail(90_000), mail(80_000)))
    assert full.value.code == "quota_full"
    assert len(target.page(folder, None).refs) == 4  # all or none


def test_what_cyrus_refuses_is_what_is_mended(
    cyrus: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """Each of these is refused by the server as it is, and stored once `fit` has been over it."""
    odd = [
        b"Subject: bare\n\nline\nfeeds\n",
        b"Subject: nul\r\n\r\na\x00b\r\n",
    ]
    client = servers.client_of(cyrus)
    closing.callback(client.close)
    box = servers.box(cyrus.new_user())
    wire = client.door.open(client.shared(box).account)
    for each in odd:
        assert fit.unfit(each)
        said, _ = wire.ask(b"APPEND INBOX {%d+}\r\n" % len(each), each)
        assert said.status == b"NO", (each, said)
    wire.close()
    target = client.target(box)
    outcomes = target.store(inbox(target), items(*odd))
    assert [outcome.state for outcome in outcomes] == [State.COPIED] * 2, states(outcomes)
    assert all(outcome.notes for outcome in outcomes)


def test_only_what_was_refused_is_mended(
    cyrus: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """In a batch that is refused as a whole, and alone; what is fit goes as it is."""
    client = servers.client_of(cyrus)
    closing.callback(client.close)
    target = client.target(servers.box(cyrus.new_user()))
    folder = inbox(target)
    bare = b"Subject: bare\n\nline\nfeeds\n"
    outcomes = target.store(folder, items(mail(300), bare, mail(200)))
    outcomes += target.store(folder, items(bare))
    assert [outcome.state for outcome in outcomes] == [State.COPIED] * 4, states(outcomes)
    assert [outcome.notes for outcome in outcomes] == [(), ("line_ends_mended",), (), ("line_ends_mended",)]


def test_who_does_not_mind_line_ends_gets_the_message_as_it_is(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    target = open_target(dovecot, closing)
    folder = inbox(target)
    outcomes = target.store(folder, items(b"Subject: bare\n\nline\nfeeds\n", mail(200)))
    assert [(outcome.state, outcome.notes) for outcome in outcomes] == [(State.COPIED, ())] * 2
    (item, _) = target.export(list(target.page(folder, None).refs), Format.MIME)
    assert isinstance(item, Item)
    assert b"".join(item.content.pieces()) == b"Subject: bare\r\n\r\nline\r\nfeeds\r\n"


def test_an_update_that_a_lost_answer_left_behind_is_not_stored_again_for_its_line_ends(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """Dovecot gives out CR LF for the bare line ends that it was given: the same message still."""
    target = open_target(dovecot, closing)
    folder = inbox(target)
    (old,) = target.store(folder, items(b"Subject: first\n\nline\n"))
    changed = items(b"Subject: second\n\nline\nfeeds\n")
    target.store(folder, changed)  # as an earlier try would have left it
    (outcome,) = target.store(folder, changed, [(old.target_id, old.target_version)])
    assert outcome.state is State.COPIED
    assert len(target.page(folder, None).refs) == 1


def test_a_message_that_cannot_be_delivered_stands_alone(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """Its file is damaged on the server's disk; the others come, this one is told."""
    user = dovecot.new_user()
    raw = dovecot.raw(user)
    for n in range(6):
        raw.append("INBOX", b"Subject: n%d\r\n\r\nbody\r\n" % n, (), MOMENT)
    raw.logout()
    client = servers.client_of(dovecot)
    closing.callback(client.close)
    source = client.source(servers.box(user))
    folder = next(one for one in source.folders() if one.path == ("Inbox",))
    refs = source.page(folder, None).refs
    files = sorted((dovecot.folder / "mail" / user).rglob("u.*"), key=lambda file: int(file.name[2:]))
    assert len(files) == 6
    files[3].write_bytes(b"this is no message of the store\n")
    # Dovecot drops the connection over it, which is repeated as ever: with others round it, then alone.
    patience = Patience(Limits(), SmoothClock())
    found = RetryingSource(source, patience).export(refs, Format.MIME)
    assert [isinstance(one, Item) for one in found] == [True, True, True, False, True, True]
    bad = found[3]
    assert isinstance(bad, Outcome)
    assert isinstance(bad.error, ItemError) or bad.reason is SkipReason.VANISHED, bad
    assert isinstance(source.page(folder, None).checkpoint, Checkpoint)
