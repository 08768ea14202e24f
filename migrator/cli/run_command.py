"""`migrator run`: copy what is to be copied, as far as it goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import (
    AllowHidden,
    Batch,
    Deadline,
    Exclude,
    Folders,
    MaxRate,
    NewestFirst,
    NotBefore,
    Only,
    Option,
    Pass,
    PasswordsHidden,
    Project,
    Quiet,
    Since,
    StopAt,
    TimeZone,
    Until,
    WaitForSource,
)

if TYPE_CHECKING:
    from migrator.cli.loading import Loaded
    from migrator.cli.planning import Ordered
    from migrator.cli.tables import Cell
    from migrator.engine.stop import Stop
    from migrator.interfaces import Emit
    from migrator.ledger import Ledger
    from migrator.report.summary import Counts, Summary
    from migrator.settings import RunSettings


DUPLICATES = "duplicates.csv"


def command(
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN", show_default=False, hidden=True)] = None,
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    pass_: Pass = None,
    mailboxes: Annotated[int | None, Option("--mailboxes", metavar="N", help="Mailboxes at once.")] = None,
    since: Since = None,
    until: Until = None,
    folder: Folders = [],  # noqa: B006
    exclude: Exclude = [],  # noqa: B006
    dry_run: Annotated[bool, Option("--dry-run", help="Do all but write to the target.")] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Try failed items again.")] = False,
    propagate_deletes: Annotated[
        bool, Option("--propagate-deletes", help="Delete what the source deleted.", hidden=True)
    ] = False,
    dedupe: Annotated[
        bool, Option("--dedupe", help="Of true duplicates in a folder copy one, list the rest.", hidden=True)
    ] = False,
    processes: Annotated[
        int | None, Option("--processes", metavar="N", help="Processes that share the work.", hidden=True)
    ] = None,
    newest_first: NewestFirst = False,
    not_before: NotBefore = None,
    stop_at: StopAt = None,
    quiet_hours: Quiet = [],  # noqa: B006
    time_zone: TimeZone = None,
    max_rate: MaxRate = None,
    wait_for_source: WaitForSource = None,
    deadline: Deadline = None,
    force: Annotated[
        list[str], Option("--force", metavar="NAME", help="Pass a safety stop: empty_source ...")
    ] = [],  # noqa: B006
    allow: AllowHidden = [],  # noqa: B006
    passwords_in_csv: PasswordsHidden = False,
    page: Annotated[
        Path | None, Option("--page", metavar="DIR", help="Renew the customer page there.", hidden=True)
    ] = None,
    strict: Annotated[
        bool, Option("--strict", help="With a plan: stop where anything differs from it.", hidden=True)
    ] = False,
    as_json: Annotated[bool, Option("--json", help="One event a line (docs/json-events.md).")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Errors only.")] = False,
) -> int:
    """Copy all, or what a PLAN of `migrator plan` says; again after any stop.
    More in docs/running.md: --strict --not-before --stop-at --quiet-hours --page
    --max-rate --newest-first --propagate-deletes --dedupe --processes ...

    Example: migrator run -p acme --batch pilot --pass prestage
    """
    from contextlib import ExitStack

    from migrator import assembly
    from migrator.cli.beside import beside
    from migrator.cli.console import choose_view
    from migrator.cli.exits import MEANINGS, Exit
    from migrator.cli.foretell import foretelling
    from migrator.cli.loading import interactive, load, settings_of
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import leave_now, stops
    from migrator.engine.stop import Stop
    from migrator.errors import UserError
    from migrator.events import Notice
    from migrator.plan.remedies import remedy_of

    order = None
    if plan is None:
        if strict:
            raise UserError("--strict is about a plan", remedy="name it: migrator run plan.json --strict")
        loaded = load(project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv)
    else:
        from migrator.cli.planning import ordered

        order = ordered(
            plan, project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv, passname=pass_
        )
        loaded = order.loaded
    settings = settings_of(
        loaded.project,
        passname=pass_,
        since=since,
        until=until,
        folders=folder,
        exclude=exclude,
        force=force,
        mailboxes=mailboxes,
        dry_run=dry_run or None,
        retry_failed=retry_failed or None,
        propagate_deletes=propagate_deletes or None,
        dedupe=dedupe or None,
        newest_first=newest_first or None,
        not_before=not_before,
        stop_at=stop_at,
        quiet_hours=quiet_hours,
        time_zone=time_zone,
        max_rate=max_rate,
        wait_for_source=wait_for_source,
        deadline=deadline,
    )
    stop = Stop()
    began = time.time()
    view = choose_view(
        json=as_json,
        quiet=quiet,
        lines={job.id: job.line for job in loaded.jobs},
        before=settled_before(loaded) if not as_json and not quiet else {},
    )
    with (
        logging_to(loaded.project.folder),
        stops(stop),
        view,
        beside(loaded.project, view.emit, page=page, notify=not dry_run, hurry=lambda: stop.now) as told,
        ExitStack() as along,
    ):
        tell = told
        if not dry_run:
            tell = along.enter_context(
                foretelling(
                    loaded.project, loaded.jobs, settings, told,
                    plan=order.plan if order is not None else None, processes=processes or 1,
                )
            )  # fmt: skip
        if order is not None and tell_changes(order, settings, view.emit, stop) and strict:
            view.emit(Notice("error", f"stopped by --strict. {remedy_of('plan_changed').todo}"))
            if not as_json:
                print(f"exit code {Exit.CHANGED}: {MEANINGS[Exit.CHANGED]}")
            return Exit.CHANGED
        shown = None
        if dry_run:
            from migrator.cli.rehearsal import Rehearsal

            shown = Rehearsal(tell)
            tell = shown.emit
        if processes is not None and processes > 1 and len(loaded.jobs) > 1 and not dry_run:
            from migrator.cli.processes import Together

            code = Together(loaded.project, loaded.jobs, settings, tell, stop, processes).run()
        else:
            code = assembly.run(loaded.project, loaded.jobs, settings, tell, stop, interactive=interactive())
    if shown is not None:
        if not as_json and not quiet:
            shown.tell(code)
    elif not as_json:
        tell_end(loaded, code, took_s=time.time() - began, quiet=quiet)
    if stop.now:
        leave_now(code)
    return code


def settled_before(loaded: Loaded) -> dict[str, tuple[int, int]]:
    """Job → items and octets that earlier runs settled, so that a bar goes on where it stood."""
    from migrator.cli.loading import open_ledger
    from migrator.errors import MigratorError

    if not loaded.project.ledger.exists():
        return {}
    try:
        with open_ledger(loaded.project) as ledger:
            return {
                one.job_id: (
                    one.copied + one.present + one.skipped + one.failed - sum(one.unlisted.values()),
                    one.octets_copied,
                )
                for one in ledger.balance_by_job()
            }
    except MigratorError:  # an older or a damaged ledger: the run itself mends or tells it
        return {}


def tell_changes(order: Ordered, settings: RunSettings, emit: Emit, stop: Stop) -> bool:
    """What differs from the plan, as notices; returns whether anything does."""
    import logging

    from migrator import assembly
    from migrator.cli.loading import interactive, settings_of
    from migrator.cli.planning import difference_lines, differences
    from migrator.events import Notice

    now = settings_of(order.now.project, passname=settings.passname)
    project, jobs = order.loaded.project, order.loaded.jobs
    glances = assembly.glance(project, jobs, settings, emit, stop, interactive=interactive())
    changed = differences(order, now, glances)
    for line in difference_lines(changed, order.plan):
        emit(Notice("warning" if changed else "info", line))
    for one in changed:
        logging.getLogger(__name__).warning("differs from the plan: %s", one)
    return bool(changed)


def tell_end(loaded: Loaded, code: int, *, took_s: float, quiet: bool) -> None:
    """The table that closes, and the next step."""
    from migrator.cli.exits import MEANINGS, Exit
    from migrator.cli.loading import open_ledger
    from migrator.report.summary import summarise
    from migrator.report.words import span

    with open_ledger(loaded.project) as ledger:
        summary = summarise(ledger, now=time.time(), jobs=[job.id for job in loaded.jobs], paths=True)
        left_out = write_duplicates(ledger, loaded)
    if not quiet:
        print_balance(summary)
        if left_out:
            print(f"{left_out} duplicates were left out: see {DUPLICATES}")
        print_paths(summary)
        print(f"took {span(took_s)}")
    todo = {
        Exit.WRONG: "mend what is said above, then run the same command again",
        Exit.DONE: "migrator verify compares source and target",
        Exit.ITEMS_FAILED: "migrator errors says why; run the same command again, or with --retry-failed",
        Exit.MAILBOXES_OPEN: "migrator errors says why; then run the same command again",
        Exit.STOPPED: "run the same command again: it goes on where it stopped",
        Exit.WINDOW_OVER: "run the same command again, when it may work: it goes on where it stopped",
        Exit.INTERRUPTED: "run the same command again: it goes on where it stopped",
    }.get(Exit(code), "")
    if not quiet or code:
        print(f"exit code {code}: {MEANINGS[Exit(code)]}")
        if todo:
            print(f"next: {todo}")


def write_duplicates(ledger: Ledger, loaded: Loaded) -> int:
    """List what --dedupe left out, beside the ledger; returns how many items. No file where there are none."""
    import csv

    from migrator.model import SkipReason
    from migrator.plan.folders import path_text
    from migrator.report.safe import safe_cell

    jobs = {
        job_id for job_id, reason, _ in ledger.skipped_by_reason() if reason == SkipReason.DUPLICATE.value
    }
    wanted = [job for job in loaded.jobs if job.id in jobs]
    if not wanted:
        return 0
    count = 0
    with (loaded.project.folder / DUPLICATES).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("mailbox", "folder", "received", "size", "kind", "message_id", "item"))
        for job in wanted:
            paths = {folder.source_id: folder.path for folder in ledger.folders(job.id)}
            for entry in ledger.skipped(job.id, None, (SkipReason.DUPLICATE,)):
                count += 1
                cells = (
                    job.source.address,
                    path_text(paths.get(entry.folder_id, ())),
                    entry.received.isoformat() if entry.received else "",
                    entry.size or 0,
                    entry.kind.value,
                    entry.message_id,
                    entry.source_id,
                )
                rows.writerow([safe_cell(cell) for cell in cells])
    return count


def print_balance(summary: Summary) -> None:
    """source = copied + already there + skipped + failed, a line a mailbox."""
    from migrator.cli.tables import STYLES, cell, console, table
    from migrator.report.text import balance_words, unfinished_words
    from migrator.report.words import number, octets

    screen = console()
    names = ["mailbox", "state", "source", "copied", "there", "skip", "fail", "open", "size"]
    if screen.width < 100:
        names.pop()
    grid = table(names, right=range(2, len(names)))

    def line(name: Cell, state: Cell, counts: Counts, style: str = "") -> None:
        figures = (counts.source, counts.copied, counts.present, counts.skipped, counts.failed, counts.open)
        cells: list[Cell | str] = [name, state, *map(number, figures), octets(counts.octets_copied)]
        grid.add_row(*cells[: len(names)], style=style)

    rows = summary.mailboxes
    # More than a screen of finished mailboxes helps nobody; what is not finished is always shown.
    if len(rows) > 40:
        rows = tuple(row for row in rows if row.state != "done")
    for row in rows:
        line(cell(row.source), cell(row.state, STYLES.get(row.state, "")), row.counts)
    grid.add_section()
    line(cell(f"all {len(summary.mailboxes)}"), cell(""), summary.totals, "bold")
    screen.print()
    screen.print(grid)
    screen.print()
    screen.print(cell("balance: " + balance_words(summary.totals)))
    if unfinished := unfinished_words(summary):
        screen.print(cell(unfinished, "yellow"))


def print_paths(summary: Summary) -> None:
    """Paths that lose something, each with what; nothing where every item went as its own stream."""
    from migrator.cli.tables import cell, console
    from migrator.model import Path as Way
    from migrator.plan.paths import title
    from migrator.report.words import number

    screen = console()
    for one in summary.paths:
        if one.path != Way.STREAM:
            lost = f": not carried {one.loses}" if one.loses else ""
            words = f"{number(one.items)} × {one.kind} by {one.path} ({title(one.path)}){lost}"
            screen.print(cell(words, "yellow" if one.loses else ""))
