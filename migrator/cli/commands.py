"""From a function to a command of Click: the signature says which options there are, of which type, and what they default to.

    def command(project: Annotated[Path, Option("--project", "-p", metavar="DIR", help="…")] = Path()) -> int: ...

A type is str, bool, int, float, Path or a StrEnum, any of them `| None`, or a list of one (an option that may be given again).
A command's module is imported when the command is run or its help is shown; `migrator --help` alone imports all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click

from migrator.cli.guard import guarded
from migrator.record import record


@record
class _Option:
    names: tuple[str, ...]
    help: str
    metavar: str | None
    hidden: bool
    envvar: str | None


@record
class _Argument:
    metavar: str
    help: str


def Option(
    *names: str, help: str, metavar: str | None = None, hidden: bool = False, envvar: str | None = None
) -> Any:
    """For `Annotated`. hidden: a document tells of it, the help fits a screen without."""
    return _Option(names, help, metavar, hidden, envvar)


def Argument(metavar: str, help: str = "") -> Any:
    """For `Annotated`. Without help it stands in the usage line alone."""
    return _Argument(metavar, help)


class Commands(click.Group):
    """homes: name of a command → the module that has it, as a function `command`."""

    def __init__(self, homes: Mapping[str, str], **given: Any) -> None:
        super().__init__(**given)
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._homes:
            return None
        return command_of(cmd_name, import_module(self._homes[cmd_name]).command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._homes and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self._homes, n=1)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


def command_of(name: str, function: Callable[..., int | None]) -> click.Command:
    """The command that runs a function, with every error told in words."""
    hints = get_type_hints(function, include_extras=True)
    params = [
        _parameter(key, hints[key], parameter.default)
        for key, parameter in inspect.signature(function).parameters.items()
    ]
    lists = [key for key in hints if get_origin(_plain(hints[key])) is list]

    def run(**given: Any) -> None:
        guarded(function)(**given | {key: list(given[key]) for key in lists})

    return _Command(name, params=params, callback=run, help=function.__doc__)


def _plain(hint: Any) -> Any:
    """The type of an annotation, without what is said about it and without None."""
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    others = [one for one in get_args(kind) if one is not type(None)]
    return others[0] if type(None) in get_args(kind) else kind


def _parameter(key: str, hint: Any, default: Any) -> click.Parameter:
    said = get_args(hint)[1]
    kind = _plain(hint)
    several = get_origin(kind) is list
    if several:
        kind = get_args(kind)[0]
    required = default is inspect.Parameter.empty
    given: dict[str, Any] = {"type": _type_of(kind), "required": required}
    if not required:
        given["default"] = default
    if isinstance(said, _Argument):
        argument = _Positional([key], metavar=said.metavar if required else f"[{said.metavar}]", **given)
        argument.told = said
        return argument
    if kind is bool:
        given |= {"is_flag": True, "type": None}
    return click.Option(
        [*said.names, key], multiple=several, metavar=said.metavar, help=said.help, hidden=said.hidden,
        envvar=said.envvar, **given,
    )  # fmt: skip


def _type_of(kind: Any) -> Any:
    if kind is Path:
        return click.Path(path_type=Path)
    if issubclass(kind, Enum):
        return _OneOf(kind)
    return kind


class _OneOf(click.Choice):  # type: ignore[type-arg] # before Click 8.2 it takes no type
    """A choice by the values of an enumeration, which gives its member."""

    def __init__(self, kind: type[Enum]) -> None:
        super().__init__([str(one.value) for one in kind])
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, self._kind) else self._kind(super().convert(value, param, ctx))


class _Positional(click.Argument):
    told: _Argument


class _Command(click.Command):
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Arguments first: Click leaves it to the text to tell of them."""
        rows = _rows(self.get_params(ctx))
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)


def _rows(params: Sequence[click.Parameter]) -> list[tuple[str, str]]:
    return [
        (one.told.metavar, one.told.help + ("  [required]" if one.required else ""))
        for one in params
        if isinstance(one, _Positional) and one.told.help
    ]
