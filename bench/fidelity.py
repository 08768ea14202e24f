"""What survives by which path: measured on the lab, written as the tables of docs/fidelity.md.

    python -m bench.fidelity            prints the tables
    python -m bench.fidelity --write    puts them into docs/fidelity.md

Each path is a whole migration by the product's own commands (check, run, verify --deep) of the same mailboxes, into a
simulated tenant that takes more or less: item streams of that Exchange server, only streams made here, none at all. What is
counted is what `verify --deep` finds when both sides are exported. The last path, mail by IMAP, has no tenant: each
item is made into a mail and back, as it is on the way to an IMAP server (which keeps octets, flags and date as they are).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.cli.demo import write_demo_project
from migrator.formats import calendar, mime
from migrator.formats.content import MemoryContent
from migrator.formats.convert import CONVERTERS
from migrator.lab.command import build
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import Lab
from migrator.lab.world import World
from migrator.mapi import fasttransfer
from migrator.mapi.compare import compare
from migrator.mapi.dictionary import name_of
from migrator.mapi.item import Message
from migrator.model import Format, Item, ItemRef, Kind

DOC = Path(__file__).parents[1] / "docs" / "fidelity.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

TENANTS: Mapping[str, Mapping[str, Any]] = {
    "stream": {},
    "synthetic": {"import_accepts_ews": ["15.1"]},
    "json": {"import_accepts_ews": ["8"], "import_accepts_synthetic": False},
}
"""Path → what the simulated tenant is told to take, so that the product chooses it."""
NEWER = (15, 2, 1544, 4)
"""Version that the source's streams are given, so that "15.1" means only those made here."""

KINDS = (Kind.MAIL, Kind.EVENT, Kind.CONTACT, Kind.GROUP, Kind.TASK, Kind.NOTE, Kind.JOURNAL)
_CLASSES = {
    "ipm.appointment": Kind.EVENT, "ipm.contact": Kind.CONTACT, "ipm.distlist": Kind.GROUP, "ipm.task": Kind.TASK,
    "ipm.stickynote": Kind.NOTE, "ipm.activity": Kind.JOURNAL,
}  # fmt: skip

ASPECTS: Mapping[str, tuple[tuple[Kind, ...], str]] = {
    "subject": (KINDS, r"PidTagSubject"),
    "message class": (KINDS, r"PidTagMessageClass"),
    "body: plain or HTML": (KINDS, r"PidTagBody|PidTagHtml"),
    "body: rich text": ((Kind.MAIL, Kind.EVENT, Kind.TASK), r"PidTagRtfCompressed"),
    "Message-ID": ((Kind.MAIL,), r"PidTagInternetMessageId"),
    "received": ((Kind.MAIL,), r"PidTagMessageDeliveryTime"),
    "sent": ((Kind.MAIL,), r"PidTagClientSubmitTime"),
    "flags (read, draft, sent by the owner)": ((Kind.MAIL,), r"PidTagMessageFlags"),
    "follow-up flag": ((Kind.MAIL,), r"PidTagFlagStatus"),
    "follow-up dates and text": ((Kind.MAIL,), r"PidLidTask(Due|Start)Date|PidLidFlagRequest"),
    "importance": ((Kind.MAIL, Kind.EVENT), r"PidTagImportance"),
    "categories": (KINDS, r"PidNameKeywords"),
    "sender": ((Kind.MAIL,), r"PidTag(Sender|SentRepresenting)(SmtpAddress|Name)"),
    "recipients": ((Kind.MAIL,), r"recipient: (recipient|PidTagSmtpAddress|PidTagDisplayName|PidTagRecipientType)"),
    "attachments": ((Kind.MAIL, Kind.EVENT), r"attachment: (attachment|PidTagAttach(DataBinary|LongFilename))"),
    "conversation": ((Kind.MAIL,), r"PidTagConversationIndex"),
    "transport headers": ((Kind.MAIL,), r"PidTagTransportMessageHeaders"),
    "start and end": ((Kind.EVENT,), r"PidLidAppointment(Start|End)Whole"),
    "place": ((Kind.EVENT,), r"PidLidLocation"),
    "free or busy": ((Kind.EVENT,), r"PidLidBusyStatus"),
    "recurrence": ((Kind.EVENT, Kind.TASK), r"PidLid(AppointmentRecur|TaskRecurrence)"),
    "attendees": ((Kind.EVENT,), r"recipient: recipient"),
    "meeting identity": ((Kind.EVENT,), r"PidLid(Clean)?GlobalObjectId"),
    "time zone": ((Kind.EVENT,), r"PidLidAppointmentTimeZoneDefinition\w+|PidLidTimeZoneStruct"),
    "reminder": ((Kind.EVENT, Kind.TASK), r"PidLidReminder(Set|Delta)"),
    "names": ((Kind.CONTACT,), r"PidTag(GivenName|Surname|DisplayName|Nickname|MiddleName)|PidLidFileUnder"),
    "addresses and telephones": (
        (Kind.CONTACT,), r"PidLidEmail\dEmailAddress|PidTag\w+TelephoneNumber|PidTag(Home|Other)Address\w+|PidLidWorkAddress\w+",
    ),
    "photo": ((Kind.CONTACT,), r"attachment: attachment"),
    "members": ((Kind.GROUP,), r"PidLidDistributionList(Members|OneOffMembers)"),
    "status and dates": ((Kind.TASK,), r"PidLidTask(Status|DueDate|StartDate|DateCompleted)|PidLidPercentComplete"),
}  # fmt: skip
"""What a person would ask for → the kinds that have it, and the properties that say it."""


