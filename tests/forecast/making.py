"""Loads and terms for these tests."""

from __future__ import annotations

from typing import Any

from migrator.forecast.loads import FolderLoad, MailboxLoad
from migrator.forecast.outlook import Terms
from migrator.forecast.speeds import Speeds
from migrator.model import Job, Mailbox
from migrator.settings import Limits, RunSettings

NOW = 1_700_000_000.0  # Tue 2023-11-14 22:13:20 UTC
GB = 10**9


def job(number: int = 1) -> Job:
    return Job(f"job-{number}", number + 1, Mailbox("old", f"u{number}@x"), Mailbox("new", f"u{number}@y"))


def load(
    number: int = 1, *, octets: int = GB, items: int = 5000, folders: int = 1, **more: Any
) -> MailboxLoad:
    parts = tuple(
        FolderLoad((f"folder {n}",), items // folders, octets // folders) for n in range(1, folders + 1)
    )
    given: dict[str, Any] = {"spread": 0.0, **more}
    return MailboxLoad(f"job-{number}", f"u{number}@x", number + 1, "old", "new", parts, **given)


def terms(
    *, mailboxes: int = 8, speeds: Speeds | None = None, limits: Limits | None = None, **more: Any
) -> Terms:
    settings = {
        name: more.pop(name)
        for name in list(more)
        if name in RunSettings.__dataclass_fields__ and name != "deadline"
    }
    return Terms(
        NOW,
        RunSettings(mailboxes=mailboxes, time_zone="UTC", **settings),
        {"old": Limits(), "new": limits or Limits()},
        {("old", "new"): speeds} if speeds else {},
        **more,
    )
