"""`migrator forecast`: when it will be done, what decides that, and what would help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import (
    AllowHidden,
    As,
    Batch,
    Form,
    MaxRate,
    NewestFirst,
    NotBefore,
    Only,
    Option,
    Pass,
    PasswordsHidden,
    Project,
    Quiet,
    StopAt,
    TimeZone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from migrator.cli.forecasting import Ground
    from migrator.cli.tables import Cell
    from migrator.forecast.changes import Change
    from migrator.forecast.outlook import MailboxOutlook, Outlook, Terms
    from migrator.settings import RunSettings

TOLD_MOST = 10
"""Mailboxes told one by one, unless all are asked for."""


def command(
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN", show_default=False, hidden=True)] = None,
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    pass_: Pass = None,
    deadline: Annotated[
        str | None, Option("--deadline", metavar="WHEN", help="Who misses it? 'Mon 06:00'.")
    ] = None,
    at_once: Annotated[int | None, Option("--at-once", metavar="N", help="Mailboxes at once.")] = None,
    mailboxes: Annotated[
        int | None, Option("--mailboxes", metavar="N", help="Of so many, without a project or plan ...")
    ] = None,
    size: Annotated[str | None, Option("--size", metavar="SIZE", help="... of this size each: 4GB.")] = None,
    items: Annotated[
        int | None, Option("--items", metavar="N", help="... and so many items.", hidden=True)
    ] = None,
    size_column: Annotated[
        str | None, Option("--size-column", metavar="NAME", help="Sizes stand in the manifest.")
    ] = None,
    items_column: Annotated[
        str | None, Option("--items-column", metavar="NAME", help="Items too.", hidden=True)
    ] = None,
    no_probe: Annotated[bool, Option("--no-probe", help="Do not time a few reads first.")] = False,
    every: Annotated[bool, Option("--all", help="Every mailbox, not only the last ones.")] = False,
    as_: As = Form.TEXT,
    processes: Annotated[int, Option("--processes", metavar="N", help="As for run.", hidden=True)] = 1,
    newest_first: NewestFirst = False,
    not_before: NotBefore = None,
    stop_at: StopAt = None,
    quiet_hours: Quiet = [],  # noqa: B006
    time_zone: TimeZone = None,
    max_rate: MaxRate = None,
    allow: AllowHidden = [],  # noqa: B006
    passwords_in_csv: PasswordsHidden = False,
) -> int:
    """When will it be done? Simulates the queue of plan.json (of a new
    survey without one); docs/forecast.md. Hours and pace as for run.

    Example: migrator forecast -p acme --deadline 'Mon 06:00'
    """
    import time
    from datetime import UTC, datetime

    from migrator.cli.exits import Exit
    from migrator.cli.forecasting import from_figures, from_project
    from migrator.cli.loading import settings_of
    from migrator.errors import UserError
    from migrator.forecast.changes import changes
    from migrator.forecast.outlook import Terms, forecast
    from migrator.plan.hours import deadline_of

    if size is not None or mailboxes is not None:
        ground = from_figures(project, mailboxes, size, items)
    else:
        ground = from_project(
            plan,
            project,
            only=only,
            batches=batch,
            passname=pass_,
            size_column=size_column,
            items_column=items_column,
            probe=not no_probe,
            allow=allow,
            passwords=passwords_in_csv,
        )
    settings = settings_of(
        ground.project,
        passname=pass_,
        mailboxes=at_once,
        deadline=deadline,
        newest_first=newest_first or None,
        not_before=not_before,
        stop_at=stop_at,
        quiet_hours=quiet_hours,
        time_zone=time_zone,
        max_rate=max_rate,
    )
    begun = time.time()
    terms = Terms(
        begun,
        settings,
        {name: endpoint.limits for name, endpoint in ground.project.endpoints.items()},
        ground.speeds,
        deadline_of(settings.deadline, settings.time_zone, datetime.fromtimestamp(begun, UTC)),
        max(1, processes),
    )
    if not any(load.items for load in ground.loads):
        raise UserError(
            "there is nothing to forecast: no mailbox holds anything that is to be copied",
            problems=[
                f"line {load.line}: {load.name}: {load.unknown}" for load in ground.loads if load.unknown
            ][:10],
            code="nothing_to_forecast",
            remedy="`migrator plan` says what would be copied",
        )
    found = forecast(ground.loads, terms)
    helping = changes(ground.loads, terms, found)
    match as_:
        case Form.JSON:
            print(as_json(found, helping, terms, ground))
        case Form.CSV:
            print(as_csv(found), end="")
        case Form.TEXT:
            as_text(found, helping, terms, ground, every)
    return Exit.MAILBOXES_OPEN if ground.open else Exit.DONE


def moments(settings: RunSettings, form: str = "%a %Y-%m-%d %H:%M") -> Callable[[float | None], str]:
    """Epoch seconds as a person reads them, in the zone of the run's hours: "Sun 2026-11-22 14:10"."""
    from datetime import UTC, datetime

    from migrator.plan.hours import zone_of

    zone = zone_of(settings.time_zone)

    def words(at: float | None) -> str:
        if at is None:
            return "never"
        return datetime.fromtimestamp(at, UTC).astimezone(zone).strftime(form)

    return words