@dataclass
class Measured:
    """One path. lines: kind → the line of `verify --deep`. kept: (aspect, kind) → items in which it survived, of so many."""

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[tuple[str, Kind], tuple[int, int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def kind_of(message: Message) -> Kind:
    item_class = message.properties.text(0x001A).lower()
    return next((kind for base, kind in _CLASSES.items() if item_class.startswith(base)), Kind.MAIL)


def names_of(message: Message) -> set[str]:
    """Names under which differences of an item would be told."""
    found = {name_of(key) for key in message.properties}
    for recipient in message.recipients:
        found |= {"recipient: recipient", *(f"recipient: {name_of(key)}" for key in recipient)}
    for attachment in message.attachments:
        found |= {"attachment: attachment", *(f"attachment: {name_of(key)}" for key in attachment.properties)}
    return found


def trees_of(world: World) -> list[Message]:
    """What the source holds in the folders that are copied."""
    return [
        item.message()
        for box in world.exchange.mailboxes.values()
        for folder in box.visible()
        if not folder.search
        for item in folder.newest()
    ]


def plain(name: str) -> str:
    return re.sub(r" [0-9]+(?=[: ])", "", name)


def judged(items: Iterable[tuple[Message, set[str]]]) -> dict[tuple[str, Kind], tuple[int, int]]:
    """items: (what it was, names of what was lost or changed)."""
    total: Counter[tuple[str, Kind]] = Counter()
    good: Counter[tuple[str, Kind]] = Counter()
    for message, wrong in items:
        kind, have = kind_of(message), names_of(message)
        for aspect, (kinds, pattern) in ASPECTS.items():
            if kind in kinds and any(re.fullmatch(pattern, name) for name in have):
                total[aspect, kind] += 1
                good[aspect, kind] += not any(re.fullmatch(pattern, name) for name in wrong)
    return {key: (good[key], count) for key, count in total.items()}


# -- by the product


@contextmanager
def rehearsal(folder: Path, mailboxes: int, items: int) -> Iterator[Lab]:
    seeding = Seeding(
        mailboxes=mailboxes, items=items, hard_names=False, domain="old.example", target_domain="new.example"
    )
    (folder / "lab").mkdir(parents=True)
    lab = build(LabOptions(tls=True, folder=str(folder / "lab"), seeding=seeding)).start()
    try:
        write_demo_project(folder, lab.info())
        yield lab
    finally:
        lab.stop()


def command(folder: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "migrator", args[0], "-p", str(folder), *args[1:]],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode not in (0, 3):
        raise SystemExit(f"migrator {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def by_product(path: str, mailboxes: int, items: int) -> Measured:
    with tempfile.TemporaryDirectory() as name, rehearsal(Path(name) / "project", mailboxes, items) as lab:
        folder = Path(name) / "project"

        def prepare(world: World) -> list[Message]:
            if path == "synthetic":
                for box in world.exchange.mailboxes.values():
                    for item in box.items.values():
                        world.exchange.update_item(item, fasttransfer.write(item.message(), version=NEWER))
            world.knobs = world.knobs.swap(dict(TENANTS[path]))
            return trees_of(world)

        trees = lab.do(prepare)
        command(folder, "check")
        command(folder, "run", "--quiet")
        told = json.loads(command(folder, "verify", "--deep", "--as", "json"))
        found = Measured({line["kind"]: line for line in told["fidelity"] if line["path"] == path})
        plan = json.loads(command(folder, "plan", "--as", "json"))
        for mailbox in plan["mailboxes"]:
            for one in mailbox["paths"]:
                if one["path"] is None:
                    found.left_out[one["kind"]] = 1
        found.kept = aspects(told, trees, found.left_out)
        return found


def aspects(
    told: Mapping[str, Any], trees: Iterable[Message], left_out: Mapping[str, int]
) -> dict[tuple[str, Kind], tuple[int, int]]:
    """Counts of items with an aspect, less the items of which `verify` names a difference in it."""
    wrong: dict[tuple[str, Kind], set[str]] = defaultdict(set)
    for mailbox in told["mailboxes"]:
        for one in mailbox["differences"]:
            message = Message()
            message.properties.set(0x001A, 0x1F, one["item_class"])
            kind = kind_of(message)
            for aspect, (kinds, pattern) in ASPECTS.items():
                # What is added beside what was there loses nothing.
                if (
                    kind in kinds
                    and one["source"] != "(absent)"
                    and re.fullmatch(pattern, plain(one["property"]))
                ):
                    wrong[aspect, kind].add(one["source_id"])
    total = judged((tree, set()) for tree in trees)
    return {
        (aspect, kind): (count - len(wrong[aspect, kind]), count)
        for (aspect, kind), (_, count) in total.items()
        if kind.value not in left_out
    }


# -- as mail


def by_mail(mailboxes: int, items: int) -> Measured:
    with tempfile.TemporaryDirectory() as name, rehearsal(Path(name) / "project", mailboxes, items) as lab:
        trees = lab.do(trees_of)
    found = Measured()
    pairs: list[tuple[Message, set[str]]] = []
    for tree in trees:
        kind = kind_of(tree)
        if kind is not Kind.MAIL:
            found.left_out[kind.value] = 1
            continue
        line = found.lines.setdefault(
            kind.value,
            dict.fromkeys(
                ("population", "compared", "identical", "volatile", "normalised", "differing", "unreadable"),
                0,
            ),
        )
        line["population"] += 1
        line["compared"] += 1
        differences = compare(tree, as_mail(tree), path="mime")
        counts = [one for one in differences if one.counts]
        classes = {one.class_.value for one in differences}
        word = (
            "differing"
            if counts
            else "normalised"
            if "normalised" in classes
            else "volatile"
            if classes
            else "identical"
        )
        line[word] += 1
        pairs.append(
            (
                tree,
                {plain(f"{d.path}: {d.name}" if d.path else d.name) for d in counts if d.left != "(absent)"},
            )
        )
    found.kept = judged(pairs)
    return found


def as_mail(tree: Message) -> Message:
    """Through the same conversions as a mail on its way to IMAP and back."""
    written = mime.from_tree(tree, options=mime.WriteOptions(calendar=calendar.octets_of))
    received = tree.properties.time(0x0E06)
    ref = ItemRef("", (), Kind.MAIL, "", received=received)
    flags = mime.flags_of(tree)
    item = Item(ref, Format.MIME, MemoryContent(list(written.pieces)), flags, mime.categories_of(tree))
    from migrator.formats.convert import tree_of

    return tree_of(CONVERTERS[Format.MIME, Format.FTS](item))


# -- tables


def tables(measured: Mapping[str, Measured]) -> str:
    lines = ["Items by what `verify --deep` found, of so many compared:", ""]
    lines += [
        "| Kind | Path | Compared | Identical | Volatile only | Normalised | Differ |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in KINDS:
        for path, found in measured.items():
            line = found.lines.get(kind.value)
            if line is None:
                lines.append(f"| {kind.value} | {path} | left out | | | | |")
                continue
            numbers = [line[n] for n in ("compared", "identical", "volatile", "normalised")]
            lines.append(
                f"| {kind.value} | {path} | "
                + " | ".join(map(str, numbers))
                + f" | {line['differing'] + line['unreadable']} |"
            )
    lines += ["", "What a person would ask for, as items in which it survived of items that have it:", ""]
    lines += ["| What | Kind | " + " | ".join(measured) + " |", "| --- | --- |" + " ---: |" * len(measured)]
    for kind in KINDS:
        for aspect in ASPECTS:
            cells = []
            for found in measured.values():
                kept = found.kept.get((aspect, kind))
                cells.append(
                    "–" if kept is None else "all" if kept[0] == kept[1] else f"{kept[0]} of {kept[1]}"
                )
            if any(cell != "–" for cell in cells):
                lines.append(f"| {aspect} | {kind.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mailboxes", type=int, default=4)
    parser.add_argument("--items", type=int, default=80)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/fidelity.md")
    chosen = parser.parse_args()
    measured = {path: by_product(path, chosen.mailboxes, chosen.items) for path in TENANTS}
    measured["mime"] = by_mail(chosen.mailboxes, chosen.items)
    text = tables(measured)
    print(text)
    if chosen.write:
        page = DOC.read_text("utf-8")
        head, _, rest = page.partition(BEGIN)
        _, _, tail = rest.partition(END)
        DOC.write_text(f"{head}{BEGIN}\n{text}{END}{tail}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
