"""Fills a world: mailboxes with believable content on the Exchange side, empty ones in Microsoft 365, and who may sign in.

Deterministic: the same `Seeding` gives the same mailboxes, item streams, passwords and ids in every process, so that the
two halves may run apart.
"""

from __future__ import annotations

import hashlib
import math
import random
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from migrator.lab import words
from migrator.lab.describe import facts_of
from migrator.lab.make import Maker
from migrator.lab.options import Seeding
from migrator.lab.store import Facts, LabFolder, LabMailbox, Store
from migrator.lab.words import Person
from migrator.lab.world import Account, App, ClientSecret, Tenant, TenantUser, World
from migrator.mapi import fasttransfer
from migrator.mapi.item import Message, filetime

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
"""When the invented mailboxes are looked at: fixed, so that their content is."""

ROLES = frozenset(
    {
        "User.Read.All",
        "MailboxFolder.Read.All",
        "MailboxFolder.ReadWrite.All",
        "MailboxItem.Read.All",
        "MailboxItem.ReadWrite.All",
        "MailboxItem.Export.All",
        "MailboxItem.ImportExport.All",
        "Mail.ReadWrite",
        "Calendars.ReadWrite",
        "Contacts.ReadWrite",
        "MailboxSettings.ReadWrite",
        "Reports.Read.All",
    }
)

# Names that trouble whoever joins folder paths, trims names or compares them too loosely.
HARD_NAMES: tuple[str, ...] = (
    "Q3/Q4 plans",
    "back\\slash",
    "  two leading blanks",
    "🚚 Deliveries 🇪🇺",
    "50% & more; <drafts>",
    "Straße",
    "Ärger, Öl & Übermaß",
    "請求書／2025年",
    "مراسلات",
    "e\u0301te\u0301 (decomposed)",
    "=SUM(A1)",
    "Projet « Verrière »",
    "L" + "o" * 240 + "ng folder name",
)

_USER_FOLDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("Projects",),
        ("Projects", "Flow bench"),
        ("Projects", "Flow bench", "Quotations"),
        ("Customers",),
        ("Personal",),
    ),
    "de": (
        ("Projekte",),
        ("Projekte", "Prüfstand"),
        ("Projekte", "Prüfstand", "Angebote"),
        ("Kunden",),
        ("Privat",),
    ),
    "fr": (
        ("Projets",),
        ("Projets", "Verrière"),
        ("Projets", "Verrière", "Devis"),
        ("Clients",),
        ("Personnel",),
    ),
    "ja": (("案件",), ("案件", "流量計"), ("案件", "流量計", "見積"), ("顧客",), ("個人",)),
}


def secret_for(seed: int, what: str) -> str:
    """A password of the lab: the same in every process of one seed, worth nothing outside."""
    mark = hashlib.blake2b(f"{seed}/{what}".encode(), digest_size=12).hexdigest()
    return f"Lab-{mark[:8]}-{mark[8:16]}-{mark[16:]}"


def people(seeding: Seeding, organisation: str) -> list[Person]:
    """The owners of the mailboxes."""
    found = []
    for number in range(seeding.mailboxes):
        given, family, _ = words.PEOPLE[number % len(words.PEOPLE)]
        turn = number // len(words.PEOPLE)
        family += f" {turn + 1}" if turn else ""
        local = words.ascii_name(given, family)
        found.append(
            Person(
                f"{given} {family}",
                f"{local}@{seeding.domain}",
                given,
                family,
                "Brightwater Instruments",
                f"/o={organisation}/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn={local}",
            )
        )
    return found


def populate(
    world: World, seeding: Seeding, halves: tuple[str, ...] = ("exchange", "m365"), folder: Path | None = None
) -> dict[str, Any]:
    """Make everything. Returns what a client must know, by half: accounts, passwords, tenant, app.

    folder: where the app's certificate goes (`app.pem`, key and certificate); without one it signs in by secret only.
    """
    owners = people(seeding, world.exchange.organisation)
    info: dict[str, Any] = {}
    if "exchange" in halves:
        info["exchange"] = _exchange(world, seeding, owners)
    if "m365" in halves:
        info["m365"] = _m365(world, seeding, owners, folder)
    return info


