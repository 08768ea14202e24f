"""Tables for a person: on a terminal with colours and as wide as it is, elsewhere as plain columns.

Rich draws them. Where there is no terminal, what fits is written here, the way Rich writes it: to load Rich costs a tenth of
a run that has nothing to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from migrator.cli.console import may_be_terminal, shown
from migrator.record import record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

FILE_WIDTH = 140
GAP = "   "
STYLES = {
    "done": "green",
    "partial": "yellow",
    "error": "red",
    "stopped": "yellow",
    "running": "",
    "waiting": "dim",
}
"""By the state of a mailbox."""


@record
class Cell:
    """Text that is shown as it is. style: Rich's words for it, seen on a terminal alone."""

    text: str
    style: str = ""

    def rich(self) -> Text:
        from rich.text import Text

        return Text(self.text, style=self.style)


Content = Cell | str | Sequence[Cell]
"""Of a cell of a table; several are lines one below the other."""


class Table:
    """right: numbers of columns that hold figures. The first other column is cut when there is no room,
    the rest wrap. first_most: its greatest width."""

    def __init__(
        self, columns: Sequence[str], *, right: Sequence[int] = (), first_most: int | None = None
    ) -> None:
        self._columns = columns
        self._right = right
        self._first = min(at for at in range(len(columns)) if at not in right)
        self._first_most = first_most
        self._rows: list[tuple[list[list[Cell]], str]] = []
        self._sections: set[int] = set()

    def add_row(self, *cells: Content, style: str = "") -> None:
        row = [_lines(one) for one in cells]
        self._rows.append((row + [[Cell("")]] * (len(self._columns) - len(row)), style))

    def add_section(self) -> None:
        """A gap below the last row."""
        self._sections.add(len(self._rows))

    def plain(self) -> list[str] | None:
        """The lines, no wider than a file; None where Rich must see what is cut and what is wrapped."""
        if not all(easy(line.text) for row, _ in self._rows for one in row for line in one):
            return None
        widths = [
            max(len(name), *(len(line.text) for row, _ in self._rows for line in row[at]), 0)
            for at, name in enumerate(self._columns)
        ]
        whole = sum(widths) + len(GAP) * (len(widths) - 1)
        if whole > FILE_WIDTH or (self._first_most is not None and widths[self._first] > self._first_most):
            return None
        lines = [self._line(self._columns, widths), "─" * whole]
        for number, (row, _) in enumerate(self._rows):
            if number and number in self._sections:
                lines.append(" " * whole)
            high = max(len(one) for one in row)
            lines += [
                self._line([one[at].text if at < len(one) else "" for one in row], widths)
                for at in range(high)
            ]
        return lines

    def _line(self, texts: Sequence[str], widths: Sequence[int]) -> str:
        padded = []
        for at, (text, width) in enumerate(zip(texts, widths, strict=True)):
            padded.append(text.rstrip().rjust(width) if at in self._right else text.ljust(width))
        return GAP.join(padded)

    def rich(self) -> RichTable:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for at, name in enumerate(self._columns):
            if at in self._right:
                made.add_column(name, justify="right", no_wrap=True)
            else:
                first = at == self._first
                made.add_column(
                    name, overflow="ellipsis" if first else "fold", max_width=self._first_most if first else None
                )  # fmt: skip
        for number, (row, style) in enumerate(self._rows):
            if number and number in self._sections:
                made.add_section()
            made.add_row(*(Text("\n").join(line.rich() for line in one) for one in row), style=style)
        return made


class Screen:
    """Where a command prints. console: a given one of Rich."""

    def __init__(self, out: IO[str] | None = None, console: Console | None = None) -> None:
        self.file = out or sys.stdout
        self._console = console
        self._plain = console is None and not may_be_terminal(self.file) and _is_utf(self.file)

    @property
    def console(self) -> Console:
        """As wide as the terminal; wide where there is none: a file is not a screen."""
        if self._console is None:
            from rich.console import Console

            found = Console(file=self.file, highlight=False, emoji=False)
            if not found.is_terminal:
                found = Console(file=self.file, highlight=False, emoji=False, width=FILE_WIDTH)
            self._console = found
        return self._console

    @property
    def width(self) -> int:
        return FILE_WIDTH if self._plain else self.console.width

    def print(self, what: Table | Cell | str = "") -> None:
        thing = Cell(what) if isinstance(what, str) else what
        if self._plain:
            if isinstance(thing, Table):
                lines = thing.plain()
            else:
                lines = [thing.text] if easy(thing.text) and len(thing.text) <= FILE_WIDTH else None
            if lines is not None:
                self.file.write("\n".join(lines) + "\n")
                return
        self.console.print(thing.rich())


def _lines(content: Content) -> list[Cell]:
    if isinstance(content, str):
        return [Cell(content)]
    return [content] if isinstance(content, Cell) else list(content)


def easy(text: str) -> bool:
    """Whether each letter takes one cell of a screen: Western letters, dashes, arrows and lines. Rich knows about the rest."""
    return all(" " <= char < "\x7f" or "\xb0" <= char < "\u0300" or char in "…—–→×─“”‘’•" for char in text)


def _is_utf(out: IO[str]) -> bool:
    return (getattr(out, "encoding", None) or "utf-8").lower().startswith("utf")


def console(out: IO[str] | None = None) -> Screen:
    return Screen(out)


def table(columns: Sequence[str], *, right: Sequence[int] = (), first_most: int | None = None) -> Table:
    return Table(columns, right=right, first_most=first_most)


def cell(text: object, style: str = "") -> Cell:
    """Text of others: never read as markup, never obeyed."""
    return Cell(shown(str(text)), style)
