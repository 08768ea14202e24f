"""What goes along with a run and never holds it up: the customer page and the notifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.events import Event
from migrator.interfaces import Emit

if TYPE_CHECKING:
    from migrator.plan.project import Project


@contextmanager
def beside(
    project: Project,
    emit: Emit,
    *,
    page: Path | None = None,
    notify: bool = True,
    hurry: Callable[[], bool] = lambda: False,
) -> Iterator[Emit]:
    """The emit to give to the run: it tells the view, and whoever else is to be told.

    page: folder of the customer page. hurry: the end waits for no last message. Raises UserError when that folder or the page's template cannot be used.
    """
    with ExitStack() as stack:
        tell = emit
        if notify and project.notify.receivers:
            from migrator.cli.notify import open_notifier

            notifier = stack.enter_context(open_notifier(project, emit, hurry=hurry))

            def tell(event: Event) -> None:
                emit(event)
                notifier.emit(event)

        if page is not None:
            from migrator.cli.customer import PageWriter

            stack.enter_context(PageWriter(project, page, emit))
        yield tell
