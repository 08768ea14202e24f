"""Where log records go: into a private file beside the ledger, redacted; never onto the screen."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

FILE_NAME = "migrator.log"
SIZE_MOST = 5 << 20


TEXT_MOST = 20_000  # characters of a line


class _Plain(logging.Formatter):
    """One record, one line, and its traceback indented below: no name of a mailbox makes a line of its own, or an order to
    whoever reads the log on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        from migrator.report.safe import safe_text

        record.message = safe_text(record.getMessage(), TEXT_MOST)
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        below = "\n".join(filter(None, (record.exc_text, record.stack_info)))
        lines = (f"  {safe_text(line, TEXT_MOST)}" for line in below.split("\n") if line)
        return "\n".join([self.formatMessage(record), *lines])


class _Private(RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return super()._open()


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """Warnings of the whole program go to `folder`/migrator.log for as long as this lasts; nowhere when that cannot be."""
    from migrator.auth.redact import RedactingFilter

    handler: logging.Handler
    try:
        handler = _Private(
            folder / FILE_NAME, maxBytes=SIZE_MOST, backupCount=1, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(_Plain("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    raising, logging.raiseExceptions = logging.raiseExceptions, False  # a full disk is told by the ledger
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        logging.raiseExceptions = raising
