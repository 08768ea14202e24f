"""The summary in plain words, for the people whose mail it is: one page, nothing technical, nothing that flatters.

What it tells is derived from `Summary` and from nothing else, so it says what `report` says. It holds no subject, no folder
name, no error text and no address beyond what `CustomerSettings.show` allows.

A template of the user's own (customer/customer.html in the project folder) is drawn in a sandbox, and escaping cannot be
turned off in it: names of mailboxes are input of strangers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.errors import UserError
from migrator.ledger import RunRow
from migrator.model import SkipReason
from migrator.plan.hours import zone_of
from migrator.plan.telling import CustomerSettings, masked
from migrator.record import record
from migrator.report.safe import safe_text
from migrator.report.summary import MailboxLine, Summary
from migrator.report.wording import Wording

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

FOLDER = "customer"
"""In the project folder: customer.html and LANGUAGE.toml, where the user has made them."""
TEMPLATE = "customer.html"
BUILT_IN = Path(__file__).parent / "templates" / TEMPLATE
NAME_MOST = 100
LONG_WAIT_S = 300.0
STATES = ("ready", "copied", "gaps", "first", "copying", "waiting", "held", "paused", "trouble")
_OPEN = ("copying", "waiting", "held", "paused")
_THERE = ("ready", "copied", "gaps")


@record
class Expected:
    """When something is thought to be done, epoch seconds; likely: as likely earlier as later, slow: 9 times of 10 earlier."""

    likely: float
    slow: float


@record
class Box:
    """One mailbox as the page shows it. percent: None where nobody can say."""

    name: str
    state: str  # one of STATES
    percent: int | None
    progress: str
    when: str
    slow: str  # and if it goes slowly, or ""
    notes: tuple[str, ...]


@record
class Page:
    """What a template gets as `page`."""

    title: str
    as_of: str
    headline: str
    details: tuple[str, ...]
    percent: int | None  # of mailboxes that are there
    when: tuple[str, ...]
    boxes: tuple[Box, ...]
    states: tuple[str, ...]  # those that occur, in the order of STATES
    contact: str
    switch: str
    over: bool  # every mailbox is ready
    refresh_s: int  # 0: the page need not be renewed
    language: str
    direction: str


@record
class Look:
    """How the page is to be: what the project says, its words, its template ("" is the built-in one)."""

    settings: CustomerSettings = field(default_factory=CustomerSettings)
    wording: Wording = field(default_factory=Wording)
    template: str = ""


def load_look(settings: CustomerSettings, project: Path) -> Look:
    """Raises UserError when the user's files cannot be used."""
    from migrator.report.wording import load_wording

    folder = project / FOLDER
    file = folder / TEMPLATE
    try:
        template = file.read_bytes().decode("utf-8-sig") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}", code="template_invalid") from None
    look = Look(settings, load_wording(folder, settings.language), template)
    if template:
        _compiled(look)  # told at the start of a run, not at its first page
    return look


def to_customer_html(
    summary: Summary,
    look: Look,
    *,
    expected: Mapping[str, Expected] | None = None,
    all_expected: Expected | None = None,
    refresh_s: float = 0.0,
) -> str:
    """The page. expected: by job id, what a forecast says of mailboxes that are not there yet.

    refresh_s: how often a browser asks for it again; 0 where nobody renews it. Raises UserError when the user's template
    cannot be drawn.
    """
    page = customer_page(
        summary, look, expected=expected or {}, all_expected=all_expected, refresh_s=refresh_s
    )
    return _drawn(look, page)


