"""What goes wrong between us and a real server: broken connections, a server that dies, folders made anew, items that vanish."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from migrator import assembly
from migrator.model import Item, SkipReason, State
from migrator.plan.manifest import read_manifest
from migrator.plan.planner import make_plan
from migrator.plan.project import load_project
from tests.adapters.imap_kit import closing, dovecot  # noqa: F401 - fixtures
from tests.contracts.samples import mails
from tests.contracts.source import folder_of, listed
from tests.servers import imap_servers as servers
from tests.servers.cut_proxy import CutProxy

SLOW = bool(os.environ.get("MIGRATOR_SLOW"))
CLEAR = "limits = { tries = 60, give_up_s = 60.0, timeout_s = 20.0 }"


class Clock:
    """Real, but no wait is long."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.2))


def run(folder: Path, *, force: frozenset[str] = frozenset()) -> int:
    project = load_project(folder)
    jobs = make_plan(project, read_manifest(project.manifest)).jobs
    settings = project.settings(force=force or None, retry_failed=True)
    return assembly.run(project, jobs, settings, lambda event: None, clock=Clock())


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAP_PASSWORD", servers.PASSWORD)


def through(proxy: CutProxy) -> str:
    return (
        f'kind = "imap"\nurl = "imap://127.0.0.1:{proxy.port}"\nusername = "any"\n'
        f'secret = "env:IMAP_PASSWORD"\n{CLEAR}'
    )


