"""The page for the people whose mail it is: written once (`report --customer`) or over and over (`run --page DIR`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.events import Event, Notice

if TYPE_CHECKING:
    from migrator.plan.project import Project

INDEX = "index.html"
AFTERWARDS_S = 300.0
LAST_WAIT_S = 30.0


def draw_page(project: Project, *, now: float, refresh_s: float = 0.0) -> str:
    """The page as the ledger has it now. Raises UserError."""
    from migrator.cli.foretell import read_live
    from migrator.cli.loading import open_ledger
    from migrator.report.customer import Expected, load_look, to_customer_html
    from migrator.report.summary import summarise

    look = load_look(project.customer, project.folder)
    with open_ledger(project) as ledger:
        summary = summarise(ledger, now=now, title=project.folder.name, brief=True)
    live = read_live(project.folder, now)
    if live is None:
        return to_customer_html(summary, look, refresh_s=refresh_s)
    ends = {job: Expected(p50, p90) for job, (p50, p90) in live.mailboxes.items() if p50 and p90}
    whole = Expected(live.p50, live.p90) if live.p50 and live.p90 else None
    return to_customer_html(summary, look, expected=ends, all_expected=whole, refresh_s=refresh_s)


def put_page(folder: Path, text: str) -> Path:
    """folder/index.html, there whole or not at all, readable for a web server. Raises UserError."""
    from migrator.errors import UserError
    from migrator.report.whole import PUBLIC, write_whole

    path = folder / INDEX
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, mode=PUBLIC)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}",
            code="unwritable",
            remedy="name a folder that you may write to",
        ) from None
    return path


def export_template(folder: Path) -> list[Path]:
    """Write template and English words to be changed; nothing that is there is overwritten. Raises UserError."""
    from migrator.cli.guard import write_private
    from migrator.errors import UserError
    from migrator.report.customer import BUILT_IN, TEMPLATE
    from migrator.report.wording import ENGLISH

    files = {folder / TEMPLATE: BUILT_IN, folder / "en.toml": ENGLISH}
    there = [path for path in files if path.exists()]
    if there:
        raise UserError(
            f"{there[0]} is there already",
            code="exists",
            remedy="name another folder, or take it away; nothing was written",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, source in files.items():
            write_private(path, source.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}", code="unwritable") from None
    return list(files)


class PageWriter:
    """Renews DIR/index.html while the `with` lasts: at once, every so many seconds, and at the end.

    What goes wrong here is told once as a warning and never ends a run; the page that was there stays.
    """

    def __init__(
        self,
        project: Project,
        folder: Path,
        emit: Callable[[Event], None],
        *,
        draw: Callable[..., str] = draw_page,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Draws the first page, so that a folder or template that cannot be used is told before a run. Raises UserError."""
        self._project = project
        self._folder = folder
        self._emit = emit
        self._draw = draw
        self._clock = clock
        self._every_s = project.customer.every_s
        self._over = threading.Event()
        self._told: str = ""
        self._thread = threading.Thread(target=self._renew, name="page", daemon=True)
        if project.ledger.exists():
            self._write()
        else:
            from migrator.report.customer import load_look

            load_look(project.customer, project.folder)  # is there anything wrong with it?

    def __enter__(self) -> PageWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LAST_WAIT_S)
        if self._thread.is_alive():  # a disk that hangs must not hold the end of a run
            self._emit(
                Notice("warning", "the customer page was not renewed at the end: writing it takes too long")
            )
            return
        self._every_s = max(self._every_s, AFTERWARDS_S)  # another run may go on, nobody knows when
        self.renew()

    def renew(self) -> None:
        """Draw it now. Never raises."""
        try:
            self._write()
            self._told = ""
        except Exception as error:  # noqa: BLE001 - a page is not worth a migration
            words = str(error) or type(error).__name__
            if words != self._told:
                self._told = words
                self._emit(Notice("warning", f"the customer page was not renewed: {words}"))

    def _write(self) -> None:
        text = self._draw(self._project, now=self._clock(), refresh_s=self._every_s)
        put_page(self._folder, text)

    def _renew(self) -> None:
        # The ledger of a first run comes into being with it: the first page comes a little later, and is not missed for long.
        pause = min(5.0, self._every_s)
        while not self._over.wait(pause):
            pause = self._every_s
            self.renew()