def _exchange(world: World, seeding: Seeding, owners: list[Person]) -> dict[str, Any]:
    service = world.add_account(
        Account(
            f"migration@{seeding.domain}",
            secret_for(seeding.seed, "service"),
            netbios="BRIGHTWATER\\migration",
            impersonates=True,
        )
    )
    told = []
    filler = Filler(world, seeding, owners)
    for number, owner in enumerate(owners):
        box = world.exchange.create_mailbox(
            owner.address,
            owner.name,
            locale=seeding.locales[number % len(seeding.locales)] if seeding.locales else "en-US",
            legacy_dn=owner.legacy_dn,
        )
        account = world.add_account(
            Account(owner.address, secret_for(seeding.seed, owner.address), mailbox=owner.address)
        )
        filler.fill(box, owner, number)
        told.append(
            {
                "address": owner.address,
                "name": owner.name,
                "password": account.password,
                "locale": box.locale,
                "items": len(box.items),
                "octets": box.octets,
            }
        )
    if seeding.eml and owners:
        from migrator.lab.eml import load_folder

        box = world.exchange.mailbox(owners[0].address)
        for path in seeding.eml:
            load_folder(world.exchange, box, Path(path), filler.version)
    return {
        "service_account": {"login": service.login, "password": service.password},
        "mailboxes": told,
    }


def _m365(world: World, seeding: Seeding, owners: list[Person], folder: Path | None) -> dict[str, Any]:
    domain = seeding.target_domain or seeding.domain
    tenant = world.add_tenant(
        Tenant(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"tenant.{domain}")), domain, "Brightwater Instruments")
    )
    client_secret = secret_for(seeding.seed, "app")
    app = App(
        str(uuid.uuid5(uuid.NAMESPACE_DNS, f"app.{domain}")),
        "Brightwater migration",
        secrets=[ClientSecret(client_secret)],
        roles=set(ROLES),
        public_client=True,
        scopes={"User.Read", "MailboxFolder.ReadWrite", "MailboxItem.ImportExport", "Mail.ReadWrite"},
    )
    tenant.apps[app.client_id.lower()] = app
    certificate_file = ""
    if folder is not None:
        from migrator.lab.tls import make_client_certificate

        key, certificate = make_client_certificate()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "app.pem"
        path.write_bytes(key + certificate)
        path.chmod(0o600)
        app.certificates.append(certificate)
        certificate_file = str(path)
    told = []
    for number, owner in enumerate(owners):
        address = f"{owner.address.partition('@')[0]}@{domain}"
        world.m365.create_mailbox(
            address,
            owner.name,
            tenant=tenant.id,
            locale=seeding.locales[number % len(seeding.locales)] if seeding.locales else "en-US",
            max_receive_octets=150 << 20,
        )
        user = TenantUser(address, secret_for(seeding.seed, f"cloud/{address}"), mailbox=address)
        tenant.users[address.lower()] = user
        told.append({"address": address, "name": owner.name, "password": user.password})
    return {
        "tenant_id": tenant.id,
        "tenant_domain": tenant.domain,
        "client_id": app.client_id,
        "client_secret": client_secret,
        "certificate_file": certificate_file,
        "mailboxes": told,
    }


@dataclass(slots=True)
class _Pending:
    folder: LabFolder
    message: Message
    associated: bool = False


