"""One message. Its words are safe to show: no control or direction characters, no secrets, cut to a length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from migrator.auth.redact import redact
from migrator.plan.telling import Topic
from migrator.record import record
from migrator.report.safe import safe_text

Level = Literal["good", "info", "warning", "bad"]
TITLE_MOST = 150
LINE_MOST = 300
LINES_MOST = 25
NAME_MOST = 80


@record
class Message:
    """title: one line, without the project's name. facts: (what, value). at: epoch seconds."""

    topic: Topic
    level: Level
    project: str
    title: str
    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    at: float

    @property
    def subject(self) -> str:
        return f"{self.project}: {self.title}" if self.project else self.title


def said(
    topic: Topic,
    level: Level,
    title: str,
    *,
    project: str,
    at: float,
    lines: Iterable[str] = (),
    facts: Iterable[tuple[str, str]] = (),
) -> Message:
    """A message from words of any origin. More lines than LINES_MOST are counted, not told."""
    all_lines = [one for line in lines if (one := shown(line, LINE_MOST))]
    more = len(all_lines) - LINES_MOST
    return Message(
        topic=topic,
        level=level,
        project=shown(project, NAME_MOST),
        title=shown(title, TITLE_MOST),
        lines=(*all_lines[:LINES_MOST], *([f"and {more} more"] if more > 0 else [])),
        facts=tuple((shown(name, NAME_MOST), shown(value, LINE_MOST)) for name, value in facts if value),
        at=at,
    )


def shown(text: str, most: int) -> str:
    """Text of others on one line. Cut before it is looked at, so that a megabyte costs nothing."""
    return safe_text(redact(text[: most * 8]), most).strip()
