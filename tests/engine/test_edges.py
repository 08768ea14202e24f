"""What is easily told wrong: a stop in a wait, what was never reached, spoilt items, folders refused or gone."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.errors import ItemError, JobError, Throttled, Transient
from migrator.events import Notice
from migrator.interfaces import Source
from migrator.model import Format, ItemRef, Page, SkipReason, State
from migrator.report.summary import summarise
from tests.contracts.samples import mails
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def fails_from(world: World, box: MemoryMailbox, verb: str, after: int, error: Exception) -> None:
    """From the n-th call on, a stop is asked for and the call ends as a wrapper ends it whose wait was cut short."""
    lock = threading.Lock()

    def before(called: str, detail: object) -> None:
        if called == verb and box.calls[verb] > after:
            with lock:
                if not world.stop.requested:  # a second request would be another matter
                    world.stop.request()
            raise error

    box.before = before


@pytest.mark.parametrize(
    ("side", "verb", "after"),
    [
        ("source", "probe", 0), ("source", "folders", 0), ("source", "page", 0), ("source", "page", 1),
        ("source", "export", 0), ("source", "export", 2), ("target", "probe", 0), ("target", "folders", 0),
        ("target", "ensure_folder", 0), ("target", "mark", 0), ("target", "store", 0), ("target", "store", 5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [Transient, Throttled])
def test_a_stop_during_a_wait_is_a_stop(
    world: World, side: str, verb: str, after: int, kind: type[Transient]
) -> None:
    fill(world.source(), [*mails(20), *mails(4, ("Own",), 50)])
    box = world.source() if side == "source" else world.target()
    fails_from(world, box, verb, after, kind("asked to stop while waiting", code="stopped"))
    assert world.run() == 130
    assert world.ended().state == "stopped"
    with world.open_ledger() as ledger:
        assert ledger.failed_by_code() == []
        assert [row.state for row in ledger.jobs()] == ["stopped"]
    box.before = None
    assert world.run() == 0
    assert world.same()


def test_passing_trouble_without_a_stop_is_still_an_error(world: World) -> None:
    fill(world.source(), mails(2))

    def before(verb: str, detail: object) -> None:
        if verb == "folders":
            raise Transient("503", code="http_503")

    world.source().before = before
    assert world.run() == 4
    assert (world.ended().state, world.ended().code) == ("error", "http_503")


def test_what_was_never_reached_is_counted(world: World) -> None:
    fill(world.source(), [*mails(10), *mails(30, ("Later",), 50)])

    def before(verb: str, detail: object) -> None:
        if verb == "store" and world.target().calls["store"] >= 3:
            world.stop.request()

    world.target().before = before
    assert world.run() == 130
    with world.open_ledger() as ledger:
        counts = summarise(ledger, now=0.0).totals
    assert counts.source == 40
    assert counts.open == 40 - counts.copied > 0
    world.target().before = None
    assert world.run() == 0
    assert world.balance_closes()


def test_a_folder_that_went_away_leaves_nothing_open(world: World) -> None:
    fill(world.source(), [*mails(4), *mails(30, ("Later",), 50)])

    def before(verb: str, detail: object) -> None:
        if verb == "store" and not world.stop.requested:
            world.stop.request()

    world.target().before = before
    assert world.run() == 130
    world.target().before = None
    later = world.source().folder_at(("Later",))
    assert later is not None
    open_box(world.source()).remove_folder(later)
    assert world.run() == 0
    with world.open_ledger() as ledger:
        assert summarise(ledger, now=0.0).closes


class Spoiling:
    """A source that gives one item in another form than asked for, with its reason."""

    def __init__(self, inner: Source, item_id: str, why: Exception | SkipReason) -> None:
        self._inner, self._id, self._why = inner, item_id, why

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def export(self, refs: list[ItemRef], fmt: Format) -> list[object]:
        return [
            replace(one, format=Format.MIME, spoilt=self._why)  # type: ignore[type-var]
            if one.ref.id == self._id
            else one
            for one in self._inner.export(refs, fmt)
        ]


@pytest.mark.parametrize(
    ("why", "code", "states", "failed"),
    [
        (SkipReason.CORRUPT_AT_SOURCE, 0, {State.COPIED: 3, State.SKIPPED: 1}, {}),
        (
            ItemError("cannot be exported", code="ErrorExportFailed"),
            3,
            {State.COPIED: 3, State.FAILED: 1},
            {"ErrorExportFailed": 1},
        ),
    ],
)
def test_an_item_that_only_another_form_could_save_ends_by_its_own_cause(
    world: World, why: Exception | SkipReason, code: int, states: object, failed: object
) -> None:
    fill(world.source(), mails(4))
    world.target().traits = replace(world.target().traits, accepts=(Format.FTS,))
    spoilt = world.source().items(("Inbox",))[1].ref.id
    world.dress_source = lambda source: Spoiling(source, spoilt, why)  # type: ignore[assignment, return-value]
    assert world.run() == code
    assert world.states() == states
    assert world.codes() == failed
    if isinstance(why, SkipReason):
        with world.open_ledger() as ledger:
            assert ledger.skipped_by_reason() == [("job-ada", "corrupt_at_source", 1)]


def test_an_empty_folder_that_the_target_refuses_is_told(world: World) -> None:
    fill(world.source(), mails(2))
    world.source().add_folder(("Odd",))

    def before(verb: str, detail: object) -> None:
        if verb == "ensure_folder" and detail == ("Odd",):
            raise ItemError("will not have it", code="folder_refused")

    world.target().before = before
    for _ in range(2):
        assert world.run() == 3
        assert (world.ended().state, world.ended().code) == ("partial", "folder_refused")
        told = [e for e in world.events if isinstance(e, Notice)]
        assert any("Odd" in e.text and "will not have it" in e.text for e in told)
    with world.open_ledger() as ledger:
        lines = {f.path: f.left_out for f in summarise(ledger, now=0.0).mailboxes[0].folders}
        assert "folder_refused" in {one.kind for one in ledger.incidents()}
    assert lines["Odd"]
    assert not lines["Inbox"]
    world.target().before = None
    assert world.run() == 0


def test_a_folder_deleted_before_it_is_read_stops_no_other(world: World) -> None:
    fill(world.source(), [*mails(6), *mails(4, ("Gone",), 50), *mails(5, ("Zoo",), 80)])

    def before(verb: str, detail: object) -> None:
        gone = world.source().folder_at(("Gone",))
        if verb == "page" and gone is not None and detail.id == gone.id:  # type: ignore[attr-defined]
            open_box(world.source()).remove_folder(gone)

    world.source().before = before
    assert world.run() == 0
    assert any("Gone" in e.text for e in world.events if isinstance(e, Notice))
    assert len(world.target().items()) == 11
    with world.open_ledger() as ledger:
        assert summarise(ledger, now=0.0).closes


def test_a_folder_that_is_listed_and_cannot_be_read_is_no_deletion(world: World) -> None:
    fill(world.source(), [*mails(6), *mails(4, ("Locked",), 50)])

    def before(verb: str, detail: object) -> None:
        if verb == "page" and detail.path == ("Locked",):  # type: ignore[attr-defined]
            raise JobError("no such folder", code="folder_gone")

    world.source().before = before
    assert world.run() == 4
    assert world.ended().code == "folder_gone"


class FlagsOnly:
    """Tells later changes as a server does that has a record of its own for the read state."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def page(self, folder: object, after: object) -> Page:
        page = self._inner.page(folder, after)  # type: ignore[arg-type]
        if after is None:
            return page
        return replace(
            page,
            refs=tuple(
                ItemRef(
                    r.id,
                    r.folder,
                    r.kind,
                    r.version,
                    seen=r.seen,
                    gone=r.gone,
                    traits={"change": "read_flag"},
                )
                for r in page.refs
            ),
        )


