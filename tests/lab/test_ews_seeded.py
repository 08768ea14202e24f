"""Invented mailboxes of every kind read through EWS: each answer is valid, each item has its properties, MIME and stream."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode
from collections.abc import Iterator
from functools import cache

import pytest

from migrator.lab.options import Seeding
from migrator.lab.seed import populate
from migrator.lab.store import LabItem, LabMailbox
from tests.lab.ews_world import Answer, House

SEEDING = Seeding(seed=3, mailboxes=4, items=60, size_median=2_000, size_sigma=0.8, size_most=60_000)


@cache
def seeded() -> House:
    house = House()
    told = populate(house.world, SEEDING, halves=("exchange",))["exchange"]
    house.world.notes["login"] = (told["service_account"]["login"], told["service_account"]["password"])
    return house


@pytest.fixture
def house() -> Iterator[House]:
    made = seeded()
    made.judge.found.clear()
    yield made
    made.judge.verdict()


def ask(house: House, box: LabMailbox, body: str, version: str = "V2017_07_11") -> Answer:
    login, password = house.world.notes["login"]
    return house.impersonate(body, box.address, who=login, password=password, version=version)


def items_of(box: LabMailbox) -> list[LabItem]:
    return list(box.items.values())


def boxes() -> list[LabMailbox]:
    return [box for box in seeded().world.exchange.mailboxes.values() if box.items]


@pytest.mark.parametrize("spot", range(SEEDING.mailboxes))
def test_every_item_opens(house: House, spot: int) -> None:
    box = boxes()[spot]
    kinds = set()
    for start in range(0, len(box.items), 25):
        some = items_of(box)[start : start + 25]
        ids = "".join(house.id_of(item, key=False) for item in some)
        answer = ask(
            house,
            box,
            "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape><t:IncludeMimeContent>true</t:IncludeMimeContent>"
            f"</m:ItemShape><m:ItemIds>{ids}</m:ItemIds></m:GetItem>",
        )
        assert set(answer.codes) == {"NoError"}
        opened = [holder[0] for holder in answer.all("m:Items")]
        for item, shown in zip(some, opened, strict=True):
            kinds.add(shown.tag.rpartition("}")[2])
            raw = b64decode(shown.findtext("{*}MimeContent") or "")
            if item.item_class.startswith("IPM.Note"):
                parsed = email.message_from_bytes(raw, policy=email.policy.default)
                assert (parsed["Message-ID"] or "") == item.facts.message_id
                assert not parsed.defects
            elif item.item_class == "IPM.Appointment":
                assert raw.startswith(b"BEGIN:VCALENDAR")
                assert raw.rstrip().endswith(b"END:VCALENDAR")
    assert {"Message", "CalendarItem", "Contact", "Task"} <= kinds


def test_attachments_open_at_every_depth(house: House) -> None:
    opened = 0
    for box in boxes():
        for item in items_of(box):
            if not item.facts.has_attachments:
                continue
            shape = '<t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties><t:FieldURI FieldURI="item:Attachments"/></t:AdditionalProperties>'
            answer = ask(
                house,
                box,
                f"<m:GetItem><m:ItemShape>{shape}</m:ItemShape><m:ItemIds>{house.id_of(item)}</m:ItemIds></m:GetItem>",
            )
            waiting = [one.get("Id", "") for one in answer.all("t:AttachmentId")]
            while waiting:
                answer = ask(
                    house,
                    box,
                    f'<m:GetAttachment><m:AttachmentIds><t:AttachmentId Id="{waiting.pop()}"/></m:AttachmentIds></m:GetAttachment>',
                )
                assert answer.codes == ["NoError"]
                opened += 1
                waiting += [one.get("Id", "") for one in answer.all("t:Attachments//t:AttachmentId")]
    assert opened > 10


def test_every_folder_syncs_and_exports_what_the_store_holds(house: House) -> None:
    box = boxes()[0]
    everything: dict[str, str] = {}
    for folder in box.visible():
        if folder.search:
            continue
        answer = ask(
            house,
            box,
            "<m:SyncFolderItems><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape></m:ItemShape><m:SyncFolderId>"
            f"{house.folder_id(folder)}</m:SyncFolderId><m:MaxChangesReturned>512</m:MaxChangesReturned>"
            "<m:SyncScope>NormalAndAssociatedItems</m:SyncScope></m:SyncFolderItems>",
        )
        assert answer.codes == ["NoError"]
        ids = [one[0].find("{*}ItemId").get("Id") for one in answer.all("t:Create")]
        assert len(ids) == len(folder.items)
        if ids:
            wanted = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
            exported = ask(house, box, f"<m:ExportItems><m:ItemIds>{wanted}</m:ItemIds></m:ExportItems>")
            everything.update(zip(ids, (one.text or "" for one in exported.all("m:Data")), strict=True))
    held = sorted(item.base64().decode() for item in items_of(box) if item.folder in box.visible())
    assert sorted(everything.values()) == held


def test_hierarchy_holds_the_hard_names(house: House) -> None:
    for box in boxes():
        answer = ask(
            house,
            box,
            "<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>AllProperties</t:BaseShape></m:FolderShape>"
            '<m:SyncFolderId><t:DistinguishedFolderId Id="msgfolderroot"/></m:SyncFolderId></m:SyncFolderHierarchy>',
        )
        told = sorted(one.text or "" for one in answer.all("t:DisplayName"))
        assert told == sorted(folder.name for folder in box.visible())
