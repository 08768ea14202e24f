"""Tables without a terminal: letter for letter what Rich would write, and without Rich where it fits."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from migrator.cli.tables import FILE_WIDTH, Cell, Screen, Table, cell, easy, table

TEXT = st.text(
    st.one_of(st.characters(min_codepoint=32, max_codepoint=126), st.sampled_from("äß→×…─é漢字🙂ก\u0301\u00ad\u200d")),
    max_size=30,
)  # fmt: skip


def by_rich(thing: Table | Cell) -> str:
    out = io.StringIO()
    Console(file=out, highlight=False, emoji=False, width=FILE_WIDTH).print(thing.rich())
    return out.getvalue()


def by_us(thing: Table | Cell) -> str:
    out = io.StringIO()
    Screen(out).print(thing)
    return out.getvalue()


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = [
        "mailbox",
        *draw(st.lists(st.sampled_from(["mailbox", "", "state", "größe", "n"]), max_size=5)),
    ]
    right = draw(st.sets(st.integers(1, 5)))
    made = table(
        columns,
        right=[at for at in right if at < len(columns)],
        first_most=draw(st.sampled_from([None, None, 12])),
    )
    for number, row in enumerate(draw(st.lists(st.lists(TEXT, max_size=len(columns)), max_size=5))):
        made.add_row(*([cell(one), cell("below")] if number == 1 else cell(one) for one in row), style="bold")
        if number == 2:
            made.add_section()
    return made


# The first text that is drawn waits for tables of all characters, which are made once on a machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_a_table_is_as_rich_would_write_it(made: Table) -> None:
    assert by_us(made) == by_rich(made)


@given(TEXT)
def test_a_line_is_as_rich_would_write_it(text: str) -> None:
    assert by_us(cell(text)) == by_rich(cell(text))


@given(st.text())
def test_what_is_easy_takes_a_cell_a_letter(text: str) -> None:
    assert not easy(text) or cell_len(text) == len(text)


def test_what_does_not_fit_is_cut_and_wrapped() -> None:
    made = table(("mailbox", "what"))
    made.add_row(cell("a" * 100), cell("many words " * 20))
    assert made.plain() is None
    assert max(map(len, by_us(made).splitlines())) <= FILE_WIDTH
    assert max(map(len, by_us(cell("many words " * 20)).splitlines())) <= FILE_WIDTH


def test_text_of_others_is_no_markup() -> None:
    assert by_us(cell("[red]x[/red] :smile:")) == "[red]x[/red] :smile:\n"
    assert by_us(cell("\x1b[2J")) == "\\x1b[2J\n"


def test_a_gap_stands_where_it_was_put() -> None:
    made = table(("a", "n"), right=(1,))
    made.add_row("one", "1")
    made.add_section()
    made.add_row(cell("all"), "10")
    assert by_us(made) == "a      n\n────────\none    1\n        \nall   10\n"


@pytest.mark.parametrize(("forced", "loaded"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_rich_is_loaded_for_a_terminal_alone(forced: dict[str, str], loaded: bool) -> None:
    import os

    code = (
        "import sys; from migrator.cli.tables import *; made = table(['a']); made.add_row('x'); console().print(made);"
        "console().print('a → b'); print('rich' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env={**env, **forced, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.splitlines()[-1] == str(loaded)
