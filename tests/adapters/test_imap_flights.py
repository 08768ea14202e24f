"""What is asked for before its turn: that it saves round trips, and that nothing rests on it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.adapters.imap.source import ImapSource
from migrator.adapters.imap.wire import Lost, Tagged, Wire
from migrator.adapters.spool import BufferContent
from migrator.errors import InDoubt, ItemError, JobError
from migrator.interfaces import Expected, Source, Target, Wanted
from migrator.model import Checkpoint, Folder, Format, Item, Kind, Outcome, SkipReason, State
from migrator.settings import Limits
from migrator.wrappers.retry import Patience, RetryingSource
from tests.adapters.imap_kit import dovecot, plain_dovecot, pymap  # noqa: F401 - fixtures
from tests.adapters.test_imap_odd import Make, Parts, Setting, Swift, body, on  # noqa: F401 - fixture
from tests.adapters.test_imap_pairs import password, run, totals  # noqa: F401 - fixture
from tests.contracts.samples import MOMENT, mails
from tests.servers import imap_servers as servers
from tests.servers.small_imap import Gone, Line, SmallServer

NAMES = ("a", "b", "c", "d")
Batches = list[tuple[Folder, list[Item]]]


def text(box: str, uid: int, size: int = 40) -> bytes:
    return b"Message-ID: <%d@%s>\r\nSubject: n\r\n\r\n%s\r\n" % (uid, box.encode(), box.encode() * size)


class Boxes(SmallServer):
    """Several folders whose messages have the same UIDs. Each connection has its own folder open."""

    def __init__(self, count: int = 3, names: Sequence[str] = NAMES) -> None:
        self.boxes = {name: {uid: text(name, uid) for uid in range(1, count + 1)} for name in names}
        self._connection = threading.local()  # each is served by a thread of its own
        super().__init__()

    @property
    def open(self) -> str:
        return getattr(self._connection, "open", "")

    @property
    def messages(self) -> dict[int, bytes]:
        return self.boxes.get(self.open, {})

    @messages.setter
    def messages(self, given: dict[int, bytes]) -> None:
        """What a server with one folder holds: not this one."""

    def on_list(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if b'""' in parts[0][6:]:
            return super().on_list(line, parts, tag)
        line.send(b"".join(b'* LIST () "/" "%s"\r\n' % name.encode() for name in self.boxes))
        return None

    def on_lsub(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        return None

    def on_status(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        name = parts[0].split(b'"')[1].decode()
        now = (len(self.boxes[name]), max(self.boxes[name], default=0) + 1)
        line.send(b'* STATUS "%s" (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)\r\n' % (name.encode(), *now))
        return None

    def on_examine(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        self._connection.open = parts[0].split(b'"')[1].decode()
        return super().on_examine(line, parts, tag)


def patient(source: Source) -> RetryingSource:
    return RetryingSource(source, Patience(Limits(tries=8), Swift()))


def folders_of(source: Source) -> list[Folder]:
    return [one for one in source.folders() if one.id in NAMES]


def read(
    source: Source, order: Sequence[str] = NAMES, *, whole: bool = True, expected: Sequence[str] = NAMES
) -> dict[str, list[Item | Outcome]]:
    """All of the folders in this order, after another one was announced."""
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(by_id[name], whole) for name in expected])
    found: dict[str, list[Item | Outcome]] = {}
    for name in order:
        page = source.page(by_id[name], None)
        assert page.last
        assert len({ref.id for ref in page.refs}) == len(page.refs)
        found[name] = [one for ref in page.refs for one in source.export([ref], Format.MIME)]
    return found


def assert_exact(found: dict[str, list[Item | Outcome]], server: Boxes) -> None:
    assert {name: [body(one) for one in results] for name, results in found.items()} == {
        name: list(server.boxes[name].values()) for name in found
    }


def commands(server: SmallServer, word: bytes) -> int:
    return sum(line.upper().startswith(word) for line in server.lines)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("count", [1, 30], ids=["mixed", "apart"])
def test_each_folder_gets_its_own_messages(on: Make, whole: bool, count: int) -> None:  # noqa: F811
    """The UIDs are the same in all of them: an answer that is taken for another folder's would show."""
    server = Boxes(count)
    found = read(on(server).source, whole=whole)
    assert_exact(found, server)
    assert server.connections == 1
    assert commands(server, b"UID FETCH") == (8 if whole else commands(server, b"UID FETCH"))