def customer_page(
    summary: Summary,
    look: Look,
    *,
    expected: Mapping[str, Expected],
    all_expected: Expected | None = None,
    refresh_s: float = 0.0,
) -> Page:
    words, settings = look.wording, look.settings
    zone = zone_of(settings.time_zone) or UTC
    names = names_of(summary.mailboxes, settings.show, settings.name_column, words)
    boxes = []
    ended = []
    for mailbox in summary.mailboxes:
        state = state_of(mailbox, summary.runs, summary.made)
        forecast = expected.get(mailbox.id) if state in _OPEN else None
        boxes.append(
            Box(
                name=names[mailbox.id],
                state=state,
                percent=_percent(mailbox, state),
                progress=_progress(mailbox, state, words),
                when=_when(mailbox, state, forecast, summary.made, words, zone),
                slow=_slow(forecast, summary.made, words, zone),
                notes=tuple(_notes(mailbox, state, words)),
            )
        )
        if state in _THERE and mailbox.finished:
            ended.append(mailbox.finished)
        if state in _OPEN and forecast is None:
            all_expected = None  # the forecast is of some mailboxes, and this sentence is of all
    if settings.show != "number":
        boxes.sort(key=lambda box: box.name.casefold())
    states = [box.state for box in boxes]
    there = sum(state in _THERE for state in states)
    return Page(
        title=settings.title or words("page.title"),
        as_of=words("page.as_of", moment=words.moment(summary.made, zone), zone=settings.time_zone or "UTC"),
        headline=_headline(states, words),
        details=tuple(_details(states, summary, words)),
        percent=100 * there // len(states) if states else None,
        when=tuple(_when_all(states, ended, all_expected, summary, words, zone)),
        boxes=tuple(boxes),
        states=tuple(state for state in STATES if state in states),
        contact=settings.contact,
        switch=settings.switch,
        over=bool(states) and set(states) == {"ready"},
        refresh_s=0 if states and set(states) == {"ready"} else max(0, round(refresh_s)),
        language=words("language.code"),
        direction="rtl" if words("language.direction") == "rtl" else "ltr",
    )


def names_of(
    mailboxes: Sequence[MailboxLine], show: str, name_column: str, words: Wording | None = None
) -> dict[str, str]:
    """How each mailbox is named to others, by job id. A mailbox without a display name is masked."""
    if show == "address":
        return {one.id: safe_text(one.source, NAME_MOST) for one in mailboxes}
    wording = words or Wording()
    if show == "number":
        return {one.id: wording("page.mailbox", number=number) for number, one in enumerate(mailboxes, 1)}
    hidden = masked({one.id: safe_text(one.source, NAME_MOST) for one in mailboxes})
    if show == "masked":
        return hidden
    column = name_column.casefold()
    return {
        one.id: safe_text(
            next(
                (value for key, value in one.extra.items() if key.casefold() == column and value.strip()), ""
            )
            or hidden[one.id],
            NAME_MOST,
        )
        for one in mailboxes
    }


def state_of(mailbox: MailboxLine, runs: Sequence[RunRow], now: float) -> str:
    """One of STATES. "ready" is said after a cutover alone: whatever came before is a copy of an earlier day."""
    if mailbox.state == "error":
        return "trouble"
    if mailbox.state == "running":
        return "held" if mailbox.waiting and mailbox.waiting_until - now > LONG_WAIT_S else "copying"
    if mailbox.state == "waiting":
        return "waiting"
    if mailbox.state not in ("done", "partial") or not mailbox.counts.closes:
        return "paused"
    passname = _pass_of(mailbox, runs)
    if passname == "prestage":
        return "first"
    if mailbox.counts.failed:
        return "gaps"
    return "ready" if passname == "cutover" else "copied"


def _pass_of(mailbox: MailboxLine, runs: Iterable[RunRow]) -> str:
    ended = mailbox.finished or 0.0
    begun = [run for run in runs if run.started <= ended]
    return max(begun, key=lambda run: run.started).passname if begun else ""


def _settled(mailbox: MailboxLine) -> int:
    return mailbox.counts.source - mailbox.counts.open


