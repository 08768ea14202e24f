"""The live picture: what is on it, that it fits any terminal and any encoding, and that nothing between garbles it."""

from __future__ import annotations

import codecs
import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, Group

from migrator import meter
from migrator.cli.drawing import draw, plain_line
from migrator.cli.glyphs import HANDLER, Glyphs
from migrator.cli.progress import Board
from migrator.cli.scene import Looks, Scene, left_of, of_board
from migrator.errors import ItemError
from migrator.events import (
    BatchSettled,
    FoldersListed,
    FolderStarted,
    ForecastUpdated,
    JobFinished,
    JobStarted,
    RunStarted,
    Waiting,
)
from migrator.model import ItemRef, Kind, Outcome, State
from migrator.report.summary import Counts, FailureGroup, MailboxLine, Summary
from tests.cli.rehearsal import Rehearsal

T = 1_790_000_000.0
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07", "a\rb\nc\td", "\u202eevil\u202c", "語" * 200, "🚚👩‍👩‍👧" * 40, "x" * 10_000, "[red]markup[/red]",
    "e\u0301" * 50, "\x9b31m", "\ud800lone", "",
)  # fmt: skip


def outcomes(count: int, state: State = State.COPIED, code: str = "") -> tuple[Outcome, ...]:
    ref = ItemRef("i", (), Kind.MAIL, "1", size=100_000)
    error = ItemError("no", code=code) if code else None
    return tuple(Outcome(ref, state, error=error) for _ in range(count))


def board(count: int) -> Board:
    """A run of so many mailboxes in full swing: some done, some waiting, some wrong, some not begun."""
    made = Board()
    made.take(RunStarted(1, tuple(f"j{n}" for n in range(count)), "delta", False, T - 600))
    for n in range(count):
        if count > 10 and n >= count * 5 // 6:
            continue
        name = f"{HOSTILE[n % len(HOSTILE)]}user{n}@old.example" if n % 3 else f"user{n}@old.example"
        job = f"j{n}"
        made.take(JobStarted(job, name, "t", T - 500))
        made.take(FoldersListed(job, 12, 1000, 100_000_000))
        made.take(FolderStarted(job, ("Inbox", HOSTILE[n % len(HOSTILE)])))
        for second in range(20):
            made.take(BatchSettled(job, ("Inbox",), outcomes(10), T - 20 + second))
        if n % 7 == 1:
            made.take(Waiting(job, "new", "throttled", "429 " + HOSTILE[n % len(HOSTILE)], T + 29, T))
        if n % 11 == 2:
            made.take(BatchSettled(job, ("Inbox",), outcomes(3, State.FAILED, "ErrorItemCorrupt"), T))
            made.take(BatchSettled(job, ("Inbox",), outcomes(1, State.FAILED, "in_doubt"), T))
        if n % 13 == 5:
            made.take(JobFinished(job, "error", T, "it " + HOSTILE[n % len(HOSTILE)], "quota_full"))
        elif n % 4 == 3:
            made.take(JobFinished(job, "done", T))
    return made


def drawn(scene: Scene, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    return [text.plain for text in draw(scene, width, height, Glyphs(encoding))]


FLIGHTS = {"j0": (4, 1 << 20, 0), "j2": (1, 4096, 7)}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp437", "ascii"])
@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (200, 60), (120, 30), (40, 8), (20, 3), (79, 1), (300, 100)]
)
@pytest.mark.parametrize("count", [0, 3, 600])
def test_the_picture_fits_and_is_harmless(count: int, width: int, height: int, encoding: str) -> None:
    scene = of_board(board(count), T + 1, FLIGHTS)
    lines = drawn(scene, width, height, encoding)
    assert len(lines) <= height
    for line in lines:
        assert cell_len(line) <= width, line
        assert all(char.isprintable() or char in "\u200c\u200d" for char in line), repr(line)
        assert not set(line) & set("\u202e\u202c\x1b\x9b\r\n\t")
        line.encode(encoding, "strict" if encoding != "utf-8" else "surrogatepass")
        assert "\ud800" not in line
    if count == 600 and height >= 24:
        assert len(lines) == height  # as many mailboxes as there are lines for
        assert "more" in lines[-1]
        assert "100 not begun" in lines[-1]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_what_is_on_it(width: int, height: int) -> None:
    made = board(3)
    text = "\n".join(drawn(of_board(made, T + 1, FLIGHTS), width, height))
    for words in (
        "0 of 3 mailboxes", "604 of 3,000 items", "57.6 MiB of 286.1 MiB", "left",  # the whole
        " 20 %", "items/s", "/s", "5 on the way (1.0 MiB), 7 being read", "for 10 min 01 s",  # the pace
        "failed: 3 ErrorItemCorrupt, 1 in_doubt",  # errors by code
        "user0@old.example", "200/1,000", "19.1 MiB", "Inbox/",  # a mailbox, and what it is at
        "waiting 28 s: server asked to wait",  # and why
    ):  # fmt: skip
        if width == 80 and words.startswith("waiting"):
            words = "waiting 28 s"
        assert words in text, words
    if width == 200:
        assert "in flight" in text
        row = next(line for line in text.splitlines() if line.startswith("user0@"))
        assert " 4 " in row


