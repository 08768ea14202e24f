"""`migrator check-report`: is this what was signed? Offline, without a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.options import Json, Option

if TYPE_CHECKING:
    from migrator.report.proof.reading import Hit, Verdict


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="proof.jsonl.gz, or the proof of one item.")],
    key: Annotated[str, Option("--key", metavar="PUB", help="Public key, ed25519:…, or its file.")],
    limit: Annotated[int, Option("--limit", metavar="N", help="Problems shown (20, 0: all).")] = 20,
    as_json: Json = False,
) -> int:
    """Check a signed report, offline: signature, every row, the balance. Names
    each row that was altered, is missing or was added. Exit code 0: all as
    signed; 3: something is not; 2: no signed report, or no key.

    Example: migrator check-report proof.jsonl.gz --key ed25519:M2Xk…
    """
    import json

    from migrator.cli.exits import Exit
    from migrator.report.proof import keys
    from migrator.report.proof.reading import check_file

    verdict = check_file(file, keys.public_key(key))
    if as_json:
        print(json.dumps(to_json(verdict), indent=2))
    else:
        as_text(verdict, limit)
    return Exit.DONE if verdict.ok else Exit.ITEMS_FAILED


def to_json(verdict: Verdict) -> dict[str, Any]:
    """ASCII throughout, so nothing of it can command a terminal."""
    import dataclasses

    return {
        "ok": verdict.ok,
        "key": verdict.key,
        "head": verdict.head,
        "rows": verdict.rows,
        "items": verdict.items,
        "states": dict(verdict.states),
        "problems": [dataclasses.asdict(one) for one in verdict.problems],
        "problem_count": verdict.count,
        "found": [hit_json(hit) for hit in verdict.hits],
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    from migrator.report.words import moment_iso

    return {
        "message_id": hit.item.message_id,
        "state": hit.item.state,
        "why": hit.item.why,
        "at": moment_iso(hit.item.at),
        "source": hit.source,
        "target": hit.target,
        "folder": list(hit.path),
        "target_folder": list(hit.target_path),
        "kind": hit.item.kind,
        "class": hit.item.item_class,
        "received": None if hit.item.received is None else moment_iso(hit.item.received),
        "path": hit.item.path,
        "row": hit.row_no,
    }


def as_text(verdict: Verdict, limit: int) -> None:
    from migrator.cli.tables import cell, console
    from migrator.report.words import moment_iso, number, plural

    screen = console()
    for problem in verdict.problems[: limit or None]:
        screen.print(cell(problem.text, "red"))
    if limit and verdict.count > limit:
        screen.print(cell(f"… and {number(verdict.count - limit)} more (--limit 0, --json)", "red"))
    if verdict.head is None:
        screen.print(cell(f"Not signed by {verdict.key}: nothing of it is proven.", "red bold"))
        return
    head = verdict.head
    signed = f"signed by {verdict.key} on {moment_iso(head['made'])}"
    if not verdict.ok:
        screen.print(
            cell(f"{plural(verdict.count, 'fault')}; the rest of the rows is as it was {signed}.", "bold")
        )
        return
    if verdict.part:
        for hit in verdict.hits:
            print_hit(hit)
        screen.print(
            cell(f"{plural(verdict.items, 'item')} of {number(head['rows'])} rows, {signed}.", "green")
        )
        return
    totals = head["totals"]
    words = ", ".join(
        f"{number(totals.get(name, 0))} {told}"
        for name, told in (
            ("copied", "copied"), ("present", "there before"), ("skipped", "skipped"), ("failed", "failed"), ("open", "open")
        )
    )  # fmt: skip
    screen.print(cell(f"{head['title']}: {number(totals.get('source', 0))} items at the source: {words}"))
    screen.print(cell(f"The balance {'closes' if head['closes'] else 'does not close yet'}."))
    screen.print(
        cell(
            f"{number(verdict.rows)} rows of {plural(head['mailboxes'], 'mailbox', 'mailboxes')}, all as {signed}.",
            "green",
        )
    )


def print_hit(hit: Hit) -> None:
    """What became of an item, in three lines."""
    from migrator.cli.find import print_found

    print_found(hit_json(hit))
