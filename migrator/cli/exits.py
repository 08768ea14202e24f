"""The exit codes, in one table: README and tests hold to it."""

from __future__ import annotations

from enum import IntEnum

from migrator.errors import JobError, MigratorError, RunError, Transient, UserError


class Exit(IntEnum):
    """After 3, 4, 5, 6 and 130 the next move is the same: read the last line, run the same command again."""

    DONE = 0  # every item done, or skipped for a listed reason
    WRONG = 2  # manifest, option or credential wrong; nothing was sent
    ITEMS_FAILED = 3  # finished, some items failed
    MAILBOXES_OPEN = 4  # some mailboxes did not finish
    STOPPED = 5  # the run had to stop
    WINDOW_OVER = 6  # the time given with --stop-at has come; a scheduler starts it again
    CHANGED = 7  # the source is not what the plan says, and --strict was given; nothing was sent
    INTERRUPTED = 130  # stopped by a person; all settled work is kept


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "every item is done, or skipped for a listed reason",
    Exit.WRONG: "manifest, option or credential is wrong; nothing was sent",
    Exit.ITEMS_FAILED: "finished, and some items failed",
    Exit.MAILBOXES_OPEN: "some mailboxes did not finish",
    Exit.STOPPED: "the run had to stop",
    Exit.WINDOW_OVER: "its time was over (--stop-at); all settled work is kept",
    Exit.CHANGED: "the source is not what the plan says (--strict); nothing was sent",
    Exit.INTERRUPTED: "interrupted; all settled work is kept",
}


def exit_of(error: MigratorError) -> Exit:
    """The code for an error that ended a command."""
    if isinstance(error, UserError):
        return Exit.WRONG
    if isinstance(error, RunError):
        return Exit.STOPPED
    if isinstance(error, (JobError, Transient)):
        return Exit.MAILBOXES_OPEN
    return Exit.STOPPED
