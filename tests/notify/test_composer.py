"""Many events, few messages."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from migrator.events import (
    EndpointBack,
    EndpointDown,
    Event,
    FolderStarted,
    ForecastSlipping,
    JobFinished,
    Notice,
    RunFinished,
    RunStarted,
)
from migrator.notify.composer import Composer, wanted
from migrator.notify.message import LINES_MOST, Message
from migrator.report.summary import Summary
from tests.notify.kit import AT, line, settings, summary

SEEN = summary(line("ann"), line("bob", "partial", source=5, copied=3, failed=2), line("cy", "error"))


def composer(seen: Summary | None = SEEN, **given: object) -> Composer:
    return Composer(settings(**given), "Acme", lambda: seen, {0: "all is well"})


def ended(job: str, state: str = "done", at: float = AT, **given: str) -> JobFinished:
    return JobFinished(job, state, at, **given)


def test_a_run_from_start_to_end() -> None:
    made = composer()
    (start,) = made.take(RunStarted(1, ("ann", "bob", "cy"), "delta", False, AT), AT)
    assert (start.subject, start.facts[0]) == ("Acme: copying begins: 3 mailboxes", ("Pass", "delta"))
    assert made.next_due() is None
    assert made.take(ended("ann"), AT + 10) == []
    assert made.next_due() == AT + 610
    assert made.take(ended("bob", "partial"), AT + 20) == []
    assert made.due(AT + 609) == []
    (bundle,) = made.due(AT + 610)
    assert (bundle.topic, bundle.level, bundle.title) == (
        "mailboxes",
        "warning",
        "2 mailboxes ended, 1 with trouble",
    )
    assert bundle.lines == (
        "bob@old.example: partial, 3 copied, 2 failed",
        "ann@old.example: done, 3 copied",
    )
    assert dict(bundle.facts)["Balance"].startswith("11 = 9 copied")
    assert made.due(AT + 2000) == []
    made.take(ended("cy", "error", code="quota_full", error="it is full", remedy="make room"), AT + 700)
    last, end = made.take(RunFinished(1, 0, AT + 800), AT + 800)
    assert last.title == "cy@old.example could not be finished"
    assert last.lines == ("cy@old.example: error, 3 copied. quota_full: it is full → make room",)
    assert (end.title, end.level) == ("the run has ended: all is well", "good")
    assert dict(end.facts)["Took"] == "13 min 20 s"


def test_a_thousand_mailboxes_are_few_messages() -> None:
    names = [f"m{number}" for number in range(1000)]
    made = composer(summary(*map(line, names)))
    found: list[Message] = []
    for number, name in enumerate(names):
        found += made.take(ended(name, at=AT + number), AT + number)
    found += made.take(RunFinished(1, 0, AT + 1000), AT + 1000)
    assert [one.topic for one in found] == ["mailboxes", "mailboxes", "finished"]
    assert len(found[0].lines) == LINES_MOST + 1
    assert found[0].lines[-1].startswith("and ")
    told = sum(int(one.title.split(" ")[0].replace(",", "")) for one in found[:2])
    assert told == 1000


def test_without_bundling_each_is_told_at_once() -> None:
    made = composer(bundle_s=0.0)
    assert [one.title for one in made.take(ended("ann"), AT)] == ["ann@old.example is done"]


def test_names_are_as_the_settings_allow() -> None:
    made = composer(bundle_s=0.0, show="masked")
    assert made.take(ended("ann"), AT)[0].title == "a…n@old.example is done"


def test_a_ledger_that_cannot_be_read_leaves_the_figures_out() -> None:
    made = composer(None, bundle_s=0.0)
    (one,) = made.take(ended("ann"), AT)
    assert (one.title, one.facts) == ("a mailbox is done", ())
    assert made.take(RunFinished(1, 4, AT), AT)[0].level == "bad"


def test_a_server_that_comes_and_goes_is_told_once() -> None:
    made = composer()
    told: list[tuple[str, str]] = []
    for number in range(20):
        now = AT + 10 * number
        for event in (
            EndpointDown("old", "refused", now),
            EndpointDown("old", "refused", now + 1),  # another process finds out
            EndpointBack("old", now + 5),
        ):
            told += [(one.topic, one.title) for one in made.take(event, event.at)]
    assert told == [("down", "server old does not answer"), ("back", "server old answers again")]
    later = AT + 10_000
    assert [one.topic for one in made.take(EndpointDown("old", "x", later), later)] == ["down"]
    assert [one.topic for one in made.take(EndpointDown("new", "x", later), later)] == ["down"]
    assert made.take(EndpointBack("other", later), later) == []


def test_slipping() -> None:
    made = composer()
    event = ForecastSlipping(None, None, AT + 60, 3, "8 mailboxes at once would help", AT)
    (one,) = made.take(event, AT)
    assert (one.topic, one.lines) == ("slipping", ("8 mailboxes at once would help",))
    assert dict(one.facts)["Probably done"] == "not within the hours of this run"
    assert made.take(event, AT + 1) == []


def test_what_is_not_told() -> None:
    made = composer(bundle_s=0.0)
    silent: list[Event] = [
        RunStarted(1, ("a",), "delta", True, AT),
        ended("ann", "stopped"),
        Notice("error", "x"),
        FolderStarted("ann", ("Inbox",)),
    ]
    assert [made.take(event, AT) for event in silent] == [[]] * len(silent)
    assert [wanted(event) for event in silent] == [True, True, False, False]


@given(
    st.lists(
        st.tuples(st.sampled_from(["done", "partial", "error", "down", "back"]), st.floats(0, 5000)),
        max_size=60,
    ),
    st.sampled_from([0.0, 60.0, 600.0]),
)
def test_every_mailbox_is_told_once_and_bundles_keep_their_distance(
    story: list[tuple[str, float]], bundle_s: float
) -> None:
    jobs = [f"j{number}" for number in range(len(story))]
    made = composer(summary(*map(line, jobs)) if jobs else SEEN, bundle_s=bundle_s)
    found: list[tuple[float, Message]] = []
    now = AT
    expected = 0
    for job, (what, pause) in zip(jobs, story, strict=True):
        due = made.next_due()
        if due is not None and due <= now + pause:
            found += [(due, one) for one in made.due(due)]
        now += pause
        event: Event
        if what == "down":
            event = EndpointDown("old", "x", now)
        elif what == "back":
            event = EndpointBack("old", now)
        else:
            expected += 1
            event = ended(job, what, now)
        found += [(now, one) for one in made.take(event, now)]
    found += [(now, one) for one in made.take(RunFinished(1, 0, now), now)]
    bundles = [(at, one) for at, one in found if one.topic == "mailboxes"]
    told = sum(len(one.lines) if len(one.lines) <= LINES_MOST else 0 for _, one in bundles)
    assert told == expected or any(len(one.lines) > LINES_MOST for _, one in bundles)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(bundles[:-1])]
    assert all(gap >= bundle_s - 1e-3 for gap in gaps)
