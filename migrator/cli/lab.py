"""`migrator lab`: the simulated servers, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from migrator.cli.options import Json, Option


def command(
    mailboxes: Annotated[int, Option("--mailboxes", metavar="N", help="Mailboxes to seed (default 8).")] = 8,
    items: Annotated[int, Option("--items", metavar="N", help="Items per mailbox (default 120).")] = 120,
    seed: Annotated[int, Option("--seed", metavar="N", help="Same number, same mailboxes.")] = 1,
    eml: Annotated[list[Path], Option("--eml", metavar="DIR", help="Seed from folders of .eml files.")] = [],  # noqa: B006
    only: Annotated[str, Option("--only", metavar="HALF", help="exchange or m365 alone.")] = "",
    host: Annotated[str, Option("--host", metavar="IP", help="Loopback address (127.0.0.1).")] = "127.0.0.1",
    port: Annotated[list[str], Option("--port", metavar="NAME=N", help="Fix a port: exchange=8443.")] = [],  # noqa: B006
    tls: Annotated[bool, Option("--tls", help="Serve https with a CA of its own.")] = False,
    folder: Annotated[
        Path | None, Option("--dir", metavar="DIR", help="Where CA and certificate go.")
    ] = None,
    knobs: Annotated[
        Path | None, Option("--knobs", metavar="FILE", help="Latency, throttling (TOML, JSON).")
    ] = None,
    faults: Annotated[
        Path | None, Option("--faults", metavar="FILE", help="A fault script (TOML, JSON).")
    ] = None,
    state: Annotated[
        Path | None, Option("--state", metavar="FILE", help="Keep the stores in a SQLite file.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Run a simulated Exchange and Microsoft 365 on this machine until
    Ctrl-C. Prints URLs, accounts and secrets (all invented).

    Example: migrator lab --tls --port exchange=8443
    """
    from migrator.errors import UserError
    from migrator.lab.command import read_table, serve
    from migrator.lab.options import LabOptions, Seeding
    from migrator.lab.server import HALVES, PORTS

    problems = []
    ports = {}
    for given in port:
        name, _, number = given.partition("=")
        if name not in PORTS or not number.isdigit() or not 0 <= int(number) < 65536:
            problems.append(f"--port {given}: write NAME=NUMBER with a name of {', '.join(PORTS)}")
        else:
            ports[name] = int(number)
    if only and only not in HALVES:
        problems.append(f"--only {only}: one of {' and '.join(HALVES)}")
    tables = {}
    for option, path in (("knobs", knobs), ("faults", faults)):
        if path is not None:
            try:
                tables[option] = read_table(path, option)
            except ValueError as error:
                problems.append(f"--{option}: {error}")
    problems += [f"--eml {one}: no such folder" for one in eml if not one.is_dir()]
    if problems:
        raise UserError(
            "an option is wrong" if len(problems) == 1 else "options are wrong", problems=problems
        )
    options = LabOptions(
        halves=(only,) if only else HALVES,
        host=host,
        ports=ports,
        tls=tls,
        folder=str(folder) if folder else "",
        seeding=Seeding(seed=seed, mailboxes=mailboxes, items=items, eml=tuple(str(one) for one in eml)),
        knobs=tables.get("knobs", {}),
        faults=tables.get("faults", []),
        state=str(state) if state else "",
    )
    return serve(options, as_json=as_json)