def last_ones(found: Outlook, every: bool) -> list[MailboxOutlook]:
    """In the order in which they end, the latest first; without `every` those that matter."""
    rows = sorted(found.mailboxes, key=lambda one: (-(one.p90 or float("inf")), one.line))
    return rows if every else rows[:TOLD_MOST]


def as_text(found: Outlook, helping: Sequence[Change], terms: Terms, ground: Ground, every: bool) -> None:
    from migrator.cli.tables import cell, console, table
    from migrator.forecast.outlook import WORDS
    from migrator.report.words import number, octets, plural, span

    screen = console()
    when, short = moments(terms.settings), moments(terms.settings, "%a %m-%d %H:%M")
    zone = terms.settings.time_zone or "this machine's time"

    def say(text: str, style: str = "") -> None:
        screen.print(cell(text, style))

    for note in ground.notes:
        say(note, "dim")
    screen.print()
    names = ["mailbox", "items", "size", "starts", "p50", "p90", "binds"]
    if terms.deadline is not None:
        names.append("late")
    grid = table(names, right=(1, 2))
    rows = last_ones(found, every)
    for one in rows:
        cells: list[Cell | str] = [
            cell(one.name), number(one.items), octets(one.octets), short(one.starts), short(one.p50),
            short(one.p90), cell("not known: the mean of the others" if one.unknown else WORDS[one.binds]),
        ]  # fmt: skip
        if terms.deadline is not None:
            cells.append(
                cell(f"{one.late:.0%}", "red" if one.late > 0.5 else "yellow" if one.late >= 0.1 else "")
            )
        grid.add_row(*cells)
    screen.print(grid)
    if len(rows) < len(found.mailboxes):
        say(f"the last {len(rows)} of {len(found.mailboxes)}; --all shows every one", "dim")
    screen.print()
    sizes = octets(sum(one.octets for one in found.mailboxes))
    say(
        f"all {plural(len(found.mailboxes), 'mailbox', 'mailboxes')}, {sizes}: done {when(found.p50)} (p50), "
        f"{when(found.p90)} (p90), {zone}",
        "bold",
    )
    say(
        f"after {span(found.worked_s)} of work, {terms.settings.mailboxes} at once; what binds: {binding(found)}"
    )
    if terms.deadline is not None:
        _deadline_text(found, when(terms.deadline), say)
    if helping:
        screen.print()
        say("What would help:")
        grid = table(("change", "p50", "p90", "saves", "how"), right=(3,))
        for one_change in helping:
            saves = "" if one_change.saves_s == float("inf") else span(one_change.saves_s)
            words = one_change.words
            if one_change.before is not None:
                words += f" (that itself until {short(one_change.before)})"
            style = "green" if one_change.enough else ""
            grid.add_row(
                cell(words, style), short(one_change.p50), short(one_change.p90), saves, cell(one_change.how)
            )  # fmt: skip
        screen.print(grid)


