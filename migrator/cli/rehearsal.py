"""What a dry run came to, added up from its events: what the run would have done."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from migrator.events import BatchSettled, Event
from migrator.model import State

if TYPE_CHECKING:
    from migrator.cli.progress import Board
    from migrator.interfaces import Emit


class Rehearsal:
    """Takes the events of a dry run on their way to the view."""

    def __init__(self, to: Emit) -> None:
        from migrator.cli.progress import Board

        self._to = to
        self._lock = threading.Lock()
        self.board: Board = Board()
        self.skips: Counter[str] = Counter()

    def emit(self, event: Event) -> None:
        with self._lock:
            self.board.take(event)
            for outcome in event.outcomes if isinstance(event, BatchSettled) else ():
                if outcome.state is State.SKIPPED and outcome.reason is not None:
                    self.skips[outcome.reason.value] += 1
        self._to(event)

    def tell(self, code: int) -> None:
        """The table at the end, and what to do next."""
        from migrator.cli.exits import MEANINGS, Exit
        from migrator.cli.tables import STYLES, cell, console, table
        from migrator.plan.remedies import remedy_of, skip_of
        from migrator.report.words import number, octets

        screen = console()
        columns = ("mailbox", "state", "to copy", "size", "there", "skip", "fail")
        grid = table(columns, right=range(2, len(columns)))
        rows = list(self.board.rows.values())
        shown = rows if len(rows) <= 40 else [row for row in rows if row.state != "done"]
        for row in shown:
            grid.add_row(
                cell(row.source), cell(row.state, STYLES.get(row.state, "")), number(row.copied), octets(row.octets),
                number(row.present), number(row.skipped), number(row.failed),
            )  # fmt: skip
        grid.add_section()
        total = self.board.count
        grid.add_row(
            cell(f"all {len(rows)}"), cell(""), number(total("copied")), octets(total("octets")), number(total("present")),
            number(total("skipped")), number(total("failed")), style="bold",
        )  # fmt: skip
        screen.print()
        screen.print(grid)
        for reason, count in self.skips.most_common():
            screen.print(cell(f"  {number(count)} would be skipped: {skip_of(reason).title}"))
        for failed, count in self.board.codes.most_common():
            screen.print(cell(f"  {number(count)} would fail: {failed}: {remedy_of(failed).title}", "yellow"))
        print(
            "This was a dry run: nothing was written to any mailbox or to the ledger, and no content was read."
        )
        print(f"exit code {code}: as of the run itself: {MEANINGS[Exit(code)]}")