class Filler:
    """Fills mailboxes of the Exchange half."""

    def __init__(self, world: World, seeding: Seeding, owners: list[Person]) -> None:
        self.store: Store = world.exchange
        self.seeding = seeding
        self.owners = owners
        numbers = [int(part) for part in world.knobs.ews_version.split(".")]
        self.version = (numbers[0], numbers[1], numbers[2], numbers[3] if len(numbers) > 3 else 0)
        self.page = world.knobs.ews_data_pages
        # Half of it compresses, half does not, as with office files and pictures.
        dice = random.Random(seeding.seed)
        block = dice.randbytes(1 << 18)
        self.noise = b"".join(
            block[spot : spot + 4096] + block[spot : spot + 64] * 64 for spot in range(0, 1 << 18, 4096)
        )
        outside = [
            Person(f"{given} {family}", f"{words.ascii_name(given, family)}@{domain}", given, family, company)
            for (given, family, _), (company, domain) in zip(words.PEOPLE, words.COMPANIES * 4, strict=False)
        ]
        self.others = outside
        self._big: Bulk | None = None

    def fill(self, box: LabMailbox, owner: Person, number: int) -> None:
        seeding = self.seeding
        dice = random.Random(f"{seeding.seed}/{owner.address}")
        colleagues = [one for one in self.owners if one is not owner][:20]
        maker = Maker(dice, owner, colleagues + self.others, box.locale, self.noise, NOW)
        pending: list[_Pending] = []
        # Mailboxes differ in life: this one holds a third to two and a half times the average.
        items = round(seeding.items * (0.35 + 0.65 * dice.lognormvariate(0.0, 0.5))) if seeding.items else 0
        folders = self._folders(box, maker)
        if items:
            self._mail(box, maker, folders, items, pending)
            self._others(box, maker, items, pending)
        pending.sort(key=lambda one: _age(one.message))
        for one in pending:
            self._add(one.folder, one.message, one.associated)
        if seeding.big_items:
            if self._big is None:
                self._big = Bulk(self, maker, seeding.big_octets, "Scan archive")
            for turn in range(seeding.big_items):
                self._big.add(box.role("inbox"), number * 1000 + turn, dice)
        if seeding.bulk:
            self._bulk(box, maker, dice, number)

    def stream(self, message: Message) -> bytes:
        return fasttransfer.write(message, version=self.version, page=self.page)

    def _add(self, folder: LabFolder, message: Message, associated: bool = False) -> None:
        facts = facts_of(message)
        self.store.add_item(
            folder, self.stream(message), facts=facts, associated=associated, modified=facts.modified
        )

    def _folders(self, box: LabMailbox, maker: Maker) -> list[LabFolder]:
        """Folders for mail, the Inbox first."""
        root = box.visible_root
        found = [box.role("inbox"), box.role("inbox")]
        if not self.seeding.items:
            return found
        for path in _USER_FOLDERS.get(box.locale[:2], _USER_FOLDERS["en"]):
            parent = box.role("inbox") if path[0] in ("Customers", "Kunden", "Clients", "顧客") else root
            for name in path[:-1]:
                parent = parent.children[name.casefold()]
            found.append(self.store.create_folder(parent, path[-1]))
        if self.seeding.hard_names:
            found += [self.store.create_folder(root, name) for name in HARD_NAMES]
            # The same name twice, on different levels, and a deep path.
            parent = self.store.create_folder(root, "Levels")
            for level in range(1, 13):
                parent = self.store.create_folder(parent, f"Level {level}")
            found.append(parent)
            found.append(self.store.create_folder(box.by_path("Levels"), "Straße"))
            self.store.create_folder(root, "Team calendar", "IPF.Appointment")
            self.store.create_folder(root, "Suppliers", "IPF.Contact")
            self.store.create_folder(root, "Quick Step Settings", "IPF.Configuration", hidden=True)
            self.store.create_folder(box.role("searchfolders"), "Unread Mail", search=True)
            self.store.create_folder(root, "Large mail (search)", search=True)
            self.store.create_folder(root, "Empty folder")
        return found

    def _mail(
        self, box: LabMailbox, maker: Maker, folders: list[LabFolder], items: int, pending: list[_Pending]
    ) -> None:
        dice, seeding = maker.dice, self.seeding
        # Each form at least once where there is room, the rest as mailboxes are.
        forms = ["plain", "html", "rtf", "inline", "attached", "embedded", "signed", "encrypted"]
        count = max(1, round(items * 0.68))
        for spot in range(count):
            octets = min(
                seeding.size_most,
                round(dice.lognormvariate(math.log(seeding.size_median), seeding.size_sigma)),
            )
            if spot < len(forms):
                form = forms[spot]
            elif octets > 24_000:
                form = dice.choice(("attached", "attached", "attached", "inline"))
            else:
                form = dice.choices(forms, (20, 60, 4, 8, 12, 3, 2, 1))[0]
            way = dice.random()
            if way < 0.22:
                folder, message = box.role("sentitems"), maker.mail(form, outgoing=True, octets=octets)
            elif way < 0.26:
                folder, message = box.role("drafts"), maker.mail("html", draft=True)
            else:
                folder, message = dice.choice(folders), maker.mail(form, octets=octets)
                if way > 0.94:
                    folder = box.role("deleteditems" if way < 0.98 else "junkemail")
            pending.append(_Pending(folder, message))

    def _others(self, box: LabMailbox, maker: Maker, items: int, pending: list[_Pending]) -> None:
        dice = maker.dice

        def put(role: str, *messages: Message, associated: bool = False) -> None:
            pending.extend(_Pending(box.role(role), message, associated) for message in messages)

        for spot in range(max(4, round(items * 0.1))):
            put(
                "calendar",
                maker.appointment(recurring=spot % 4 == 0, meeting=spot % 4 in (0, 1), all_day=spot % 4 == 3),
            )
        for spot in range(max(2, round(items * 0.1))):
            put("contacts", maker.contact(photo=spot % 5 == 0))
        put("contacts", maker.distribution_list())
        put("tasks", *(maker.task() for _ in range(max(1, round(items * 0.05)))))
        put("notes", *(maker.note() for _ in range(max(1, round(items * 0.03)))))
        put("journal", *(maker.journal() for _ in range(max(1, round(items * 0.02)))))
        put("inbox", maker.meeting_request(), maker.meeting_request(dice.choice(("Pos", "Neg", "Tent"))))
        put("inbox", maker.configuration(), associated=True)
        if self.seeding.hard_names:
            pending.append(_Pending(box.by_path("Team calendar"), maker.appointment()))
            pending.append(_Pending(box.by_path("Suppliers"), maker.contact()))
            pending.append(_Pending(box.by_path("Quick Step Settings"), maker.configuration()))

    def _bulk(self, box: LabMailbox, maker: Maker, dice: random.Random, number: int) -> None:
        seeding = self.seeding
        octets = seeding.bulk_octets
        kinds = 12 if octets <= 65_536 else 3 if octets <= 1 << 20 else 1
        bulks = [Bulk(self, maker, octets) for _ in range(min(kinds, seeding.bulk))]
        folders = [box.role("inbox")]
        if seeding.bulk_folders > 1:
            parent = self.store.create_folder(box.visible_root, "Filed")
            folders = [
                self.store.create_folder(parent, f"Case {spot:05d}") for spot in range(seeding.bulk_folders)
            ]
        for turn in range(seeding.bulk):
            bulks[turn % len(bulks)].add(
                folders[turn % len(folders)], number * 1_000_000 + turn, dice, turn, seeding.bulk
            )


