"""A scene as lines of text, no wider and no higher than the terminal. No clock and no terminal of its own.

What others wrote (names, folders, words of servers) passes `safe_text` and `redact` and is cut to cells, not to characters:
a Chinese name takes twice the room. Styles are Rich's; the lines mean the same without them.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from migrator.auth.redact import redact
from migrator.cli.glyphs import Glyphs
from migrator.cli.scene import Scene, SceneRow
from migrator.cli.tables import STYLES
from migrator.report.safe import safe_text
from migrator.report.words import number, octets, span

GAP = 1
TEXT_MOST = 4096
"""Characters of a text that are looked at; a secret that begins on the screen does not end beyond this."""
NARROWEST = 20


def draw(scene: Scene, width: int, height: int, glyphs: Glyphs | None = None) -> list[Text]:
    """At most `height` lines of at most `width` cells each: head, bar, pace, trouble, and as many mailboxes as fit."""
    pen = _Pen(max(NARROWEST, width), glyphs or Glyphs("utf-8"))
    lines = [pen.line(_head(scene), "bold"), pen.bar(scene)]
    if pace := _pace(scene):
        lines.append(pen.line(pace))
    if scene.waiting:
        lines.append(pen.line([f"waiting {span(scene.waiting_s)}: {scene.waiting}"], "yellow"))
    if scene.errors:
        lines.append(pen.line([_errors(scene.errors)], "red"))
    lines = lines[: max(1, height)]
    room = height - len(lines) - 2  # the table's head, and what does not fit
    if room >= 1 and scene.rows:
        columns = _columns(pen.width)
        lines.append(pen.row(columns, [title for title, _, _ in columns], "dim"))
        lines += [pen.row(columns, _cells(row, len(columns)), _style(row)) for row in scene.rows[:room]]
        hidden = len(scene.rows) - room
    else:
        hidden = len(scene.rows)
    open_ = scene.jobs - scene.begun
    rest = [
        f"{number(hidden)} more" if hidden > 0 else "",
        f"{number(open_)} not begun" if open_ > 0 else "",
        scene.foot,
    ]
    words = ", ".join(word for word in rest if word)
    if words and len(lines) < height:
        lines.append(pen.line([words], "dim"))
    return lines


def plain_line(scene: Scene) -> str:
    """The whole in a line, for a log file or a terminal that cannot move its cursor."""
    words = [*_head(scene), *_pace(scene)]
    if scene.errors:
        words.append(_errors(scene.errors))
    waiting = sum(bool(row.waiting) for row in scene.rows)
    if waiting:
        words.append(f"{number(waiting)} waiting")
    return safe_text(redact(", ".join(word for word in words if word)))


def _head(scene: Scene) -> list[str]:
    size = octets(scene.octets)
    if scene.octets_total:
        size += f" of {octets(max(scene.octets_total, scene.octets))}"
    return [
        f"{number(scene.finished)} of {number(scene.jobs)} mailboxes",
        f"{number(scene.items)} of {number(max(scene.total, scene.items))} items",
        size,
        scene.outlook or (f"about {span(scene.left_s)} left" if scene.left_s and scene.left_s >= 1 else ""),
    ]


def _pace(scene: Scene) -> list[str]:
    moving = scene.items_rate > 0 or scene.octets_rate > 0
    return [
        f"{_rate(scene.items_rate)} items/s, {octets(int(scene.octets_rate))}/s" if moving else "",
        scene.flying,
        f"for {span(scene.elapsed_s)}" if scene.elapsed_s >= 1 else "",
    ]


def _errors(errors: Sequence[tuple[str, int]], most: int = 5) -> str:
    words = ", ".join(f"{number(count)} {code}" for code, count in errors[:most])
    rest = sum(count for _, count in errors[most:])
    return f"failed: {words}" + (f", {number(rest)} others" if rest else "")


def _rate(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 10 else number(round(value))


_Column = tuple[str, int, bool]  # title, cells, right-aligned


def _columns(width: int) -> list[_Column]:
    """The more room, the more is told. The last column takes what is left."""
    if width < 60:
        found: list[_Column] = [("mailbox", max(6, width // 3), False), ("items", 6, True), ("fail", 4, True)]
    elif width < 140:
        found = [
            ("mailbox", max(18, (width - 44) // 2), False), ("items", 13, True), ("size", 9, True), ("/s", 6, True),
            ("left", 6, True), ("fail", 4, True),
        ]  # fmt: skip
    else:
        found = [
            ("mailbox", min(44, (width - 95) // 2), False), ("items", 19, True), ("size", 21, True), ("items/s", 8, True),
            ("bytes/s", 11, True), ("in flight", 9, True), ("left", 12, True), ("fail", 7, True),
        ]  # fmt: skip
    used = sum(cells for _, cells, _ in found) + GAP * len(found)
    return [*found, ("state", max(1, width - used), False)]


def _cells(row: SceneRow, columns: int) -> list[str]:
    total = "" if row.total is None else number(row.total)
    items = f"{number(row.items)}/{total}" if total else number(row.items)
    rate = _rate(row.items_rate) if row.items_rate else ""
    left = row.left_s if row.left_s and row.state == "running" else None
    failed = number(row.failed) if row.failed else ""
    state = _state(row)
    if columns == 4:
        return [row.name, number(row.items), failed, state]
    if columns == 7:
        return [row.name, items, octets(row.octets), rate, _short(left), failed, state]
    size = octets(row.octets)
    if row.octets_total:
        size += f" of {octets(max(row.octets_total, row.octets))}"
    speed = f"{octets(int(row.octets_rate))}/s" if row.octets_rate else ""
    flying = number(row.in_flight) if row.in_flight else ""
    return [row.name, items, size, rate, speed, flying, span(left) if left else "", failed, state]


def _short(seconds: float | None) -> str:
    """A span in six characters: "45s", "12m05", "3h20", "2d04h"."""
    if not seconds:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h" if whole < 100 * 86_400 else ">99d"


def _state(row: SceneRow) -> str:
    if row.waiting:
        return f"waiting {span(row.waiting_s)}: {row.waiting}"
    if row.state == "running":
        return row.doing or "running"
    return f"{row.state}: {row.doing}" if row.doing else row.state


def _style(row: SceneRow) -> str:
    return "yellow" if row.waiting else STYLES.get(row.state, "")


class _Pen:
    def __init__(self, width: int, glyphs: Glyphs) -> None:
        self.width = width
        self._glyphs = glyphs

    def line(self, words: Sequence[str], style: str = "") -> Text:
        return Text(
            self._fit("  ".join(word for word in words if word), self.width), style=style, no_wrap=True
        )

    def bar(self, scene: Scene) -> Text:
        total = max(scene.total, scene.items)
        # By octets where they are known: of one large and a hundred small items a hundred are not nearly all.
        whole = (
            scene.octets / scene.octets_total if scene.octets_total else scene.items / total if total else 0.0
        )
        if total and scene.items >= total and scene.begun >= scene.jobs:
            whole = 1.0
        share = min(1.0, max(0.0, whole))
        percent = f" {int(share * 100):3d} %"
        cells = self.width - len(percent)
        full = int(cells * share)
        text = Text(self._glyphs.full * full, style="green", no_wrap=True)
        text.append(self._glyphs.empty * (cells - full), style="dim")
        text.append(percent, style="bold")
        return text

    def row(self, columns: Sequence[_Column], cells: Sequence[str], style: str) -> Text:
        parts = []
        for (_, width, right), cell in zip(columns, cells, strict=True):
            text = self._fit(cell, width)
            blank = " " * (width - cell_len(text))
            parts.append(blank + text if right else text + blank)
        return Text((" " * GAP).join(parts).rstrip()[: self.width * 2], style=style, no_wrap=True)

    def _fit(self, text: str, cells: int) -> str:
        """Safe, in this terminal's letters, and no wider than that."""
        shown = self._glyphs.text(safe_text(redact(text[:TEXT_MOST])))
        if cell_len(shown) <= cells:
            return shown
        kept = []
        room = cells - 1
        for char in shown:
            room -= cell_len(char)
            if room < 0:
                break
            kept.append(char)
        return "".join(kept) + self._glyphs.cut