def binding(found: Outlook) -> str:
    """ "the target's byte window (twice as much of it: done 39 % sooner)"."""
    from migrator.forecast.outlook import WORDS

    gain = found.gains.get(found.binds, 0.0)
    return WORDS[found.binds] + (f" (twice as much of it: done {gain:.0%} sooner)" if gain >= 0.02 else "")


def _deadline_text(found: Outlook, deadline: str, say: Callable[[str, str], None]) -> None:
    from migrator.report.words import plural

    missed, risky = found.misses, found.at_risk
    if not missed and not risky:
        say(f"deadline {deadline}: met by all ({1 - found.late:.0%} of the rounds)", "green")
        return
    style = "red" if missed else "yellow"
    say(
        f"deadline {deadline}: met in {1 - found.late:.0%} of the rounds; "
        f"missed by {plural(len(missed), 'mailbox', 'mailboxes')}, at risk {len(risky)}",
        style,
    )
    for one in sorted(missed, key=lambda one: -one.late)[:TOLD_MOST]:
        say(f"  line {one.line}: {one.name}", style)
    if len(missed) > TOLD_MOST:
        say(f"  and {len(missed) - TOLD_MOST} more: --all", style)


COLUMNS = (
    "line", "mailbox", "items", "bytes", "starts", "finish_p50", "finish_p90", "late_share", "binds", "note",
)  # fmt: skip


def iso(at: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def as_csv(found: Outlook) -> str:
    from migrator.report.csv import table_csv

    return table_csv(
        COLUMNS,
        (
            [
                one.line, one.name, one.items, one.octets, iso(one.starts) or "", iso(one.p50) or "",
                iso(one.p90) or "", f"{one.late:.2f}" if found.deadline is not None else "", one.binds, one.unknown,
            ]
            for one in found.mailboxes
        ),
    )  # fmt: skip


def as_json(found: Outlook, helping: Sequence[Change], terms: Terms, ground: Ground) -> str:
    import json

    return json.dumps(
        {
            "format": "migrator-forecast",
            "version": 1,
            "made": iso(found.made),
            "notes": list(ground.notes),
            "mailboxes_at_once": terms.settings.mailboxes,
            "rounds": found.rounds,
            "finish_p50": iso(found.p50),
            "finish_p90": iso(found.p90),
            "working_seconds": round(found.worked_s, 1),
            "binds": found.binds,
            "gains": {name: round(gain, 4) for name, gain in found.gains.items()},
            "deadline": iso(found.deadline),
            "late_share": round(found.late, 4) if found.deadline is not None else None,
            "misses": [one.job for one in found.misses],
            "at_risk": [one.job for one in found.at_risk],
            "mailboxes": [
                {
                    "id": one.job,
                    "line": one.line,
                    "mailbox": one.name,
                    "items": one.items,
                    "octets": one.octets,
                    "starts": iso(one.starts),
                    "finish_p50": iso(one.p50),
                    "finish_p90": iso(one.p90),
                    "late_share": round(one.late, 4) if found.deadline is not None else None,
                    "binds": one.binds,
                    "unknown": one.unknown,
                }
                for one in found.mailboxes
            ],
            "changes": [
                {
                    "name": one.name,
                    "words": one.words,
                    "how": one.how,
                    "finish_p50": iso(one.p50),
                    "finish_p90": iso(one.p90),
                    "misses": one.misses,
                    "enough": one.enough,
                    "first_finish_p50": iso(one.before),
                }
                for one in helping
            ],
        },
        indent=2,
    )
