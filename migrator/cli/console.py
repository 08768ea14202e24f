"""Events as a person sees them: a live picture on a terminal, plain lines elsewhere, nothing with --quiet.

Everything shown passes `safe_text`. The live picture is in `live`, with Rich; nothing here loads Rich without a terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Protocol

from migrator.auth.redact import redact
from migrator.cli.jsonl import JsonLines
from migrator.cli.progress import Board
from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    ForecastSlipping,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
    Settled,
    Waiting,
)
from migrator.report.safe import safe_text
from migrator.report.words import number, octets, plural, span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

PLAIN_EVERY_S = 10.0
WORDS_MOST = 100  # characters of what a server says, in a line


class View(Protocol):
    """Something that events are given to, for as long as the `with` lasts."""

    def __enter__(self) -> View: ...

    def __exit__(self, *_: object) -> None: ...

    def emit(self, event: Event) -> None: ...


def choose_view(
    *,
    json: bool = False,
    quiet: bool = False,
    lines: Mapping[str, int] | None = None,
    before: Mapping[str, tuple[int, int]] | None = None,
    out: IO[str] | None = None,
) -> View:
    """The view for this run. A terminal that cannot move its cursor (TERM=dumb, a log file) gets plain lines.

    lines: job id → line of the manifest, told with errors. before: job id → items and octets that earlier runs settled.
    """
    stream = out or sys.stdout
    if json:
        return JsonLines(stream)
    if quiet:
        return QuietView(sys.stderr, lines)
    if may_be_terminal(stream):
        from rich.console import Console

        console = Console(file=stream, highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            from migrator.cli.live import LiveView

            return LiveView(console, lines, before)
    return PlainView(stream, lines, before)


def shown(text: str, most: int = 0) -> str:
    """Text of others, for a screen: without secrets, without control characters."""
    return safe_text(redact(text), most)


def may_be_terminal(out: IO[str]) -> bool:
    """False where surely none is, also by what people set to ask for one: then Rich is not needed to find out."""
    if "FORCE_COLOR" in os.environ or "TTY_COMPATIBLE" in os.environ:
        return True
    try:
        return out.isatty()
    except (AttributeError, ValueError):  # not a file, or a closed one
        return False


def line_of(lines: Mapping[str, int], job: str, name: str) -> str:
    return f"line {lines[job]}: {name}" if job in lines else name


class QuietView:
    """Errors only."""

    def __init__(self, out: IO[str], lines: Mapping[str, int] | None = None) -> None:
        self._out = out
        self._lines = lines or {}
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> QuietView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event) -> None:
        if isinstance(event, Notice) and event.level == "error":
            line = shown(event.text)
        elif isinstance(event, JobFinished) and event.state == "error":
            name = line_of(self._lines, event.job, self._names.get(event.job, event.job))
            line = shown(
                f"{name}: {event.code}: {event.error}" + (f" → {event.remedy}" if event.remedy else "")
            )
        else:
            if isinstance(event, JobStarted):
                self._names[event.job] = event.source
            return
        with self._lock:
            print(line, file=self._out, flush=True)


class CountView:
    """For commands that read: notices, and on a terminal how many mailboxes are through. All of it on stderr."""

    def __init__(self, what: str, total: int, out: IO[str] | None = None) -> None:
        self._out = out or sys.stderr
        self._what = what
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._console: Console | None = None
        self._status: Status | None = None
        if may_be_terminal(self._out):
            from rich.console import Console

            self._console = Console(file=self._out, highlight=False)
            if self._console.is_terminal:
                self._status = self._console.status(self._words())

    def _words(self) -> Text:
        from rich.text import Text

        return Text(f"{self._what}: {self._done} of {self._total}")

    def __enter__(self) -> CountView:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def emit(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Notice):
                self._say(shown(event.text), {"warning": "yellow", "error": "red"}.get(event.level, ""))
            elif isinstance(event, JobFinished):
                self._done += 1
                if self._status is not None:
                    self._status.update(self._words())

    def _say(self, text: str, style: str) -> None:
        if self._console is None:
            print(text, file=self._out, flush=True)
            return
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)


class PlainView:
    """A line for what matters, and one for the whole every PLAIN_EVERY_S of work."""

    def __init__(
        self,
        out: IO[str],
        lines: Mapping[str, int] | None = None,
        before: Mapping[str, tuple[int, int]] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._out = out
        self._numbers = lines or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._board = Board(before=before or {})
        self._told = clock()
        self._waits: dict[str, float] = {}

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event) -> None:
        with self._lock:
            self._board.take(event)
            for line in self._lines(event):
                try:
                    print(line, file=self._out, flush=True)
                except (BrokenPipeError, ValueError):
                    return  # the reader has left; the run goes on

    def _lines(self, event: Event) -> list[str]:
        board = self._board
        match event:
            case RunStarted():
                what = "dry run of " if event.dry else ""
                return [f"{what}{plural(len(event.jobs), 'mailbox', 'mailboxes')}, pass {event.passname}"]
            case JobStarted():
                again = ", goes on where it stopped" if event.resumed else ""
                return [f"{shown(event.source)} → {shown(event.target)}: started{again}"]
            case FoldersListed():
                items = "" if event.items is None else f", {plural(event.items, 'item')}"
                size = "" if event.octets is None else f", {octets(event.octets)}"
                return [f"{shown(self._name(event.job))}: {plural(event.folders, 'folder')}{items}{size}"]
            case JobFinished():
                row = board.rows[event.job]
                name = row.source
                if event.state == "error":
                    name = line_of(self._numbers, event.job, name)
                lines = [
                    f"{shown(name)}: {event.state}: {number(row.copied)} copied, {number(row.present)} already there, "
                    f"{number(row.skipped)} skipped, {number(row.failed)} failed"
                ]
                if event.state == "error":
                    lines.append(f"  {shown(f'{event.code}: {event.error}')}")
                    if event.remedy:
                        lines.append(f"  → {shown(event.remedy)}")
                return lines
            case Waiting():
                return self._wait_lines(event)
            case Settled() if event.found or event.resent:
                return [shown(board.notices[-1])]
            case Notice():
                return [shown(event.text)]
            case ForecastSlipping():
                return [shown(event.words)]
            case BatchSettled() if self._clock() - self._told >= PLAIN_EVERY_S:
                from migrator import meter
                from migrator.cli.drawing import plain_line
                from migrator.cli.scene import of_board

                self._told = self._clock()
                return [plain_line(of_board(board, board.now, meter.flights()))]
            case RunFinished():
                return []
            case _:
                return []

    def _wait_lines(self, event: Waiting) -> list[str]:
        key = event.job or event.endpoint
        now = self._clock()
        if now - self._waits.get(key, 0.0) < PLAIN_EVERY_S:
            return []  # many requests of one mailbox are told to wait at once
        self._waits[key] = now
        who = self._name(event.job) if event.job else event.endpoint
        words = shown(f": {event.words.removeprefix(f'{who}: ')}", WORDS_MOST) if event.words else ""
        reason = {"throttled": "the server asks to slow down", "retry": "trying again"}.get(
            event.reason, event.reason
        )
        return [shown(f"{who}: {reason}, waiting {span(event.until - event.at)}{words}")]

    def _name(self, job: str) -> str:
        row = self._board.rows.get(job)
        return row.source if row else job
