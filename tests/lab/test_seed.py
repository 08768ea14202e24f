"""Seeded mailboxes: every kind of item, hard names, the same octets for the same seed."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from migrator.lab import blobs
from migrator.lab.describe import facts_of
from migrator.lab.eml import convert
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.seed import HARD_NAMES, populate
from migrator.lab.store import LabItem
from migrator.lab.world import World
from migrator.mapi import fasttransfer
from migrator.mapi import properties as P
from tests.shared_data import shared


def world_of(**seeding: object) -> World:
    world = World(organisation="Brightwater")
    populate(world, Seeding(**seeding))  # type: ignore[arg-type]
    return world


def items(world: World) -> list[LabItem]:
    return [item for box in world.exchange.mailboxes.values() for item in box.items.values()]


def fingerprint(world: World) -> str:
    mark = hashlib.sha256()
    for item in items(world):
        mark.update(repr((item.folder.path, item.facts, item.modified)).encode("utf-8", "surrogatepass"))
        mark.update(item.stream())
    return mark.hexdigest()


@pytest.fixture(scope="module")
def seeded() -> World:
    return world_of(mailboxes=4)


class TestContent:
    def test_same_seed_same_octets(self) -> None:
        first, second, other = (world_of(mailboxes=2, items=40, bulk=5, seed=s) for s in (1, 1, 2))
        assert fingerprint(first) == fingerprint(second) != fingerprint(other)

    def test_every_mailbox_holds_every_kind(self, seeded: World) -> None:
        wanted = {
            "IPM.Note",
            "IPM.Note.SMIME",
            "IPM.Note.SMIME.MultipartSigned",
            "IPM.Appointment",
            "IPM.Schedule.Meeting.Request",
            "IPM.Contact",
            "IPM.DistList",
            "IPM.Task",
            "IPM.StickyNote",
            "IPM.Activity",
        }
        for box in seeded.exchange.mailboxes.values():
            assert wanted <= {item.item_class for item in box.items.values()}
            assert any(item.associated for item in box.items.values())
            assert any(item.facts.draft for item in box.items.values())

    def test_every_stream_is_one_that_a_strict_reader_takes(self, seeded: World) -> None:
        for item in items(seeded):
            decoded = fasttransfer.decode(item.stream(), strict=True)
            assert facts_of(decoded.message) == item.facts
            assert decoded.version == (15, 1, 2507, 6)
            assert not decoded.warnings

    def test_bodies_and_attachments_of_every_form(self, seeded: World) -> None:
        seen: Counter[str] = Counter()
        for item in items(seeded):
            message = item.message()
            p = message.properties
            seen["text"] += bool(p.text(P.PidTagBody)) and item.item_class == "IPM.Note"
            seen["html"] += P.PidTagHtml in p
            seen["rtf"] += P.PidTagRtfCompressed in p
            seen["categories"] += P.PidNameKeywords in p
            seen["bcc"] += any(r.integer(P.PidTagRecipientType) == 3 for r in message.recipients)
            seen["ex"] += p.text(P.PidTagSenderAddressType) == "EX"
            for attachment in message.attachments:
                seen["inline"] += bool(attachment.properties.text(P.PidTagAttachContentId))
                seen["embedded"] += attachment.embedded is not None and item.item_class == "IPM.Note"
                seen["exception"] += attachment.properties.integer(P.PidTagAttachmentFlags) == 2
        assert not [name for name, count in (seen | Counter()).items() if not count]
        assert len(+seen) == 9

    def test_a_series_matches_its_exception_attachments(self, seeded: World) -> None:
        """MS-OXOCAL: exceptions in the blob are the hidden attachments, by their original start."""
        series = [i.message() for i in items(seeded) if P.PidLidAppointmentRecur in i.message().properties]
        assert series
        for message in series:
            blob = bytes(message.properties.binary(P.PidLidAppointmentRecur))
            (removed,) = struct.unpack_from("<I", blob, 38)
            (modified,) = struct.unpack_from("<I", blob, 42 + 4 * removed)
            assert (removed, modified) == (3, 2)
            assert sum(a.properties.flag(P.PidTagAttachmentHidden) for a in message.attachments) == modified

    def test_no_two_items_of_a_folder_are_alike(self, seeded: World) -> None:
        marks = Counter((item.folder.id, item.stream()) for item in items(seeded))
        assert max(marks.values()) == 1
        keys = Counter((item.mailbox.guid, item.facts.search_key) for item in items(seeded))
        assert max(keys.values()) == 1

    def test_hard_names_are_there(self, seeded: World) -> None:
        for box in seeded.exchange.mailboxes.values():
            paths = {folder.path for folder in box.visible()}
            assert {(name,) for name in HARD_NAMES} <= paths
            assert max(map(len, paths)) == 13
            assert any(len(name) == 255 for path in paths for name in path)
            assert any(folder.hidden for folder in box.visible())
            assert any(folder.search for folder in box.visible())

    def test_names_are_local(self, seeded: World) -> None:
        names = [box.role("inbox").name for box in seeded.exchange.mailboxes.values()]
        assert names == ["Inbox", "Posteingang", "Boîte de réception", "受信トレイ"]

    def test_older_items_come_first(self, seeded: World) -> None:
        for box in seeded.exchange.mailboxes.values():
            dates = [i.facts.received for i in box.role("inbox").items.values() if i.facts.received]
            assert dates == sorted(dates)

    def test_sizes_spread(self, seeded: World) -> None:
        sizes = sorted(i.size for i in items(seeded) if i.item_class == "IPM.Note")
        assert sizes[len(sizes) // 2] < 20_000 < 100_000 < sizes[-1]

    def test_streams_carry_the_version_of_the_profile(self) -> None:
        from migrator.lab.knobs import Knobs

        world = World(knobs=Knobs(ews_version="14.3.496.0"))
        populate(world, Seeding(mailboxes=1, items=30))
        assert fasttransfer.decode(items(world)[0].stream()).version == (14, 3, 496, 0)


class TestBulk:
    def test_bulk_mails_differ_and_read_well(self) -> None:
        world = world_of(mailboxes=2, items=0, bulk=300, bulk_octets=20_000, bulk_folders=10)
        found = items(world)
        assert len(found) == 600
        assert len({i.facts.message_id for i in found}) == len({i.facts.search_key for i in found}) == 600
        for item in found[::37]:
            octets = item.stream()
            assert octets == item.stream()
            assert len(octets) == item.size
            assert abs(item.size - 20_000) < 200
            assert facts_of(fasttransfer.read(octets, strict=True)) == item.facts
        box = world.exchange.mailbox("alma.whitcombe@brightwater.example")
        assert len(box.by_path("Filed").children) == 10
        assert [f.total for f in box.by_path("Filed").children.values()] == [30] * 10

    def test_big_items(self) -> None:
        world = world_of(mailboxes=1, items=0, big_items=2, big_octets=3 << 20)
        first, second = items(world)
        assert abs(first.size - (3 << 20)) < 200
        assert first.stream() != second.stream()
        assert facts_of(second.message()) == second.facts


class TestAccounts:
    def test_halves_agree_when_they_run_apart(self) -> None:
        options = Seeding(mailboxes=3, items=0)
        whole, source, target = World(), World(), World()
        told = populate(whole, options)
        assert populate(source, options, ("exchange",)) == {"exchange": told["exchange"]}
        assert populate(target, options, ("m365",)) == {"m365": told["m365"]}
        assert not source.m365.mailboxes
        assert not target.exchange.mailboxes

    def test_everyone_can_sign_in(self) -> None:
        world = World()
        told = populate(world, Seeding(mailboxes=2, items=0))
        service = told["exchange"]["service_account"]
        account = world.account(service["login"], service["password"])
        assert account is not None
        assert account.may_impersonate("alma.whitcombe@brightwater.example")
        for box in told["exchange"]["mailboxes"]:
            owner = world.account(box["address"], box["password"])
            assert owner is not None
            assert not owner.impersonates
        tenant = world.tenant(told["m365"]["tenant_id"])
        assert tenant is not None
        app = tenant.app(told["m365"]["client_id"])
        assert app is not None
        assert [s.value for s in app.secrets] == [told["m365"]["client_secret"]]
        assert "MailboxItem.ImportExport.All" in app.roles

    def test_certificate_goes_to_the_folder(self, tmp_path: Path) -> None:
        world = World()
        told = populate(world, Seeding(mailboxes=1, items=0), ("m365",), tmp_path / "lab")
        text = Path(told["m365"]["certificate_file"]).read_text("ascii")
        assert "PRIVATE KEY" in text
        assert "BEGIN CERTIFICATE" in text

    def test_more_mailboxes_than_names(self) -> None:
        world = world_of(mailboxes=70, items=0)
        assert len({box.address for box in world.exchange.mailboxes.values()}) == 70
        assert all("@brightwater.example" in a and a.isascii() for a in world.exchange._by_name)

    def test_options_travel_as_json(self) -> None:
        options = LabOptions(
            halves=("m365",),
            seeding=Seeding(mailboxes=3, eml=("a",), locales=("de-DE",)),
            knobs={"latency_s": 0.1},
            faults=[{"fault": "reset"}],
            ports={"graph": 1},
        )
        assert LabOptions.from_json(options.to_json()) == options


EML = (
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@tannhof.example>\r\nTo: Ada <ada@brightwater.example>, bob@x.example\r\n"
    b"Subject: =?utf-8?b?UHLDvGZzdGFuZA==?=\r\nDate: Tue, 03 Feb 2026 10:11:12 +0100\r\nMessage-ID: <1@tannhof.example>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=latin-1\r\n\r\nGr\xfc\xdfe\r\n"
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n'
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: x@y.example\r\n\r\nhi\r\n--b--\r\n"
)


class TestEml:
    def test_a_mail_becomes_a_tree(self) -> None:
        message = convert(EML)
        facts = facts_of(message)
        assert (facts.subject, facts.message_id, facts.sender_name) == (
            "Prüfstand",
            "<1@tannhof.example>",
            "Jörg",
        )
        assert facts.received == datetime.fromisoformat("2026-02-03T09:11:12+00:00")
        assert (facts.read, facts.draft, facts.has_attachments) == (True, False, True)
        assert message.properties.text(P.PidTagBody).startswith("Grüße")
        assert [r.text(P.PidTagSmtpAddress) for r in message.recipients] == [
            "ada@brightwater.example",
            "bob@x.example",
        ]
        assert message.attachments[0].properties.binary(P.PidTagAttachDataBinary) == b"%PDF"
        inner = message.attachments[1].embedded
        assert inner is not None
        assert inner.properties.text(P.PidTagSubject) == "inner"

    def test_a_folder_of_mails(self, tmp_path: Path) -> None:
        (tmp_path / "Kunden" / "Süd").mkdir(parents=True)
        (tmp_path / "one.eml").write_bytes(EML)
        (tmp_path / "Kunden" / "Süd" / "two.eml").write_bytes(EML.replace(b"<1@", b"<2@"))
        world = world_of(mailboxes=1, items=0, eml=(str(tmp_path),))
        box = world.exchange.mailbox("alma.whitcombe@brightwater.example")
        assert box.role("inbox").total == 1
        (item,) = box.by_path("Kunden", "Süd").items.values()
        assert item.facts.message_id == "<2@tannhof.example>"

    @pytest.mark.parametrize("make", [False, True])
    def test_nothing_to_load_is_an_error(self, tmp_path: Path, make: bool) -> None:
        path = tmp_path / "none"
        if make:
            path.mkdir()
        with pytest.raises(ValueError, match="none"):
            world_of(mailboxes=1, items=0, eml=(str(path),))

    def test_mails_from_the_wild(self) -> None:
        files = sorted(shared("eml").rglob("*.eml"))[::9]
        assert files
        for file in files:
            message = convert(file.read_bytes())
            again = fasttransfer.read(fasttransfer.write(message), strict=True)
            assert facts_of(again) == facts_of(message), file.name


class TestBlobs:
    def test_a_weekly_series_without_end_as_outlook_writes_it(self) -> None:
        """Weekly on Tuesday 08:00-08:30, three deleted of which two modified (moved to 08:30-08:46 and later)."""
        day = datetime(1601, 1, 1) + timedelta(minutes=0x0D075C80)
        first = day.replace(hour=8)
        one, two = (datetime(1601, 1, 1) + timedelta(minutes=m) for m in (0x0D07AB40, 0x0D07D2A0))
        three = datetime(1601, 1, 1) + timedelta(minutes=0x0D073520)
        blob = blobs.weekly(
            first,
            30,
            days=4,
            deleted=[three],
            changed=[
                blobs.ChangedDay(when.replace(hour=8), when.replace(hour=9), when.replace(hour=10))
                for when in (one, two)
            ],
        )
        assert blob[:14].hex() == "043004300b2001000000c0210000"
        assert struct.unpack_from("<7I", blob, 14) == (1, 0, 4, 0x2023, 10, 0, 3)
        assert struct.unpack_from("<3I", blob, 42) == (0x0D073520, 0x0D07AB40, 0x0D07D2A0)
        assert struct.unpack_from("<3I", blob, 54) == (2, 0x0D07AB40, 0x0D07D2A0)
        assert struct.unpack_from("<6IH", blob, 66) == (0x0D075C80, blobs.NEVER, 0x3006, 0x3009, 480, 510, 2)

    def test_the_end_is_the_last_occurrence(self) -> None:
        first = datetime(2026, 3, 3, 10)  # a Tuesday
        blob = blobs.weekly(first, 60, days=4 | 16, count=5)  # Tuesday and Thursday
        start, end = struct.unpack_from("<2I", blob, 46)
        assert start == blobs.minutes(datetime(2026, 3, 3))
        assert end == blobs.minutes(datetime(2026, 3, 17))

    def test_entry_ids(self) -> None:
        one_off = blobs.one_off("Ada", "ada@x.example")
        assert one_off[4:20].hex().upper() == "812B1FA4BEA310199D6E00DD010F5402"
        assert "ada@x.example" in one_off[24:].decode("utf-16-le").split("\0")
        assert blobs.ex_entry_id("/o=X/cn=a")[28:] == b"/o=X/cn=a\0"

    def test_time_zone_struct_has_48_octets(self) -> None:
        assert len(blobs.time_zone_struct(blobs.BERLIN)) == 48
