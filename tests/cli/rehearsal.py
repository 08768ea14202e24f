"""A small migration against a lab in this process: two mailboxes, few items, short patience."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner, Result

from migrator.cli.app import app
from migrator.cli.demo import write_demo_project
from migrator.engine.stop import SystemClock
from migrator.lab.command import build
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import Lab
from migrator.lab.world import World
from migrator.ledger import Ledger
from migrator.model import Kind

T = TypeVar("T")
ALMA = "alma.whitcombe@old.example"
BERTRAND = "bertrand.levequois@old.example"


class Rehearsal:
    """A lab, and a project folder that points at it."""

    def __init__(self, folder: Path, **seeding: Any) -> None:
        given = {
            "mailboxes": 2,
            "items": 12,
            "hard_names": False,
            "domain": "old.example",
            "target_domain": "new.example",
        }
        self.folder = folder
        (folder / "lab").mkdir(parents=True)
        options = LabOptions(tls=True, folder=str(folder / "lab"), seeding=Seeding(**(given | seeding)))
        self.lab: Lab = build(options).start()
        write_demo_project(folder, self.lab.info())
        # Trouble is met twice, not for a quarter of an hour.
        self.change("[defaults]", "[endpoints.old.limits]\ntries = 2\ngive_up_s = 2\n"
                    "[endpoints.new.limits]\ntries = 2\ngive_up_s = 2\n\n[defaults]")  # fmt: skip
        self.asked()

    def asked(self) -> None:
        """As if `check` had asked the target what it takes, without its calls in the lab's journal."""
        with Ledger.open(self.folder / "ledger.sqlite", clock=SystemClock()) as ledger:
            for kind in set(Kind) - {Kind.OTHER}:
                ledger.put_verdict("new", "lab", "synthetic", kind, True, "")

    def change(self, old: str, new: str, file: str = "migration.toml") -> None:
        path = self.folder / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def do(self, work: Callable[[World], T]) -> T:
        return self.lab.do(work)

    def fault(self, fault: str, **rule: Any) -> None:
        self.do(lambda world: world.faults.add(fault, **rule))

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(app, [args[0], "-p", str(self.folder), *args[1:]])

    def totals(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self("status", "--json").output)["totals"]
        return found

    def doubles(self) -> int:
        return self.do(lambda world: len(list(world.journal.doubles())))

    def close(self) -> None:
        self.lab.stop()
