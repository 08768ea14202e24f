"""Events as a person sees them: a live picture on a terminal, plain lines elsewhere, nothing with --quiet.

The live picture fits 80 x 24 and any other size: as many mailboxes as there are lines for, those at work first. It is
drawn twice a second, because drawing holds the interpreter. Everything shown passes `safe_text`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from migrator.auth.redact import redact
from migrator.cli.jsonl import JsonLines
from migrator.cli.progress import Board, Row
from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
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

PER_SECOND = 2
PLAIN_EVERY_S = 10.0
WORDS_MOST = 100  # characters of what a server says, in a line
STYLES = {
    "done": "green",
    "partial": "yellow",
    "error": "red",
    "stopped": "yellow",
    "running": "",
    "waiting": "dim",
}


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
    out: IO[str] | None = None,
) -> View:
    """The view for this run. A terminal that cannot move its cursor (TERM=dumb, a log file) gets plain lines.

    lines: job id → line of the manifest, told with errors.
    """
    stream = out or sys.stdout
    if json:
        return JsonLines(stream)
    if quiet:
        return QuietView(sys.stderr, lines)
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, lines)
    return PlainView(stream, lines)


def shown(text: str, most: int = 0) -> str:
    """Text of others, for a screen: without secrets, without control characters."""
    return safe_text(redact(text), most)


def _of_line(lines: Mapping[str, int], job: str, name: str) -> str:
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
            name = _of_line(self._lines, event.job, self._names.get(event.job, event.job))
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
        self._console = Console(file=out or sys.stderr, highlight=False)
        self._what = what
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._status = self._console.status(self._words()) if self._console.is_terminal else None

    def _words(self) -> Text:
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
                style = {"warning": "yellow", "error": "red"}.get(event.level, "")
                self._console.print(Text(shown(event.text), style=style), soft_wrap=True)
            elif isinstance(event, JobFinished):
                self._done += 1
                if self._status is not None:
                    self._status.update(self._words())


class PlainView:
    """A line for what matters, and one for the whole every PLAIN_EVERY_S of work."""

    def __init__(
        self, out: IO[str], lines: Mapping[str, int] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._out = out
        self._numbers = lines or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._board = Board()
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
                    name = _of_line(self._numbers, event.job, name)
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
            case BatchSettled() if self._clock() - self._told >= PLAIN_EVERY_S:
                self._told = self._clock()
                rate, _ = board.rate(board.now)
                return [f"{number(board.settled)} of {number(board.total)} items, {rate:.0f} a second"]
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


class LiveView:
    """A picture that is drawn over and over, with notices scrolling above it."""

    def __init__(
        self,
        console: Console,
        lines: Mapping[str, int] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._numbers = lines or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._board = Board()
        self._live = Live(
            console=console,
            refresh_per_second=PER_SECOND,
            get_renderable=self.picture,
            transient=True,
            auto_refresh=True,
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def emit(self, event: Event) -> None:
        with self._lock:
            self._board.take(event)
        if isinstance(event, Notice):
            style = {"warning": "yellow", "error": "red"}.get(event.level, "")
            self._console.print(Text(shown(event.text), style=style))
        elif isinstance(event, JobFinished) and event.state == "error":
            row = self._board.rows[event.job]
            name = _of_line(self._numbers, event.job, row.source)
            self._console.print(Text(shown(f"{name}: {event.error}"), style="red"))
            if event.remedy:
                self._console.print(Text(f"  → {shown(event.remedy)}"))

    def picture(self) -> Group:
        """The board as it stands, no larger than the console."""
        with self._lock:
            return draw(self._board, self._clock(), self._console.width, self._console.height)


def draw(board: Board, now: float, width: int, height: int) -> Group:
    """Head, as many mailboxes as fit, and one line for the rest."""
    room = max(1, height - 5)
    order = {"running": 0, "error": 1, "stopped": 2, "partial": 3, "done": 4}
    rows = sorted(board.rows.values(), key=lambda row: (order.get(row.state, 5), row.source))
    parts: list[Table | Text] = [_head(board, now, width)]
    bar = Table.grid(expand=False)
    bar.add_row(ProgressBar(total=max(1, board.total), completed=board.settled, width=max(1, width - 1)))
    parts.append(bar)
    table = Table.grid(padding=(0, 1), expand=False)
    name = max(12, min(34, width // 3))
    table.add_column(width=name, no_wrap=True, overflow="ellipsis")
    table.add_column(width=7, no_wrap=True, justify="right")
    table.add_column(width=7, no_wrap=True, justify="right")
    table.add_column(width=5, no_wrap=True, justify="right")
    table.add_column(width=max(8, width - name - 23), no_wrap=True, overflow="ellipsis")
    table.add_row(*(Text(word, style="dim") for word in ("mailbox", "done", "of", "fail", "now")))
    for row in rows[:room]:
        table.add_row(*_cells(row, now))
    parts.append(table)
    hidden = len(rows) - room
    waiting = board.jobs - len(board.rows)
    rest = [f"{hidden} more" if hidden > 0 else "", f"{waiting} not begun" if waiting > 0 else ""]
    if board.until > now:
        rest.insert(0, f"waiting {span(board.until - now)}: {shown(board.waiting)}")
    line = ", ".join(word for word in rest if word)
    parts.append(Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _head(board: Board, now: float, width: int) -> Text:
    items, size = board.rate(now)
    left = board.total - board.settled
    words = [
        f"{board.finished()}/{board.jobs} mailboxes",
        f"{number(board.settled)}/{number(board.total)} items",
        f"{items:.0f}/s {octets(int(size))}/s",
        span(now - board.started) if board.started else "",
        f"about {span(left / items)} left" if items >= 1 and left else "",
    ]
    return Text("  ".join(word for word in words if word), style="bold", no_wrap=True, overflow="ellipsis")


def _cells(row: Row, now: float) -> list[Text]:
    if row.until > now and row.waiting:
        doing = Text(f"waiting {span(row.until - now)}: {shown(row.waiting)}", style="yellow")
    elif row.state == "running":
        doing = Text(shown(row.folder))
    else:
        doing = Text(
            shown(row.state + (f": {row.error}" if row.error else "")), style=STYLES.get(row.state, "")
        )
    total = "" if row.total is None else number(max(row.total, row.settled))
    failed = Text(number(row.failed) if row.failed else "", style="red")
    return [Text(shown(row.source)), Text(number(row.settled)), Text(total), failed, doing]
