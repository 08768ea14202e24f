"""The summary as plain text, 80 columns wide: for a terminal, a mail, a ticket."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from migrator.plan.paths import title
from migrator.report.fidelity import losses_words
from migrator.report.safe import safe_text
from migrator.report.summary import Counts, Summary
from migrator.report.words import moment, number, octets, plural

WIDTH = 80
COLUMNS = ("source", "copied", "already there", "skipped", "failed", "open")


def to_text(summary: Summary, *, folders: bool = False) -> str:
    """folders: a line for each folder as well."""
    return "\n".join(_lines(summary, folders)) + "\n"


def balance_words(counts: Counts) -> str:
    """The closing line: "1,000 = 990 copied + 0 already there + 8 skipped + 2 failed"."""
    words = (
        f"{number(counts.source)} = {number(counts.copied)} copied + {number(counts.present)} already there + "
        f"{number(counts.skipped)} skipped + {number(counts.failed)} failed"
    )
    return words if counts.closes else f"{words} + {number(counts.open)} still open"


def unfinished_words(summary: Summary) -> str:
    """What the figures leave out, or ""."""
    open_ones = sum(not mailbox.complete for mailbox in summary.mailboxes)
    if not open_ones:
        return ""
    return f"{plural(open_ones, 'mailbox is', 'mailboxes are')} not finished: of these, only the folders reached so far are counted"


def _lines(summary: Summary, folders: bool) -> Iterator[str]:
    yield safe_text(summary.title or "Migration")
    yield moment(summary.made)
    yield ""
    yield f"{'mailbox':<28.28}{'state':<9.9}" + "".join(_right(name) for name in _HEADS)
    for mailbox in summary.mailboxes:
        yield f"{safe_text(mailbox.source, 27):<28}{mailbox.state:<9.9}" + _numbers(mailbox.counts)
        if mailbox.error and mailbox.code != "items_failed":
            yield from _wrapped(": ".join(filter(None, (mailbox.code, mailbox.error))), "  ! ")
            yield from _wrapped(mailbox.remedy, "  → ")
        if folders:
            for folder in mailbox.folders:
                yield f"  {safe_text(folder.path, 33):<35}" + _numbers(folder.counts)
                if folder.left_out:
                    yield from _wrapped(f"left out: {folder.left_out}", "    ")
    yield f"{'all':<37}" + _numbers(summary.totals)
    yield ""
    yield from _wrapped("Balance: " + balance_words(summary.totals), "")
    if unfinished := unfinished_words(summary):
        yield from _wrapped(unfinished, "")
    yield f"Copied: {octets(summary.totals.octets_copied)} of {octets(summary.totals.octets)}"
    if summary.skips:
        yield ""
        yield "Skipped, on purpose:"
        for skip in summary.skips:
            yield from _wrapped(f"{number(skip.count)}  {skip.title}. {skip.todo}", "  ")
    if summary.paths:
        yield ""
        yield "Paths taken:"
        for one in summary.paths:
            lost = f"; does not carry {one.loses}" if one.loses else ""
            yield from _wrapped(
                f"{number(one.items)}  {one.kind} by {one.path}: {title(one.path)}{lost}", "  "
            )
    if summary.losses:
        yield ""
        yield "Losses that items were noted with:"
        for loss in summary.losses:
            yield from _wrapped(f"{number(loss.items)}  {loss.path}: {loss.note}", "  ")
    if summary.fidelity:
        yield ""
        yield "Compared property by property, source and target (migrator verify --deep):"
        yield f"  {'kind':<9}{'path':<11}" + "".join(_right(name) for name in _FIDELITY)
        for line in summary.fidelity:
            figures = (
                line.population, line.compared, line.identical, line.volatile, line.normalised,
                line.differing + line.unreadable,
            )  # fmt: skip
            yield f"  {line.kind:<9.9}{line.path:<11.11}" + "".join(_right(number(one)) for one in figures)
            yield from _wrapped(losses_words(line), "    ")
        yield from _wrapped(summary.sample, "  ")
    if summary.failures:
        yield ""
        yield "Failed:"
        for group in summary.failures:
            where = plural(group.mailboxes, "mailbox", "mailboxes")
            yield from _wrapped(
                f"{number(group.count)}  {group.code} in {where}: {group.title}. {group.todo}", "  "
            )
        yield "  `migrator errors` lists them one by one."


_FIDELITY = ("items", "seen", "same", "usual", "alike", "differ")
_HEADS = ("source", "copied", "there", "skip", "fail", "open")


def _numbers(counts: Counts) -> str:
    values = (counts.source, counts.copied, counts.present, counts.skipped, counts.failed, counts.open)
    return "".join(_right(number(value)) for value in values)


def _right(word: str) -> str:
    return f"{word:>7}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        safe_text(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent) + ("   " if indent.strip() == "" else ""),
        break_on_hyphens=False,
    )