def test_a_change_of_the_read_state_keeps_what_is_known_of_the_item(world: World) -> None:
    fill(world.source(), mails(4))
    world.dress_source = lambda source: FlagsOnly(source)  # type: ignore[assignment, return-value]
    assert world.run() == 0
    first = world.source().items(("Inbox",))[0].ref
    world.source().change(first.id, seen=not first.seen)
    assert world.run() == 0
    assert len(world.target().items()) == 4
    with world.open_ledger() as ledger:
        entry = next(e for e in ledger.iter_entries("job-ada") if e.source_id == first.id)
    assert entry.message_id == first.message_id
    assert entry.received == first.received
    assert entry.size == first.size
    assert entry.fingerprint
    assert entry.seen is not first.seen


def test_items_that_nothing_tells_apart_are_warned_of(world: World) -> None:
    """Without its ledger a run cannot know them again; what can is `rebuild`."""
    nameless = [replace(one, message_id="", subject="") for one in mails(3)]
    fill(world.source(), [*mails(2, start=10), *nameless])
    assert world.run() == 0
    assert not [event for event in world.events if isinstance(event, Notice) and event.level == "warning"]
    for part in world.folder.glob("ledger.sqlite*"):
        part.unlink()
    assert world.run() == 0
    (told,) = [event for event in world.events if isinstance(event, Notice) and event.level == "warning"]
    assert "(3)" in told.text
    assert "rebuild" in told.text
    assert told.job == "job-ada"
