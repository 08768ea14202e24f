"""Events → messages, few enough to be read. No thread, no clock of its own: time comes with the call.

Finished mailboxes are told together, at most every `bundle_s`, and before the end of the run is told. A server that comes and
goes, a forecast that slips again and again: the same is told at most every `bundle_s` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from migrator.events import (
    EndpointBack,
    EndpointDown,
    Event,
    ForecastSlipping,
    JobFinished,
    RunFinished,
    RunStarted,
)
from migrator.notify.message import NAME_MOST, Level, Message, said, shown
from migrator.plan.telling import NotifySettings, Topic
from migrator.report.customer import names_of
from migrator.report.summary import MailboxLine, Summary
from migrator.report.text import balance_words
from migrator.report.words import moment, number, octets, plural, span

WANTED = (RunStarted, JobFinished, EndpointDown, EndpointBack, ForecastSlipping, RunFinished)

Look = Callable[[], Summary | None]
"""The ledger as it stands; None where it cannot be read just now."""


def wanted(event: Event) -> bool:
    """Is there anything to be told about it? Asked for every event of a run, so it is quick."""
    return isinstance(event, WANTED)


class Composer:
    def __init__(
        self, settings: NotifySettings, project: str, look: Look, meanings: Mapping[int, str] | None = None
    ) -> None:
        """meanings: exit code → words."""
        self._settings = settings
        self._project = project
        self._look = look
        self._meanings = meanings or {}
        self._ended: list[JobFinished] = []
        self._bundle_at: float | None = None
        self._told: dict[tuple[Topic, str], float] = {}
        self._down: dict[str, float] = {}
        self._started = 0.0

    def take(self, event: Event, now: float) -> list[Message]:
        """What is to be said because of an event, in order."""
        match event:
            case RunStarted():
                return [] if event.dry else [self._began(event)]
            case JobFinished() if event.state != "stopped":
                self._ended.append(event)
                if self._bundle_at is None:
                    self._bundle_at = now + self._settings.bundle_s
                return self.due(now)
            case EndpointDown():
                return self._went(event, now)
            case EndpointBack():
                return self._came(event, now)
            case RunFinished():
                return [*self._bundle(now), self._finished(event, now)]
            case ForecastSlipping():
                return self._slipping(event, now)
            case _:
                return []

    def due(self, now: float) -> list[Message]:
        """What has waited long enough."""
        return self._bundle(now) if self._bundle_at is not None and now >= self._bundle_at else []

    def next_due(self) -> float | None:
        """When `due` will have something, epoch seconds."""
        return self._bundle_at

    # --- the messages

    def _began(self, event: RunStarted) -> Message:
        self._started = event.at
        return self._said(
            "started",
            "info",
            f"copying begins: {plural(len(event.jobs), 'mailbox', 'mailboxes')}",
            event.at,
            facts=[("Pass", event.passname), ("Since", moment(event.at))],
        )

    def _bundle(self, now: float) -> list[Message]:
        ended, self._ended, self._bundle_at = self._ended, [], None
        if not ended:
            return []
        rows, names, facts = self._seen()
        # The last word on a mailbox counts, the bad ones come first.
        last = {one.job: one for one in ended}
        order = {"error": 0, "partial": 1}
        found = sorted(last.values(), key=lambda one: order.get(one.state, 2))
        good = sum(one.state == "done" for one in found)
        bad = len(found) - good
        if len(found) == 1:
            words = {"done": "is done", "partial": "is done, but some items failed"}
            title = (
                f"{names.get(found[0].job, 'a mailbox')} {words.get(found[0].state, 'could not be finished')}"
            )
        else:
            title = f"{plural(len(found), 'mailbox', 'mailboxes')} ended" + (
                f", {number(bad)} with trouble" if bad else ", all done"
            )
        level: Level = "bad" if any(one.state == "error" for one in found) else "warning" if bad else "good"
        lines = [_mailbox_line(one, names.get(one.job, "a mailbox"), rows.get(one.job)) for one in found]
        return [self._said("mailboxes", level, title, now, lines=lines, facts=facts)]

    def _went(self, event: EndpointDown, now: float) -> list[Message]:
        if event.endpoint in self._down:
            return []  # several processes of one run find out
        self._down[event.endpoint] = now
        if self._just_told("down", event.endpoint, now):
            return []
        return [
            self._said(
                "down",
                "bad",
                f"server {event.endpoint} does not answer",
                event.at,
                lines=[event.words, "Its mailboxes wait or are not tried; all that is settled is kept."],
                facts=[("Since", moment(event.at))],
            )
        ]

    def _came(self, event: EndpointBack, now: float) -> list[Message]:
        since = self._down.pop(event.endpoint, None)
        if since is None or self._just_told("back", event.endpoint, now):
            return []
        return [
            self._said(
                "back",
                "good",
                f"server {event.endpoint} answers again",
                event.at,
                facts=[("Was away for", span(now - since))],
            )
        ]

    def _slipping(self, event: ForecastSlipping, now: float) -> list[Message]:
        if self._just_told("slipping", "", now):
            return []
        return [
            self._said(
                "slipping",
                "warning",
                "the deadline is in danger",
                event.at,
                lines=[event.words],
                facts=[
                    ("Deadline", moment(event.deadline)),
                    ("Probably done", moment(event.p50) or "not within the hours of this run"),
                    ("If it goes slowly", moment(event.p90) or "not within the hours of this run"),
                    ("Mailboxes that would be late", number(event.late)),
                ],
            )
        ]

    def _finished(self, event: RunFinished, now: float) -> Message:
        _, _, facts = self._seen()
        level: Level = (
            "good" if event.exit_code == 0 else "warning" if event.exit_code in (3, 6, 130) else "bad"
        )
        began = self._started
        meaning = self._meanings.get(event.exit_code, "")
        return self._said(
            "finished",
            level,
            f"the run has ended: {meaning or f'exit code {event.exit_code}'}",
            event.at,
            facts=[
                *facts,
                ("Exit code", str(event.exit_code)),
                ("Took", span(event.at - began) if began else ""),
            ],
        )

    # --- what they are made of

    def _seen(self) -> tuple[dict[str, MailboxLine], dict[str, str], list[tuple[str, str]]]:
        """Mailboxes by job, their names as they may be told, and the sum of all."""
        summary = self._look()
        if summary is None:
            return {}, {}, []
        names = names_of(summary.mailboxes, self._settings.show, self._settings.name_column)
        states = ", ".join(f"{number(count)} {state}" for state, count in sorted(summary.states.items()))
        return (
            {one.id: one for one in summary.mailboxes},
            {job: shown(name, NAME_MOST) for job, name in names.items()},
            [
                ("Mailboxes", states),
                ("Balance", balance_words(summary.totals)),
                ("Copied", octets(summary.totals.octets_copied)),
            ],
        )

    def _just_told(self, topic: Topic, what: str, now: float) -> bool:
        """Whether the same was told a moment ago; if not, it is told now."""
        last = self._told.get((topic, what))
        if last is not None and now - last < self._settings.bundle_s:
            return True
        self._told[topic, what] = now
        return False

    def _said(
        self,
        topic: Topic,
        level: Level,
        title: str,
        at: float,
        lines: Sequence[str] = (),
        facts: Sequence[tuple[str, str]] = (),
    ) -> Message:
        return said(topic, level, title, project=self._project, at=at, lines=lines, facts=facts)


def _mailbox_line(event: JobFinished, name: str, row: MailboxLine | None) -> str:
    words = f"{name}: {event.state}"
    if row is not None:
        counts = row.counts
        words += f", {number(counts.copied)} copied"
        for count, what in (
            (counts.present, "already there"),
            (counts.skipped, "skipped"),
            (counts.failed, "failed"),
        ):
            words += f", {number(count)} {what}" if count else ""
    if event.state == "error":
        words += f". {event.code}: {event.error}" + (f" → {event.remedy}" if event.remedy else "")
    return words
