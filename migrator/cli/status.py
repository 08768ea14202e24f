"""`migrator status`: how far everything is, from the ledger alone, also while a run goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import Json, Option, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from migrator.cli.tables import Cell, Screen, Table
    from migrator.report.summary import Summary

EVERY_S = 2.0
ROWS_SHOWN = 40
"""Mailboxes of a plain look, those at work and in trouble first; a table of a thousand takes longer than all else."""


def command(
    project: Project = Path(),
    watch: Annotated[bool, Option("--watch", "-w", help="Look again every 2 s, until all is done.")] = False,
    all_rows: Annotated[
        bool, Option("--all", help="Every mailbox, not only those at work or wrong.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show how far every mailbox is. Reads the ledger; a run may go on meanwhile.

    Example: migrator status -p acme --watch
    """
    from migrator.cli.loading import open_ledger
    from migrator.cli.tables import console
    from migrator.plan.project import load_project
    from migrator.report.summary import summarise

    loaded = load_project(project)
    screen = console()
    with open_ledger(loaded) as ledger:

        def look(brief: bool = True) -> Summary:
            return summarise(ledger, now=time.time(), title=loaded.folder.name, brief=brief)

        if as_json:
            from migrator.report.json import to_json

            print(to_json(look(brief=False)))
            return 0
        if not watch:
            summary = look()
            show(screen, picture(summary, all_rows, 0))
            if words := forecast_words(loaded.folder, summary):
                screen.print(words)
            return 0
        return _watch(look, screen, all_rows, lambda summary: live_ends(loaded.folder, summary))


def _watch(
    look: Callable[[], Summary],
    screen: Screen,
    all_rows: bool,
    ends: Callable[[Summary], tuple[float, float] | None],
) -> int:
    from migrator.cli.drawing import draw, plain_line
    from migrator.cli.glyphs import glyphs_of
    from migrator.cli.scene import Looks

    def looks() -> Iterator[Summary]:
        """Until it is over twice in a row: between two mailboxes of a run there is a moment when none runs."""
        times = 0
        while times < 2:
            summary = look()
            yield summary
            times = times + 1 if over(summary) else 0
            if times < 2:
                time.sleep(EVERY_S)

    summary = None
    past = Looks()
    console = screen.console
    if not console.is_terminal or console.is_dumb_terminal:
        for summary in looks():
            print(plain_line(past.scene(summary, ends(summary))), flush=True)
        return 0
    from rich.console import Group
    from rich.live import Live

    glyphs = glyphs_of(console.file)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for summary in looks():
            lines = draw(past.scene(summary, ends(summary)), console.width - 1, console.height - 1, glyphs)
            live.update(Group(*lines), refresh=True)
    if summary is not None:
        show(screen, picture(summary, all_rows, 0))
    return 0


def live_ends(folder: Path, summary: Summary) -> tuple[float, float] | None:
    """p50 and p90 by the run that goes on, if one does and has forecast something."""
    from migrator.cli.foretell import read_live

    found = read_live(folder, summary.made)
    if found is None or found.p50 is None or found.p90 is None or over(summary):
        return None
    return found.p50, found.p90


def forecast_words(folder: Path, summary: Summary) -> str:
    from migrator.cli.foretell import read_live
    from migrator.report.words import moment

    found = read_live(folder, summary.made)
    if found is None or over(summary):
        return ""
    if found.p50 is None:
        return "forecast: not done within the hours of this run"
    words = f"forecast: done {moment(found.p50)} (p50), {moment(found.p90) or 'not in these hours'} (p90)"
    if found.deadline is None:
        return words
    late = f", {found.late} late" if found.late else ""
    return f"{words}; deadline {moment(found.deadline)}{late}"


def over(summary: Summary) -> bool:
    """No mailbox is being worked on. (A process that died leaves none: its leases run out.)"""
    return not summary.states.get("running")


def picture(summary: Summary, all_rows: bool, height: int) -> list[Cell | Table]:
    """height: lines that there are, 0 is no terminal's: as many as it takes with all_rows, else ROWS_SHOWN mailboxes."""
    from migrator.cli.tables import STYLES, cell, table
    from migrator.report.text import balance_words
    from migrator.report.words import moment, number, plural, span

    rank = {"running": 0, "error": 1, "partial": 2, "stopped": 3, "waiting": 4, "done": 5}
    rows = sorted(summary.mailboxes, key=lambda row: (rank.get(row.state, 9), row.line))
    if not all_rows:
        rows = [row for row in rows if row.state not in ("waiting", "done")]
    room = max(3, height - 8) if height else len(rows) if all_rows else ROWS_SHOWN
    grid = table(("mailbox", "state", "done", "of", "skip", "fail", "note"), right=(2, 3, 4, 5))
    for row in rows[:room]:
        counts = row.counts
        note = row.error if row.code not in ("items_failed", "interrupted") else ""
        if row.waiting:
            note = f"waiting {span(row.waiting_until - summary.made)}: {row.waiting}"
        grid.add_row(
            cell(row.source), cell(row.state, STYLES.get(row.state, "")), number(counts.copied + counts.present),
            number(counts.source), number(counts.skipped), number(counts.failed), cell(note),
        )  # fmt: skip
    states = ", ".join(f"{number(count)} {state}" for state, count in sorted(summary.states.items()))
    head = f"{summary.title}: {plural(len(summary.mailboxes), 'mailbox', 'mailboxes')} ({states})"
    foot = [balance_words(summary.totals)]
    if summary.runs:
        run = summary.runs[-1]
        ended = (
            f"ended {moment(run.finished)} with {run.exit_code}"
            if run.finished
            else f"process {run.pid} on {run.host}"
        )
        foot.append(f"last run: {run.passname}, {moment(run.started)}, {ended}")
    if summary.failures:
        foot.append(f"{plural(summary.totals.failed, 'item')} failed: `migrator errors` says why")
    hidden = len(rows) - room
    if hidden > 0:
        foot.insert(0, f"and {number(hidden)} more" + ("" if height else " (--all shows every one)"))
    return [cell(head, "bold"), *([grid] if rows else []), *(cell(one) for one in foot)]


def show(screen: Screen, picture: Sequence[Cell | Table]) -> None:
    for one in picture:
        screen.print(one)
