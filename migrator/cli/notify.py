"""`migrator notify`: who would be told what, and whether it arrives; and the notifier of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import Option, Project

if TYPE_CHECKING:
    from migrator.interfaces import Emit
    from migrator.notify.message import Message
    from migrator.notify.notifier import Notifier
    from migrator.notify.shapes import Prepared
    from migrator.plan.project import Project as Loaded
    from migrator.report.summary import Summary


def command(
    project: Project = Path(),
    preview: Annotated[
        bool, Option("--preview", help="Print what would be sent; nothing is sent (default).")
    ] = False,
    test: Annotated[bool, Option("--test", help="Send one test message to everybody.")] = False,
    to: Annotated[list[str], Option("--to", metavar="NAME", help="Only this [notify.to.NAME].")] = [],  # noqa: B006
) -> int:
    """Try the notifications of migration.toml (docs/notify.md).

    Example: migrator notify -p acme --preview --to team
    """
    from migrator.errors import UserError
    from migrator.plan.project import did_you_mean, load_project

    loaded = load_project(project)
    known = [one.name for one in loaded.notify.receivers]
    if not known:
        raise UserError(
            "migration.toml names nobody to notify",
            code="notify_missing",
            remedy="write a table [notify.to.NAME]: docs/notify.md",
        )
    unknown = [name for name in to if name not in known]
    if unknown:
        raise UserError(
            f"there is no [notify.to.{unknown[0]}]{did_you_mean(unknown[0], known)} (there are {', '.join(known)})"
        )
    if preview and test:
        raise UserError("--preview sends nothing, --test does: name one of them")
    chosen = [one for one in loaded.notify.receivers if not to or one.name in to]
    if not test:
        from migrator.notify.shapes import prepare

        for receiver in chosen:
            for message in example_messages(loaded):
                if message.topic in receiver.on:
                    _print(prepare(message, receiver))
        return 0
    return _test(loaded, [one.name for one in chosen])


def open_notifier(project: Loaded, tell: Emit, *, hurry: Callable[[], bool] = lambda: False) -> Notifier:
    """For the time of a run. tell: gets warnings."""
    from migrator.auth.secrets import SecretStore
    from migrator.cli.exits import MEANINGS
    from migrator.events import Notice
    from migrator.notify.notifier import Notifier

    return Notifier(
        project.notify,
        project.folder.name,
        look=lambda: _seen(project),
        secrets=SecretStore(project.folder, warn=lambda text: tell(Notice("warning", text))),
        tell=tell,
        meanings={int(code): words for code, words in MEANINGS.items()},
        hurry=hurry,
    )


def _seen(project: Loaded) -> Summary | None:
    from migrator.cli.loading import open_ledger
    from migrator.errors import MigratorError
    from migrator.report.summary import summarise

    try:
        with open_ledger(project) as ledger:
            return summarise(ledger, now=time.time(), title=project.folder.name, brief=True)
    except MigratorError:
        return None  # there is none yet: the message goes without its figures


def example_messages(project: Loaded) -> list[Message]:
    """One of each topic, as a run of this project would say it: mailboxes are those of its ledger, or of its manifest."""
    from migrator.cli.exits import MEANINGS
    from migrator.events import (
        EndpointBack,
        EndpointDown,
        ForecastSlipping,
        JobFinished,
        RunFinished,
        RunStarted,
    )
    from migrator.notify.composer import Composer

    summary = _seen(project) or _unbegun(project)
    jobs = [one.id for one in summary.mailboxes] if summary else []
    now = time.time()
    composer = Composer(
        project.notify,
        project.folder.name,
        lambda: summary,
        {int(code): words for code, words in MEANINGS.items()},
    )
    endpoint = next(iter(project.endpoints))
    made = composer.take(RunStarted(1, tuple(jobs), project.run.passname, False, now), now)
    for number, job in enumerate(jobs[:3]):
        state = "done" if number < 2 else "error"
        error = (
            ("quota_full", "the mailbox is full", "make room, then run again")
            if state == "error"
            else ("", "", "")
        )
        composer.take(JobFinished(job, state, now, error[1], error[0], error[2]), now)
    made += composer.due(now + project.notify.bundle_s)
    for event in (
        ForecastSlipping(now + 9000, now + 12_600, now + 7200, 2, "more mailboxes at once would help", now),
        EndpointDown(endpoint, "connection refused", now),
        EndpointBack(endpoint, now + 900),
    ):
        made += composer.take(event, event.at)
    made += composer.take(RunFinished(1, 0, now + 3600), now + 3600)
    return made


def _unbegun(project: Loaded) -> Summary | None:
    """The rows of the manifest, before a ledger is there."""
    from migrator.cli.loading import load
    from migrator.errors import MigratorError
    from migrator.report.summary import Counts, MailboxLine, Summary

    try:
        jobs = load(project.file).plan.jobs
    except MigratorError:
        return None
    rows = tuple(
        MailboxLine(
            id=job.id, line=job.line, batch=job.batch, source=job.source.address, target=job.target.address,
            source_endpoint=job.source.endpoint, target_endpoint=job.target.endpoint, state="waiting", code="", error="",
            remedy="", waiting="", waiting_until=0.0, started=None, finished=None, counts=Counts(), folders=(), skips=(),
            extra=job.extra,
        )
        for job in jobs
    )  # fmt: skip
    return Summary(time.time(), project.folder.name, rows, Counts(), (), (), states={"waiting": len(rows)})


def _print(prepared: Prepared) -> None:
    """Exactly what would cross the wire, but for the secrets."""
    receiver = prepared.receiver
    print(f"--- {receiver.name}: {prepared.message.topic}")
    if receiver.kind == "email":
        print(
            f"SMTP {receiver.server}:{receiver.port} ({receiver.security}), from {receiver.sender} to {', '.join(receiver.to)}"
        )
    elif receiver.kind == "apprise":
        print("apprise, title: " + prepared.message.subject)
    else:
        print(f"POST to the address in {receiver.url}")
        print(f"Content-Type: {prepared.content_type}")
        if receiver.token:
            print(f"Authorization: Bearer (what is in {receiver.token})")
    print()
    print(prepared.body.decode("utf-8").replace("\r\n", "\n"))
    print()


def _test(project: Loaded, names: list[str]) -> int:
    from migrator.auth.secrets import SecretStore
    from migrator.errors import UserError
    from migrator.notify.message import said
    from migrator.notify.post import NotDelivered, Post
    from migrator.notify.shapes import prepare

    message = said(
        "started",
        "info",
        "this is a test",
        project=project.folder.name,
        at=time.time(),
        lines=["If you can read this, notifications of this migration arrive here."],
    )
    problems = []
    secrets = SecretStore(project.folder)
    for receiver in project.notify.receivers:
        if receiver.name not in names:
            continue
        post = Post(receiver, secrets, sleep=time.sleep, tries=1)
        try:
            post.send(prepare(message, receiver))
            print(f"{receiver.name}: sent")
        except NotDelivered as error:
            problems.append(f"notify.to.{receiver.name}: {error}")
        finally:
            post.close()
    if problems:
        raise UserError(
            "the test message did not reach everybody",
            problems=problems,
            code="notify_failed",
            remedy="a run would go on without; mend the tables in migration.toml, then try again",
        )
    return 0
