"""What is to be carried, as the forecast needs it: one record per mailbox, made from a plan, a survey or plain figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from migrator.model import FolderPath, Job, Role
from migrator.plan.planfile import Bins, PlannedMailbox
from migrator.record import record

ITEM_OCTETS = 64 << 10
"""An item's size where only a total is known."""
TYPICAL_FOLDERS = 25
"""Folders of a mailbox of which only the size is known."""
SURVEYED_SPREAD = 0.03
GUESSED_SPREAD = 0.25
"""How far a mailbox's octets may be off (standard deviation of the logarithm): counted item by item, or told by a person."""


@record
class FolderLoad:
    """Items and octets still to be copied, by size at the source. path () is a folder of which only the size is known."""

    path: FolderPath
    items: int
    octets: int
    role: Role | None = None


@record
class AgeBin:
    """Items and octets between two ages in days; the last bin's upper end is the oldest item's age, or a guess of it."""

    from_days: float
    to_days: float
    items: int
    octets: int


@record
class MailboxLoad:
    """One mailbox pair. present: items that the target's folders hold already and that are listed before the first copy.

    begun: a run is on it now, or has been: folders are there, listings go on from their checkpoints.
    """

    job: str
    name: str
    line: int
    source: str  # endpoint
    target: str  # endpoint
    folders: tuple[FolderLoad, ...]
    ages: tuple[AgeBin, ...] = ()
    present: int = 0
    spread: float = SURVEYED_SPREAD
    begun: bool = False
    unknown: str = ""  # why nothing is known of it; it is then forecast as the mean of the others

    @property
    def items(self) -> int:
        return sum(folder.items for folder in self.folders)

    @property
    def octets(self) -> int:
        return sum(folder.octets for folder in self.folders)


def load_of(planned: PlannedMailbox, now: datetime) -> MailboxLoad:
    """From a plan, be it read from its file or made from a survey a moment ago."""
    taken = [one for one in planned.folders if one.left_out is None]
    parts = tuple(
        FolderLoad(
            one.path,
            one.to_copy + one.to_update,
            one.octets_to_copy + min(one.unsized, one.to_copy) * ITEM_OCTETS,
            one.role,
        )
        for one in taken
    )
    return MailboxLoad(
        planned.id,
        planned.source.address,
        planned.line,
        planned.source.endpoint,
        planned.target.endpoint,
        parts,
        ages=_ages(planned.ages_to_copy, planned.oldest, now),
        present=sum(one.target_items or 0 for one in taken if one.to_copy),
        begun=any(one.known for one in taken),
        unknown=planned.error if not any(one.items for one in parts) else "",
    )


def plain(
    job: Job, *, octets: int, items: int | None = None, folders: int = TYPICAL_FOLDERS, begun: bool = False
) -> MailboxLoad:
    """From a size that somebody told."""
    count = items if items is not None else max(1, octets // ITEM_OCTETS)
    most = max(1, min(folders, count))
    parts = tuple(
        FolderLoad((), count * (n + 1) // most - count * n // most,
                   octets * (n + 1) // most - octets * n // most)
        for n in range(most)
    )  # fmt: skip
    return MailboxLoad(
        job.id, job.source.address, job.line, job.source.endpoint, job.target.endpoint, parts,
        spread=GUESSED_SPREAD, begun=begun,
    )  # fmt: skip


def unknown(job: Job, why: str) -> MailboxLoad:
    return MailboxLoad(
        job.id, job.source.address, job.line, job.source.endpoint, job.target.endpoint, (), unknown=why
    )


def filled(loads: Sequence[MailboxLoad]) -> list[MailboxLoad]:
    """Mailboxes of which nothing is known get the mean of the others; nothing where no other is known either."""
    known = [load for load in loads if not load.unknown]
    if not known or len(known) == len(loads):
        return list(loads)
    items = sum(load.items for load in known) // len(known)
    octets = sum(load.octets for load in known) // len(known)
    count = max(1, sum(len(load.folders) for load in known) // len(known))
    share = (FolderLoad((), items // count, octets // count),) * count
    return [
        replace(load, folders=share, spread=2 * GUESSED_SPREAD) if load.unknown else load for load in loads
    ]


# --------------------------------------------------------------------- parts


def newer_than(load: MailboxLoad, days: float) -> MailboxLoad:
    """The part of a mailbox that is younger."""
    return _part(load, *_shares(load, days))


def older_than(load: MailboxLoad, days: float) -> MailboxLoad:
    items, octets = _shares(load, days)
    return _part(load, 1 - items, 1 - octets)


def without(load: MailboxLoad, leave: set[FolderPath]) -> MailboxLoad:
    """Less some folders."""
    return replace(load, folders=tuple(one for one in load.folders if one.path not in leave))


def _shares(load: MailboxLoad, days: float) -> tuple[float, float]:
    """Of items and of octets that are younger than so many days."""
    items = octets = items_young = octets_young = 0.0
    for one in load.ages:
        items += one.items
        octets += one.octets
        width = one.to_days - one.from_days
        young = (
            min(1.0, max(0.0, (days - one.from_days) / width)) if width > 0 else float(one.to_days <= days)
        )
        items_young += young * one.items
        octets_young += young * one.octets
    return (items_young / items if items else 0.0), (octets_young / octets if octets else 0.0)


def _part(load: MailboxLoad, items: float, octets: float) -> MailboxLoad:
    parts = tuple(
        replace(one, items=round(one.items * items), octets=round(one.octets * octets))
        for one in load.folders
    )
    return replace(load, folders=parts, ages=())


def _ages(bins: Bins, oldest: datetime | None, now: datetime) -> tuple[AgeBin, ...]:
    starts = [0, *bins.bounds]
    oldest_days = max(0.0, (now - oldest).total_seconds() / 86_400) if oldest is not None else 0.0
    ends = [*bins.bounds, max(oldest_days, bins.bounds[-1] * 1.5)]
    return tuple(
        AgeBin(start, end, items, octets)
        for start, end, items, octets in zip(starts, ends, bins.items, bins.octets, strict=True)
        if items or octets
    )


# ---------------------------------------------------------------- what people write


def parse_size(text: str) -> int:
    """ "4GB", "850 MiB", "4.2 GB (4,509,715,660 bytes)", "123456" → octets. Raises ValueError."""
    words = text.strip()
    exact = re.search(r"\(([\d,.\s]+)\s*bytes\)", words, re.IGNORECASE)  # as Exchange prints TotalItemSize
    if exact is not None:
        return int(re.sub(r"\D", "", exact[1]))
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:([kmgt]?)(i?)b)?", words, re.IGNORECASE)
    if found is None:
        raise ValueError(f'{text!r} is no size: write "4GB" or "850 MiB"')
    step = 1024 if found[3] else 1000
    return int(float(found[1].replace(",", ".")) * step ** " kmgt".index((found[2] or " ").lower()))


def from_columns(job: Job, columns: Mapping[str, str], *, size: str, items: str = "") -> MailboxLoad:
    """From columns of the manifest. Raises ValueError naming the line and the column."""
    told = {key.casefold(): value for key, value in columns.items()}
    text = told.get(size.casefold(), "").strip()
    if not text:
        return unknown(job, f"no {size} in its row")
    try:
        octets = parse_size(text)
        count = told.get(items.casefold(), "").strip() if items else ""
        return plain(job, octets=octets, items=int(re.sub(r"[ ,.']", "", count)) if count else None)
    except ValueError as error:
        raise ValueError(f"line {job.line}: {error}") from None
