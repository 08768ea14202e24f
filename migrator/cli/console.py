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
from rich.text import Text

from migrator import meter
from migrator.auth.redact import redact
from migrator.cli.drawing import STYLES, draw, plain_line
from migrator.cli.glyphs import glyphs_of
from migrator.cli.jsonl import JsonLines
from migrator.cli.progress import Board
from migrator.cli.scene import of_board
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

PER_SECOND = 2
PLAIN_EVERY_S = 10.0
WORDS_MOST = 100  # characters of what a server says, in a line
__all__ = ["STYLES", "CountView", "LiveView", "PlainView", "QuietView", "View", "choose_view", "shown"]


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
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, lines, before)
    return PlainView(stream, lines, before)


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
            case ForecastSlipping():
                return [shown(event.words)]
            case BatchSettled() if self._clock() - self._told >= PLAIN_EVERY_S:
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


class LiveView:
    """A picture that is drawn over and over, with notices scrolling above it."""

    def __init__(
        self,
        console: Console,
        lines: Mapping[str, int] | None = None,
        before: Mapping[str, tuple[int, int]] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._numbers = lines or {}
        self._clock = clock
        self._glyphs = glyphs_of(console.file)
        self._lock = threading.Lock()
        self._board = Board(before=before or {})
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
            self._say(event.text, style)
        elif isinstance(event, ForecastSlipping):
            self._say(event.words, "yellow")
        elif isinstance(event, JobFinished) and event.state == "error":
            with self._lock:
                row = self._board.rows[event.job]
            name = _of_line(self._numbers, event.job, row.source)
            self._say(f"{name}: {event.error}", "red")
            if event.remedy:
                self._say(f"  → {event.remedy}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(self._glyphs.text(shown(text)), style=style))

    def picture(self) -> Group:
        """The board as it stands, no larger than the console."""
        with self._lock:
            scene = of_board(self._board, self._clock(), meter.flights())
        # The last column stays free: some terminals wrap the cursor when it is written, and a picture then climbs.
        return Group(*draw(scene, self._console.width - 1, self._console.height - 1, self._glyphs))
