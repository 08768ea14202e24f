"""`migrator keygen`: a key pair to sign reports with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The private key's file; FILE.pub gets the public one.")
    ],
) -> int:
    """Make a key pair (Ed25519) for signing reports. FILE is private to you and
    never overwritten; the public key is printed and goes into FILE.pub.

    Example: migrator keygen ~/acme-report.pem
    """
    from migrator.cli.guard import write_private
    from migrator.errors import UserError
    from migrator.report.proof import keys

    where = file.expanduser().absolute()
    public_file = where.with_name(where.name + ".pub")
    for path in (where, public_file):
        if path.exists():
            raise UserError(
                f"{path} is there already",
                code="key_exists",
                remedy="A key that has signed is not overwritten: choose another name.",
            )
    pem, word = keys.make()
    try:
        where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(where, pem)
        public_file.write_text(word + "\n", encoding="ascii", newline="\n")
    except OSError as error:
        raise UserError(f"cannot write {where}: {error.strerror}", code="unwritable") from None
    print(word)
    print(f"private key: {where}  (sign: migrator report --sign file:{where})")
    print(f"public key:  {public_file}  (give it to whoever is to check, by a way of its own)")
    return 0