@pytest.mark.parametrize(
    "order", ["dcba", "acbd", "bb", "aab", "ad", "db"], ids=lambda order: f"read-{order}"
)
@pytest.mark.parametrize("whole", [True, False])
def test_whoever_reads_otherwise_than_he_said_gets_what_he_reads(on: Make, order: str, whole: bool) -> None:  # noqa: F811
    server = Boxes()
    assert_exact(read(on(server).source, order, whole=whole), server)


def test_one_who_strays_again_and_again_is_not_believed(on: Make) -> None:  # noqa: F811
    server = Boxes(names=[*"abcdefghij"])
    source = on(server).source
    source.probe()
    by_id = {one.id: one for one in source.folders()}
    source.expect([Expected(by_id[name], True) for name in "abcdefghij"])
    for name in "jihgfedcba":
        (*_, ref) = source.page(by_id[name], None).refs
        (item,) = source.export([ref], Format.MIME)
        assert body(item) == text(name, 3)
    assert server.connections <= 5


def test_what_is_given_up_is_closed(on: Make) -> None:  # noqa: F811
    """A connection with answers under way is of no use to another handle of the mailbox."""
    server = Boxes()
    setting = on(server)
    source = setting.source
    source.probe()
    source.expect([Expected(one, True) for one in folders_of(source)])
    source.close()
    assert_exact(read(setting.source), server)
    assert server.connections == 2


class Refusing(Boxes):
    """Does not deliver one message of "b"."""

    how = b"NO cannot read"

    def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
        if whole and self.open == "b" and uid == 2:
            if self.how == b"NIL":
                line.send(b"* 2 FETCH (UID 2 FLAGS () BODY[] NIL)\r\n")
                return None
            if self.how == b"gone":
                self.messages.pop(2)
                return None
            return self.how or None
        return super().fetch(line, uid, whole)


@pytest.mark.parametrize(
    "how", [b"NO cannot read", b"NIL", b"", b"gone"], ids=["no", "nil", "silent", "gone"]
)
@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "alone"])
def test_a_message_that_does_not_come_stands_alone(on: Make, how: bytes, ahead: bool) -> None:  # noqa: F811
    """One that the server still lists has failed; only one that it lists no more has vanished."""
    server = Refusing()
    server.how = how
    found = read(on(server).source, expected=NAMES if ahead else ())
    first, bad, last = found.pop("b")
    assert_exact(found, server)
    assert (body(first), body(last)) == (text("b", 1), text("b", 3))
    assert isinstance(bad, Outcome)
    if how == b"gone":
        assert (bad.state, bad.reason) == (State.SKIPPED, SkipReason.VANISHED)
    else:
        assert bad.state is State.FAILED
        assert isinstance(bad.error, ItemError)
        assert bad.error.code == "undeliverable"


class Lacking(Boxes):
    """Lists a folder that it does not open."""

    def on_examine(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        if b'"b"' in parts[0]:  # and the last one stays open: FETCH goes on about that, against the RFC
            return b"NO [NONEXISTENT] no such folder"
        return super().on_examine(line, parts, tag)


def test_a_folder_that_cannot_be_opened_is_not_taken_for_the_one_before(on: Make) -> None:  # noqa: F811
    server = Lacking()
    source = on(server).source
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(one, True) for one in by_id.values()])
    source.page(by_id["a"], None)
    with pytest.raises(JobError) as caught:
        source.page(by_id["b"], None)
    assert caught.value.code == "folder_gone"
    page = source.page(by_id["c"], None)
    assert [body(one) for one in source.export(page.refs, Format.MIME)] == list(server.boxes["c"].values())


