"""Events as a picture, as lines and as JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from rich.console import Console

from migrator import events
from migrator.cli.console import PlainView, QuietView, choose_view
from migrator.cli.jsonl import JsonLines, as_dict
from migrator.cli.live import LiveView
from migrator.cli.progress import Board
from migrator.errors import ItemError
from migrator.events import (
    BatchSettled,
    EndpointBack,
    EndpointDown,
    Event,
    FolderFinished,
    FoldersListed,
    FolderStarted,
    ForecastSlipping,
    ForecastUpdated,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
    Settled,
    Waiting,
)
from migrator.model import ItemRef, Kind, Outcome, SkipReason, State

NASTY = "a\x1b[2J\u202eb\r\n"
T = 1000.0


def outcome(state: State, number: int = 1) -> Outcome:
    ref = ItemRef(
        id=f"id{number}", folder=("In" + NASTY,), kind=Kind.MAIL, version="1", size=1000,
        received=datetime(2024, 1, 31, tzinfo=UTC), message_id="<m>", subject="a secret subject",
    )  # fmt: skip
    return Outcome(
        ref,
        state,
        reason=SkipReason.TOO_LARGE if state is State.SKIPPED else None,
        error=ItemError("refused: Authorization: Bearer abcdefghijklmnop", code="no")
        if state is State.FAILED
        else None,
        octets=1400,
    )


STORY: list[Event] = [
    RunStarted(1, ("j1", "j2", "j3"), "delta", False, T),
    JobStarted("j1", "ann@old.example", "ann@new.example", T),
    JobStarted("j2", "bob" + NASTY, "bob@new.example", T, resumed=True),
    FoldersListed("j1", 3, 100, 200_000),
    FoldersListed("j2", 3, None, None),
    FolderStarted("j1", ("In" + NASTY, "A/B")),
    BatchSettled(
        "j1", ("In",), (outcome(State.COPIED), outcome(State.PRESENT), outcome(State.SKIPPED)), T + 1
    ),
    BatchSettled("j1", ("In",), (outcome(State.FAILED),), T + 2),
    Waiting("j1", "new", "throttled", "please " + NASTY, T + 32, T + 2),
    Waiting("", "new", "source_down", "gone", T + 12, T + 2),
    Settled("j1", ("In",), 2, 1),
    Notice("warning", "a notice " + NASTY),
    EndpointDown("new", "gone " + NASTY, T + 2),
    EndpointBack("new", T + 2),
    ForecastUpdated(T + 600, T + 900, T + 700, 1, "bytes", T + 2),
    ForecastSlipping(T + 800, None, T + 700, 2, "the deadline slips " + NASTY, T + 2),
    FolderFinished("j1", ("In",)),
    JobFinished("j2", "error", T + 3, error="it " + NASTY, code="quota_full", remedy="make room"),
    JobFinished("j1", "partial", T + 4),
    RunFinished(1, 4, T + 5),
]


def played(count: int | None = None) -> Board:
    board = Board()
    for event in STORY[:count]:
        board.take(event)
    return board


def test_the_board_adds_up() -> None:
    board = played()
    row = board.rows["j1"]
    assert (row.copied, row.present, row.skipped, row.failed, row.settled, row.total) == (1, 1, 1, 1, 4, 100)
    assert (board.settled, board.total, board.finished(), board.waits, board.exit_code) == (4, 100, 2, 2, 4)
    assert board.rate(T + 2)[0] == 2.0
    assert board.rate(T + 500) == (0.0, 0.0)
    assert "3 in doubt: 2 found in the target, 1 sent again" in board.notices[0]


def test_the_live_view_shows_work_first_and_waits() -> None:
    out = io.StringIO()
    view = LiveView(
        Console(file=out, width=100, height=24, force_terminal=True, color_system=None), clock=lambda: T + 3
    )
    with view:
        for event in STORY[:12]:
            view.emit(event)
        picture = Console(file=io.StringIO(), width=100, record=True)
        picture.print(view.picture())
    text = picture.export_text()
    assert "waiting 29 s" in text
    assert "0 of 3 mailboxes" in text
    assert "1 not begun" in text
    assert "a notice a\\x1b[2J" in out.getvalue()


def test_plain_lines() -> None:
    out = io.StringIO()
    with PlainView(out, clock=lambda: T + 100) as view:
        for event in STORY:
            view.emit(event)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.splitlines() == [
        "3 mailboxes, pass delta",
        "ann@old.example → ann@new.example: started",
        "boba\\x1b[2J\\u202eb\\x0d\\x0a → bob@new.example: started, goes on where it stopped",
        "ann@old.example: 3 folders, 100 items, 195.3 KiB",
        "boba\\x1b[2J\\u202eb\\x0d\\x0a: 3 folders",
        "ann@old.example: the server asks to slow down, waiting 30 s: please a\\x1b[2J\\u202eb\\x0d\\x0a",
        "new: source_down, waiting 10 s: gone",
        "ann@old.example: 3 in doubt: 2 found in the target, 1 sent again",
        "a notice a\\x1b[2J\\u202eb\\x0d\\x0a",
        "the deadline slips a\\x1b[2J\\u202eb\\x0d\\x0a",
        "boba\\x1b[2J\\u202eb\\x0d\\x0a: error: 0 copied, 0 already there, 0 skipped, 0 failed",
        "  quota_full: it a\\x1b[2J\\u202eb\\x0d\\x0a",
        "  → make room",
        "ann@old.example: partial: 1 copied, 1 already there, 1 skipped, 1 failed",
    ]


def test_a_wait_that_is_told_a_hundred_times_is_one_line() -> None:
    out = io.StringIO()
    now = T
    view = PlainView(out, clock=lambda: now)
    for number in range(100):
        view.emit(Waiting("j", "new", "throttled", "", T + 5 + number, T))
    assert len(out.getvalue().splitlines()) == 1
    now = T + 11
    view.emit(Waiting("j", "new", "throttled", "", now + 5, now))
    assert len(out.getvalue().splitlines()) == 2


def test_quiet_tells_errors_alone() -> None:
    out = io.StringIO()
    with QuietView(out) as view:
        for event in STORY:
            view.emit(event)
    assert len(out.getvalue().splitlines()) == 1
    assert "make room" in out.getvalue()


def test_json_lines() -> None:
    out = io.StringIO()
    with JsonLines(out) as view:
        for event in STORY:
            view.emit(event)
    text = out.getvalue()
    assert text.isascii()
    assert "subject" not in text
    assert "abcdefghijklmnop" not in text
    found = [json.loads(line) for line in text.splitlines()]
    assert len(found) == len(STORY)
    batch = found[6]
    assert (batch["event"], batch["copied"], batch["present"], batch["skipped"]) == ("batch_settled", 1, 1, 1)
    assert batch["items"][0]["reason"] == "too_large"
    assert found[7]["items"][0]["code"] == "no"
    assert all(one["version"] == 1 for one in found)


def test_every_event_is_documented() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "json-events.md").read_text("utf-8")
    kinds = [
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    ]
    assert {type(event) for event in STORY} == set(kinds)
    for event in STORY:
        line = as_dict(event)
        assert f"`{line['event']}`" in text
        for name in set(line) - {"event", "version"}:
            assert f"`{name}`" in text, f"{line['event']}: {name}"


class _Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_left_does_not_end_the_run() -> None:
    for view in (JsonLines(_Gone()), PlainView(_Gone())):
        for event in STORY:
            view.emit(event)


def test_the_view_for_a_place() -> None:
    assert isinstance(choose_view(json=True), JsonLines)
    assert isinstance(choose_view(quiet=True), QuietView)
    assert isinstance(choose_view(out=io.StringIO()), PlainView)
