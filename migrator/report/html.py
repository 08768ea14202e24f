"""The summary as one self-contained HTML page: no script, nothing fetched, every value escaped, a bounded number of rows."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from migrator import __version__
from migrator.plan.paths import title
from migrator.record import record
from migrator.report import charts
from migrator.report.fidelity import losses_words
from migrator.report.parts import Part
from migrator.report.safe import safe_text
from migrator.report.summary import FolderLine, MailboxLine, Summary
from migrator.report.text import balance_words, unfinished_words
from migrator.report.timeline import TITLES
from migrator.report.words import moment, number, octets, plural, span

MAILBOXES_SHOWN = 2_000
FOLDERS_SHOWN = 6_000
"""Rows of folders in all; a mailbox shows at least `FOLDERS_LEAST` of its own."""
FOLDERS_LEAST = 3
ITEMS_SHOWN = 25
"""Failed items of one code."""
_TEMPLATES = Path(__file__).parent / "templates"
_RANK = {"error": 0, "partial": 1, "stopped": 2, "running": 3, "waiting": 4, "done": 5}


@record
class FolderTable:
    mailbox: MailboxLine
    shown: tuple[FolderLine, ...]
    hidden: int


def to_html(summary: Summary, parts: Sequence[Part] = ()) -> str:
    """A page for a browser; prints well. Follows the reader's choice of light or dark.

    parts: files that lie beside the page. Without them it names none and has no link but to itself.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(octets=octets, moment=moment, number=number, span=span, safe_text=safe_text)
    environment.filters["breakable"] = breakable
    # Values pass `safe_text` as well as autoescape: direction overrides mislead in a browser too.
    environment.finalize = lambda value: safe_text(value, 2_000) if type(value) is str else value
    line = summary.timeline
    return environment.get_template("report.html").render(
        s=summary,
        balance=balance_words(summary.totals),
        unfinished=unfinished_words(summary),
        plural=plural,
        path_title=title,
        lost=losses_words,
        charts=charts,
        chart=charts.throughput(line),
        waits=TITLES,
        fates=charts.FATES,
        mailboxes=shown_mailboxes(summary.mailboxes),
        folders=shown_folders(summary.mailboxes),
        folder_rows=sum(len(one.folders) for one in summary.mailboxes),
        trouble=[one for one in summary.mailboxes if one.error and one.code != "items_failed"][
            :MAILBOXES_SHOWN
        ],
        items_shown=ITEMS_SHOWN,
        parts=parts,
        parts_of=lambda what: [part for part in parts if part.what == what],
        runs_shown=summary.runs[-50:],
        program=f"migrator {__version__}, Python {platform.python_version()} on {platform.system()}",
    )


def breakable(text: str) -> Markup:
    """An address, path or Message-ID that may be broken behind its signs instead of within a word."""
    escaped = str(escape(safe_text(text, 2_000)))  # entities hold none of the signs
    return Markup(escaped.replace("@", "@<wbr>").replace("/", "/<wbr>"))


def shown_mailboxes(mailboxes: Sequence[MailboxLine]) -> Sequence[MailboxLine]:
    """All in the manifest's order, or, where there are too many, those first of which something must be known."""
    if len(mailboxes) <= MAILBOXES_SHOWN:
        return mailboxes
    return sorted(mailboxes, key=lambda one: (_RANK.get(one.state, 0), one.line))[:MAILBOXES_SHOWN]


def shown_folders(mailboxes: Iterable[MailboxLine]) -> list[FolderTable]:
    """Of each mailbox its folders in their order; where all together are too many, the telling ones of each."""
    boxes = [one for one in shown_mailboxes(tuple(mailboxes)) if one.folders]
    share = FOLDERS_SHOWN
    if sum(len(one.folders) for one in boxes) > FOLDERS_SHOWN:
        share = max(FOLDERS_LEAST, FOLDERS_SHOWN // len(boxes))
    found = []
    for box in boxes:
        folders = box.folders
        if len(folders) > share:
            telling = sorted(range(len(folders)), key=lambda at: _telling(folders[at]))
            folders = tuple(folders[at] for at in sorted(telling[:share]))
        found.append(FolderTable(box, folders, len(box.folders) - len(folders)))
    return found


def _telling(folder: FolderLine) -> tuple[int, int, bool, int]:
    """Sorts first what a reader must know of: failed, open, left out, large."""
    counts = folder.counts
    return (-counts.failed, -abs(counts.open), not folder.left_out, -counts.source)
