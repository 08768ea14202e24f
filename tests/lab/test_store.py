"""The store and its change log: what both simulated services rest on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from migrator.lab.changes import START, ChangeKind, ChangeLog, Position
from migrator.lab.clock import LabClock
from migrator.lab.persist import load, save
from migrator.lab.store import (
    BadFolderName,
    CorruptStream,
    Facts,
    FolderExists,
    FolderFull,
    FolderNotFound,
    FolderProtected,
    ItemNotFound,
    LabFolder,
    LabItem,
    LabMailbox,
    MailboxNotFound,
    QuotaExceeded,
    StaleChangeKey,
    Store,
    TooLarge,
    describe,
)
from migrator.lab.world import World
from migrator.mapi import fasttransfer
from migrator.mapi.item import BINARY, INT32, STRING, Attachment, Message


@pytest.fixture
def store() -> Store:
    return Store("exchange", clock=LabClock(1_700_000_000.0))


@pytest.fixture
def box(store: Store) -> LabMailbox:
    return store.create_mailbox("ada@brightwater.example", "Ada", aliases=("office@brightwater.example",))


def add(
    folder: LabFolder, subject: str = "s", size: int = 100, *, read: bool = True, fai: bool = False
) -> LabItem:
    store = folder.mailbox.store
    return store.add_item(folder, bytes(size), facts=Facts(subject=subject, read=read), associated=fai)


def stream(subject: str = "Hello", flags: int = 0, body: bytes = b"") -> bytes:
    message = Message()
    p = message.properties
    p.set(0x001A, STRING, "IPM.Note")
    p.set(0x0037, STRING, subject)
    p.set(0x0E07, INT32, flags)
    p.set(0x300B, BINARY, b"k" * 16)
    attachment = Attachment()
    attachment.properties.set(0x0E21, INT32, 0)
    attachment.properties.set(0x3705, INT32, 1)
    attachment.properties.set(0x3701, BINARY, body)
    message.attachments = [attachment]
    return fasttransfer.write(message)


def drain(
    log: ChangeLog, position: Position, size: int, **how: bool
) -> tuple[list[tuple[str, int]], Position, int]:
    """All changes after a position, page by page; also how many pages."""
    found: list[tuple[str, int]] = []
    pages = 0
    last = False
    while not last:
        changes, position, last = log.walk(position, size, **how)
        assert len(changes) <= size
        found += [(kind.value, member) for kind, member in changes]
        pages += 1
    return found, position, pages


class TestMailboxes:
    def test_found_by_every_name_it_has(self, store: Store, box: LabMailbox) -> None:
        for name in ("ADA@brightwater.example", "office@Brightwater.example", box.guid, box.user_id):
            assert store.mailbox(name) is box

    def test_unknown_mailbox(self, store: Store) -> None:
        with pytest.raises(MailboxNotFound):
            store.mailbox("nobody@brightwater.example")

    def test_a_name_is_given_once(self, store: Store, box: LabMailbox) -> None:
        with pytest.raises(ValueError, match="already"):
            store.create_mailbox("Office@brightwater.example")

    def test_guids_are_the_same_in_every_process(self, box: LabMailbox) -> None:
        other = Store("exchange").create_mailbox(box.address)
        assert (other.guid, other.legacy_dn) == (box.guid, box.legacy_dn)

    def test_born_folders_carry_local_names_and_roles(self, store: Store) -> None:
        german = store.create_mailbox("g@brightwater.example", locale="de-DE")
        assert german.role("inbox").path == ("Posteingang",)
        assert german.role("SentItems").name == "Gesendete Elemente"
        assert german.role("calendar").folder_class == "IPF.Appointment"

    def test_services_are_born_with_other_folders(self) -> None:
        assert "archive" in Store("m365").create_mailbox("a@b.example").roles
        assert "archive" not in Store("exchange").create_mailbox("a@b.example").roles


class TestFolders:
    def test_siblings_differ_in_more_than_case(self, store: Store, box: LabMailbox) -> None:
        store.create_folder(box.visible_root, "Straße")
        with pytest.raises(FolderExists):
            store.create_folder(box.visible_root, "STRASSE")
        with pytest.raises(FolderExists):
            store.create_folder(box.visible_root, "inBOX")
        store.create_folder(box.role("inbox"), "Inbox")

    @pytest.mark.parametrize("name", ["", "x" * 256])
    def test_names_have_1_to_255_characters(self, store: Store, box: LabMailbox, name: str) -> None:
        with pytest.raises(BadFolderName):
            store.create_folder(box.visible_root, name)

    @pytest.mark.parametrize("name", ["a/b", "  x", "🚚", "y" * 255, "a\\b"])
    def test_hard_names_stay_as_they_are(self, store: Store, box: LabMailbox, name: str) -> None:
        folder = store.create_folder(box.visible_root, name)
        assert folder.path == (name,)
        assert box.by_path(name) is folder

    def test_rename_may_change_case_only(self, store: Store, box: LabMailbox) -> None:
        folder = store.create_folder(box.visible_root, "plans")
        store.rename_folder(folder, "Plans")
        assert box.by_path("plans").name == "Plans"

    def test_born_folders_are_protected(self, store: Store, box: LabMailbox) -> None:
        with pytest.raises(FolderProtected):
            store.delete_folder(box.role("inbox"))
        with pytest.raises(FolderProtected):
            store.rename_folder(box.role("sentitems"), "Out")

    def test_no_folder_below_itself(self, store: Store, box: LabMailbox) -> None:
        outer = store.create_folder(box.visible_root, "outer")
        inner = store.create_folder(outer, "inner")
        with pytest.raises(FolderNotFound):
            store.move_folder(outer, inner)

    def test_delete_takes_all_below_and_is_told(self, store: Store, box: LabMailbox) -> None:
        outer = store.create_folder(box.visible_root, "outer")
        inner = store.create_folder(outer, "inner")
        item = add(inner)
        _, position, _ = drain(box.hierarchy, START, 100)
        store.delete_folder(outer)
        found, _, _ = drain(box.hierarchy, position, 100)
        assert sorted(found) == sorted([("delete", outer.id), ("delete", inner.id)])
        assert box.octets == 0
        with pytest.raises(ItemNotFound):
            box.item(item.id)
        with pytest.raises(FolderNotFound):
            box.folder(inner.id)

    def test_soft_delete_finds_a_free_name(self, store: Store, box: LabMailbox) -> None:
        for parent in (box.visible_root, box.role("inbox")):
            store.delete_folder(store.create_folder(parent, "Old"), hard=False)
        assert {f.name for f in box.role("deleteditems").children.values()} == {"Old", "Old 2"}


class TestItems:
    def test_a_moved_item_is_a_new_item(self, store: Store, box: LabMailbox) -> None:
        item = add(box.role("inbox"))
        moved = store.move_item(item, box.role("deleteditems"))
        assert moved.id != item.id
        assert moved.stream() == item.stream()
        with pytest.raises(ItemNotFound):
            box.item(item.id)
        assert drain(box.role("inbox").log, START, 10)[0] == []
        assert drain(box.role("deleteditems").log, START, 10)[0] == [("create", moved.id)]

    def test_counts_follow_every_change(self, store: Store, box: LabMailbox) -> None:
        inbox, trash = box.role("inbox"), box.role("deleteditems")
        first, second = add(inbox, size=100, read=False), add(inbox, size=50)
        add(inbox, size=7, fai=True)
        assert (inbox.total, inbox.fai_total, inbox.unread, inbox.octets) == (2, 1, 1, 157)
        store.delete_item(first, how="trash")
        store.update_item(second, bytes(80), facts=second.facts)
        assert (inbox.total, inbox.unread, inbox.octets) == (1, 0, 87)
        assert (trash.total, trash.unread, trash.octets, box.octets) == (1, 1, 100, 187)

    def test_stale_change_is_refused(self, store: Store, box: LabMailbox) -> None:
        item = add(box.role("inbox"))
        known = item.change
        store.update_item(item, b"new", facts=Facts(), change=known)
        with pytest.raises(StaleChangeKey):
            store.update_item(item, b"newer", facts=Facts(), change=known)
        assert item.stream() == b"new"

    def test_copies_do_not_share_their_read_flag(self, store: Store, box: LabMailbox) -> None:
        item = store.add_item(box.role("inbox"), stream())
        copy = store.copy_item(item, box.role("deleteditems"))
        store.mark_read(item, True)
        assert item.read
        assert not copy.read

    def test_marking_read_changes_one_bit_of_the_stream(self, store: Store, box: LabMailbox) -> None:
        before = stream(flags=0x10, body=b"\x03\x00\x07\x0e\x10\x00\x00\x00" * 3)
        item = store.add_item(box.role("inbox"), before)
        store.mark_read(item, True)
        after = item.stream()
        assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(0x10, 0x11)]
        assert describe(after).read

    def test_marking_read_is_told_apart(self, store: Store, box: LabMailbox) -> None:
        item = store.add_item(box.role("inbox"), stream())
        _, position, _ = drain(item.folder.log, START, 10)
        store.mark_read(item, True)
        assert drain(item.folder.log, position, 10)[0] == [("read", item.id)]
        store.update_item(item, item.stream())
        assert drain(item.folder.log, position, 10)[0] == [("update", item.id)]

    def test_limits(self, store: Store, box: LabMailbox) -> None:
        inbox = box.role("inbox")
        box.max_receive_octets, box.quota_octets, store.folder_limit = 1000, 1500, 3
        with pytest.raises(TooLarge):
            add(inbox, size=1001)
        item = add(inbox, size=1000)
        with pytest.raises(QuotaExceeded):
            add(inbox, size=501)
        store.update_item(item, bytes(900), facts=item.facts)
        add(inbox, size=1)
        add(inbox, size=1)
        with pytest.raises(FolderFull) as caught:
            add(inbox, size=1)
        assert caught.value.code == "ErrorQuotaExceeded"
        assert (inbox.total, box.octets) == (3, 902)

    def test_a_broken_stream_is_refused(self, store: Store, box: LabMailbox) -> None:
        with pytest.raises(CorruptStream):
            store.add_item(box.role("inbox"), stream()[:-3])
        assert box.octets == 0

    def test_facts_come_from_the_stream(self, store: Store, box: LabMailbox) -> None:
        item = store.add_item(box.role("inbox"), stream("Grüße", flags=8 | 1))
        facts = item.facts
        assert (facts.subject, facts.read, facts.draft, facts.has_attachments) == ("Grüße", True, True, True)
        assert facts.search_key == b"k" * 16

    def test_streams_need_not_be_kept(self, store: Store, box: LabMailbox) -> None:
        store.keep_streams = False
        item = store.add_item(box.role("inbox"), stream())
        assert item.size == len(stream())
        with pytest.raises(CorruptStream):
            item.stream()

    def test_paging_by_id_skips_the_gone(self, store: Store, box: LabMailbox) -> None:
        inbox = box.role("inbox")
        items = [add(inbox, str(n)) for n in range(200)]
        for item in items[::2]:
            store.delete_item(item)
        assert [i.id for i in inbox.after(items[100].id, 3)] == [items[n].id for n in (101, 103, 105)]
        assert next(iter(inbox.newest())).id == items[199].id


class TestChanges:
    @pytest.mark.parametrize("size", [1, 3, 10, 512])
    @pytest.mark.parametrize("newest_first", [True, False])
    def test_first_round_covers_each_item_once(self, box: LabMailbox, size: int, newest_first: bool) -> None:
        items = [add(box.role("inbox")) for _ in range(10)]
        found, position, pages = drain(box.role("inbox").log, START, size, newest_first=newest_first)
        ids = [item.id for item in items]
        assert found == [("create", number) for number in (reversed(ids) if newest_first else ids)]
        assert pages == -(-10 // size)
        assert box.role("inbox").log.walk(position, size) == ([], position, True)

    def test_position_is_equal_when_nothing_changed_here(self, store: Store, box: LabMailbox) -> None:
        add(box.role("inbox"))
        _, position, _ = drain(box.role("inbox").log, START, 10)
        add(box.role("sentitems"))
        assert box.role("inbox").log.walk(position, 10) == ([], position, True)

    def test_come_and_gone_between_rounds_is_silent(self, store: Store, box: LabMailbox) -> None:
        log = box.role("inbox").log
        kept = add(box.role("inbox"))
        _, position, _ = drain(log, START, 10)
        store.delete_item(add(box.role("inbox")))
        assert drain(log, position, 10)[0] == []
        store.delete_item(kept)
        assert drain(log, position, 10)[0] == [("delete", kept.id)]

    def test_configuration_items_can_be_left_out(self, store: Store, box: LabMailbox) -> None:
        inbox = box.role("inbox")
        normal, hidden = add(inbox), add(inbox, fai=True)
        changes, position, _ = inbox.log.walk(START, 10, keep=inbox.normal)
        assert changes == [(ChangeKind.CREATE, normal.id)]
        store.delete_item(hidden)
        assert inbox.log.walk(position, 10, keep=inbox.normal)[0] == []

    def test_change_while_paging_comes_once_in_each_round(self, store: Store, box: LabMailbox) -> None:
        inbox = box.role("inbox")
        items = [add(inbox) for _ in range(4)]
        changes, position, last = inbox.log.walk(START, 2)
        assert not last
        store.update_item(items[0], b"!", facts=Facts())  # still to come in this round
        store.update_item(items[3], b"!", facts=Facts())  # already told
        fresh = add(inbox)
        rest, position, _ = drain(inbox.log, position, 2)
        assert [n for _, n in changes] + [n for _, n in rest] == [i.id for i in reversed(items)]
        again, _, _ = drain(inbox.log, position, 10)
        assert sorted(again) == sorted(
            [("update", items[0].id), ("update", items[3].id), ("create", fresh.id)]
        )

    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("seed", range(8))
    def test_a_client_that_follows_ends_with_the_truth(
        self, store: Store, box: LabMailbox, seed: int, newest_first: bool
    ) -> None:
        """Random changes between pages of random size; after a quiet round the client's copy is the folder."""
        dice = random.Random(seed)
        inbox, trash = box.role("inbox"), box.role("deleteditems")
        known: dict[int, int] = {}
        position = START

        def page() -> bool:
            nonlocal position
            changes, position, last = inbox.log.walk(
                position, dice.randrange(1, 5), newest_first=newest_first
            )
            for kind, number in changes:
                if kind is ChangeKind.DELETE:
                    known.pop(number, None)
                else:
                    known[number] = inbox.items[number].change
            return last

        for _ in range(300):
            items = list(inbox.items.values())
            match dice.randrange(6):
                case 0 | 1:
                    add(inbox)
                case 2 if items:
                    store.delete_item(dice.choice(items))
                case 3 if items:
                    store.update_item(dice.choice(items), b"x", facts=Facts())
                case 4 if items:
                    store.move_item(dice.choice(items), trash)
                case _:
                    page()
        page_count = 0
        while not page():
            page_count += 1
        while not page():
            page_count += 1
        assert known == {number: item.change for number, item in inbox.items.items()}