def test_those_at_work_come_first_and_trouble_before_what_is_done() -> None:
    states = [row.state for row in of_board(board(600), T).rows]
    assert states == sorted(states, key=["running", "error", "partial", "stopped", "done"].index)
    assert len(set(states)) == 3


def test_the_end_is_not_promised_while_mailboxes_are_not_begun() -> None:
    assert of_board(board(600), T).left_s is None
    scene = of_board(board(3), T)
    assert scene.left_s is not None
    # 2,396 items left at about 20 a second and 231 MB at 2 MB a second.
    assert 80 < scene.left_s < 150


def test_a_forecast_is_better_than_the_pace_of_now() -> None:
    made = board(3)
    made.take(ForecastUpdated(T + 3600, T + 7200, None, 0, "bytes", T))
    head = drawn(of_board(made, T), 200, 24)[0]
    assert "about 1 h 00 min left, 9 in 10 times at most 2 h 00 min" in head


@pytest.mark.parametrize(
    ("items", "octets", "by_items", "by_octets", "left"),
    [
        (0, 0, 0.0, 0.0, 0.0),
        (100, None, 10.0, 0.0, 10.0),
        (100, 1000, 10.0, 10.0, 100.0),
        (100, 1000, 1.0, 1000.0, 100.0),
        (100, 1000, 0.0, 10.0, None),
        (100, None, 0.0, 0.0, None),
    ],
)
def test_time_left(
    items: int, octets: int | None, by_items: float, by_octets: float, left: float | None
) -> None:
    assert left_of(items, octets, by_items, by_octets) == left


def test_a_run_that_goes_on_begins_where_it_stood() -> None:
    made = Board(before={"a": (60, 6_000_000), "b": (100, 10_000_000)})
    made.take(RunStarted(2, ("a", "b"), "delta", False, T))
    for job in "ab":
        made.take(JobStarted(job, job, "t", T, resumed=True))
        made.take(FoldersListed(job, 1, 100, 10_000_000))
    scene = of_board(made, T + 1)
    assert (scene.items, scene.total, scene.octets) == (160, 200, 16_000_000)
    made.take(BatchSettled("a", (), outcomes(10), T + 1))
    assert {row.name: row.items for row in of_board(made, T + 1).rows} == {"a": 70, "b": 100}
    # What is met again, a changed item say, is not counted beyond the whole.
    made.take(BatchSettled("b", (), outcomes(10), T + 1))
    assert {row.name: row.items for row in of_board(made, T + 1).rows} == {"a": 70, "b": 100}
    made.take(JobFinished("a", "done", T + 2))
    assert of_board(made, T + 2).items == 200


def test_drawing_six_hundred_is_quick() -> None:
    made = board(600)
    scene = of_board(made, T)  # once to warm up
    began = time.perf_counter()
    for _ in range(5):
        scene = of_board(made, T, FLIGHTS)
        draw(scene, 200, 60, Glyphs("utf-8"))
    assert (time.perf_counter() - began) / 5 < 0.25  # it is drawn twice a second


def test_a_plain_line_says_the_whole() -> None:
    line = plain_line(of_board(board(600), T + 1, FLIGHTS))
    assert "500 begun" not in line
    assert "of 600 mailboxes" in line
    assert "items/s" in line
    assert "waiting" in line
    assert "ErrorItemCorrupt" in line
    assert "\n" not in line


def test_what_is_on_its_way_is_counted_and_forgotten() -> None:
    assert "a" not in meter.flights()
    with meter.flight("a", items=2, octets=10), meter.flight("a", reading=5):
        assert meter.flights()["a"] == (2, 10, 5)
    with pytest.raises(ValueError), meter.flight("a", items=1):
        raise ValueError
    assert "a" not in meter.flights()


