"""Tables for a person: on a terminal with colours and as wide as it is, elsewhere as plain columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from migrator.cli.console import shown

FILE_WIDTH = 140


def console(out: IO[str] | None = None) -> Console:
    """As wide as the terminal; wide where there is none: a file is not a screen."""
    found = Console(file=out or sys.stdout, highlight=False)
    return found if found.is_terminal else Console(file=out or sys.stdout, highlight=False, width=FILE_WIDTH)


def table(columns: Sequence[str], *, right: Sequence[int] = (), first_most: int | None = None) -> Table:
    """right: numbers of columns that hold figures. The first other column is cut when there is no room,
    the rest wrap. first_most: its greatest width."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    first = min(at for at in range(len(columns)) if at not in right)
    for at, name in enumerate(columns):
        if at in right:
            made.add_column(name, justify="right", no_wrap=True)
        else:
            made.add_column(
                name,
                overflow="ellipsis" if at == first else "fold",
                max_width=first_most if at == first else None,
            )
    return made


def cell(text: object, style: str = "") -> Text:
    """A cell with text of others: never read as markup, never obeyed."""
    return Text(shown(str(text)), style=style)
