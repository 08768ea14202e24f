"""What has changed since a plan was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from migrator.model import Job, Kind, Mailbox, Role, SkipReason
from migrator.plan.difference import FolderGlance, Glance, changes, row_state
from migrator.plan.folders import FolderRules
from migrator.plan.planfile import PlanFile, PlannedFolder, PlannedMailbox, PlannedManifest
from migrator.settings import RunSettings

MADE = datetime(2026, 3, 1, tzinfo=UTC)


def job(number: int = 1, **given: Any) -> Job:
    made = Job(
        f"id{number}",
        number + 1,
        Mailbox("old", f"u{number}@old.example", "", "env:A"),
        Mailbox("new", f"u{number}@new.example"),
    )
    return replace(made, **given)


def folder(*path: str, items: int | None = 3, octets: int | None = 100, **given: Any) -> PlannedFolder:
    return PlannedFolder(path, path, Kind.MAIL, listed_items=items, listed_octets=octets, **given)


def plan(*jobs: Job, folders: tuple[PlannedFolder, ...] = (), rows: int = 0, **given: Any) -> PlanFile:
    jobs = jobs or (job(),)
    boxes = tuple(
        PlannedMailbox(one.id, one.line, one.source, one.target, one.batch, row_state=row_state(one),
                       source_identity="guid", folders=folders)
        for one in jobs
    )  # fmt: skip
    made = PlanFile(MADE, manifest=PlannedManifest(rows=rows or len(boxes)), mailboxes=boxes)
    return replace(made, **given)


def told(
    planned: PlanFile,
    jobs: list[Job] | None,
    *glances: Glance,
    settings: RunSettings | None = None,
    **rules: Any,
) -> list[str]:
    found = changes(planned, jobs, settings or planned.settings, FolderRules(**rules), glances)
    return [f"{one.what} {one}" for one in found]


def glance(*folders: FolderGlance, **given: Any) -> Glance:
    return replace(Glance("id1", folders, "guid"), **given)


def test_nothing_has_changed() -> None:
    planned = plan(folders=(folder("Inbox"),))
    assert told(planned, [job()], glance(FolderGlance(("Inbox",), 3, 100))) == []
    # A row may move in the manifest, and a column kept for reports may change.
    assert told(planned, [job(line=77, extra={"department": "x"})]) == []
    assert told(planned, None) == []


def test_rows() -> None:
    planned = plan(job(1), job(2))
    one = job(1, source=Mailbox("old2", "u1@old.example", "login", "env:B"), batch="b")
    assert told(planned, [one, job(3)]) == [
        "row_changed line 2: u1@old.example: the row has changed (batch, source endpoint, source login, source secret's reference); "
        "the plan's is used",
        "row_gone line 3: u2@old.example: is no longer in the manifest, and is left out",
        "row_new line 4: u3@old.example: is new in the manifest and not in the plan, so it is not run",
    ]


def test_a_plan_of_some_rows_says_nothing_of_the_others() -> None:
    assert told(plan(job(1), rows=2), [job(1), job(2)]) == []
    assert told(plan(job(1), whole=False, rows=1), [job(1), job(2)]) == []


def test_a_password_of_the_manifest_may_move_to_another_line() -> None:
    then = job(source=Mailbox("old", "u1@old.example", "", "csv:2/source"))
    now = job(source=Mailbox("old", "u1@old.example", "", "csv:9/source"))
    assert told(plan(then), [now]) == []
    assert told(plan(then), [job()]) != []


def test_settings() -> None:
    settings = RunSettings(since=MADE - timedelta(days=90))
    planned = plan(settings=settings, under=("A",))
    # "90d" a day later is what was meant; another date is another plan.
    later = replace(settings, since=MADE - timedelta(days=89), dry_run=True, retry_failed=True)
    assert told(planned, None, settings=later, under=("A",)) == []
    other = replace(settings, since=MADE, mailboxes=3)
    assert told(planned, None, settings=other, under=("B",)) == [
        "settings settings have changed (mailboxes, since, [folders]); the plan's are used"
    ]


def test_folders_items_and_octets() -> None:
    folders = (
        folder("Inbox", role=Role.INBOX),
        folder("Gone"),
        folder("Search", left_out=SkipReason.SEARCH_FOLDER),
        folder("Junk", left_out=SkipReason.FILTERED_FOLDER),
        folder("Untold", items=None, octets=None),
    )
    now = glance(
        FolderGlance(("Inbox",), 5, 90),
        FolderGlance(("New", "a/b"), 1, 1),
        FolderGlance(("Junk",), 99, 9999),  # takes no part
        FolderGlance(("Untold",), 7, 7),
    )
    assert told(plan(folders=folders), None, now) == [
        "folder_new line 2: u1@old.example: 1 new folder: New/a\\/b",
        "folder_gone line 2: u1@old.example: 1 folder gone: Gone",
        "items line 2: u1@old.example: +2 items, -10 bytes in 1 folder: Inbox",
    ]


def test_as_many_more_as_fewer_is_a_change_too() -> None:
    folders = (folder("A"), folder("B"))
    now = glance(FolderGlance(("A",), 4, 100), FolderGlance(("B",), 2, 100))
    assert told(plan(folders=folders), None, now) == [
        "octets line 2: u1@old.example: +0 items, +0 bytes in 2 folders: A, B"
    ]


def test_many_folders_are_told_in_short() -> None:
    now = glance(*(FolderGlance((f"F{number}",), 0, 0) for number in range(1000)))
    (line,) = told(plan(), None, now)
    assert line.endswith("1,000 new folders: F0, F1, F2 and 997 more")


def test_another_mailbox_and_one_that_cannot_be_opened() -> None:
    assert told(plan(), None, glance(identity="other")) == [
        "identity line 2: u1@old.example: behind this address is another mailbox than when the plan was made"
    ]
    assert told(plan(), None, glance(error="no right")) == [
        "unreadable line 2: u1@old.example: could not be looked at: no right"
    ]
    broken = plan()
    broken = replace(broken, mailboxes=(replace(broken.mailboxes[0], error="was down"),))
    assert told(broken, None, glance(FolderGlance(("A",), 1, 1)))[0].startswith("folders line 2")
