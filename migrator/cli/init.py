"""`migrator init`: a commented project folder to fill in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.guard import write_private
from migrator.errors import UserError

FILES = {"migration.toml": "migration.toml", "mailboxes.csv": "mailboxes.csv", "gitignore": ".gitignore"}


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it (made if missing).")],
) -> int:
    """Write a project folder: migration.toml, mailboxes.csv, .gitignore.

    Nothing that is there is overwritten. The files are private to you.

    Example: migrator init acme
    """
    write_project(folder, {name: template(source) for source, name in FILES.items()})
    print(f"wrote {folder}{os.sep}: " + ", ".join(FILES.values()))
    print(f"next: fill in {folder / 'migration.toml'} and {folder / 'mailboxes.csv'},")
    print(f"then: migrator check -p {folder}")
    return 0


def template(name: str) -> str:
    from importlib import resources

    return resources.files("migrator.cli").joinpath("templates", name).read_text("utf-8")


def write_project(folder: Path, files: dict[str, str]) -> None:
    """Write files into a private folder. Raises UserError when one of them is there, before anything is written."""
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise UserError(
            f"{folder} has {there[0]} already",
            code="exists",
            remedy="name another folder; nothing was written",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(folder / name, text)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}", code="unwritable") from None
