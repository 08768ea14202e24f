"""Commands for Typer that are imported when one of them is run or its help is shown; `migrator --help` alone imports all."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.core
import typer.main

from migrator.cli.guard import guarded


class Commands(typer.core.TyperGroup):
    """A group of commands that lie in modules of their own."""

    homes: ClassVar[Mapping[str, str]]
    """Name of a command → the module that has it, as a function `command`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _OnDemand(self.homes)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


class _OnDemand(UserDict[str, Any]):
    """Name → command, which is built when it is asked for. The names are there at once: Typer looks among them for what a
    misspelt one may have meant."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, str):
            found = self[name] = command_of(name, import_module(found).command)
        return found


def command_of(name: str, function: Callable[..., int | None]) -> Any:
    """The command of Typer that runs a function, with every error told in words."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name)(guarded(function))
    return typer.main.get_command(alone)
