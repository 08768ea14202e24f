"""The Graph adapter against the lab: the contracts, and what only this system does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pybase64
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from migrator.adapters.graph import connect
from migrator.adapters.graph.listing import SCHEME
from migrator.adapters.graph.target import GraphMailbox
from migrator.adapters.spool import BufferContent
from migrator.auth.secrets import SecretStore
from migrator.errors import (
    CheckpointLost,
    InDoubt,
    ItemError,
    JobError,
    MigratorError,
    Throttled,
    Transient,
    UserError,
)
from migrator.events import Event, Notice
from migrator.formats.canary import samples as canaries
from migrator.interfaces import Context
from migrator.lab.m365.tokens import device_flows
from migrator.lab.world import TenantUser, World
from migrator.model import Folder, FolderPath, Format, Item, Kind, Mailbox, Outcome, Role, SkipReason, State
from tests.adapters.graph_lab import ALICE, APP, ROLES, SECRET, TENANT, LabClock, Room, item_of
from tests.contracts.samples import Sample, mails
from tests.contracts.source import Seed, Seeded, SourceContract, folder_of, listed
from tests.contracts.target import Make, TargetContract

Open = Callable[..., Room]


@pytest.fixture
def rooms() -> Iterator[Open]:
    opened: list[Room] = []

    def make(**more: Any) -> Room:
        room = Room(**more)
        opened.append(room)
        return room

    yield make
    for room in opened:
        room.close()


# ---- the contracts


class TestGraphSource(SourceContract):
    @pytest.fixture
    def seed(self, rooms: Open) -> Seed:
        def plant(
            samples: Sequence[Sample], *, folders: Sequence[FolderPath] = (), page_items: int | None = None
        ) -> Seeded:
            room = rooms(options={"page_items": str(page_items)} if page_items else {})
            for path in folders:
                room.lab.do(lambda world, path=path: room.folder(path))
            for sample in samples:
                room.put(sample)

            def reopen() -> GraphMailbox:
                return room.client().source(Mailbox("m365", ALICE))

            return Seeded(
                source=reopen(),
                reopen=reopen,
                add=lambda sample: (room.put(sample), None)[1],
                change=room.change,
                delete=room.delete,
            )

        return plant


class TestGraphTarget(TargetContract):
    @pytest.fixture
    def room(self, rooms: Open) -> Room:
        return rooms(options={"max_item_octets": str(1 << 20)})

    @pytest.fixture
    def target(self, room: Room) -> GraphMailbox:
        return room.target()

    @pytest.fixture
    def reopen(self, room: Room) -> Callable[[], GraphMailbox]:
        client = room.client()
        return lambda: room.target(client)

    @pytest.fixture
    def make(self) -> Make:
        return item_of

    @pytest.fixture
    def broken(self) -> Item:
        sample = item_of(mails(1)[0])
        return replace(sample, content=BufferContent([pybase64.b64encode(b"no such stream" * 20)]))


# ---- sign-in


def test_the_whole_way_over_tls_with_a_sign_in(rooms: Open) -> None:
    room = rooms(tls=True)
    endpoint = room.endpoint(
        auth="secret", tenant="target.example", client_id=APP, secret="env:APP", authority=room.lab.urls.login
    )
    client = connect(endpoint, Context(LabClock(), SecretStore(environ={"APP": SECRET})))
    room.clients.append(client)
    target = client.target(Mailbox("m365", ALICE))
    probe = target.probe()
    assert [finding.level for finding in probe.findings] == ["ok", "ok"]
    folder = target.ensure_folder(("New",), Kind.MAIL)
    (outcome,) = target.store(folder, [item_of(mails(1)[0])])
    assert outcome.state is State.COPIED
    assert room.operations(service="token") == ["openidConfiguration", "token"]


def test_a_wrong_secret_names_endpoint_and_remedy(rooms: Open) -> None:
    room = rooms(tls=True)
    endpoint = room.endpoint(
        auth="secret", tenant="target.example", client_id=APP, secret="env:APP", authority=room.lab.urls.login
    )
    client = connect(endpoint, Context(LabClock(), SecretStore(environ={"APP": "not-the-secret"})))
    room.clients.append(client)
    with pytest.raises(UserError) as caught:
        client.target(Mailbox("m365", ALICE)).probe()
    assert caught.value.code == "secret_wrong"
    assert "m365" in str(caught.value)
    assert "not-the-secret" not in str(caught.value)


def test_a_certificate_signs_in(rooms: Open, tmp_path: Path) -> None:
    room = rooms(tls=True)
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mover")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "app.pem").write_bytes(private + public)
    endpoint = room.endpoint(
        auth="certificate",
        tenant=TENANT,
        client_id=APP,
        certificate="file:app.pem",
        authority=room.lab.urls.login,
    )

    def open_it() -> GraphMailbox:
        client = connect(endpoint, Context(LabClock(), SecretStore(tmp_path)))
        room.clients.append(client)
        return client.target(Mailbox("m365", ALICE))

    with pytest.raises(UserError) as caught:
        open_it().probe()
    assert caught.value.code == "certificate_refused"
    room.lab.do(lambda world: room.app.certificates.append(public))
    assert open_it().probe().identity


def test_a_person_signs_in_by_device_code(rooms: Open) -> None:
    room = rooms(tls=True)
    told: list[str] = []

    def emit(event: Event) -> None:
        assert isinstance(event, Notice)
        told.append(event.text)
        code = re.search(r"\b[A-Z0-9]{8,10}\b", event.text)
        assert code is not None
        room.lab.do(lambda world: device_flows(world).confirm(code.group(), ALICE))

    def prepare(world: World) -> None:
        room.tenant.users[ALICE] = TenantUser(ALICE, "pw", ALICE)
        room.app.scopes |= {
            "User.Read.All",
            "MailboxFolder.ReadWrite",
            "MailboxItem.Read",
            "MailboxItem.ImportExport",
        }

    room.lab.do(prepare)
    endpoint = room.endpoint(
        auth="device", tenant="target.example", client_id=APP, authority=room.lab.urls.login
    )
    clock = LabClock()
    clock.sleep = lambda seconds: None  # type: ignore[method-assign]
    client = connect(endpoint, Context(clock, SecretStore(environ={}), emit=emit, interactive=True))
    room.clients.append(client)
    assert client.target(Mailbox("m365", ALICE)).probe().identity
    assert len(told) == 1


# ---- probe


def test_a_probe_is_one_call(rooms: Open) -> None:
    room = rooms()
    room.target().probe()
    assert room.operations(service="graph") == ["settingsExchange"]


@pytest.mark.parametrize(
    ("missing", "granted", "right"),
    [
        ("MailboxFolder.ReadWrite.All", set(), "MailboxFolder.Read.All"),
        ("MailboxItem.ImportExport.All", {"MailboxItem.Export.All"}, "MailboxItem.ImportExport.All"),
    ],
)
def test_a_missing_permission_is_a_blocker_that_names_it(
    rooms: Open, missing: str, granted: set[str], right: str
) -> None:
    room = rooms(roles=frozenset(ROLES - {missing} | granted))
    (blocker,) = [finding for finding in room.target().probe().findings if finding.level == "blocker"]
    assert blocker.code == "permission"
    assert right in blocker.remedy
    assert ALICE in blocker.text


def test_no_right_to_look_users_up(rooms: Open) -> None:
    room = rooms(roles=ROLES - {"User.Read.All"})
    with pytest.raises(JobError) as caught:
        room.target().probe()
    assert caught.value.code == "permission"
    assert "User.Read.All" in caught.value.remedy


def test_a_mailbox_that_does_not_exist(rooms: Open) -> None:
    room = rooms()
    with pytest.raises(JobError) as caught:
        room.client().target(Mailbox("m365", "nobody@target.example")).probe()
    assert caught.value.code == "mailbox_unknown"
    assert "nobody@target.example" in str(caught.value)


def test_a_mailbox_without_licence(rooms: Open) -> None:
    room = rooms()
    room.lab.do(lambda world: setattr(room.alice, "licensed", False))
    with pytest.raises(JobError) as caught:
        room.target().probe()
    assert caught.value.code == "mailbox_not_ready"
    assert "licence" in caught.value.remedy


# ---- folders


@pytest.mark.parametrize("locale", ["en-US", "de-DE", "fr-FR", "ja-JP"])
@pytest.mark.parametrize("told", [True, False])
def test_roles_in_any_language_with_and_without_well_known_names(
    rooms: Open, locale: str, told: bool
) -> None:
    room = rooms(locale=locale, knobs={"well_known_name": told})
    roles = {folder.role: folder for folder in room.target().folders() if folder.role is not None}
    assert set(roles) == set(Role)
    assert all(len(folder.path) == 1 for folder in roles.values())
    assert roles[Role.CALENDAR].kind is Kind.EVENT
    assert roles[Role.INBOX].path == (room.alice.role("inbox").name,)


def test_of_several_calendars_the_mailboxs_own_has_the_role(rooms: Open) -> None:
    room = rooms(locale="de-DE", knobs={"well_known_name": False})

    def more(world: Any) -> None:
        for name in ("Anna", "Zukunft"):
            world.m365.create_folder(room.alice.visible_root, name, "IPF.Appointment")

    room.lab.do(more)
    (own,) = [folder for folder in room.target().folders() if folder.role is Role.CALENDAR]
    assert own.path == ("Kalender",)


def test_hidden_folders_are_marked(rooms: Open) -> None:
    folders = rooms().target().folders()
    assert any(folder.hidden for folder in folders)
    assert not any(folder.hidden for folder in folders if folder.role is not None)


def test_names_compare_without_letter_case(rooms: Open) -> None:
    target = rooms().target()
    first = target.ensure_folder(("Projekte", "Straße"), Kind.MAIL)
    assert target.ensure_folder(("PROJEKTE", "strasse"), Kind.MAIL).id == first.id


def test_a_folder_that_another_process_made_is_found(rooms: Open) -> None:
    room = rooms()
    target = room.target()
    target.folders()
    room.lab.do(lambda world: room.folder(("Late",)))
    made = target.ensure_folder(("late", "below"), Kind.MAIL)
    assert made.path == ("Late", "below")


def test_two_clients_at_once_make_one_folder(rooms: Open) -> None:
    room = rooms()
    handles = [room.target() for _ in range(4)]
    for handle in handles:
        handle.folders()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda each: each.ensure_folder(("Race", "Twig"), Kind.MAIL), handles))
    assert len({folder.id for folder in made}) == 1


def test_a_created_folder_whose_answer_is_lost_is_found(rooms: Open) -> None:
    room = rooms(faults=[{"fault": "lost_answer", "operation": "createFolder", "nth": 1}])
    made = room.target().ensure_folder(("Lost",), Kind.MAIL)
    assert [f.id for f in room.target().folders() if f.path == ("Lost",)] == [made.id]


def test_a_name_that_the_server_refuses(rooms: Open) -> None:
    target = rooms().target()
    for path in (("   ",), ("x" * 300,)):
        with pytest.raises(ItemError) as caught:
            target.ensure_folder(path, Kind.MAIL)
        assert caught.value.code == "folder_refused"


# ---- listing


def test_a_whole_listing_survives_removals_while_it_runs(rooms: Open) -> None:
    """$skip moves: without care the items behind a removed one would be missed for good."""
    room = rooms(options={"page_items": "5"})
    samples = mails(40)
    for sample in samples:
        room.put(sample)
    source = room.target()
    folder = folder_of(source, ("Inbox",))
    seen: list[str] = []
    after = None
    removed: set[str] = set()
    while True:
        page = source.page(folder, after)
        seen += [ref.subject for ref in page.refs]
        after = page.checkpoint
        if page.last:
            break
        if len(removed) < 18:
            for victim in [name for name in seen if name not in removed][:3]:
                room.delete(next(sample for sample in samples if sample.subject == victim))
                removed.add(victim)
    assert len(removed) >= 12
    assert set(seen) == {sample.subject for sample in samples}
    assert len(seen) == len(set(seen))
    changes, _ = listed(source, folder, after)
    assert {ref.gone for ref in changes} == {True}
    assert len(changes) == len(removed)


def test_a_whole_listing_survives_arrivals_while_it_runs(rooms: Open) -> None:
    room = rooms(options={"page_items": "4"})
    for sample in mails(12):
        room.put(sample)
    source = room.target()
    folder = folder_of(source, ("Inbox",))
    first = source.page(folder, None)
    for sample in mails(7, start=100):
        room.put(sample)
    rest, after = listed(source, folder, first.checkpoint)
    came, _ = listed(source, folder, after)
    subjects = [ref.subject for ref in (*first.refs, *rest)]
    assert {f"mail {n}" for n in range(12)} <= set(subjects)
    assert len(subjects) == len(set(subjects))
    assert {f"mail {n}" for n in range(100, 107)} <= {ref.subject for ref in (*rest, *came)}


def test_many_changes_are_listed_with_their_properties_in_few_calls(rooms: Open) -> None:
    room = rooms()
    room.put(Sample("old"))
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    mark = target.mark(folder)
    samples = mails(130)
    for sample in samples:
        room.put(sample)
    room.world.journal.clear()
    refs, _ = listed(target, folder, mark)
    assert sorted(ref.subject for ref in refs) == sorted(sample.subject for sample in samples)
    assert all(ref.message_id and ref.received for ref in refs)
    assert room.operations() == ["itemsDelta", "listItems"]


def test_many_changes_over_several_delta_pages(rooms: Open) -> None:
    room = rooms(options={"page_items": "20"})
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    mark = target.mark(folder)
    for sample in mails(100):
        room.put(sample)
    room.world.journal.clear()
    refs, _ = listed(target, folder, mark)
    assert len({ref.message_id for ref in refs}) == 100
    assert "batch" not in room.operations(service="graph")


def test_a_settled_folder_costs_one_call(rooms: Open) -> None:
    room = rooms()
    for sample in mails(30):
        room.put(sample)
    source = room.target()
    folder = folder_of(source, ("Inbox",))
    _, after = listed(source, folder)
    room.world.journal.clear()
    page = source.page(folder, after)
    assert (page.refs, page.last) == ((), True)
    assert room.operations() == ["itemsDelta"]


def test_a_delta_link_that_has_expired(rooms: Open) -> None:
    room = rooms()
    room.put(mails(1)[0])
    source = room.target()
    folder = folder_of(source, ("Inbox",))
    _, after = listed(source, folder)
    room.lab.do(lambda world: setattr(world, "knobs", world.knobs.swap({"delta_honoured": False})))
    with pytest.raises(CheckpointLost):
        source.page(folder, after)


def test_a_checkpoint_of_another_folder_is_refused(rooms: Open) -> None:
    room = rooms()
    source = room.target()
    inbox, drafts = folder_of(source, ("Inbox",)), folder_of(source, ("Drafts",))
    mark = source.mark(inbox)
    assert mark.scheme == SCHEME
    with pytest.raises(CheckpointLost):
        source.page(drafts, mark)


def test_versions_of_listing_and_of_import_are_one_form(rooms: Open) -> None:
    target = rooms().target()
    folder = target.ensure_folder(("Versions",), Kind.MAIL)
    mark = target.mark(folder)
    (outcome,) = target.store(folder, [item_of(mails(1)[0])])
    for after in (None, mark):
        (ref,) = listed(target, folder, after)[0]
        assert (ref.id, ref.version) == (outcome.target_id, outcome.target_version)


def test_every_kind_is_stored_and_listed_as_what_it_is(rooms: Open) -> None:
    target = rooms().target()
    folder = target.ensure_folder(("All kinds",), Kind.MAIL)
    sent = canaries()
    for item in sent.values():
        (outcome,) = target.store(folder, [item])
        assert outcome.state is State.COPIED, outcome.error
    refs, _ = listed(target, folder)
    assert {ref.kind for ref in refs} == set(sent)


# ---- export


def test_an_export_is_what_was_imported_to_the_octet(rooms: Open) -> None:
    room = rooms()
    target = room.target()
    folder = target.ensure_folder(("Copy",), Kind.MAIL)
    items = [item_of(replace(sample, body="x" * 3000)) for sample in mails(3)]
    for item in items:
        target.store(folder, [item])
    refs, _ = listed(target, folder)
    exported = target.export(refs, Format.FTS)
    octets = {
        result.ref.message_id: b"".join(result.content.pieces())
        for result in exported
        if isinstance(result, Item)
    }
    for item in items:
        again = target.store(
            folder, [Item(item.ref, Format.FTS, BufferContent([octets[item.ref.message_id]]))]
        )
        assert again[0].state is State.COPIED
    stored = [one.digest for entry in room.world.journal.entries for one in entry.stored]
    assert stored[:3] == stored[3:]


def test_more_than_twenty_are_asked_in_several_calls(rooms: Open) -> None:
    room = rooms()
    for sample in mails(45):
        room.put(sample)
    source = room.target()
    refs, _ = listed(source, folder_of(source, ("Inbox",)))
    results = source.export(refs, Format.FTS)
    assert [result.ref.id for result in results] == [ref.id for ref in refs]
    assert all(isinstance(result, Item) for result in results)
    assert room.operations(operation="exportItems") == ["exportItems"] * 3


def outcomes_of(results: Sequence[Item | Outcome]) -> list[tuple[State, object]]:
    return [(each.state, each.reason or type(each.error)) for each in results if isinstance(each, Outcome)]


def test_an_item_that_cannot_be_read_harms_no_neighbour(rooms: Open) -> None:
    room = rooms(
        faults=[
            {
                "fault": "item_error",
                "operation": "exportItems",
                "subject": "mail 1",
                "code": "ErrorCorruptData",
            },
            {
                "fault": "item_error",
                "operation": "exportItems",
                "subject": "mail 2",
                "code": "ErrorServerBusy",
            },
            {
                "fault": "item_error",
                "operation": "exportItems",
                "subject": "mail 3",
                "code": "ErrorSomethingNew",
            },
        ]
    )
    for sample in mails(5):
        room.put(sample)
    source = room.target()
    refs, _ = listed(source, folder_of(source, ("Inbox",)))
    refs = sorted(refs, key=lambda ref: ref.subject)
    results = source.export(refs, Format.FTS)
    assert outcomes_of(results) == [
        (State.SKIPPED, SkipReason.CORRUPT_AT_SOURCE),
        (State.FAILED, Transient),
        (State.FAILED, ItemError),
    ]
    assert [isinstance(each, Item) for each in results] == [True, False, False, False, True]


def test_an_export_that_the_server_broke_off_is_tried_later(rooms: Open) -> None:
    room = rooms(faults=[{"fault": "truncated_data", "operation": "exportItems", "times": 1}])
    room.put(mails(1)[0])
    source = room.target()
    refs, _ = listed(source, folder_of(source, ("Inbox",)))
    assert outcomes_of(source.export(refs, Format.FTS)) == [(State.FAILED, Transient)]
    assert isinstance(source.export(refs, Format.FTS)[0], Item)


def test_another_format_is_not_made(rooms: Open) -> None:
    room = rooms()
    room.put(mails(1)[0])
    source = room.target()
    refs, _ = listed(source, folder_of(source, ("Inbox",)))
    assert outcomes_of(source.export(refs, Format.MIME)) == [(State.FAILED, ItemError)]


# ---- store


@pytest.fixture
def item() -> Item:
    return item_of(mails(1)[0])


def stored_folder(target: GraphMailbox) -> Folder:
    return target.ensure_folder(("In",), Kind.MAIL)


def test_one_session_serves_all_handles_of_a_mailbox(rooms: Open, item: Item) -> None:
    room = rooms()
    client = room.client()
    handles = [room.target(client) for _ in range(4)]
    folder = stored_folder(handles[0])
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda each: each.store(folder, [item])[0], handles))
    assert {outcome.state for outcome in outcomes} == {State.COPIED}
    assert room.operations(operation="createImportSession") == ["createImportSession"]


def test_a_session_that_ended_is_renewed_and_nothing_is_doubled(rooms: Open, item: Item) -> None:
    room = rooms()
    target = room.target()
    folder = stored_folder(target)
    target.store(folder, [item])
    room.lab.do(lambda world: world.tokens.expire("import"))
    (outcome,) = target.store(folder, [item])
    assert outcome.state is State.COPIED
    statuses = [entry.status for entry in room.world.journal.select(operation="importItem")]
    assert statuses == [200, 401, 200]
    assert len(listed(target, folder)[0]) == 2


def large_item() -> Item:
    return item_of(replace(mails(1)[0], body="It is long. " * 200_000))


@pytest.mark.parametrize("ends", ["access", "import", "both"])
def test_what_ends_while_a_large_item_is_on_its_way(rooms: Open, item: Item, ends: str) -> None:
    """The whole body has arrived when it happens. The import URL carries a token of its own, so the end of the access token
    does not concern the upload under way, only the next call; the end of the session is a 401 behind the body, which stores
    nothing and is sent again by a new session."""
    fault = "expire_tokens" if ends == "access" else "expire_sessions"
    room = rooms(faults=[{"fault": fault, "operation": "importItem", "nth": 1}])
    if ends == "both":
        expire = room.world.tokens.expire
        room.world.tokens.expire = lambda kind, box="": expire("access") + expire(kind, box)  # type: ignore[method-assign]
    target = room.target()
    folder = stored_folder(target)
    mark = target.mark(folder)
    large = large_item()
    (outcome,) = target.store(folder, [large])
    assert outcome.state is State.COPIED
    imports = list(room.world.journal.select(operation="importItem"))
    assert [entry.status for entry in imports] == ([200] if ends == "access" else [401, 200])
    assert all(entry.octets_in > large.content.size for entry in imports)
    sessions = list(room.world.journal.select(operation="createImportSession"))
    assert sum(entry.status < 300 for entry in sessions) == (1 if ends == "access" else 2)
    assert len(room.tokens.renewed) == (1 if ends == "both" else 0)
    # It goes on: the next item, and the listing, which shows each of them once.
    (after,) = target.store(folder, [item])
    assert after.state is State.COPIED
    refs, _ = listed(target, folder, mark)
    assert sorted(ref.id for ref in refs) == sorted([outcome.target_id, after.target_id])
    assert len(room.tokens.renewed) == (0 if ends == "import" else 1)
    assert len(list(room.world.journal.select(operation="importItem", status=200))) == 2


def test_a_session_is_renewed_before_its_end(rooms: Open, item: Item) -> None:
    room = rooms(knobs={"session_lifetime_s": 300.0})
    target = room.target()
    folder = stored_folder(target)
    target.store(folder, [item])
    room.lab.do(lambda world: setattr(world, "knobs", world.knobs.swap({"session_lifetime_s": 3600.0})))
    late = LabClock()
    late.now = lambda: time.time() + 250  # type: ignore[method-assign]
    target._wire.clock = late
    target.store(folder, [item])
    assert len(room.operations(operation="createImportSession")) == 2
    assert {entry.status for entry in room.world.journal.select(operation="importItem")} == {200}


def test_a_refused_bearer_token_is_renewed_once(rooms: Open) -> None:
    room = rooms()
    target = room.target()
    target.probe()
    room.lab.do(lambda world: world.tokens.expire("access"))
    assert target.folders()
    assert len(room.tokens.renewed) == 1


def test_a_lost_answer_leaves_the_item_in_doubt_and_the_mark_finds_it(rooms: Open, item: Item) -> None:
    room = rooms(faults=[{"fault": "lost_answer", "operation": "importItem", "nth": 1}])
    target = room.target()
    folder = stored_folder(target)
    mark = target.mark(folder)
    (outcome,) = target.store(folder, [item])
    assert outcome.state is State.FAILED
    assert isinstance(outcome.error, InDoubt)
    (ref,) = listed(target, folder, mark)[0]
    assert ref.message_id == item.ref.message_id


def test_a_request_that_was_cut_off_before_its_effect_is_in_doubt_too(rooms: Open, item: Item) -> None:
    room = rooms(faults=[{"fault": "reset_before", "operation": "importItem", "nth": 1}])
    target = room.target()
    folder = stored_folder(target)
    mark = target.mark(folder)
    (outcome,) = target.store(folder, [item])
    assert isinstance(outcome.error, InDoubt)
    assert listed(target, folder, mark)[0] == []


def test_an_answer_that_is_cut_short_is_in_doubt(rooms: Open, item: Item) -> None:
    room = rooms(faults=[{"fault": "truncated_body", "operation": "importItem", "nth": 1}])
    target = room.target()
    (outcome,) = target.store(stored_folder(target), [item])
    assert isinstance(outcome.error, InDoubt)


@pytest.mark.parametrize("shape", ["seconds", "fraction", "date", "absent"])
def test_throttling_is_raised_with_the_wait_that_was_asked(rooms: Open, item: Item, shape: str) -> None:
    room = rooms(
        knobs={
            "graph_throttling": "own",
            "graph_limits": {"upload_octets": 3000, "upload_window_s": 120.0, "retry_after": shape},
        }
    )
    target = room.target()
    folder = stored_folder(target)

    def many() -> None:
        for _ in range(20):
            target.store(folder, [item])

    with pytest.raises(Throttled) as caught:
        many()
    wait = caught.value.retry_after_s
    assert caught.value.scope == "mailbox"
    if shape == "absent":
        assert wait is None
    else:
        assert wait is not None
        assert 0 < wait <= 121


def test_a_full_mailbox_stops_the_job(rooms: Open, item: Item) -> None:
    for status in (403, 507):
        room = rooms(knobs={"import_quota_status": status})
        room.lab.do(lambda world, room=room: setattr(room.alice, "quota_octets", 10))
        target = room.target()
        with pytest.raises(JobError) as caught:
            target.store(stored_folder(target), [item])
        assert caught.value.code == "quota_full"
        assert "quota" in caught.value.remedy


def test_a_full_folder_is_not_a_full_mailbox(rooms: Open, item: Item) -> None:
    room = rooms()
    room.lab.do(lambda world: setattr(world.m365, "folder_limit", 1))
    target = room.target()
    folder = stored_folder(target)
    target.store(folder, [item])
    (outcome,) = target.store(folder, [item])
    assert getattr(outcome.error, "code", "") == "folder_full"


def test_an_item_above_the_mailboxs_limit_is_skipped(rooms: Open) -> None:
    room = rooms()
    room.lab.do(lambda world: setattr(room.alice, "max_receive_octets", 2000))
    target = room.target()
    large = item_of(Sample("large", body="x" * 5000))
    (outcome,) = target.store(stored_folder(target), [large])
    assert (outcome.state, outcome.reason) == (State.SKIPPED, SkipReason.TOO_LARGE)


def test_a_request_above_the_servers_limit_is_skipped(rooms: Open) -> None:
    room = rooms(knobs={"import_body_octets": 4000})
    target = room.target()
    large = item_of(Sample("large", body="x" * 50_000))
    (outcome,) = target.store(stored_folder(target), [large])
    assert (outcome.state, outcome.reason) == (State.SKIPPED, SkipReason.TOO_LARGE)


def test_a_folder_that_is_gone_is_told_and_can_be_made_again(rooms: Open, item: Item) -> None:
    room = rooms()
    target = room.target()
    folder = stored_folder(target)
    room.lab.do(lambda world: world.m365.delete_folder(room.folder(("In",))))
    with pytest.raises(JobError) as caught:
        target.store(folder, [item])
    assert caught.value.code == "folder_gone"
    again = stored_folder(target)
    assert again.id != folder.id
    assert target.store(again, [item])[0].state is State.COPIED
    for call in (lambda: target.page(folder, None), lambda: target.mark(folder)):
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.code == "folder_gone"


@pytest.mark.parametrize("status", [409, 412])
def test_an_update_of_what_changed_meanwhile_is_a_conflict(rooms: Open, status: int) -> None:
    room = rooms(knobs={"import_stale_status": status, "update_accepts_long_keys": False})
    sample = mails(1)[0]
    room.put(sample)
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    (ref,) = listed(target, folder)[0]
    room.change(replace(sample, seen=True))
    (outcome,) = target.store(folder, [item_of(sample)], [(ref.id, ref.version)])
    assert outcome.state is State.FAILED
    assert getattr(outcome.error, "code", "") == "conflict"
    (now,) = listed(target, folder)[0]
    (outcome,) = target.store(folder, [item_of(sample)], [(now.id, now.version)])
    assert outcome.state is State.COPIED, outcome.error


def test_an_update_of_what_is_gone_is_a_conflict(rooms: Open) -> None:
    room = rooms()
    sample = mails(1)[0]
    room.put(sample)
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    (ref,) = listed(target, folder)[0]
    room.delete(sample)
    (outcome,) = target.store(folder, [item_of(sample)], [(ref.id, ref.version)])
    assert getattr(outcome.error, "code", "") == "conflict"
    assert listed(target, folder)[0] == []


def test_a_refused_kind_is_told_per_item(rooms: Open) -> None:
    room = rooms(knobs={"import_refused_classes": ["IPM.Task"]})
    target = room.target()
    folder = stored_folder(target)
    states = {kind: target.store(folder, [item])[0].state for kind, item in canaries().items()}
    assert {kind for kind, state in states.items() if state is not State.COPIED} == {Kind.TASK}


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_content"), (b'AAAA","Mode":"update', "bad_content"), (b"AA\nAA", "bad_content")],
)
def test_content_that_would_break_the_request_is_not_sent(rooms: Open, content: bytes, code: str) -> None:
    room = rooms()
    target = room.target()
    folder = stored_folder(target)
    made = Item(mails(1)[0].ref(), Format.FTS, BufferContent([memoryview(content)]))
    (outcome,) = target.store(folder, [made])
    assert getattr(outcome.error, "code", "") == code
    assert room.operations(operation="importItem") == []


def test_no_token_goes_to_the_import_host(rooms: Open, item: Item) -> None:
    """The lab refuses an Authorization field there; this sees that it would."""
    room = rooms()
    target = room.target()
    (outcome,) = target.store(stored_folder(target), [item])
    assert outcome.state is State.COPIED
    url = target._shared.session.url().reveal()
    reply = target._wire.transport.request(
        "POST", url, headers={"Authorization": "Bearer x", "Content-Type": "application/json"}, body=[b"{}"]
    )
    assert reply.status >= 400
    assert "authtoken" in url


# ---- removal


def test_removal_is_hard_and_already_gone_counts(rooms: Open) -> None:
    room = rooms()
    samples = mails(25)
    for sample in samples:
        room.put(sample)
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    refs, _ = listed(target, folder)
    room.delete(samples[3])
    ids = [ref.id for ref in refs]
    assert sorted(target.remove(folder, ids)) == sorted(ids)
    assert listed(target, folder)[0] == []
    assert not room.alice.items


def test_what_a_hold_protects_is_not_told_as_gone(rooms: Open) -> None:
    room = rooms()
    room.put(mails(1)[0])
    room.lab.do(lambda world: setattr(room.alice, "on_hold", True))
    target = room.target()
    folder = folder_of(target, ("Inbox",))
    (ref,) = listed(target, folder)[0]
    assert target.remove(folder, [ref.id]) == []


def test_removing_a_folder_twice_is_fine(rooms: Open) -> None:
    room = rooms()
    target = room.target()
    folder = target.ensure_folder(("Canary", "below"), Kind.MAIL)
    target.remove_folder(folder)
    target.remove_folder(folder)
    assert ("Canary", "below") not in {each.path for each in target.folders()}
    assert target.ensure_folder(("Canary", "below"), Kind.MAIL).id != folder.id


# ---- trouble on the way


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "lost_answer"},
        {"fault": "reset_before"},
        {"fault": "truncated_body"},
        {"fault": "midway"},
    ],
    ids=lambda fault: fault["fault"],
)
def test_reads_that_go_wrong_are_passing_trouble(rooms: Open, fault: dict[str, Any]) -> None:
    for operation in ("settingsExchange", "listFolders", "itemsDelta", "listItems", "exportItems"):
        room = rooms(faults=[{**fault, "operation": operation, "times": 1}])
        room.put(mails(1)[0])

        def all_of_it(room: Room = room) -> list[MigratorError]:
            found: list[MigratorError] = []
            target = room.target()
            for _ in range(3):
                try:
                    target.probe()
                    folder = folder_of(target, ("Inbox",))
                    refs, _ = listed(target, folder)
                    (result,) = target.export(refs, Format.FTS)
                    assert isinstance(result, Item)
                    return found
                except MigratorError as e:
                    found.append(e)
            raise AssertionError(found)

        (error,) = all_of_it()
        assert isinstance(error, Transient), (operation, error)


def test_traits_say_what_it_can(rooms: Open) -> None:
    traits = rooms().target().traits
    assert traits.accepts == (Format.FTS,)
    assert (traits.store_items, traits.connections, traits.export_items) == (1, 4, 20)
    assert traits.has_delta
    assert traits.can_update
