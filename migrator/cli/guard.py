"""What every command ends through: errors become words, a next step and an exit code; nobody sees a traceback."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import typer

from migrator.cli.exits import Exit, exit_of
from migrator.errors import MigratorError, UserError

P = ParamSpec("P")


def guarded(command: Callable[P, int | None]) -> Callable[P, None]:
    """Wraps a command that returns its exit code (None is 0)."""

    @functools.wraps(command)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs) or Exit.DONE
            sys.stdout.flush()
        except typer.Exit:
            raise
        except MigratorError as error:
            code = tell(error)
        except KeyboardInterrupt:
            complain("interrupted; all settled work is kept")
            code = Exit.INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has left (`migrator status | head`): nothing to say, nobody to say it to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = Exit.DONE
        except Exception as error:  # noqa: BLE001 - the last net: what reaches it is our own fault
            code = crashed(error)
        raise typer.Exit(int(code))

    return inner


def tell(error: MigratorError) -> Exit:
    """Say what is wrong and what to do next, on stderr. Returns the exit code."""
    from migrator.plan.remedies import remedy_of

    complain(str(error))
    if isinstance(error, UserError) and error.problems != (error.message,):
        for problem in error.problems:
            complain(f"  {problem}", name=False)
    todo = error.remedy or ("" if isinstance(error, UserError) else remedy_of(error.code).todo)
    if todo:
        complain(f"→ {todo}", name=False)
    return exit_of(error)


def complain(text: str, *, name: bool = True) -> None:
    """A line on stderr, without secrets and with nothing that a terminal would obey.

    Words of servers and files stand in it: further lines of theirs are marked, so that none passes for one of ours.
    """
    from migrator.auth.redact import redact
    from migrator.report.safe import safe_text

    shown = "\n  | ".join(safe_text(line) for line in redact(text).split("\n"))
    print(f"migrator: {shown}" if name else shown, file=sys.stderr)


def crashed(error: Exception) -> Exit:
    """An error that nobody foresaw: its traceback goes into a private file, its kind and the file's path to the user."""
    import platform
    import tempfile
    import traceback

    from migrator import __version__
    from migrator.auth.redact import redact

    text = redact(
        f"migrator {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
        + "".join(traceback.format_exception(error))
    )
    name = f"migrator-crash-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.txt"
    where = ""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            where = str(write_private(folder / name, text))
            break
        except OSError:
            continue
    complain(f"stopped by a fault of its own ({type(error).__name__}); settled work is kept")
    if where:
        complain(
            f"→ report it with {where} (no secrets in it); the same command goes on where it stopped",
            name=False,
        )
    else:
        complain(f"→ no file could be written about it; its last words: {error}", name=False)
    return Exit.STOPPED


def write_private(path: Path, text: str) -> Path:
    """A new file that only its owner can read. Raises FileExistsError rather than overwriting."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return path