class Shuffling(Boxes):
    """Answers an EXAMINE before the FETCH that was sent before it, against the RFC."""

    held: bytes = b""

    def on_uid_fetch(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        said = super().on_uid_fetch(line, parts, tag)
        if b"BODY.PEEK[]" in parts[0] and len(self.lines) < 12:
            self.held = tag
            return b""
        return said

    def after(self, line: Line) -> None:
        if self.held and self.lines[-1].startswith(b"EXAMINE"):
            line.send(self.held + b" OK late\r\n")
            self.held = b""


def test_answers_across_an_examine_are_not_believed(on: Make) -> None:  # noqa: F811
    server = Shuffling()
    assert_exact(read(patient(on(server).source)), server)


class Breaking(Boxes):
    """The connection breaks in the midst of a body, once in each folder."""

    broken: frozenset[str] = frozenset()

    def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
        if whole and uid == 2 and self.open not in self.broken:
            self.broken |= {self.open}
            line.send(self.told(uid, whole)[:-30])
            raise Gone
        return super().fetch(line, uid, whole)


def test_a_connection_that_breaks_takes_nothing_with_it(on: Make) -> None:  # noqa: F811
    server = Breaking()
    assert_exact(read(patient(on(server).source)), server)
    assert server.broken == {*NAMES}


class Renewing(Boxes):
    """A folder is made anew between its listing and its content."""

    validity = 7

    def on_examine(self, line: Line, parts: Parts, tag: bytes) -> bytes | None:
        said = super().on_examine(line, parts, tag)
        line.send(b"* OK [UIDVALIDITY %d] .\r\n" % self.validity)
        return said


def test_a_folder_made_anew_is_not_taken_for_the_old_one(on: Make) -> None:  # noqa: F811
    server = Renewing()
    source = on(server).source
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(by_id["a"], False)])
    refs = source.page(by_id["a"], None).refs
    source.page(by_id["c"], None)
    server.validity = 8
    results = source.export(refs, Format.MIME)
    assert {one.reason for one in results if isinstance(one, Outcome)} == {SkipReason.VANISHED}
    assert len(results) == 3


@pytest.mark.parametrize("ahead", [True, False])
def test_the_checkpoint_is_the_same_however_it_was_listed(on: Make, ahead: bool) -> None:  # noqa: F811
    """Without QRESYNC it holds UIDs and a digest of the flags: made of the listing, and found again by the server's own."""
    server = Boxes()
    source = on(server).source
    source.probe()
    folder = folders_of(source)[0]
    source.expect([Expected(folder, True)] if ahead else [])
    after: Checkpoint | None = source.page(folder, None).checkpoint
    asked = len(server.lines)
    page = source.page(folder, after)
    assert (page.refs, page.last) == ((), True)
    assert not any(b"RFC822.SIZE" in line for line in server.lines[asked:])
    server.boxes["a"].pop(2)
    gone = source.page(folder, page.checkpoint).refs
    assert [ref.id for ref in gone if ref.gone] == ["7/2/a"]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("portion", [10, 4])
def test_large_folders_come_page_by_page(on: Make, whole: bool, portion: int) -> None:  # noqa: F811
    server = Boxes(35)
    for uid in (3, 4, 9, 20, 21, 22, 30):  # gaps
        server.boxes["b"].pop(uid)
    server.boxes["c"] = {uid: text("c", uid) for uid in range(1, 4)}
    setting: Setting = on(server, page_items="10")
    source = setting.source
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(by_id[name], whole) for name in NAMES])
    for name in NAMES:
        bodies = [body(one) for one in paged(source, by_id[name], portion)]
        assert bodies == list(server.boxes[name].values())
    assert server.connections == 1


def paged(source: Source, folder: Folder, portion: int = 100) -> Iterator[Item | Outcome]:
    after: Checkpoint | None = None
    while True:
        page = source.page(folder, after)
        for start in range(0, len(page.refs), portion):
            yield from source.export(page.refs[start : start + portion], Format.MIME)
        after = page.checkpoint
        if page.last:
            return


def test_pages_that_are_left_for_another_folder_are_found_again(on: Make) -> None:  # noqa: F811
    server = Boxes(35)
    source = on(server, page_items="10").source
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(one, True) for one in by_id.values()])
    both = [paged(source, by_id["a"], 3), paged(source, by_id["b"], 3)]
    found: list[list[bytes]] = [[], []]
    for _ in range(35):
        for one, mine in zip(both, found, strict=True):
            mine.append(body(next(one)))
    assert found == [list(server.boxes[name].values()) for name in "ab"]


