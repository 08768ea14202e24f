"""`migrator find`: was this message copied, when, to where?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.options import Json, Option, Project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrator.ledger import Entry, FolderRow, JobRow


def command(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE-ID", help="With or without <>.")],
    project: Project = Path(),
    report: Annotated[
        Path | None, Option("--in", metavar="FILE", help="Ask a signed report, not the ledger.")
    ] = None,
    key: Annotated[str, Option("--key", metavar="PUB", help="Who must have signed it: ed25519:…")] = "",
    proof: Annotated[
        Path | None, Option("--proof", metavar="FILE", help="Write the proof of this item there.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Was this message copied, when, and to where? From the ledger, or from a
    signed report, with a proof that `check-report` checks. Exit code 0: copied
    or there before; 3: not found, skipped, failed or not copied yet.

    Example: migrator find '<a1b2@example.org>' -p acme
    """
    import json

    from migrator.cli.exits import Exit
    from migrator.errors import UserError

    if report is None and (proof is not None or key):
        raise UserError("--proof and --key belong to a signed report", remedy="name it with --in FILE")
    found = (
        _from_ledger(message_id, project) if report is None else _from_report(message_id, report, key, proof)
    )
    if as_json:
        print(json.dumps({"message_id": message_id, "found": found}, indent=2))
    else:
        for one in found:
            print_found(one)
        if not found:
            print(
                "not found: "
                + ("the ledger knows" if report is None else "this report holds")
                + " no such message"
            )
    good = found and all(one["state"] in ("copied", "present") for one in found)
    return Exit.DONE if good else Exit.ITEMS_FAILED


def _from_ledger(message_id: str, project: Path) -> list[dict[str, Any]]:
    from migrator.cli.loading import open_ledger
    from migrator.formats.fingerprint import bare_message_id
    from migrator.ledger.fates import find_messages
    from migrator.plan.project import load_project

    loaded = load_project(project)
    bare = bare_message_id(message_id)
    with open_ledger(loaded) as ledger:
        entries = find_messages(ledger, {message_id, bare, f"<{bare}>"})
        jobs = {job.id: job for job in ledger.jobs()}
        folders = {
            (job_id, row.source_id): row
            for job_id in {entry.job_id for entry in entries}
            for row in ledger.folders(job_id)
        }
        return [_told(entry, jobs[entry.job_id], folders) for entry in entries]


def _told(entry: Entry, job: JobRow, folders: Mapping[tuple[str, str], FolderRow]) -> dict[str, Any]:
    from migrator.report.proof.writing import told_state
    from migrator.report.words import moment_iso

    folder = folders.get((entry.job_id, entry.folder_id))
    state = told_state(entry.state.value, entry.code)
    return {
        "message_id": entry.message_id,
        "state": state,
        "why": (entry.reason.value if entry.reason else entry.code) if state in ("skipped", "failed") else "",
        "at": moment_iso(entry.updated),
        "source": job.source,
        "target": job.target,
        "folder": list(folder.path) if folder else [],
        "target_folder": list(folder.target_path) if folder else [],
        "kind": entry.kind.value,
        "class": entry.item_class,
        "received": entry.received.isoformat() if entry.received else None,
        "path": entry.path_taken,
        "target_id": entry.target_id,
    }


def _from_report(message_id: str, report: Path, key: str, proof: Path | None) -> list[dict[str, Any]]:
    from migrator.cli.check_report import as_text, hit_json
    from migrator.errors import UserError
    from migrator.report.proof import keys
    from migrator.report.proof.reading import by_message_id, check_file
    from migrator.report.proof.records import canonical

    if not key:
        raise UserError(
            "whose signature is to be believed? --key is missing", remedy="Give --key ed25519:… or its file."
        )
    verdict = check_file(report, keys.public_key(key), by_message_id(message_id))
    if not verdict.ok:
        as_text(verdict, 20)
        raise UserError(
            "this report is not what was signed: it answers no questions",
            code="proof_broken",
            remedy="`migrator check-report` says what is wrong with it.",
        )
    if proof is not None and verdict.proof is not None:
        try:
            proof.write_bytes(canonical(verdict.proof) + b"\n")
        except OSError as error:
            raise UserError(f"cannot write {proof}: {error.strerror}", code="unwritable") from None
    return [hit_json(hit) for hit in verdict.hits]


WORDS = {
    "copied": "copied",
    "present": "was there before",
    "skipped": "left out",
    "failed": "failed",
    "open": "not copied yet",
}


def print_found(one: Mapping[str, Any]) -> None:
    """An item's fate in three lines."""
    from migrator.cli.tables import cell, console
    from migrator.plan.folders import path_text
    from migrator.plan.remedies import remedy_of, skip_of

    screen = console()
    state = one["state"]
    good = state in ("copied", "present")
    head = f"{WORDS.get(state, state)}  {one['at']}  {one['message_id']}"
    screen.print(cell(head, "green" if good else "red"))
    screen.print(cell(f"  from {one['source']}: {path_text(tuple(one['folder']))}"))
    if good:
        screen.print(cell(f"  to   {one['target']}: {path_text(tuple(one['target_folder']))}"))
    elif one["why"]:
        from migrator.model import SkipReason

        known = state == "skipped" and one["why"] in {reason.value for reason in SkipReason}
        title = skip_of(SkipReason(one["why"])).title if known else remedy_of(one["why"]).title
        screen.print(cell(f"  because: {title} ({one['why']})"))
