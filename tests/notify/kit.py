"""Receivers, secrets and messages for these tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from migrator.errors import UserError
from migrator.notify.message import Message, said
from migrator.plan.telling import NotifySettings, Receiver
from migrator.report.summary import Counts, MailboxLine, Summary

AT = 1_790_000_000.0


class Known:
    """`interfaces.Secrets` from a dictionary."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def reveal(self, reference: str, *, what: str) -> str:
        name = reference.removeprefix("env:")
        if name not in self.values:
            raise UserError(f"{what}: {reference} is not set", remedy="Set it.")
        return self.values[name]


def hook(kind: str = "json", **given: Any) -> Receiver:
    return Receiver(name="team", kind=kind, url="env:HOOK", **given)  # type: ignore[arg-type]


def desk(port: int, **given: Any) -> Receiver:
    usual: dict[str, Any] = {
        "server": "localhost", "port": port, "security": "none", "sender": "robot@example.com",
        "to": ("desk@example.com", "boss@example.com"),
    }  # fmt: skip
    return Receiver(name="desk", kind="email", **(usual | given))


def message(title: str = "it is done", **given: Any) -> Message:
    usual: dict[str, Any] = {"lines": ["a line"], "facts": [("Copied", "3")], "project": "Acme", "at": AT}
    return said("finished", "good", title, **(usual | given))


def settings(*receivers: Receiver, **given: Any) -> NotifySettings:
    return dataclasses.replace(NotifySettings(receivers=receivers), **given)


def line(job: str, state: str = "done", name: str = "", **counts: int) -> MailboxLine:
    return MailboxLine(
        id=job, line=2, batch="", source=name or f"{job}@old.example", target="", source_endpoint="old",
        target_endpoint="new", state=state, code="", error="", remedy="", waiting="", waiting_until=0.0, started=AT,
        finished=AT, counts=Counts(**(counts or {"source": 3, "copied": 3})), folders=(), skips=(), extra={},
    )  # fmt: skip


def summary(*lines: MailboxLine) -> Summary:
    totals = Counts()
    states: dict[str, int] = {}
    for one in lines:
        totals = totals + one.counts
        states[one.state] = states.get(one.state, 0) + 1
    return Summary(AT, "Acme", lines, totals, (), (), states=states)