def test_a_connection_that_breaks_between_pages(on: Make) -> None:  # noqa: F811
    class Twice(Boxes):
        breaks = 2

        def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
            if uid in (15, 27) and whole and self.breaks:
                self.breaks -= 1
                raise Gone
            return super().fetch(line, uid, whole)

    server = Twice(35)
    source = patient(on(server, page_items="10").source)
    source.probe()
    folder = folders_of(source)[0]
    source.expect([Expected(folder, True)])
    assert [body(one) for one in paged(source, folder)] == list(server.boxes["a"].values())
    assert not server.breaks


# -------------------------------------------------------------- round trips


class Trips:
    """Round trips by logic, not by time: an answer comes one trip after its command has left, and whoever reads it is there then.

    Counted by thread, from the end of its first sign-in.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at: dict[str, int] = {}
        sent: dict[tuple[int, bytes], int] = {}
        flush, take = Wire.flush, Wire.next

        def flushed(wire: Wire) -> None:
            now = self.at.setdefault(threading.current_thread().name, 0)
            for tag in wire.open:
                sent.setdefault((id(wire), tag), now)
            flush(wire)

        def taken(wire: Wire) -> Any:
            response = take(wire)
            if isinstance(response, bytes):
                name = threading.current_thread().name
                left = sent.pop((id(wire), response), 0)
                self.at[name] = max(self.at.get(name, 0), left + 1)
            return response

        patch.setattr(Wire, "flush", flushed)
        patch.setattr(Wire, "next", taken)

    def of(self, start: str) -> list[int]:
        return [trips for name, trips in self.at.items() if name.startswith(start)]


def item_of(content: bytes, number: int) -> Item:
    (sample,) = mails(1)
    return Item(
        replace(sample.ref(), id=f"s{number}"),
        Format.MIME,
        BufferContent([content], len(content)),
        origin="x",
    )


def filled(server: servers.Server, folders: int, each: int = 6) -> str:
    user = server.new_user()
    raw = server.raw(user)
    for number in range(folders):
        path = (f"Folder {number}",) if number else ("Inbox",)
        batch = [
            (text(f"f{number}", uid), servers.FLAG_SETS[uid % len(servers.FLAG_SETS)], MOMENT)
            for uid in range(each)
        ]
        servers.fill(raw, server, path, batch)
    raw.logout()
    return user


@pytest.mark.parametrize("folders", [3, 9])
def test_a_first_run_takes_as_many_trips_for_many_folders_as_for_few(
    dovecot: servers.Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folders: int,
) -> None:
    old, new = filled(dovecot, folders), dovecot.new_user()
    before = servers.picture(dovecot, old)
    table = servers.table(dovecot)
    project = servers.project(tmp_path / "project", table, table, [(old, new)])
    trips = Trips(monkeypatch)
    result = run(project, "run")
    assert result.exit_code == 0, result.output
    assert servers.picture(dovecot, new) == before
    assert totals(project)["copied"] == folders * 6
    # NAMESPACE with LIST; folders made and subscribed, while the source opens, lists and reads all of its own.
    assert max(trips.of("mailbox")) == 2, trips.at
    # NAMESPACE with LIST.
    assert max(trips.of("probe")) == 1, trips.at
    # A SELECT leaves with its APPEND: no more than one for each folder, whoever uploads.
    assert sum(trips.of("upload")) <= folders, trips.at


@pytest.mark.parametrize("server", ["dovecot", "plain_dovecot", "pymap"])
def test_the_mark_of_a_new_folder_is_known_without_a_question(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: servers.Server = request.getfixturevalue(server)
    client = servers.client_of(there)
    target = client.target(servers.box(there.new_user()))
    target.prepare_folders([Wanted(("New",), Kind.MAIL)])
    folder = target.ensure_folder(("New",), Kind.MAIL)
    trips = Trips(monkeypatch)
    mark = target.mark(folder)
    assert not trips.at
    assert target.mark(folder) == mark  # as the server tells, which is asked this time
    assert trips.at
    target.store(folder, [item_of(text("new", 1), 1)])
    page = target.page(folder, mark)
    assert ([ref.message_id for ref in page.refs], page.last) == (["<1@new>"], True)
    client.close()


@contextlib.contextmanager
def batches_for(server: servers.Server, folders: int, each: int) -> Iterator[tuple[Target, Batches]]:
    """A target whose folders are made, and items for each of them."""
    with contextlib.closing(servers.client_of(server)) as client:
        target = client.target(servers.box(server.new_user()))
        paths = [(f"Folder {n}",) for n in range(folders)]
        target.probe()
        target.prepare_folders([Wanted(path, Kind.MAIL) for path in paths])
        yield (
            target,
            [
                (
                    target.ensure_folder(path, Kind.MAIL),
                    [item_of(text(path[0], uid), uid) for uid in range(each)],
                )
                for path in paths
            ],
        )


def stored(target: Target, batches: Batches) -> list[int]:
    return [len(target.page(folder, None).refs) for folder, _ in batches]


def test_several_folders_are_one_trip(
    dovecot: servers.Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with batches_for(dovecot, 7, 3) as (target, batches):
        trips = Trips(monkeypatch)
        results = target.store_all(batches)
        assert {outcome.state for outcomes in results for outcome in outcomes} == {State.COPIED}
        assert max(trips.at.values()) == 1
        assert stored(target, batches) == [3] * 7


def test_a_flight_that_breaks_off_leaves_in_doubt_only_what_was_not_answered(
    dovecot: servers.Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish, answered = Wire.finish, list[Tagged]()

    def broken(wire: Wire, *tags: bytes) -> Any:
        said, untagged = finish(wire, *tags)
        answered.extend(one for one in said if one.code == b"APPENDUID")
        if len(answered) == 3:
            raise Lost("closed")
        return said, untagged

    with batches_for(dovecot, 5, 1) as (target, batches):
        monkeypatch.setattr(Wire, "finish", broken)
        results = target.store_all(batches)
        monkeypatch.setattr(Wire, "finish", finish)
        assert [outcome.state for (outcome,) in results[:2]] == [State.COPIED] * 2
        assert all(isinstance(outcome.error, InDoubt) for (outcome,) in results[2:])
        # What is in doubt is there: nothing may be sent again before somebody has looked.
        assert stored(target, batches) == [1] * 5


def test_pages_of_a_large_folder_share_trips(
    dovecot: servers.Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a word of what will be read each page takes two: its listing, its bodies."""
    user = filled(dovecot, 1, each=95)
    mail = servers.client_of(dovecot, options={"page_items": "10"})

    def trips_of(whole: bool, told: bool) -> int:
        source = mail.source(servers.box(user))
        source.probe()
        (folder,) = (one for one in source.folders() if one.total)
        with monkeypatch.context() as patch:
            trips = Trips(patch)
            source.expect([Expected(folder, whole)] if told else [])
            assert [body(one) for one in paged(source, folder)] == [text("f0", uid) for uid in range(95)]
        source.close()
        return max(trips.of("MainThread"))

    assert trips_of(whole=False, told=False) >= 20
    assert trips_of(whole=False, told=True) <= 14
    assert trips_of(whole=True, told=True) <= 8
    mail.close()


def test_a_second_run_with_nothing_to_do_takes_one(
    dovecot: servers.Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = filled(dovecot, 4), dovecot.new_user()
    table = servers.table(dovecot)
    project = servers.project(tmp_path / "project", table, table, [(old, new)])
    assert run(project, "run").exit_code == 0
    trips = Trips(monkeypatch)
    assert run(project, "run").exit_code == 0
    assert max(trips.of("mailbox")) == 1, trips.at
    assert max(trips.of("probe")) == 1, trips.at
    assert not trips.of("upload"), trips.at


def test_what_is_left_open_ahead_does_no_harm(on: Make) -> None:  # noqa: F811
    """folders() in between, as the engine asks for when a folder seems gone."""
    server = Boxes()
    source = on(server).source
    source.probe()
    by_id = {one.id: one for one in folders_of(source)}
    source.expect([Expected(one, True) for one in by_id.values()])
    first = source.page(by_id["a"], None)
    assert isinstance(source, ImapSource)
    assert {one.id for one in folders_of(source)} == set(NAMES)
    results = source.export(first.refs, Format.MIME)
    assert [body(one) for one in results] == list(server.boxes["a"].values())
