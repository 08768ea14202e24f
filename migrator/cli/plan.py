"""`migrator plan`: what a run would do, found out by reading alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from migrator.cli.options import (
    Allow,
    As,
    Batch,
    Exclude,
    Folders,
    Form,
    Only,
    Option,
    Pass,
    PasswordsInCsv,
    Project,
    Since,
    Until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from migrator.cli.loading import Loaded
    from migrator.engine.survey import FolderSurvey, MailboxSurvey
    from migrator.plan.planfile import PlanFile


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    pass_: Pass = None,
    since: Since = None,
    until: Until = None,
    folder: Folders = [],  # noqa: B006
    exclude: Exclude = [],  # noqa: B006
    details: Annotated[bool, Option("--folders", help="A line for each folder in the text.")] = False,
    as_: As = Form.TEXT,
    out: Annotated[
        Path | None, Option("--out", metavar="FILE", help="Not plan.json in the project folder.")
    ] = None,
    allow: Allow = [],  # noqa: B006
    passwords_in_csv: PasswordsInCsv = False,
) -> int:
    """Show what would be copied, skipped and why, and write it to plan.json.
    Sources and targets are only read. `migrator run plan.json` does it.

    Example: migrator plan -p acme --only '*@sales.example' --as csv
    """
    from migrator import assembly
    from migrator.cli.console import CountView
    from migrator.cli.loading import interactive, load, settings_of
    from migrator.cli.logs import logging_to
    from migrator.cli.planning import plan_made, where_to
    from migrator.cli.signals import stops
    from migrator.engine.stop import Stop
    from migrator.plan.planfile import write_plan

    loaded = load(project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv)
    settings = settings_of(
        loaded.project, passname=pass_, since=since, until=until, folders=folder, exclude=exclude
    )
    stop = Stop()
    view = CountView("looking through mailboxes", len(loaded.jobs))
    with logging_to(loaded.project.folder), stops(stop), view:
        surveys = assembly.survey(
            loaded.project, loaded.jobs, settings, view.emit, stop, interactive=interactive()
        )
    made = plan_made(loaded, settings, surveys)
    file = where_to(loaded, out)
    write_plan(made, file)
    match as_:
        case Form.CSV:
            print(as_csv(surveys), end="")
        case Form.JSON:
            print(as_json(loaded, surveys, made))
        case Form.TEXT:
            as_text(loaded, surveys, made, details)
            tell_file(file, made, project)
    return exit_code(surveys, stop.requested)


def tell_file(file: Path, plan: PlanFile, project: Path) -> None:
    from migrator.cli.console import shown

    part = "" if plan.whole else ", of the mailboxes that were reached"
    where = "" if project == Path() else f" -p {project}"
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    print(shown(f"wrote {near}{part}; next: migrator run{where} {near}"))


def exit_code(surveys: Sequence[MailboxSurvey], stopped: bool) -> int:
    from migrator.cli.exits import Exit

    if stopped:
        return Exit.INTERRUPTED
    return Exit.MAILBOXES_OPEN if any(survey.error for survey in surveys) else Exit.DONE


def target_of(folder: FolderSurvey) -> str:
    """Where a folder goes, as a person reads it: "@inbox/Customers"."""
    from migrator.plan.folders import path_text

    role = f"@{folder.target_role.value}" if folder.target_role else ""
    return "/".join(part for part in (role, path_text(folder.target_path)) if part)


def skips_of(survey: MailboxSurvey) -> Counter[str]:
    """reason → items, folders that are left out as a whole included. Search folders are views and hold none."""
    from migrator.model import SkipReason

    found: Counter[str] = Counter()
    for folder in survey.folders:
        if folder.folder_skipped is SkipReason.SEARCH_FOLDER:
            continue
        if folder.folder_skipped is not None:
            found[folder.folder_skipped.value] += folder.items
        for reason, items in folder.skipped.items():
            found[reason.value] += items
    return +found


COLUMNS = (
    "line", "batch", "source", "target", "folder", "target_role", "target_folder", "kind", "items", "bytes", "largest", "oldest", "newest",
    "to_copy", "bytes_to_copy", "to_update", "already_known", "skipped", "why_skipped", "left_out", "notes", "error", "what_to_do",
)  # fmt: skip


def as_csv(surveys: Sequence[MailboxSurvey]) -> str:
    from migrator.report.csv import table_csv

    return table_csv(COLUMNS, _rows(surveys))


def _rows(surveys: Sequence[MailboxSurvey]) -> Iterator[list[object]]:
    from migrator.plan.folders import path_text

    for survey in surveys:
        job = survey.job
        head: list[object] = [job.line, job.batch, job.source.address, job.target.address]
        for one in survey.folders:
            why = "; ".join(f"{reason.value} {items}" for reason, items in one.skipped.items())
            yield [
                *head, path_text(one.path), one.target_role.value if one.target_role else "",
                path_text(one.target_path) if one.folder_skipped is None else "", one.kind.value, one.items,
                one.octets, one.largest, one.oldest.isoformat() if one.oldest else "",
                one.newest.isoformat() if one.newest else "", one.to_copy, one.octets_to_copy, one.to_update, one.known,
                sum(one.skipped.values()), why, one.folder_skipped.value if one.folder_skipped else "", "; ".join(one.notes), "", "",
            ]  # fmt: skip
        if survey.error:
            yield [*head, *[""] * 17, survey.error, survey.remedy]


def as_json(loaded: Loaded, surveys: Sequence[MailboxSurvey], plan: PlanFile) -> str:
    import json

    from migrator.cli.forecast import iso
    from migrator.cli.forecasting import of_plan

    outlook = of_plan(plan)
    ends = {one.job: one for one in outlook.mailboxes} if outlook is not None else {}

    def finish(p50: float | None, p90: float | None) -> dict[str, Any]:
        return {"finish_p50": iso(p50), "finish_p90": iso(p90)}

    return json.dumps(
        {
            "version": 1,
            "manifest": {
                "file": loaded.manifest.name,
                "dialect": loaded.manifest.dialect.name,
                "encoding": loaded.manifest.encoding,
                "delimiter": loaded.manifest.delimiter,
                "rows": len(loaded.manifest.rows),
                "notes": list(loaded.plan.notes),
            },
            **(finish(outlook.p50, outlook.p90) if outlook is not None else finish(None, None)),
            "mailboxes": [
                _mailbox_json(survey)
                | (finish(end.p50, end.p90) if (end := ends.get(survey.job.id)) else finish(None, None))
                for survey in surveys
            ],
        },
        indent=2,
    )


def _mailbox_json(survey: MailboxSurvey) -> dict[str, Any]:
    from migrator.plan.paths import loses

    job = survey.job
    return {
        "id": job.id,
        "line": job.line,
        "batch": job.batch,
        "source": job.source.address,
        "target": job.target.address,
        "source_endpoint": job.source.endpoint,
        "target_endpoint": job.target.endpoint,
        "items": survey.items,
        "octets": survey.octets,
        "to_copy": survey.to_copy,
        "skipped": dict(skips_of(survey)),
        "findings": [{"level": one.level, "text": one.text, "remedy": one.remedy} for one in survey.findings],
        "paths": [
            {
                "kind": one.kind.value,
                "path": one.path.value if one.path else None,
                "loses": loses(one.path.value, one.kind) if one.path else "",
                "why": one.why,
            }
            for one in survey.routes
        ],
        "error": survey.error,
        "code": survey.code,
        "remedy": survey.remedy,
        "folders": [
            {
                "path": list(one.path),
                "target_path": list(one.target_path),
                "target_role": one.target_role.value if one.target_role else None,
                "kind": one.kind.value,
                "left_out": one.folder_skipped.value if one.folder_skipped else None,
                "items": one.items,
                "octets": one.octets,
                "largest": one.largest,
                "unsized": one.unsized,
                "kinds": {kind.value: count for kind, count in one.kinds.items()},
                "oldest": one.oldest.isoformat() if one.oldest else None,
                "newest": one.newest.isoformat() if one.newest else None,
                "to_copy": one.to_copy,
                "octets_to_copy": one.octets_to_copy,
                "to_update": one.to_update,
                "known": one.known,
                "skipped": {reason.value: count for reason, count in one.skipped.items()},
                "notes": list(one.notes),
            }
            for one in survey.folders
        ],
    }


def manifest_words(loaded: Loaded) -> str:
    from migrator.report.words import plural

    read = loaded.manifest
    chosen = "" if len(loaded.jobs) == len(loaded.plan.jobs) else f", {len(loaded.jobs)} of them chosen"
    return (
        f"{read.name}: {plural(len(loaded.plan.jobs), 'mailbox', 'mailboxes')}{chosen} "
        f"(read as {read.dialect.title}, {read.encoding}, {read.delimiter})"
    )


def as_text(loaded: Loaded, surveys: Sequence[MailboxSurvey], plan: PlanFile, details: bool = False) -> None:
    """plan: the same surveys as the document."""
    from migrator.cli.forecast import moments
    from migrator.cli.forecasting import of_plan
    from migrator.cli.tables import cell, console, table
    from migrator.plan.folders import path_text
    from migrator.plan.remedies import skip_of
    from migrator.report.words import number, octets

    screen = console()

    def say(text: str, style: str = "") -> None:
        screen.print(cell(text, style))

    say(manifest_words(loaded))
    for note in loaded.plan.notes:
        say(f"  {note}")
    screen.print()
    outlook = of_plan(plan)
    ends = {one.job: one for one in outlook.mailboxes} if outlook is not None else {}
    short = moments(plan.settings, "%a %d, %H:%M")
    done: tuple[str, ...] = ()
    if outlook is not None:
        done = ("p50", "p90") if screen.width >= 110 else ("p90",)
    columns = ("mailbox", "folders", "items", "size", "largest", "to copy", "known", "skip", *done)
    grid = table(columns, right=tuple(range(1, len(columns))))

    def finish(p50: float | None, p90: float | None) -> list[str]:
        return [short(p50), short(p90)][2 - len(done) :] if done else []

    reasons: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for survey in surveys:
        skips = skips_of(survey)
        reasons.update(skips)
        taken = [one for one in survey.folders if one.folder_skipped is None]
        figures = {
            "folders": len(taken),
            "items": survey.items,
            "size": survey.octets,
            "largest": max((one.largest for one in taken), default=0),
            "to copy": survey.to_copy,
            "known": sum(one.known for one in taken),
            "skip": skips.total(),
        }
        largest = max(totals["largest"], figures["largest"])
        totals.update(figures)
        totals["largest"] = largest
        end = ends.get(survey.job.id)
        ending = finish(end.p50, end.p90) if end is not None and end.items else []
        grid.add_row(cell(survey.job.source.address), *_figures(figures), *ending)
        if survey.error:
            grid.add_row(cell(f"  {survey.error}", "red"))
        for one in survey.folders if details else ():
            name = f"  {path_text(one.path)}"
            if one.folder_skipped is not None:
                grid.add_row(
                    cell(f"{name}: left out ({skip_of(one.folder_skipped).title})", "dim"),
                    "",
                    number(one.items),
                    octets(one.octets),
                )
                continue
            goes = target_of(one)
            named = name if goes == path_text(one.path) else f"{name} → {goes}"
            grid.add_row(
                cell(named, "dim"), "", number(one.items), octets(one.octets), octets(one.largest), number(one.to_copy),
                number(one.known), number(sum(one.skipped.values())),
            )  # fmt: skip
            for note in one.notes:
                grid.add_row(cell(f"    {note}", "yellow"))
    grid.add_section()
    ending = finish(outlook.p50, outlook.p90) if outlook is not None else []
    grid.add_row(f"all {len(surveys)}", *_figures(totals), *ending, style="bold")
    screen.print(grid)
    if outlook is not None:
        say(
            "p50, p90: when it would be done if it began now, by assumed speeds; `migrator forecast` measures them", "dim"
        )  # fmt: skip
    if reasons:
        screen.print()
        say("Would be skipped:")
        for reason, count in reasons.most_common():
            say(f"  {number(count)}  {skip_of(reason).title}")
    _paths_text(surveys, say)
    for line in targets_words(plan):
        say(line)
    for line in warnings_words(plan):
        say(line, "yellow")
    for survey in surveys:
        if survey.error:
            say(f"line {survey.job.line}: {survey.job.source.address}: {survey.error}", "red")
            if survey.remedy:
                say(f"  → {survey.remedy}")
    screen.print()
    say("Nothing was written to any mailbox. `migrator plan --folders` shows every folder.")


def targets_words(plan: PlanFile) -> Iterator[str]:
    """What is in the targets, and what they say of their room, licences and limits; what they do not say as well."""
    from migrator.report.words import number, octets, plural

    boxes = [box for box in plan.mailboxes if not box.error]
    if not boxes:
        return
    there = [box.target_items for box in boxes if box.target_items is not None]
    if there:
        full = plural(sum(map(bool, there)), "mailbox", "mailboxes")
        yield (
            f"Already in the targets: {plural(sum(there), 'item')} in {full}"
            if sum(there)
            else "The targets are empty."
        )
    crossed = sum(len(box.collisions) for box in boxes)
    if crossed:
        yield f"{plural(crossed, 'folder')} would fall together with another and get a name of their own (see plan.json)"
    limits = {(box.oversize.limit, box.oversize.words) for box in boxes}
    for limit, words in sorted(limits, key=str):
        yield (
            f"Largest item that a target receives: {octets(limit)} ({words})" if limit else f"Limit: {words}"
        )
    known = [box.quota for box in boxes if box.quota.enough is not None]
    if known:
        short = sum(quota.enough is False for quota in known)
        room = f", {number(short)} too little" if short else ""
        yield f"Room in the targets: known of {number(len(known))} of {number(len(boxes))}{room}"
    for why, remedy in sorted(
        {(box.quota.why, box.quota.remedy) for box in boxes if box.quota.enough is None}
    ):
        yield f"Room: not known: {why or 'the target sets no limit'}" + (f" → {remedy}" if remedy else "")
    licensed = Counter(box.licence.state for box in boxes)
    if licensed["licensed"] or licensed["none"]:
        yield f"Licences: {number(licensed['licensed'])} have one, {number(licensed['none'])} have none"
    for why, remedy in sorted(
        {(box.licence.why, box.licence.remedy) for box in boxes if not box.licence.state}
    ):
        yield f"Licences: not known: {why}" + (f" → {remedy}" if remedy else "")


def warnings_words(plan: PlanFile, most: int = 3) -> Iterator[str]:
    """Warnings and blockers; one line for what many mailboxes have in common."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for box in plan.mailboxes:
        for one in box.findings:
            if one.level in ("warning", "blocker"):
                found.setdefault((one.code or one.text, one.remedy), []).append(
                    (box.source.address, one.text)
                )
    for (_, remedy), told in found.items():
        for name, text in told[:most]:
            yield f"{name}: {text.removeprefix(name + ': ')}"
        if len(told) > most:
            yield f"  and {len(told) - most:,} mailboxes more, see plan.json"
        if remedy:
            yield f"  → {remedy}"


def _paths_text(surveys: Sequence[MailboxSurvey], say: Callable[[str, str], None]) -> None:
    """By which path each kind goes and what that loses; once for all mailboxes of a pair of endpoints."""
    from migrator.engine.job import route_words
    from migrator.model import Path as Way

    told: set[str] = set()
    for survey in surveys:
        pair = f"{survey.job.source.endpoint} → {survey.job.target.endpoint}"
        asked = [one for one in survey.findings if one.code == "no_canary"]
        lines = [f"{pair}: {one.text}: {one.remedy}" for one in asked]
        plain = [one.kind.value for one in survey.routes if one.path is Way.STREAM]
        if plain and len(plain) < len(survey.routes):
            lines.append(f"{pair}: {', '.join(plain)}: as the source's own streams")
        lines += [route_words(one, pair) for one in survey.routes if one.path is not Way.STREAM]
        for line in lines:
            if line not in told:
                told.add(line)
                say(line, "yellow")


def _figures(figures: dict[str, int] | Counter[str]) -> list[str]:
    from migrator.report.words import number, octets

    sized = {"size", "largest"}
    names = ("folders", "items", "size", "largest", "to copy", "known", "skip")
    return [octets(figures[name]) if name in sized else number(figures[name]) for name in names]
