"""`migrator verify`: source, ledger and target compared, after a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from migrator.cli.options import Allow, As, Batch, Form, Only, Option, PasswordsInCsv, Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrator.engine.sampling import Confidence
    from migrator.engine.verify import MailboxVerdict
    from migrator.ledger import Fidelity


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    sample: Annotated[
        int, Option("--sample", metavar="N", help="Items per mailbox compared by content (100).")
    ] = 100,
    deep: Annotated[
        bool, Option("--deep", "--all", help="Every item by content; table by kind, kept for report.")
    ] = False,
    confidence: Annotated[
        float | None, Option("--confidence", metavar="PCT", help="Deep, by a sample sized for this (95).")
    ] = None,
    margin: Annotated[
        float | None, Option("--margin", metavar="PCT", help="Share that may differ unseen (1).")
    ] = None,
    limit: Annotated[
        int, Option("--limit", metavar="N", help="Differences shown per mailbox (20, 0: all).")
    ] = 20,
    as_: As = Form.TEXT,
    allow: Allow = [],  # noqa: B006
    passwords_in_csv: PasswordsInCsv = False,
) -> int:
    """Compare source and target, folder by folder and item by item: counts,
    Message-ID, dates, read state, size, class, and a sample by content.

    Example: migrator verify -p acme --deep --confidence 95 --margin 1
    """
    from migrator import assembly
    from migrator.cli.console import CountView
    from migrator.cli.loading import interactive, load, settings_of
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import stops
    from migrator.engine.stop import Stop

    chosen = sample_of(sample, deep=deep, confidence=confidence, margin=margin)
    loaded = load(project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv)
    stop = Stop()
    view = CountView("comparing mailboxes", len(loaded.jobs))
    with logging_to(loaded.project.folder), stops(stop), view:
        verdicts = assembly.verify(
            loaded.project,
            loaded.jobs,
            settings_of(loaded.project),
            view.emit,
            stop,
            sample=chosen,
            keep=not isinstance(chosen, int),
            interactive=interactive(),
        )
    match as_:
        case Form.CSV:
            print(as_csv(verdicts), end="")
        case Form.JSON:
            print(as_json(verdicts))
        case Form.TEXT:
            as_text(verdicts, limit)
    return exit_code(verdicts, stop.requested)


def sample_of(
    sample: int, *, deep: bool, confidence: float | None, margin: float | None
) -> int | Confidence | None:
    """What `assembly.verify` takes: None for all. Raises UserError for figures that make no sense."""
    from migrator.engine.sampling import Confidence
    from migrator.errors import UserError

    if confidence is None and margin is None:
        if sample < 0:
            raise UserError("--sample is a number of items, 0 or more")
        return None if deep else sample
    sure, share = 95.0 if confidence is None else confidence, 1.0 if margin is None else margin
    problems = [
        f"--{name} {value:g}: between {least:g} and {most:g} percent"
        for name, value, least, most in (
            ("confidence", sure, 50.0, 99.999),
            ("margin", share, 0.001, 50.0),
        )
        if not least <= value <= most
    ]
    if problems:
        raise UserError(
            "a sample of this size makes no sense", problems=problems, remedy="--deep compares all"
        )
    return Confidence(sure / 100, share / 100)


def exit_code(verdicts: Sequence[MailboxVerdict], stopped: bool) -> int:
    """3: items differ or are missing; 4: a mailbox could not be compared, or its run is not over."""
    from migrator.cli.exits import Exit

    if stopped:
        return Exit.INTERRUPTED
    if any(verdict.error for verdict in verdicts):
        return Exit.MAILBOXES_OPEN
    return Exit.DONE if all(verdict.ok for verdict in verdicts) else Exit.ITEMS_FAILED


COLUMNS = (
    "line", "source", "target", "folder", "what", "property", "at_source", "at_target", "message_id", "class", "received",
    "source_id", "target_id",
)  # fmt: skip


def as_csv(verdicts: Sequence[MailboxVerdict]) -> str:
    """One row a difference."""
    from migrator.report.csv import table_csv

    return table_csv(COLUMNS, _rows(verdicts))


def _rows(verdicts: Sequence[MailboxVerdict]) -> Iterator[list[object]]:
    from migrator.plan.folders import path_text

    for verdict in verdicts:
        head: list[object] = [verdict.job.line, verdict.job.source.address, verdict.job.target.address]
        if verdict.error:
            yield [*head, "", "not compared", verdict.code, verdict.error, verdict.remedy, *[""] * 5]
        for one in verdict.differences:
            yield [
                *head, path_text(one.folder), one.what, one.property, one.source, one.target, one.message_id, one.item_class,
                one.received.isoformat() if one.received else "", one.source_id, one.target_id,
            ]  # fmt: skip


def as_json(verdicts: Sequence[MailboxVerdict]) -> str:
    import dataclasses
    import json
    from datetime import datetime

    from migrator.report.fidelity import fidelity_lines

    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    mailboxes = []
    for verdict in verdicts:
        told = {
            field.name: getattr(verdict, field.name)
            for field in dataclasses.fields(verdict)
            if field.name != "job"
        }
        told["folders"] = [dataclasses.asdict(one) | {"closes": one.closes} for one in verdict.folders]
        told["differences"] = [dataclasses.asdict(one) for one in verdict.differences]
        told["volatile"] = dict(verdict.volatile)
        told["fidelity"] = [fidelity_json(one) for one in verdict.fidelity]
        mailboxes.append(
            {
                "id": verdict.job.id,
                "line": verdict.job.line,
                "source": verdict.job.source.address,
                "target": verdict.job.target.address,
                "closes": verdict.closes,
                "ok": verdict.ok,
                **told,
            }
        )
    lines = fidelity_lines([one for verdict in verdicts for one in verdict.fidelity])
    return json.dumps(
        {"version": 1, "mailboxes": mailboxes, "fidelity": [dataclasses.asdict(line) for line in lines]},
        indent=2,
        default=plain,
    )


def fidelity_json(one: Fidelity) -> dict[str, Any]:
    import dataclasses

    told = dataclasses.asdict(one)
    return {"kind": one.kind.value} | {
        name: told[name] for name in told if name not in ("kind", "job_id", "at")
    }


def as_text(verdicts: Sequence[MailboxVerdict], limit: int) -> None:
    from migrator.cli.tables import cell, console, table
    from migrator.model import SkipReason
    from migrator.plan.folders import path_text
    from migrator.report.words import number, octets, plural

    screen = console()

    def say(text: str, style: str = "") -> None:
        screen.print(cell(text, style))

    grid = table(
        ("mailbox", "", "source", "in target", "skip", "fail", "new", "missing", "differ", "by content"),
        right=tuple(range(2, 10)),
    )
    for verdict in verdicts:
        sums = {
            name: sum(getattr(folder, name) for folder in verdict.folders)
            for name in ("source_items", "target_items", "skipped", "failed", "new", "missing")
        }
        for folder in verdict.folders:
            if folder.folder_skipped is SkipReason.SEARCH_FOLDER:
                sums["source_items"] -= folder.source_items  # a view of items that lie elsewhere
            elif folder.folder_skipped is not None:
                sums["skipped"] += folder.source_items
        grid.add_row(
            cell(verdict.job.source.address), cell("ok", "green") if verdict.ok else cell("look", "red"),
            *(number(value) for value in sums.values()), number(verdict.different), number(verdict.sampled),
        )  # fmt: skip
    screen.print(grid)
    print_fidelity([one for verdict in verdicts for one in verdict.fidelity])
    reasons = {verdict.content for verdict in verdicts if verdict.content}
    for reason in reasons:
        say(f"not compared by content: {reason}", "yellow")
    for verdict in verdicts:
        if verdict.ok:
            continue
        screen.print()
        say(f"{verdict.job.source.address} → {verdict.job.target.address}", "bold")
        if verdict.error:
            say(f"  {verdict.error}", "red")
            if verdict.remedy:
                say(f"  → {verdict.remedy}")
        for folder in verdict.folders:
            if not folder.closes:
                say(
                    f"  {path_text(folder.path)} does not close: {number(folder.source_items)} at the source, "
                    f"{number(folder.copied + folder.present)} copied or there, {number(folder.skipped)} skipped, "
                    f"{number(folder.failed)} failed, {number(folder.new)} new, {number(folder.missing)} missing in the target, "
                    f"{number(folder.twice)} without a copy of their own, {number(folder.in_doubt)} in doubt",
                    "red",
                )
        shown = verdict.differences[:limit] if limit else verdict.differences
        for one in shown:
            where = f"{path_text(one.folder)} {one.received.date() if one.received else ''} {one.message_id or one.source_id[-24:]}"
            say(f"  {where}: {one.property}: {one.source} → {one.target}")
        if len(verdict.differences) > len(shown):
            say(
                f"  and {plural(len(verdict.differences) - len(shown), 'difference')} more: --limit 0, or --as csv"
            )
    screen.print()
    for line in balance_lines(verdicts):
        say(line)
    copied = sum(folder.target_items for verdict in verdicts for folder in verdict.folders)
    size = sum(folder.target_octets for verdict in verdicts for folder in verdict.folders)
    good = sum(verdict.ok for verdict in verdicts)
    say(
        f"{good} of {plural(len(verdicts), 'mailbox', 'mailboxes')} without a difference; {number(copied)} items ({octets(size)}) "
        f"seen in the target, {number(sum(v.sampled for v in verdicts))} compared property by property"
    )
    new = sum(folder.new + folder.changed for verdict in verdicts for folder in verdict.folders)
    if new:
        say(f"{plural(new, 'item')} came or changed at the source since: the next run takes them")


def balance_lines(verdicts: Sequence[MailboxVerdict]) -> list[str]:
    """Both sides as sums: what the source lists, and what the target's folders hold."""
    from collections import Counter

    from migrator.model import SkipReason
    from migrator.report.words import number

    folders = [one for verdict in verdicts for one in verdict.folders if one.folder_skipped is None]
    left_out: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for verdict in verdicts:
        for folder in verdict.folders:
            if folder.folder_skipped is not None and folder.folder_skipped is not SkipReason.SEARCH_FOLDER:
                left_out[folder.folder_skipped.value] += folder.source_items
    for folder in folders:
        reasons.update(folder.reasons)
        codes.update(folder.codes)

    def total(name: str) -> int:
        return sum(getattr(folder, name) for folder in folders)

    def each(counts: Counter[str]) -> str:
        named = ", ".join(f"{number(count)} {name}" for name, count in counts.most_common() if count)
        return f" ({named})" if named else ""

    reasons.update(left_out)
    source = (
        f"source: {number(total('source_items') + left_out.total())} = {number(total('copied'))} copied + "
        f"{number(total('present'))} there before + {number(total('skipped') + left_out.total())} skipped{each(reasons)} + "
        f"{number(total('failed'))} failed{each(codes)}"
    )
    for name, words in (("new", "new since"), ("in_doubt", "in doubt")):
        if total(name):
            source += f" + {number(total(name))} {words}"
    target = f"target: {number(total('target_listed'))} = {number(total('target_items'))} of these"
    if total("kept"):
        target += f" + {number(total('kept'))} whose source is gone"
    target += f" + {number(total('extra'))} that are not ours"
    return [source, target]


def print_fidelity(found: Sequence[Fidelity]) -> None:
    """What the copies are worth, by kind and path."""
    from migrator.cli.tables import cell, console, table
    from migrator.report.fidelity import fidelity_lines, losses_words, sample_words
    from migrator.report.words import number

    lines = fidelity_lines(found)
    if not any(line.compared for line in lines):
        return
    screen = console()
    screen.print()
    grid = table(
        ("kind", "path", "items", "seen", "same", "usual", "alike", "differ", "bad"), right=tuple(range(2, 9))
    )
    for line in lines:
        figures = (
            line.population, line.compared, line.identical, line.volatile, line.normalised, line.differing, line.unreadable,
        )  # fmt: skip
        style = "red" if line.differing or line.unreadable else ""
        grid.add_row(cell(line.kind, style), cell(line.path, style), *map(number, figures))
    screen.print(grid)
    screen.print(
        cell(
            "same: no difference; usual: only what every copy has anew; alike: written differently, means the same"
        )
    )
    for line in lines:
        if words := losses_words(line):
            screen.print(cell(f"{line.kind} by {line.path}: {words}", "red"))
    if words := sample_words(found):
        screen.print(cell(words))