def _age(message: Message) -> int:
    """FILETIME by which items arrived in their folder."""
    p = message.properties
    return int(p.get(0x0E06) or p.get(0x3007) or 0)


_NUMBER = "9081726354"
_SUBMIT = datetime(2001, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
_DELIVERY = datetime(2001, 3, 4, 5, 7, 8, 910111, tzinfo=UTC)
_MODIFIED = datetime(2001, 3, 4, 5, 8, 9, 101112, tzinfo=UTC)


_TRANSIT = timedelta(seconds=20)
_HANDLED = timedelta(hours=1)


class Bulk:
    """One template and the mails made of it: they differ in number, search key, Message-ID and dates."""

    def __init__(self, filler: Filler, maker: Maker, octets: int, subject: str = "") -> None:
        self.filler = filler
        dice = maker.dice
        theme = dice.choice(words.THEMES)
        title = subject or words.fill(dice, theme.subject, maker.day(), maker.person().name)
        for _ in range(6):
            message = maker.mail("html" if octets < 6000 else "attached", when=_SUBMIT, octets=64)
            if message.properties.get(0x1042) is None:
                break
        p = message.properties
        maker._subject(p, f"{title} [{_NUMBER}]")
        p.set(
            0x1035, 0x1F, f"<{_NUMBER}.{dice.getrandbits(64):016x}@{maker.owner.address.partition('@')[2]}>"
        )
        p.set(0x0E06, 0x40, _DELIVERY)
        p.set(0x3007, 0x40, _DELIVERY)
        p.set(0x3008, 0x40, _MODIFIED)
        p.set(0x0E07, 0x03, 0x11)
        p.set(0x0017, 0x03, 1)
        for key in (0x1039, 0x1042, 0x1080, 0x1081, 0x1082):
            p.pop(key, None)
        headers = p.text(0x007D)
        if headers:
            p.set(
                0x007D,
                0x1F,
                f"Message-ID: {p.text(0x1035)}\r\nDate: {format_datetime(_SUBMIT)}\r\nX-Mailer: Larkspur Mail 4.2\r\n\r\n",
            )
        short = octets - len(filler.stream(message))
        if message.attachments and short > 0:
            # The last attachment takes what is missing; two thousandths go into page headers.
            last = message.attachments[-1].properties
            last.set(0x3701, 0x0102, maker.file(64 + short - short // 3960))
        self.template = filler.stream(message)
        self.facts = facts_of(message)
        self.number = places(self.template, _NUMBER.encode("utf-16-le"))
        self.key = places(self.template, self.facts.search_key)
        self.submit = places(self.template, struct.pack("<Q", filetime(_SUBMIT)))
        self.delivery = places(self.template, struct.pack("<Q", filetime(_DELIVERY)))
        self.modified = places(self.template, struct.pack("<Q", filetime(_MODIFIED)))
        self.stamp = places(self.template, format_datetime(_SUBMIT).encode("utf-16-le")) if headers else []

    def add(self, folder: LabFolder, number: int, dice: random.Random, turn: int = 0, of: int = 1) -> None:
        """One more mail. turn, of: spreads the dates over six years, the oldest first."""
        ago = timedelta(days=2190 * (1 - (turn + dice.random()) / max(1, of)))
        sent = (NOW - ago).replace(microsecond=0)
        delivery, modified = sent + _TRANSIT, sent + _HANDLED
        recipe = Numbered(self, number, int(sent.timestamp()))
        digits, key = recipe.digits, recipe.key
        base = self.facts
        facts = Facts(
            base.item_class,
            base.subject.replace(_NUMBER, digits),
            base.message_id.replace(_NUMBER, digits),
            key,
            delivery,
            sent,
            delivery,
            modified,
            base.read,
            base.draft,
            base.has_attachments,
            base.importance,
            base.categories,
            base.sender_name,
            base.sender_address,
            base.flags,
        )
        self.filler.store.add_item(folder, recipe, facts=facts, modified=modified)


class Numbered:
    """One bulk mail's stream, made on demand and the same every time: a hundred thousand of them share a few templates."""

    __slots__ = ("bulk", "number", "sent")

    def __init__(self, bulk: Bulk, number: int, sent: int) -> None:
        self.bulk = bulk
        self.number = number
        self.sent = sent  # epoch seconds

    @property
    def size(self) -> int:
        return len(self.bulk.template)

    @property
    def digits(self) -> str:
        return f"{self.number:0{len(_NUMBER)}d}"

    @property
    def key(self) -> bytes:
        return hashlib.blake2b(self.digits.encode(), key=self.bulk.facts.search_key, digest_size=16).digest()

    def stream(self) -> bytes:
        bulk = self.bulk
        sent = datetime.fromtimestamp(self.sent, UTC)
        made = bytearray(bulk.template)
        for spots, octets in (
            (bulk.number, self.digits.encode("utf-16-le")),
            (bulk.key, self.key),
            (bulk.submit, struct.pack("<Q", filetime(sent))),
            (bulk.delivery, struct.pack("<Q", filetime(sent + _TRANSIT))),
            (bulk.modified, struct.pack("<Q", filetime(sent + _HANDLED))),
            (bulk.stamp, format_datetime(sent).encode("utf-16-le")),
        ):
            for spot in spots:
                made[spot : spot + len(octets)] = octets
        return bytes(made)


def places(template: bytes, marker: bytes) -> list[int]:
    """Where a marker stands in a template. Raises ValueError when it nowhere stands in one piece."""
    found: list[int] = []
    spot = template.find(marker)
    while spot >= 0:
        found.append(spot)
        spot = template.find(marker, spot + 1)
    if not found:
        raise ValueError("the template does not hold the marker in one piece")
    return found
