"""Beside a run: whatever receivers do, the run does not wait, does not fail, and hears of it once."""

from __future__ import annotations

import threading
import time

import pytest

from migrator.events import EndpointDown, Event, FolderStarted, JobFinished, Notice, RunFinished, RunStarted
from migrator.notify import notifier as notifier_module
from migrator.notify.notifier import Notifier
from migrator.plan.telling import NotifySettings
from migrator.report.summary import Summary
from tests.notify.kit import AT, Known, desk, hook, line, settings, summary
from tests.servers.http_script import ScriptServer, Wire, answer, ok
from tests.servers.smtp_server import SmtpServer

SEEN = summary(line("ann"))
STORY: list[Event] = [
    RunStarted(1, ("ann",), "delta", False, AT),
    FolderStarted("ann", ("Inbox",)),
    JobFinished("ann", "done", AT + 1),
    RunFinished(1, 0, AT + 2),
]


def made(told: list[Event], how: NotifySettings, seen: Summary | None = SEEN, **given: object) -> Notifier:
    return Notifier(
        how,
        "Acme",
        look=lambda: seen,
        secrets=Known(HOOK=str(given.pop("address", ""))),
        tell=told.append,
        now=lambda: AT,
        **given,  # type: ignore[arg-type]
    )


def words(told: list[Event]) -> list[str]:
    assert all(isinstance(one, Notice) and one.level == "warning" for one in told)
    return [one.text for one in told if isinstance(one, Notice)]


def test_everybody_is_told_what_they_asked_for() -> None:
    told: list[Event] = []
    with ScriptServer([ok()]) as web, SmtpServer() as server:
        how = settings(
            hook(on=frozenset({"mailboxes", "finished"})), desk(server.port, on=frozenset({"started"}))
        )
        with made(told, how, address=web.url) as notifier:
            for event in STORY:
                notifier.emit(event)
        topics = [request.body.split(b'"topic": "')[1].split(b'"')[0] for request in web.requests]
        assert topics == [b"mailboxes", b"finished"]
        assert len(server.mails) == 1
    assert told == []


def test_a_receiver_that_refuses_is_a_warning_told_once_and_the_others_are_told() -> None:
    told: list[Event] = []
    with ScriptServer([answer(404)]) as web, SmtpServer() as server:
        with made(told, settings(hook(), desk(server.port)), address=web.url) as notifier:
            for event in STORY:
                notifier.emit(event)
        assert len(web.requests) == 3
        assert len(server.mails) == 3
    assert words(told) == ["no notification to team: refused with HTTP 404"]


def test_it_is_told_again_after_it_worked_in_between() -> None:
    told: list[Event] = []
    with ScriptServer([answer(404), ok(), answer(403)]) as web:
        with made(told, settings(hook()), address=web.url) as notifier:
            for event in STORY:
                notifier.emit(event)
        assert len(web.requests) == 3
    assert words(told) == [f"no notification to team: refused with HTTP {code}" for code in (404, 403)]


def test_a_server_that_hangs_holds_nothing_up() -> None:
    told: list[Event] = []
    release = threading.Event()

    def hang(wire: Wire, request: object) -> None:
        release.wait(20)

    with ScriptServer([hang]) as web:
        notifier = made(told, settings(hook()), address=web.url, last_s=0.05)
        with notifier:
            began = time.monotonic()
            for _ in range(200):
                for event in STORY[:3]:
                    notifier.emit(event)
            assert time.monotonic() - began < 1, "emit does not wait"
        assert time.monotonic() - began < 5, "neither does the end"
        release.set()
    assert words(told) == ["the last notifications could not be delivered in time"]


def test_in_a_hurry_the_end_waits_for_nothing() -> None:
    told: list[Event] = []
    release = threading.Event()
    with ScriptServer([lambda wire, request: release.wait(20) and None]) as web:
        notifier = made(told, settings(hook()), address=web.url, hurry=lambda: True)
        began = time.monotonic()
        with notifier:
            notifier.emit(STORY[0])
        assert time.monotonic() - began < 2
        release.set()


def test_a_pause_between_tries_ends_with_the_run() -> None:
    told: list[Event] = []
    with ScriptServer([answer(429, headers={"Retry-After": "30"})]) as web:
        notifier = made(told, settings(hook()), address=web.url, last_s=0.3)
        began = time.monotonic()
        with notifier:
            notifier.emit(STORY[0])
        assert time.monotonic() - began < 5
        notifier._thread.join(5)
        assert not notifier._thread.is_alive()
        assert len(web.requests) == 1


def test_a_full_queue_drops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier_module, "QUEUE_MOST", 3)
    told: list[Event] = []
    with ScriptServer([ok()]) as web:
        notifier = made(told, settings(hook()), address=web.url)
        for _ in range(10):
            notifier.emit(STORY[0])  # nobody takes them yet
        with notifier:
            pass
        assert len(web.requests) == 3
    assert words(told) == ["7 events were too many to be told"]


def test_a_fault_of_our_own_is_a_warning() -> None:
    told: list[Event] = []

    def look() -> Summary | None:
        raise RuntimeError("disk gone")

    with ScriptServer([ok()]) as web:
        notifier = Notifier(
            settings(hook()), "Acme", look=look, secrets=Known(HOOK=web.url), tell=told.append, now=lambda: AT
        )
        with notifier:
            notifier.emit(STORY[2])
            notifier.emit(RunFinished(1, 0, AT))
            notifier.emit(EndpointDown("old", "gone", AT))
        assert len(web.requests) == 1, "the one that needs no ledger"
    assert words(told) == ["a notification could not be made: see migrator.log"]


def test_a_bundle_is_sent_when_its_time_has_come() -> None:
    told: list[Event] = []
    with ScriptServer([ok()]) as web:
        notifier = Notifier(
            settings(hook(), bundle_s=0.05),
            "Acme",
            look=lambda: SEEN,
            secrets=Known(HOOK=web.url),
            tell=told.append,
        )
        with notifier:
            notifier.emit(STORY[2])
            deadline = time.monotonic() + 10
            while not web.requests and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(web.requests) == 1, "no further event was needed"
    assert told == []
