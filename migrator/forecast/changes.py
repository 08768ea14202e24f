"""What would help: changes that an administrator can make tonight, each simulated anew with its own end.

Cheap ones first: a number on the command line, then what is left for later, then what is carried before the weekend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from migrator.forecast.loads import MailboxLoad, filled, newer_than, older_than, without
from migrator.forecast.outlook import Outlook, Terms, end_of, forecast
from migrator.model import FolderPath, Role
from migrator.record import record

AT_ONCE_MOST = 64
PRESTAGE_DAYS = (30, 90, 365)
WORTH = 0.02
"""A change that saves less of the working time is not told."""
ROUNDS = 24
FOLDERS_TOLD = 3
LATER_ROLES = (Role.DELETED, Role.JUNK, Role.ARCHIVE)
PRESTAGE_KEPT = (Role.CALENDAR, Role.CONTACTS, Role.TASKS, Role.NOTES, Role.JOURNAL)
"""Folders without a date limit: they go with every pass."""


@record
class Change:
    """words: what to do; how: the command for it. p50, p90: the new end. misses: mailboxes late all the same.

    before: of a pre-stage, when that itself will be done if it is begun now.
    """

    name: str
    words: str
    how: str
    p50: float | None
    p90: float | None
    misses: int
    enough: bool  # with it the deadline is met, more likely than not
    saves_s: float
    before: float | None = None


@record
class _Idea:
    name: str
    words: str
    how: str
    loads: Sequence[MailboxLoad]
    terms: Terms
    first: Sequence[MailboxLoad] = ()


def changes(loads: Sequence[MailboxLoad], terms: Terms, now: Outlook) -> list[Change]:
    """Those that are worth it, the cheapest first."""
    loads = filled(loads)
    found = []
    for idea in _ideas(loads, terms):
        end = end_of(idea.loads, idea.terms)
        if end > now.worked_s * (1 - WORTH) and not _sooner(idea, terms):
            continue
        outlook = forecast(idea.loads, replace(idea.terms, rounds=ROUNDS))
        saves = _saved(now, outlook)
        if saves < 60:
            continue
        before = (
            forecast(idea.first, replace(terms, rounds=ROUNDS, deadline=None)).p50 if idea.first else None
        )
        enough = terms.deadline is not None and outlook.p50 is not None and outlook.p50 <= terms.deadline
        found.append(
            Change(
                idea.name, idea.words, idea.how, outlook.p50, outlook.p90, len(outlook.misses), enough, saves, before
            )
        )  # fmt: skip
    return found


def _sooner(idea: _Idea, terms: Terms) -> bool:
    """Other hours take the same working time and end sooner."""
    return idea.terms.settings.quiet_hours != terms.settings.quiet_hours


def _saved(now: Outlook, then: Outlook) -> float:
    if then.p50 is None:
        return 0.0
    return float("inf") if now.p50 is None else now.p50 - then.p50


def _ideas(loads: Sequence[MailboxLoad], terms: Terms) -> Iterator[_Idea]:
    settings = terms.settings
    best = _at_once(loads, terms)
    if best is not None:
        yield _Idea("at_once", f"{best} mailboxes at once instead of {settings.mailboxes}",
                    f"migrator run --mailboxes {best}", loads,
                    replace(terms, settings=replace(settings, mailboxes=best)))  # fmt: skip
    if terms.processes == 1:
        yield _Idea(
            "processes", "two processes", "migrator run --processes 2", loads, replace(terms, processes=2)
        )
    if settings.max_rate_octets_s:
        free = replace(settings, max_rate_octets_s=0.0)
        yield _Idea(
            "max_rate", "no cap on the line", "leave out --max-rate", loads, replace(terms, settings=free)
        )
    if settings.newest_first:
        plain = replace(settings, newest_first=False)
        yield _Idea("newest_first", "largest first alone, not the newest of all before", "leave out --newest-first",
                    loads, replace(terms, settings=plain))  # fmt: skip
    if settings.quiet_hours:
        open_ = replace(settings, quiet_hours=())
        yield _Idea(
            "quiet_hours", "no quiet hours", "leave out --quiet-hours", loads, replace(terms, settings=open_)
        )
    yield from _later(loads, terms)
    for days in PRESTAGE_DAYS:
        young = [_dated(load, days) for load in loads]
        if any(load.ages for load in loads) and sum(one.items for one in young) < sum(
            one.items for one in loads
        ):
            old = [older_than(load, days) if load.ages else without(load, {f.path for f in load.folders})
                   for load in loads]  # fmt: skip
            yield _Idea("prestage", f"carry what is older than {days} days before",
                        f"migrator run --pass prestage --until {days}d", young, terms, old)  # fmt: skip


def _dated(load: MailboxLoad, days: int) -> MailboxLoad:
    """What is left for the last pass when older items were carried before."""
    return replace(newer_than(load, days), begun=True) if load.ages else load


def _at_once(loads: Sequence[MailboxLoad], terms: Terms) -> int | None:
    """The smallest number that is nearly as good as any."""
    at = terms.settings.mailboxes
    ends: dict[int, float] = {}
    while at <= AT_ONCE_MOST and (not ends or at < 2 * len(loads)):
        ends[at] = end_of(loads, replace(terms, settings=replace(terms.settings, mailboxes=at)))
        at *= 2
    if not ends:
        return None
    best = min(ends.values())
    good = min(at for at, end in ends.items() if end <= best * 1.03)
    return good if good > terms.settings.mailboxes else None


def _later(loads: Sequence[MailboxLoad], terms: Terms) -> Iterator[_Idea]:
    """Folders that can wait: by their role in everybody's mailbox, then the largest by name."""
    roles: Counter[Role] = Counter()
    paths: Counter[FolderPath] = Counter()
    for load in loads:
        for folder in load.folders:
            if folder.role in LATER_ROLES and folder.role is not None:
                roles[folder.role] += folder.octets
            elif folder.role is None and folder.path and len(load.folders) > 1:
                paths[folder.path] += folder.octets
    whole = sum(load.octets for load in loads) or 1
    for role, octets in roles.most_common():
        if octets > WORTH * whole:
            left = [without(load, {one.path for one in load.folders if one.role is role}) for load in loads]
            yield _Idea("folder", f"leave {role.value} until later", f"migrator run --exclude-folder @{role.value}",
                        left, terms)  # fmt: skip
    from migrator.plan.folders import path_text

    for path, octets in paths.most_common(FOLDERS_TOLD):
        if octets > WORTH * whole:
            name = path_text(path)
            yield _Idea("folder", f"leave the folder {name} until later", f"migrator run --exclude-folder '{name}'",
                        [without(load, {path}) for load in loads], terms)  # fmt: skip