def _percent(mailbox: MailboxLine, state: str) -> int | None:
    if state in _THERE or state == "first":
        return 100
    if state == "waiting" or not mailbox.counts.source:
        return None
    # What is not all is never shown as all.
    return min(99, 100 * max(0, _settled(mailbox)) // mailbox.counts.source)


def _progress(mailbox: MailboxLine, state: str, words: Wording) -> str:
    if state == "waiting":
        return ""
    if not mailbox.counts.source:
        return words("progress.unknown") if state == "copying" else ""
    counts = mailbox.counts
    return words("progress.of", done=counts.copied + counts.present, all=counts.source)


def _when(
    mailbox: MailboxLine, state: str, expected: Expected | None, now: float, words: Wording, zone: tzinfo
) -> str:
    if state in _THERE or state == "first":
        return (
            words("when.done", moment=words.moment(mailbox.finished, zone, "short"))
            if mailbox.finished
            else ""
        )
    if expected is None:
        return words("when.unknown")
    return words("when.likely", moment=words.moment(_about(expected.likely, now), zone, "short"))


def _slow(expected: Expected | None, now: float, words: Wording, zone: tzinfo) -> str:
    return (
        words("when.slow", moment=words.moment(_about(expected.slow, now), zone, "short")) if expected else ""
    )


def _about(moment: float, now: float) -> float:
    """A forecast to the minute would claim too much: to the next quarter of an hour, from six hours on the next hour."""
    step = 900 if moment - now < 6 * 3600 else 3600
    return -(-moment // step) * step


def _notes(mailbox: MailboxLine, state: str, words: Wording) -> Iterable[str]:
    if mailbox.counts.failed:
        yield words("note.failed", mailbox.counts.failed)
    for skip in mailbox.skips:
        if skip.reason == SkipReason.SEARCH_FOLDER.value:
            continue  # a view: its items lie elsewhere, and are copied there
        if skip.reason == SkipReason.FILTERED_DATE.value and state == "first":
            yield words("note.later", skip.count)
            continue
        known = skip.reason in {reason.value for reason in SkipReason}
        yield words(f"note.{skip.reason}" if known else "note.other", skip.count)


def _headline(states: Sequence[str], words: Wording) -> str:
    total = len(states)
    there = sum(state in _THERE for state in states)
    if not total or set(states) == {"waiting"}:
        return words("headline.nothing")
    if set(states) == {"ready"}:
        return words("headline.all_ready", total)
    if there == total:
        return words("headline.all_copied", total)
    return words("headline.progress", done=there, all=total)


def _details(states: Sequence[str], summary: Summary, words: Wording) -> Iterable[str]:
    for key, wanted in (
        ("copying", ("copying", "held")),
        ("paused", ("paused",)),
        ("trouble", ("trouble",)),
    ):
        count = sum(state in wanted for state in states)
        if count:
            yield words(f"headline.{key}", count)
    if summary.totals.failed:
        yield words("headline.failed", summary.totals.failed)


def _when_all(
    states: Sequence[str],
    ended: Sequence[float],
    expected: Expected | None,
    summary: Summary,
    words: Wording,
    zone: tzinfo,
) -> Iterable[str]:
    if states and all(state in _THERE for state in states):
        if ended:
            yield words("when.finished", moment=words.moment(max(ended), zone))
    elif expected is None or "trouble" in states:
        yield words("when.unknown_why")
    else:
        # A pre-stage brings the older part: its end is not the end.
        first = "first" in states or (bool(summary.runs) and summary.runs[-1].passname == "prestage")
        likely, slow = (_about(moment, summary.made) for moment in (expected.likely, expected.slow))
        yield words("when.first_likely" if first else "when.all_likely", moment=words.moment(likely, zone))
        yield words("when.all_slow", moment=words.moment(slow, zone))


# --- drawing


def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Values pass `safe_text` as well as autoescape: direction overrides mislead in a browser too.
    environment.finalize = lambda value: safe_text(value) if type(value) is str else value
    # Whatever declares text to be markup would let a mailbox's name be markup.
    for name in ("safe", "urlize", "xmlattr"):
        del environment.filters[name]
    return environment


def _compiled(look: Look) -> Any:
    return _compiled_text(look.template)


@lru_cache(maxsize=4)
def _compiled_text(template: str) -> Any:
    from jinja2 import TemplateSyntaxError, nodes

    environment = _environment()
    text = template or BUILT_IN.read_text("utf-8")
    try:
        tree = environment.parse(text)
        for node in tree.find_all((nodes.EvalContextModifier, nodes.ScopedEvalContextModifier)):
            raise UserError(
                f"customer.html, line {node.lineno}: escaping cannot be turned off",
                code="template_invalid",
                remedy="take the {% autoescape %} tag away",
            )
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise UserError(
            f"customer.html, line {error.lineno}: {error.message}",
            code="template_invalid",
            remedy="mend the file in the project's folder customer, or take it away: the built-in page is used then",
        ) from None


def _drawn(look: Look, page: Page) -> str:
    words = look.wording
    try:
        return str(_compiled(look).render(page=page, t=words, each=words.each))
    except UserError:
        raise
    except Exception as error:
        if not look.template:
            raise
        # Whatever a template of somebody's own does wrong (jinja2, the sandbox, arithmetic) is for its owner to mend.
        raise UserError(
            f"customer.html cannot be drawn: {safe_text(str(error), 200)}",
            code="template_invalid",
            remedy="mend the file in the project's folder customer, or take it away: the built-in page is used then",
        ) from None