# --- the same from the ledger


def line_of(name: str, state: str = "running", **counts: int) -> MailboxLine:
    made = Counts(**{"source": 100, "copied": 40, "in_doubt": 4, "octets_copied": 4000, **counts})
    return MailboxLine(
        id=name, line=2, batch="", source=name, target="t", source_endpoint="old", target_endpoint="new", state=state, code="",
        error="", remedy="", waiting="", waiting_until=0.0, started=None, finished=None, counts=made, folders=(), skips=(), extra={},
    )  # fmt: skip


def summary_of(now: float, *boxes: MailboxLine) -> Summary:
    totals = Counts()
    for box in boxes:
        totals = totals + box.counts
    groups = (FailureGroup("ErrorItemCorrupt", 3, 1, "", "", False),)
    return Summary(now, "acme", boxes, totals, (), groups)


def test_looks_at_the_ledger_give_the_same_picture_with_rates_of_what_came_between() -> None:
    looks = Looks()
    first = looks.scene(
        summary_of(T, line_of("a@x", copied=40), line_of("b@x" + HOSTILE[0], "done", copied=100, in_doubt=0))
    )
    assert first.rows[0].items_rate == 0.0
    waiting = replace(
        line_of("a@x", copied=60, octets_copied=6000), waiting="server asked to wait", waiting_until=T + 34
    )
    scene = looks.scene(
        summary_of(T + 4, waiting, line_of("b@x" + HOSTILE[0], "done", copied=100, in_doubt=0))
    )
    row = scene.rows[0]
    assert (row.items, row.total, row.items_rate, row.octets_rate, row.left_s) == (60, 100, 5.0, 500.0, 8.0)
    text = "\n".join(drawn(scene, 80, 24))
    for words in (
        "1 of 2 mailboxes", "160 of 200 items", "4 on the way", "failed: 3 ErrorItemCorrupt", "60/100", "waiting 30 s", "5.0",
        "done",
    ):  # fmt: skip
        assert words in text, words
    assert "\x1b" not in text


# --- old consoles


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "latin-1", "utf-8", "no-such-encoding"])
def test_signs_for_any_console(encoding: str) -> None:
    glyphs = Glyphs(encoding)
    for sign in (glyphs.full, glyphs.empty, glyphs.cut, glyphs.arrow):
        assert cell_len(sign) == 1
        sign.encode("ascii" if encoding.startswith("no-") else encoding)
    assert glyphs.text("plain") == "plain"
    if encoding == "ascii":
        assert glyphs.text("Ärger → 🚚…") == "?rger > ?~"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_a_stream_with_an_old_code_page_never_raises(encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=HANDLER, newline="")
    out.write("ann → bob … 🚚 ━\n")
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    said = out.buffer.getvalue().decode(encoding)
    assert said.startswith("ann > bob ")
    assert "\\U0001f69a" in said
    assert codecs.lookup_error(HANDLER) is not None


# --- a real terminal

pytestmark_pty = pytest.mark.skipif(
    sys.platform == "win32", reason="there are no pseudo-terminals of this kind"
)

SCRIPT = """
import logging, sys, time
from migrator.cli.console import choose_view
from migrator.events import *
from tests.cli.test_live import T, outcomes
import migrator.cli.console as console
now = time.time()
view = choose_view()
with view:
    view.emit(RunStarted(1, tuple(f"j{n}" for n in range(40)), "delta", False, now - 60))
    for n in range(30):
        view.emit(JobStarted(f"j{n}", f"user{n}@old.example", "t", now - 50))
        view.emit(FoldersListed(f"j{n}", 3, 100, 10_000_000))
        view.emit(BatchSettled(f"j{n}", ("Inbox",), outcomes(10), now))
    time.sleep(0.8)
    print("a line that a library printed")
    print("and one on standard error", file=sys.stderr)
    logging.getLogger("noisy").warning("and one from a logger")
    view.emit(Notice("warning", "and a notice \\x1b[2J of ours"))
    time.sleep(1.2)
    print("MARK", flush=True)
    time.sleep(0.7)
print("THE END")
"""


