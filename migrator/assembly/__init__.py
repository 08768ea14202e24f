"""The one room that knows concrete classes: opens endpoints, dresses mailboxes, hands them to the engine.

What the command line calls, each reading a project and a list of jobs:

    run(project, jobs, settings, emit, stop)      → exit code (see `cli/exits.py`); with settings.dry_run nothing is written
    survey(project, jobs, settings, emit, stop)   → MailboxSurvey per job: what a run would do; nothing is written
    check(project, jobs, settings, emit, stop)    → CheckResult: both sides of every job opened, targets asked by a canary
    verify(project, jobs, settings, emit, stop)   → MailboxVerdict per job: source, ledger and target compared
    look_at_item(project, job, sides)             → SeenItem per side: one item as a tree

All raise UserError for a project that cannot work, before anything is opened. A command loads the module of the
one that it calls, not those of the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrator.assembly.checking import CanaryCheck, CheckResult, JobCheck, SideCheck, check
    from migrator.assembly.comparing import same_content, stream_compare
    from migrator.assembly.copying import hours_for, run
    from migrator.assembly.looking import SeenItem, look_at_item
    from migrator.assembly.rebuilding import rebuild
    from migrator.assembly.room import ProjectLike, Room
    from migrator.assembly.surveying import glance, survey
    from migrator.assembly.undoing import undo
    from migrator.assembly.verifying import verify
    from migrator.engine.stop import SystemClock

__all__ = [
    "CanaryCheck",
    "CheckResult",
    "JobCheck",
    "ProjectLike",
    "Room",
    "SeenItem",
    "SideCheck",
    "SystemClock",
    "check",
    "glance",
    "hours_for",
    "look_at_item",
    "rebuild",
    "run",
    "same_content",
    "stream_compare",
    "survey",
    "undo",
    "verify",
]

_HOME = {
    name: home
    for home, names in {
        "assembly.checking": ("CanaryCheck", "CheckResult", "JobCheck", "SideCheck", "check"),
        "assembly.comparing": ("same_content", "stream_compare"),
        "assembly.copying": ("hours_for", "run"),
        "assembly.looking": ("SeenItem", "look_at_item"),
        "assembly.rebuilding": ("rebuild",),
        "assembly.room": ("ProjectLike", "Room"),
        "assembly.surveying": ("glance", "survey"),
        "assembly.undoing": ("undo",),
        "assembly.verifying": ("verify",),
        "engine.stop": ("SystemClock",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"migrator.{_HOME[name]}"), name)
    return found
