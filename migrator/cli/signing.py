"""`report --sign`: the signed report beside the others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from migrator.plan.project import Project

NAME = "proof.jsonl.gz"


def signing_key(folder: Path, reference: str) -> Ed25519PrivateKey:
    """The private key behind a reference; relative paths are taken from the project folder. Raises UserError."""
    from migrator.auth.secrets import SecretStore
    from migrator.cli.guard import complain
    from migrator.report.proof import keys

    return keys.private_key(SecretStore(folder, warn=complain).reveal(reference, what="the key to sign with"))


def write_proof(project: Project, key: Ed25519PrivateKey, where: Path) -> None:
    """Write the signed report and say how it is checked."""
    from migrator.cli.loading import open_ledger
    from migrator.report.proof.writing import write_signed

    with open_ledger(project) as ledger:
        done = write_signed(ledger, where / NAME, key, made=int(time.time()), title=project.folder.name)
    print(done.path)
    print(f"signed: {done.rows:,} rows, root {done.root}, by {done.key}")
    print(f"check it anywhere: migrator check-report {NAME} --key {done.key}")
