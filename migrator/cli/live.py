"""The live picture of a run on a terminal. It fits 80 x 24 and any other size, and is drawn twice a second, because drawing
holds the interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from migrator import meter
from migrator.cli.console import line_of, shown
from migrator.cli.drawing import draw
from migrator.cli.glyphs import glyphs_of
from migrator.cli.progress import Board
from migrator.cli.scene import of_board
from migrator.events import Event, ForecastSlipping, JobFinished, Notice

PER_SECOND = 2


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
            name = line_of(self._numbers, event.job, row.source)
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