def on_a_terminal(
    args: list[str], columns: int, lines: int, *, until: float = 30.0, env: dict[str, str] | None = None
) -> Iterator[bytes]:
    """What a program writes to a terminal of this size, as it comes."""
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    child = subprocess.Popen(
        args, stdin=slave, stdout=slave, stderr=slave, close_fds=True, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": "", "PYTHONUTF8": "1", **(env or {})},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    os.close(slave)
    stop = time.monotonic() + until
    try:
        while time.monotonic() < stop:
            ready, _, _ = select.select([master], [], [], 0.2)
            if not ready:
                if child.poll() is not None:
                    return
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            yield data
        raise AssertionError("the program did not end")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(master)


@pytestmark_pty
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_lines_that_come_between_do_not_garble_it(columns: int, lines: int) -> None:
    pyte = pytest.importorskip("pyte", reason="a terminal to look at is not installed")
    screen = pyte.HistoryScreen(columns, lines, history=1000)
    stream = pyte.ByteStream(screen)
    midway: list[str] = []
    for data in on_a_terminal([sys.executable, "-c", SCRIPT], columns, lines):
        stream.feed(data)
        shown = [line.rstrip() for line in screen.display]
        # A picture comes in pieces: only a whole one counts, and its last line is the last thing to come.
        if "MARK" in shown and any("not begun" in line for line in shown):
            midway = shown
    assert midway
    picture = midway[next(n for n, line in enumerate(midway) if "of 40 mailboxes" in line) :]
    heads = [line for line in midway if "of 40 mailboxes" in line]
    assert len(heads) == 1  # one picture, not the remains of several
    assert sum("mailbox  " in line for line in picture) == 1
    assert "10 not begun" in "\n".join(picture)
    history = ["".join(row[at].data for at in range(columns)).rstrip() for row in screen.history.top]
    everything = history + [line.rstrip() for line in screen.display]
    for words in (
        "a line that a library printed",
        "and one on standard error",
        "and one from a logger",
        "THE END",
    ):
        assert everything.count(words) == 1, words
    assert any("and a notice \\x1b[2J of ours" in line for line in everything)
    # What scrolled away is what was said, never half a picture.
    assert not [line for line in history if "of 40 mailboxes" in line]
    assert not [line for line in everything if "of 40 mailboxes" in line]  # and it is gone at the end


@pytestmark_pty
def test_a_terminal_that_is_none_gets_lines() -> None:
    said = b"".join(on_a_terminal([sys.executable, "-c", SCRIPT], 80, 24, env={"TERM": "dumb"}))
    assert b"\x1b" not in said
    assert b"40 mailboxes, pass delta" in said


@pytestmark_pty
def test_a_run_and_a_watch_on_real_terminals(tmp_path: Path) -> None:
    pyte = pytest.importorskip("pyte", reason="a terminal to look at is not installed")
    play = Rehearsal(tmp_path, items=60)
    try:
        play.fault("slow", operation="importItem", delay_s=0.05)
        import threading

        seen: dict[str, list[list[str]]] = {"run": [], "watch": []}

        def look(what: str, *args: str) -> None:
            screen = pyte.Screen(80, 24)
            stream = pyte.ByteStream(screen)
            command = [sys.executable, "-m", "migrator", *args, "-p", str(tmp_path)]
            for data in on_a_terminal(command, 80, 24, until=60):
                stream.feed(data)
                seen[what].append([line.rstrip() for line in screen.display])

        run = threading.Thread(target=look, args=("run", "run"))
        run.start()
        stop = time.monotonic() + 30
        while not play.do(lambda world: sum(len(box.items) for box in world.m365.mailboxes.values())):
            assert time.monotonic() < stop
            time.sleep(0.05)
        look("watch", "status", "--watch")
        run.join(60)
        for what, screens in seen.items():
            pictures = ["\n".join(one) for one in screens if any("of 2 mailboxes" in line for line in one)]
            assert pictures, what
            assert any("alma.whit" in one and "/7" in one and "items/s" in one for one in pictures), pictures[
                -1
            ]
            assert all(sum("of 2 mailboxes" in line for line in one.splitlines()) == 1 for one in pictures)
        assert any("exit code 0" in line for line in seen["run"][-1])
        assert any("on the way" in line for one in seen["run"] for line in one)
    finally:
        play.close()


def test_the_picture_in_a_console_is_what_was_drawn() -> None:
    out = io.StringIO()
    console = Console(file=out, width=81, height=25, force_terminal=True, color_system=None)
    lines = draw(of_board(board(600), T), 80, 24)
    console.print(Group(*lines))
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [line.plain.rstrip() for line in lines]