class TestPersist:
    def test_a_world_goes_on_where_it_ended(self, tmp_path: Path) -> None:
        world = World(clock=LabClock(1_700_000_000.0))
        store = world.exchange
        box = store.create_mailbox("ada@brightwater.example", locale="ja-JP")
        store.create_mailbox("bob@brightwater.example")
        outer = store.create_folder(box.visible_root, "äußeres / 🚚")
        inner = store.create_folder(store.create_folder(box.visible_root, "later"), "inner")
        store.move_folder(outer, inner)  # a child older than its parent
        item = store.add_item(outer, stream("kept"))
        hidden = store.add_item(outer, stream("hidden"), associated=True)
        gone = store.add_item(outer, stream("gone"))
        _, position, _ = drain(outer.log, START, 10)
        store.delete_item(gone)
        store.delete_item(hidden)
        store.mark_read(item, True)
        save(world, tmp_path / "lab.db")

        again = World(clock=LabClock(1_700_000_000.0))
        again.exchange.create_mailbox("stale@brightwater.example")
        load(again, tmp_path / "lab.db")
        back = again.exchange.mailbox("ada@brightwater.example")
        assert [f.path for f in back.visible()] == [f.path for f in box.visible()]
        folder = back.by_path("later", "inner", "äußeres / 🚚")
        assert folder.items[item.id].stream() == item.stream()
        assert folder.items[item.id].facts == item.facts
        found = folder.log.walk(position, 10, keep=folder.normal)[0]
        assert sorted(found) == sorted([(ChangeKind.READ, item.id), (ChangeKind.DELETE, gone.id)])
        assert again.exchange.add_item(folder, stream("new")).id > item.change
        assert (back.octets, folder.unread) == (item.size + len(stream("new")), 1)
        assert len(again.exchange.mailboxes) == 2

    def test_a_foreign_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        path.write_bytes(b"not a database, but long enough to look at")
        with pytest.raises(ValueError, match="not a lab's state"):
            load(World(), path)
