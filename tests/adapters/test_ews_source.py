"""The EWS source against the lab's Exchange: the contract, and what is EWS's own."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from migrator.adapters.spool import SpoolContent
from migrator.errors import CheckpointLost, JobError, SourceDown, Throttled, Transient, UserError
from migrator.interfaces import Source
from migrator.lab.world import Account, World
from migrator.model import Flag, FolderPath, Format, Item, ItemRef, Kind, Mailbox, Outcome, Role
from tests.adapters.ews_lab import ADDRESS, SERVICE, House, Wallet, seeded
from tests.contracts.samples import Sample, mails
from tests.contracts.source import Seed, Seeded, SourceContract, folder_of, listed
from tests.lab.ews_world import contact, event, mail, stream


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.stop()


class TestEwsSource(SourceContract):
    @pytest.fixture
    def seed(self, house: House) -> Seed:
        def make(
            samples: Sequence[Sample], *, folders: Sequence[FolderPath] = (), page_items: int | None = None
        ) -> Seeded:
            return seeded(house, samples, folders, page_items)

        return make


def refs_in(source: Source, path: FolderPath = ("Inbox",)) -> list[ItemRef]:
    return listed(source, folder_of(source, path))[0]


class TestFolders:
    def test_well_known_folders_have_their_roles_in_any_language(self, house: House) -> None:
        german = "otto@old.example"
        house.lab.do(lambda world: world.exchange.create_mailbox(german, locale="de-DE"))
        by_role = {f.role: f for f in house.source(Mailbox("old", german)).folders() if f.role}
        assert by_role[Role.INBOX].path == ("Posteingang",)
        assert {
            Role.SENT,
            Role.DRAFTS,
            Role.DELETED,
            Role.JUNK,
            Role.CALENDAR,
            Role.CONTACTS,
            Role.TASKS,
        } <= set(by_role)
        assert by_role[Role.CALENDAR].kind is Kind.EVENT
        assert by_role[Role.CALENDAR].folder_class == "IPF.Appointment"

    def test_hidden_and_search_folders_are_listed_and_marked(self, house: House) -> None:
        def make(world: World) -> None:
            root = house.box.visible_root
            world.exchange.create_folder(root, "Under the hood", hidden=True)
            world.exchange.create_folder(root, "All unread", search=True)

        house.lab.do(make)
        by_path = {f.path: f for f in house.source().folders()}
        assert by_path[("Under the hood",)].hidden
        assert not by_path[("Under the hood",)].search
        assert by_path[("All unread",)].search

    def test_counts_and_octets_come_along(self, house: House) -> None:
        for sample in mails(3):
            house.add(sample)
        inbox = folder_of(house.source(), ("Inbox",))
        assert inbox.total == 3
        assert inbox.size is not None
        assert inbox.size > 500

    def test_a_finished_mailbox_costs_two_calls_and_one_per_folder(self, house: House) -> None:
        source = house.source()
        source.probe()
        folders = source.folders()
        marks = {f.id: listed(source, f)[1] for f in folders}
        house.world.journal.clear()
        again = house.source()
        again.probe()
        for folder in again.folders():
            page = again.page(folder, marks[folder.id])
            assert (page.refs, page.last) == ((), True)
        calls = house.calls()
        assert calls.count("SyncFolderItems") == len(folders)
        assert len(calls) - len(folders) == 2

    def test_without_a_probe_the_roles_cost_one_call_more_and_once(self, house: House) -> None:
        client = house.client()
        for _ in range(3):
            client.source(Mailbox("old", ADDRESS)).folders()
        assert sorted(house.calls()) == ["GetFolder", *["SyncFolderHierarchy"] * 3]

    def test_a_modern_schema_tells_roles_in_the_listing_itself(self, house: House) -> None:
        folders = house.source(version="Exchange2013_SP1").folders()
        assert {f.role for f in folders} >= {Role.INBOX, Role.CALENDAR}
        assert len(house.calls()) <= 2

    def test_find_folder_takes_over_where_the_hierarchy_cannot_be_synchronised(self, house: House) -> None:
        house.folder(("a/b", "c"))
        whole = house.source().folders()
        house.fault(
            "item_error", operation="SyncFolderHierarchy", stage="before", code="ErrorInvalidOperation"
        )
        found = house.source().folders()
        assert "FindFolder" in house.calls()
        assert {(f.path, f.id, f.role, f.folder_class) for f in found} == {
            (f.path, f.id, f.role, f.folder_class) for f in whole
        }


class TestPages:
    def test_a_read_flag_change_is_a_ref_with_the_new_flag(self, house: House) -> None:
        samples = mails(2)
        for sample in samples:
            house.add(sample)
        source = house.source()
        inbox = folder_of(source, ("Inbox",))
        _, mark = listed(source, inbox)
        house.change(dataclasses.replace(samples[1], seen=True))
        (ref,), _ = listed(source, inbox, mark)
        assert ref.seen is True
        assert not ref.gone
        assert ref.version

    def test_a_void_sync_state_is_a_lost_checkpoint(self, house: House) -> None:
        house.add(mails(1)[0])
        source = house.source()
        inbox = folder_of(source, ("Inbox",))
        _, mark = listed(source, inbox)
        house.fault("invalidate_delta", first=1)
        house.source().probe()
        with pytest.raises(CheckpointLost):
            source.page(inbox, mark)

    def test_a_folder_that_went_meanwhile_stops_the_job_with_a_next_step(self, house: House) -> None:
        folder = house.folder(("Soon gone",))
        source = house.source()
        listed_folder = folder_of(source, ("Soon gone",))
        house.lab.do(lambda world: world.exchange.delete_folder(folder))
        with pytest.raises(JobError) as info:
            source.page(listed_folder, None)
        assert info.value.code == "folder_gone"
        assert "again" in info.value.remedy

    def test_what_listing_tells_of_each_kind(self, house: House) -> None:
        def fill(world: World) -> None:
            calendar, contacts, tasks = (house.box.role(name) for name in ("calendar", "contacts", "tasks"))
            for folder, item in (
                (calendar, event()),
                (contacts, contact()),
                (contacts, mail("A group", item_class="IPM.DistList")),
                (tasks, mail("A task", item_class="IPM.Task")),
            ):
                world.exchange.add_item(folder, stream(item))

        house.lab.do(fill)
        source = house.source()
        kinds = {
            ref.item_class: ref.kind
            for folder in source.folders()
            if not folder.search
            for ref in listed(source, folder)[0]
        }
        assert kinds == {
            "IPM.Appointment": Kind.EVENT,
            "IPM.Contact": Kind.CONTACT,
            "IPM.DistList": Kind.GROUP,
            "IPM.Task": Kind.TASK,
        }


def outcomes(results: Sequence[Item | Outcome]) -> list[str]:
    """`fts`, `mime`, or what became of it: "skipped vanished", "failed ErrorServerBusy"."""
    said = []
    for one in results:
        if isinstance(one, Item):
            said.append(str(one.format))
        else:
            why = one.reason or getattr(one.error, "code", "")
            said.append(f"{one.state} {why}")
    return said


def exported(source: Source, fmt: Format = Format.FTS) -> list[Item | Outcome]:
    return source.export(refs_in(source), fmt)


class TestExport:
    @pytest.fixture(autouse=True)
    def _filled(self, house: House) -> None:
        for sample in mails(6):
            house.add(sample)

    def test_the_stream_is_the_stores_own_octet_for_octet(self, house: House) -> None:
        source = house.source()
        for item in exported(source):
            assert isinstance(item, Item)
            stored = next(
                i for i in house.folder(("Inbox",)).items.values() if i.facts.subject == item.ref.subject
            )
            assert base64.b64decode(b"".join(item.content.pieces())) == stored.stream()
            assert item.origin == "ews 15.1"
            assert (Flag.SEEN in item.flags) is item.ref.seen

    def test_a_damaged_item_is_read_as_mime(self, house: House) -> None:
        house.fault("item_error", operation="ExportItems", subject="mail 3", code="ErrorCorruptData")
        results = exported(house.source())
        assert sorted(outcomes(results)) == ["fts"] * 5 + ["mime"]
        (item,) = (one for one in results if isinstance(one, Item) and one.format is Format.MIME)
        assert item.ref.subject == "mail 3"
        with item.content.open() as stream:
            assert b"Subject: mail 3" in stream.read()
        assert "MIME" in item.notes[0]

    def test_an_item_damaged_both_ways_is_skipped_for_that_reason(self, house: House) -> None:
        house.fault("item_error", subject="mail 3", code="ErrorCorruptData")
        assert sorted(outcomes(exported(house.source()))) == ["fts"] * 5 + ["skipped corrupt_at_source"]

    def test_an_item_too_large_for_the_server_is_skipped_for_that_reason(self, house: House) -> None:
        house.fault("item_error", subject="mail 3", code="ErrorMessageSizeExceeded")
        assert sorted(outcomes(exported(house.source()))) == ["fts"] * 5 + ["skipped too_large"]

    def test_a_busy_item_fails_alone_and_says_how_long_to_wait(self, house: House) -> None:
        house.fault("item_busy", operation="ExportItems", subject="mail 3", back_off_ms=7500)
        results = exported(house.source())
        assert sorted(outcomes(results)) == ["failed ErrorServerBusy"] + ["fts"] * 5
        (error,) = (one.error for one in results if isinstance(one, Outcome))
        assert isinstance(error, Throttled)
        assert (error.retry_after_s, error.scope) == (7.5, "mailbox")

    def test_all_busy_is_raised_for_nothing_was_read(self, house: House) -> None:
        house.fault("item_busy", operation="ExportItems", back_off_ms=7500)
        with pytest.raises(Throttled) as info:
            exported(house.source())
        assert info.value.retry_after_s == 7.5

    def test_a_stopped_batch_goes_on_where_it_stopped(self, house: House) -> None:
        house.fault("batch_stopped", operation="ExportItems", nth=4)
        source = house.source()
        refs = refs_in(source)
        results = source.export(refs, Format.FTS)
        assert outcomes(results) == ["fts"] * 6
        assert [one.ref.id for one in results] == [ref.id for ref in refs]
        assert house.calls().count("ExportItems") == 2

    @pytest.mark.parametrize(
        "fault", ["iis_500", "timeout_expired", "reset_before", "midway", "truncated_body"]
    )
    def test_one_lost_answer_costs_nothing_but_smaller_batches(self, house: House, fault: str) -> None:
        house.fault(fault, operation="ExportItems", first=1)
        source = house.source()
        assert outcomes(exported(source)) == ["fts"] * 6
        assert house.calls().count("ExportItems") in (2, 3)

    def test_a_server_that_is_gone_is_not_asked_for_each_item(self, house: House) -> None:
        source = house.source()
        refs = refs_in(source)
        house.fault("reset_before", service="ews")
        with pytest.raises(Transient):
            source.export(refs, Format.FTS)
        assert len(house.world.faults.struck) <= 12

    def test_a_cut_answer_is_never_taken_for_an_item(self, house: House) -> None:
        house.fault("truncated_data", operation="ExportItems", subject="mail 2")
        results = exported(house.source())
        assert sorted(outcomes(results)) == ["failed truncated_data"] + ["fts"] * 5
        (error,) = (one.error for one in results if isinstance(one, Outcome))
        assert isinstance(error, Transient)

    def test_throttling_midway_keeps_what_was_read(self, house: House) -> None:
        house.fault("server_busy", operation="ExportItems", nth=2, back_off_ms=3000)
        results = exported(house.source(options={"export_items": "2"}))
        assert outcomes(results) == ["fts"] * 2 + ["failed ErrorServerBusy"] * 4

    def test_a_large_item_goes_to_disk_while_it_arrives(self, house: House) -> None:
        big = Sample("big", message_id="<big@old.example>", body="0123456789abcdef\r\n" * 200_000)
        house.add(big)
        source = house.source(options={"spool_octets": str(1 << 20)})
        results = {one.ref.subject: one for one in exported(source)}
        item = results["big"]
        assert isinstance(item, Item)
        assert isinstance(item.content, SpoolContent)
        text = b"".join(item.content.pieces())
        assert len(text) == item.content.size
        stored = house.find(big)
        assert base64.b64decode(text) == stored.stream()
        with item.content.open() as one, item.content.open() as other:
            assert one.read(10) == other.read(10) == text[:10]
            assert one.read() == text[10:]
        item.content.release()

    @pytest.mark.parametrize("fault", ["midway", "truncated_body"])
    def test_a_large_item_that_breaks_off_is_asked_for_again(self, house: House, fault: str) -> None:
        house.add(Sample("big", message_id="<big@old.example>", body="0123456789abcdef\r\n" * 100_000))
        source = house.source(options={"spool_octets": str(1 << 20)})
        (ref,) = (ref for ref in refs_in(source) if ref.subject == "big")
        house.fault(fault, operation="ExportItems", first=1)
        (item,) = source.export([ref], Format.FTS)
        assert outcomes([item]) == ["fts"]

    def test_mime_can_be_asked_for(self, house: House) -> None:
        house.add(Sample("flagged", message_id="<f@old.example>", seen=True))
        results = exported(house.source(), Format.MIME)
        assert outcomes(results) == ["mime"] * 7
        assert house.calls().count("GetItem") == 1
        (item,) = (one for one in results if one.ref.subject == "flagged")
        assert isinstance(item, Item)
        assert item.flags == {Flag.SEEN}

    def test_another_format_is_refused_item_by_item(self, house: House) -> None:
        assert outcomes(exported(house.source(), Format.VCF)) == ["failed format"] * 6


class TestOldServers:
    @pytest.mark.parametrize("version", ["8.3.485.0", "14.0.722.0"])
    def test_a_server_without_export_is_read_as_mime(self, version: str) -> None:
        house = House(ews_version=version)
        try:
            for sample in mails(3):
                house.add(sample)
            source = house.source()
            probe = source.probe()
            assert any(f.code == "no_export" and f.level == "warning" for f in probe.findings)
            assert source.traits.formats == (Format.MIME,)
            assert outcomes(exported(source)) == ["mime"] * 3
            assert "ExportItems" not in house.calls()
        finally:
            house.stop()

    def test_a_hoster_that_filters_export_is_found_out_at_the_first_item(self) -> None:
        house = House(ews_export=False)
        try:
            for sample in mails(3):
                house.add(sample)
            source = house.source()
            source.probe()
            assert outcomes(exported(source)) == ["mime"] * 3
            assert source.traits.formats == (Format.MIME,)
            exported(source)
            assert house.calls().count("ExportItems") == 1
        finally:
            house.stop()

    @pytest.mark.parametrize(
        ("version", "product"),
        [
            ("14.1.438.0", "Exchange 2010 (14.1.438.0)"),
            ("14.3.513.0", "Exchange 2010 (14.3.513.0)"),
            ("15.0.1497.48", "Exchange 2013 (15.0.1497.48)"),
            ("15.2.1544.11", "Exchange 2019 (15.2.1544.11)"),
            ("15.2.2562.17", "Exchange Subscription Edition (15.2.2562.17)"),
        ],
    )
    @pytest.mark.parametrize("asked", ["Exchange2010_SP2", "Exchange2016"])
    def test_every_version_is_read_whatever_schema_is_asked_for(
        self, version: str, product: str, asked: str
    ) -> None:
        house = House(ews_version=version)
        try:
            for sample in mails(3):
                house.add(sample)
            source = house.source(version=asked)
            assert source.probe().product == product
            assert outcomes(exported(source)) == ["fts"] * 3
            assert source.traits.origin == "ews " + ".".join(version.split(".")[:2])
            stepped = sum(
                code in ("ErrorInvalidServerVersion",)
                for code in (e.code for e in house.world.journal.entries)
            )
            assert stepped <= 4  # remembered, not tried anew with every call
        finally:
            house.stop()


class TestAccess:
    def test_a_wrong_password_is_tried_once_by_all_threads_together(self, house: House) -> None:
        wallet = Wallet({"env:SERVICE": "mistyped"})
        client = house.client(wallet=wallet)
        for n in range(6):
            house.lab.do(lambda world, n=n: world.exchange.create_mailbox(f"user{n}@old.example"))
        errors: list[Exception] = []

        def work(n: int) -> None:
            try:
                client.source(Mailbox("old", f"user{n}@old.example")).probe()
            except Exception as e:  # noqa: BLE001
                errors.append(e)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(e) for e in errors] == [UserError] * 6
        assert {e.code for e in errors if isinstance(e, UserError)} == {"wrong_password"}
        assert all("mistyped" not in str(e) and SERVICE in str(e) for e in errors)
        refused = [e for e in house.world.journal.entries if e.status == 401]
        assert len(refused) == 1

    def test_an_unknown_mailbox(self, house: House) -> None:
        with pytest.raises(JobError) as info:
            house.source(Mailbox("old", "nobody@old.example")).probe()
        assert info.value.code == "no_mailbox"
        assert "nobody@old.example" in str(info.value)
        assert info.value.remedy

    def test_no_right_to_impersonate(self, house: House) -> None:
        house.world.add_account(Account("plain@old.example", "pw", mailbox=""))
        source = house.source(username="plain@old.example", secret="env:P", wallet=Wallet({"env:P": "pw"}))
        with pytest.raises(JobError) as info:
            source.probe()
        assert info.value.code == "no_impersonation"
        assert "ApplicationImpersonation" in info.value.remedy

    def test_ews_shut(self, house: House) -> None:
        house.world.add_account(Account("shut@old.example", "pw", impersonates=True, ews_allowed=False))
        source = house.source(username="shut@old.example", secret="env:P", wallet=Wallet({"env:P": "pw"}))
        with pytest.raises(JobError) as info:
            source.probe()
        assert info.value.code == "ews_shut"
        assert "403" in str(info.value)

    def test_a_wrong_path_is_a_wrong_url(self, house: House) -> None:
        with pytest.raises(UserError) as info:
            house.source(url=house.world.urls.exchange + "/OWA/nothing.asmx").probe()
        assert info.value.code == "wrong_url"

    def test_nobody_listens(self, house: House) -> None:
        with pytest.raises(SourceDown) as info:
            house.source(url="http://127.0.0.1:9/EWS/Exchange.asmx").probe()
        assert info.value.code == "source_refused"
        assert info.value.remedy

    def test_the_owner_signs_in_with_the_rows_own_password(self, house: House) -> None:
        probe = house.source(Mailbox("old", ADDRESS, secret="env:ADA")).probe()
        assert probe.identity == house.source().probe().identity == house.box.guid
        assert {e.app_id for e in house.world.journal.entries} == {ADDRESS, SERVICE}

    def test_a_delegate_with_full_access(self, house: House) -> None:
        house.world.add_account(Account("helper@old.example", "pw", full_access={ADDRESS}))
        for sample in mails(2):
            house.add(sample)
        source = house.source(
            access="delegate", username="helper@old.example", secret="env:P", wallet=Wallet({"env:P": "pw"})
        )
        assert source.probe().identity == house.box.guid
        assert outcomes(exported(source)) == ["fts"] * 2

    def test_a_delegate_without_rights(self, house: House) -> None:
        house.world.add_account(Account("helper@old.example", "pw"))
        source = house.source(
            access="delegate", username="helper@old.example", secret="env:P", wallet=Wallet({"env:P": "pw"})
        )
        with pytest.raises(JobError) as info:
            source.probe()
        assert info.value.code in ("access_denied", "no_mailbox")
        assert ADDRESS in str(info.value)

    def test_an_address_that_is_the_user_name_only(self, house: House) -> None:
        house.lab.do(
            lambda world: world.exchange.create_mailbox("real@old.example", upn="sign.in@old.example")
        )
        source = house.source(Mailbox("old", "sign.in@old.example"))
        probe = source.probe()
        assert any(f.code == "principal_name" for f in probe.findings)
        assert source.folders()

    def test_every_call_names_the_mailbox_it_is_for(self) -> None:
        house = House(ews_require_anchor=True)
        try:
            house.add(mails(1)[0])
            source = house.source()
            source.probe()
            assert outcomes(exported(source)) == ["fts"]
        finally:
            house.stop()

    def test_a_session_that_lapsed_is_renewed_once(self, house: House) -> None:
        source = house.source()
        source.probe()
        house.fault("unauthorized", first=1)
        assert source.folders()

    def test_a_password_changed_midway_stops_without_locking_the_account(self, house: House) -> None:
        source = house.source()
        source.probe()
        house.fault("unauthorized", service="ews")
        for _ in range(3):
            with pytest.raises(UserError) as info:
                source.folders()
            assert info.value.code == "sign_in_lapsed"
        assert len(house.world.faults.struck) == 2

    @pytest.mark.parametrize(
        ("fault", "kind", "wait"),
        [
            ("server_busy", Throttled, 2.0),
            ("connection_count", Throttled, 5.0),
            ("retry_503", Throttled, 5.0),
            ("empty_503", Transient, 30.0),
            ("mailbox_move", Transient, 5.0),
            ("store_unavailable", Transient, 5.0),
            ("error_page", Transient, 30.0),
            ("iis_500", Transient, 5.0),
            ("lost_answer", Transient, None),
        ],
    )
    def test_what_to_wait_for(
        self, house: House, fault: str, kind: type[Transient], wait: float | None
    ) -> None:
        source = house.source()
        source.probe()
        house.fault(fault, first=1)
        with pytest.raises(Transient) as info:
            source.folders()
        assert type(info.value) is kind
        assert info.value.retry_after_s == wait
        assert source.folders()

    def test_over_tls_with_the_labs_own_authority(self, tmp_path: Path) -> None:
        house = House(tls=True, folder=tmp_path)
        try:
            house.add(mails(1)[0])
            with pytest.raises(SourceDown) as info:
                house.source().probe()
            assert info.value.code == "source_tls"
            source = house.source(ca_file=str(house.lab.ca_file))
            assert outcomes(exported(source)) == ["fts"]
        finally:
            house.stop()