@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_broken_connections_lose_and_double_nothing(
    side: str,
    dovecot: servers.Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    old, new = dovecot.new_user(), dovecot.new_user()
    servers.hard_mailbox(dovecot, old, items=40 if SLOW else 15)
    seed = int.from_bytes(os.urandom(3), "big")
    direct = servers.table(dovecot) + "\n" + CLEAR
    with CutProxy(dovecot.port) as one, CutProxy(dovecot.port) as two:
        if side != "target":
            one.cut_at_random(12 if SLOW else 4, seed, answers=40_000, requests=1_500)
        if side != "source":
            two.cut_at_random(12 if SLOW else 4, seed + 1, answers=2_000, requests=8_000)
        folder = servers.project(
            tmp_path / "p",
            through(one) if side != "target" else direct,
            through(two) if side != "source" else direct,
            [(old, new)],
            batch_items=7,
        )
        for _ in range(8):
            code = run(folder)
            if code == 0:
                break
        cuts = one.cuts + two.cuts
    assert code == 0, f"seed {seed}"
    assert cuts >= 1, f"seed {seed}"
    assert servers.picture(dovecot, new) == servers.picture(dovecot, old), f"seed {seed}"


def test_a_server_that_dies_at_both_ends_is_survived(tmp_path: Path) -> None:
    with servers.short_folder("dk") as place:
        server = servers.dovecot(place, fsync="optimized")
        try:
            servers.hard_mailbox(server, "ada", items=60)
            table = servers.table(server) + "\n" + CLEAR
            folder = servers.project(tmp_path / "p", table, table, [("ada", "bob")], batch_items=5)
            deaths = 0
            ended: list[int] = []

            def work() -> None:
                for _ in range(6):
                    code = run(folder)
                    if code == 0:
                        ended.append(code)
                        return

            worker = threading.Thread(target=work)
            worker.start()
            while worker.is_alive() and deaths < (8 if SLOW else 3):
                worker.join(0.35 if deaths else 0.05)  # a quick machine is done in a moment
                if worker.is_alive():
                    server.restart()
                    deaths += 1
            worker.join(120)
            assert ended == [0]
            assert deaths >= 1
            assert servers.picture(server, "bob") == servers.picture(server, "ada")
        finally:
            server.stop()


def test_a_folder_made_anew_is_not_copied_twice(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    """A new UIDVALIDITY voids every id; what is the same is known by what it is."""
    old, new = dovecot.new_user(), dovecot.new_user()
    raw = dovecot.raw(old)
    path = ("Work",)
    messages = [(sample.mime(), (b"\\Seen",), sample.received) for sample in mails(30, path)]
    servers.fill(raw, dovecot, path, messages)
    table = servers.table(dovecot)
    folder = servers.project(tmp_path / "p", table, table, [(old, new)])
    assert run(folder) == 0
    raw.rename_folder("Work", "Gone")
    raw.delete_folder("Gone")
    servers.fill(
        raw, dovecot, path, [*messages, (mails(1, path, start=500)[0].mime(), (), mails(1)[0].received)]
    )
    assert run(folder) == 0
    assert servers.picture(dovecot, new) == servers.picture(dovecot, old)


def test_what_vanishes_while_it_is_copied_is_skipped(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    user = dovecot.new_user()
    seeded = servers.seeded(dovecot, mails(12), [], 5, closing)
    source = seeded.source
    del user
    folder = folder_of(source, ("Inbox",))
    page = source.page(folder, None)
    raw = dovecot.raw(source._shared.account.user)  # type: ignore[attr-defined]
    raw.select_folder("INBOX")
    raw.delete_messages(raw.search()[1:8])
    raw.expunge()
    results = source.export(page.refs, source.traits.formats[0])
    gone = [r for r in results if not isinstance(r, Item)]
    assert all((r.state, r.reason) == (State.SKIPPED, SkipReason.VANISHED) for r in gone)
    assert len(gone) == 4
    rest, _ = listed(source, folder, page.checkpoint)
    assert [ref.message_id for ref in rest] == [f"<mail-{n}@old.example>" for n in (8, 9, 10, 11)]


def test_a_large_folder_is_listed_and_resumed_in_pages(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    items = 100_000 if SLOW else 3_000
    user = dovecot.new_user()
    raw = dovecot.raw(user)
    start = mails(1)[0].received
    servers.fill(
        raw, dovecot, ("Inbox",), [(b"Message-ID: <%d@x>\r\n\r\nx\r\n" % n, (), start) for n in range(items)]
    )
    client = servers.client_of(dovecot)
    closing.callback(client.close)
    source = client.source(servers.box(user))
    folder = folder_of(source, ("Inbox",))
    assert folder.total == items
    seen: set[str] = set()
    after = None
    pages = 0
    while True:
        page = source.page(folder, after)
        after = page.checkpoint
        pages += 1
        seen |= {ref.message_id for ref in page.refs}
        if page.last:
            break
        if pages == 2:  # another process goes on
            source = client.source(servers.box(user))
    assert len(seen) == items
    assert pages >= items // 1000
    assert listed(source, folder, after)[0] == []


def test_many_folders(dovecot: servers.Server, closing: contextlib.ExitStack) -> None:  # noqa: F811
    count = 10_000 if SLOW else 400
    user = dovecot.new_user()
    client = servers.client_of(dovecot)
    closing.callback(client.close)
    wire = client.target(servers.box(user))._box.wire()  # type: ignore[attr-defined]
    for start in range(0, count, 200):
        tags = [wire.begin(b'CREATE "f%d|g%d"' % (n // 100, n)) for n in range(start, start + 200)]
        wire.flush()
        wire.finish(*tags)
    wire.close()
    source = client.source(servers.box(user))
    folders = source.folders()
    assert len({folder.id for folder in folders}) == len(folders) >= count
    began = time.monotonic()
    for folder in folders:
        assert source.page(folder, None).last
    # Their status came with the list: no round trip for an empty folder.
    assert time.monotonic() - began < 5


def test_a_message_that_breaks_the_connection_stands_alone(
    dovecot: servers.Server,  # noqa: F811
    closing: contextlib.ExitStack,  # noqa: F811
) -> None:
    """As a server does whose process dies over one damaged message."""
    seeded = servers.seeded(dovecot, mails(6), [], None, closing)
    source = seeded.source
    folder = folder_of(source, ("Inbox",))
    refs, _ = listed(source, folder)
    bad = refs[3].id

    from migrator.adapters.imap.source import ImapSource
    from migrator.adapters.imap.wire import Lost
    from migrator.errors import ItemError, Transient

    assert isinstance(source, ImapSource)
    take = source._take
    number = bad.split("/")[1].encode()

    def dies(pieces):  # type: ignore[no-untyped-def]
        if b"UID " + number + b" " in pieces[0] and b"BODY[]" in pieces[0]:
            assert source._box._wire is not None
            source._box._wire.dead = True
            raise Lost("closed")
        take(pieces)

    source._take = dies  # type: ignore[method-assign]
    results: dict[str, object] = {}
    left = list(refs)
    for _ in range(8):
        try:
            got = source.export(left, source.traits.formats[0])
        except Transient:
            continue
        again = []
        for ref, result in zip(left, got, strict=True):
            if isinstance(result, Item) or not isinstance(result.error, Transient):
                results[ref.id] = result
            else:
                again.append(ref)
        left = again
        if not left:
            break
    assert left == []
    assert [isinstance(results[ref.id], Item) for ref in refs] == [ref.id != bad for ref in refs]
    assert isinstance(getattr(results[bad], "error", None), ItemError)
