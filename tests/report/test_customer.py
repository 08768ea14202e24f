"""The page for the people whose mail it is: true, plain, theirs to change, and silent about others."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from html import unescape
from pathlib import Path

import pytest

from migrator.errors import UserError
from migrator.ledger import RunRow
from migrator.model import SkipReason
from migrator.plan.telling import CustomerSettings
from migrator.report.customer import (
    BUILT_IN,
    STATES,
    Expected,
    Look,
    customer_page,
    load_look,
    to_customer_html,
)
from migrator.report.summary import Counts, MailboxLine, SkipLine, Summary
from migrator.report.whole import TRIES, write_whole
from migrator.report.wording import ENGLISH, Wording, load_wording
from tests.report.browser import Chromium, chromium  # noqa: F401
from tests.report.samples import NOW

GERMAN = Path(__file__).parents[2] / "examples" / "customer-page" / "de.toml"


def box(
    number: int, state: str, source: int = 0, copied: int = 0, failed: int = 0,
    skips: dict[str, int] | None = None, finished: float | None = None, **given: object,
) -> MailboxLine:  # fmt: skip
    left_out = skips or {}
    return dataclasses.replace(
        MailboxLine(
            id=f"j{number}", line=number + 1, batch="", source=f"person{number}@old.example", target="t",
            source_endpoint="old", target_endpoint="new", state=state, code="", error="", remedy="", waiting="",
            waiting_until=0.0, started=None, finished=finished, folders=(), extra={},
            counts=Counts(source=source, copied=copied, failed=failed, skipped=sum(left_out.values())),
            skips=tuple(SkipLine(reason, count, "", "") for reason, count in left_out.items()),
        ),
        **given,  # type: ignore[arg-type]
    )  # fmt: skip


def run(passname: str, started: float) -> RunRow:
    return RunRow(1, started, None, None, passname, "h", 1, "v", {})


def summary(*boxes: MailboxLine, passname: str = "delta") -> Summary:
    totals = Counts()
    for one in boxes:
        totals = totals + one.counts
    return Summary(NOW, "Acme", boxes, totals, (), (), runs=(run(passname, NOW - 50_000),))


ALL = (
    box(1, "done", 100, 96, skips={"too_large": 3, "vanished": 1}, finished=NOW - 3600),
    box(2, "partial", 100, 96, 4, finished=NOW - 3600),
    box(3, "running", 1000, 999),
    box(4, "running"),
    box(5, "running", 100, 10, waiting="throttled", waiting_until=NOW + 3000),
    box(6, "waiting"),
    box(7, "stopped", 4000, 1200),
    box(8, "error", 5, 1, error="boom"),
)


def text_of(page: str) -> str:
    body = page.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_where_everybody_stands() -> None:
    page = customer_page(summary(*ALL), Look(CustomerSettings(show="address")), expected={})
    found = {one.name: (one.state, one.percent, one.progress, one.when) for one in page.boxes}
    assert found == {
        "person1@old.example": ("copied", 100, "96 of 100 items", "since 21 September, 13:13"),
        "person2@old.example": ("gaps", 100, "96 of 100 items", "since 21 September, 13:13"),
        "person3@old.example": ("copying", 99, "999 of 1,000 items", "Not yet known."),
        "person4@old.example": ("copying", None, "not counted yet", "Not yet known."),
        "person5@old.example": ("held", 10, "10 of 100 items", "Not yet known."),
        "person6@old.example": ("waiting", None, "", "Not yet known."),
        "person7@old.example": ("paused", 30, "1,200 of 4,000 items", "Not yet known."),
        "person8@old.example": ("trouble", 20, "1 of 5 items", "Not yet known."),
    }
    assert page.boxes[0].notes == (
        "3 items are larger than the new system takes.",
        "1 item was deleted or moved while we were copying.",
    )
    assert page.boxes[1].notes == ("4 items could not be copied so far. We know which ones.",)
    assert page.headline == "2 of 8 mailboxes are copied."
    assert page.details == (
        "3 are being copied right now.",
        "One is paused and goes on later.",
        "One has hit a problem that we have to solve.",
        "4 items could not be copied so far.",
    )
    assert page.when == ("Not yet known. We say so here as soon as we can tell.",)
    assert (page.percent, page.over) == (25, False)


@pytest.mark.parametrize(
    ("passname", "state", "headline"),
    [
        ("prestage", "first", "0 of 1 mailboxes are copied."),
        ("delta", "copied", "The mailbox is copied."),
        ("cutover", "ready", "The mailbox is ready."),
    ],
)
def test_ready_is_said_after_a_cutover_alone(passname: str, state: str, headline: str) -> None:
    one = box(1, "done", 10, 8, skips={"filtered_date": 2}, finished=NOW)
    page = customer_page(summary(one, passname=passname), Look(), expected={})
    assert (page.boxes[0].state, page.headline) == (state, headline)
    assert ("follow" in page.boxes[0].notes[0]) == (passname == "prestage")


def test_what_does_not_close_is_not_called_done() -> None:
    page = customer_page(
        summary(box(1, "done", 10, 9, finished=NOW), passname="cutover"), Look(), expected={}
    )
    assert (page.boxes[0].state, page.boxes[0].percent) == ("paused", 90)
    page = customer_page(
        summary(box(1, "partial", 10, 9, 1, finished=NOW), passname="cutover"), Look(), expected={}
    )
    assert (page.boxes[0].state, page.over) == ("gaps", False)


def test_a_forecast_is_told_no_finer_than_it_is() -> None:
    expected = {"j3": Expected(NOW + 100, NOW + 4000), "j4": Expected(NOW + 90_000, NOW + 99_000)}
    two = summary(ALL[0], ALL[2], ALL[3])
    look = Look(CustomerSettings(show="address", time_zone="Europe/Berlin"))
    page = customer_page(two, look, expected=expected, all_expected=expected["j4"])
    assert [(one.when, one.slow) for one in page.boxes[1:]] == [
        ("Probably 21 September, 16:15", "If it goes slowly: 21 September, 17:30"),
        ("Probably 22 September, 18:00", "If it goes slowly: 22 September, 20:00"),
    ]
    assert page.when == (
        "Everything is probably copied by Tuesday, 22 September, 18:00.",
        "If it goes slowly: Tuesday, 22 September, 20:00.",
    )
    unknown = customer_page(summary(*ALL[:7]), look, expected=expected, all_expected=expected["j4"])
    assert unknown.when == ("Not yet known. We say so here as soon as we can tell.",), "of some, not of all"
    early = customer_page(
        summary(ALL[2], ALL[3], passname="prestage"), look, expected=expected, all_expected=expected["j4"]
    )
    assert early.when[0].startswith("The first part is probably copied by Tuesday")


@pytest.mark.parametrize(
    ("show", "names"),
    [
        ("address", ["ann.smith@old.example", "bob@old.example", "cy@old.example"]),
        ("masked", ["a…h@old.example", "b…b@old.example", "c…@old.example"]),
        ("number", ["Mailbox 1", "Mailbox 2", "Mailbox 3"]),
        ("name", ["Ann Smith", "b…b@old.example", "c…@old.example"]),
    ],
)
def test_names_are_as_the_admin_chose(show: str, names: list[str]) -> None:
    boxes = [
        box(1, "waiting", source=0, extra={"displayname": "Ann Smith", "Secret": "x"}),
        box(2, "waiting", extra={"DisplayName": " "}),
        box(3, "waiting"),
    ]
    addresses = ("ann.smith@old.example", "bob@old.example", "cy@old.example")
    boxes = [dataclasses.replace(one, source=address) for one, address in zip(boxes, addresses, strict=True)]
    look = Look(CustomerSettings(show=show))  # type: ignore[arg-type]
    page = to_customer_html(summary(*boxes), look)
    assert [one.name for one in customer_page(summary(*boxes), look, expected={}).boxes] == names
    for address in addresses:
        assert (address in page) == (address in names)


def test_nothing_technical_and_nothing_of_others() -> None:
    boxes = [
        dataclasses.replace(one, error="SECRET-ERROR", code="SECRET-CODE", target="SECRET-TARGET", remedy="SECRET-TODO",
                            batch="SECRET-BATCH", extra={"x": "SECRET-EXTRA"}, waiting="SECRET-WORDS")
        for one in ALL
    ]  # fmt: skip
    page = to_customer_html(summary(*boxes), Look(CustomerSettings(contact="IT, 4711", switch="Monday")))
    assert "SECRET" not in page
    text = text_of(page)
    for word in ("ledger", "token", "Graph", "EWS", "throttl", "error", "exit code", "sync"):
        assert word.casefold() not in text.casefold()
    assert "What to do on Monday" in text
    assert "Please ask: IT, 4711" in text
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_it_renews_itself_until_all_is_ready() -> None:
    assert '<meta http-equiv="refresh" content="60">' in to_customer_html(summary(*ALL), Look(), refresh_s=60)
    assert "refresh" not in to_customer_html(summary(*ALL), Look())
    ready = summary(box(1, "done", 1, 1, finished=NOW), passname="cutover")
    assert "refresh" not in to_customer_html(ready, Look(), refresh_s=60)


def test_an_empty_ledger() -> None:
    text = text_of(to_customer_html(Summary(NOW, "x", (), Counts(), (), ()), Look()))
    assert "Nothing has been copied yet." in text


# --- words


def test_every_state_and_reason_has_words() -> None:
    words = Wording()
    for state in STATES:
        assert words(f"state.{state}")
        assert words(f"meaning.{state}")
    for reason in set(SkipReason) - {SkipReason.SEARCH_FOLDER}:
        assert words(f"note.{reason.value}", 1) != words(f"note.{reason.value}", 2)


def test_another_language(tmp_path: Path) -> None:
    words = Wording(GERMAN.read_text("utf-8"), "de.toml")
    assert words.missing == (), "the example is complete"
    (tmp_path / "customer").mkdir()
    (tmp_path / "customer" / "de.toml").write_bytes(GERMAN.read_bytes())
    look = load_look(CustomerSettings(language="de", time_zone="Europe/Berlin", switch="Montag"), tmp_path)
    page = to_customer_html(summary(*ALL), look)
    assert '<html lang="de" dir="ltr">' in page
    text = text_of(page)
    assert "1.200 von 4.000 Elementen" in text
    assert "Montag, 21. September, 16:13 Uhr" in text
    assert "Was am Montag zu tun ist" in text
    english = [
        one for one in ("Being copied", "Not yet known", "What to do", "mailbox is moving") if one in text
    ]
    assert not english


def test_what_a_translation_leaves_out_stays_english() -> None:
    words = Wording('[state]\ncopied = "Kopiert"\n[language]\nplural = "0"\nthousands = "\'"\n', "x.toml")
    assert (words("state.copied"), words("state.paused")) == ("Kopiert", "Paused")
    # Its own sentences are counted by its own rule, those that stayed English as in English.
    assert words("note.failed", 1000).startswith("1'000 items could")
    assert "note.failed" in words.missing


def test_forms_for_numbers_as_gettext_has_them() -> None:
    polish = Wording(
        '[language]\nplural = "n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2"\n'
        '[note]\nfailed = ["{n} element", "{n} elementy", "{n} elementów"]\n'
    )
    assert [polish("note.failed", n) for n in (1, 3, 5, 22)] == [
        "1 element",
        "3 elementy",
        "5 elementów",
        "22 elementy",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[state\n", "not valid TOML"),
        ('[state]\nrady = "x"', "state.rady: there is no such key"),
        ("[state]\nready = 3", "state.ready: text in quotes"),
        ('[note]\nfailed = "x"', "note.failed: a list"),
        ("[note]\nfailed = []", "note.failed: a list"),
        ('[date]\nmonths = ["a"]', "12 names are wanted, here are 1"),
        ('[language]\nplural = "__import__(1)"', "language.plural"),
        ('[language]\nplural = "n+100"', "language.plural"),
        ('[language]\nplural = "1/(n-n)"', "language.plural"),
        ('x = "y"', "x: there is no such key"),
    ],
)
def test_faults_of_a_strings_file(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Wording(text, "de.toml")
    assert any(words in one for one in caught.value.problems), caught.value.problems


def test_a_language_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no words for language 'fr'"):
        load_wording(tmp_path, "fr")
    assert load_wording(tmp_path, "en").missing == ()


def test_words_cannot_reach_into_the_program() -> None:
    words = Wording('[headline]\nprogress = "{done.__class__} {0} {done!r} %s {all}"')
    assert words("headline.progress", done=1, all=2) == "{done.__class__} {0} {done!r} %s 2"


# --- templates


def own(template: str) -> Look:
    return Look(template=template)


def test_a_template_of_ones_own() -> None:
    look = own(
        "<h1>{{ page.headline }}</h1>{% for b in page.boxes %}<p>{{ b.name }}: {{ t('state.' ~ b.state) }}</p>{% endfor %}"
    )
    page = to_customer_html(summary(box(1, "waiting", source=0, extra={})), look)
    assert page == "<h1>Nothing has been copied yet.</h1><p>p…1@old.example: Waiting for its turn</p>"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for %}", "customer.html, line 1"),
        (
            "\n{% autoescape false %}{{ page.title }}{% endautoescape %}",
            "line 2: escaping cannot be turned off",
        ),
        ("{{ page.title|safe }}", "No filter named 'safe'"),
        ("{{ page.title|urlize }}", "No filter named 'urlize'"),
        ("{{ page.nothing }}", "cannot be drawn"),
        ("{{ t('state.nothing') }}", "no words called 'state.nothing'"),
        ("{{ page.__class__.__mro__ }}", "cannot be drawn"),
        ("{{ t.__init__.__globals__ }}", "cannot be drawn"),
        ("{{ ''.__class__ }}", "cannot be drawn"),
        ("{% for n in range(999999999) %}x{% endfor %}", "cannot be drawn"),
        ("{{ 1/0 }}", "cannot be drawn"),
        ("{% include '/etc/passwd' %}", "cannot be drawn"),
    ],
)
def test_templates_that_are_refused(template: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        to_customer_html(summary(*ALL), own(template))
    assert words in caught.value.message
    assert caught.value.remedy


def test_a_broken_template_is_told_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "customer").mkdir()
    (tmp_path / "customer" / "customer.html").write_text("{% if %}", encoding="utf-8")
    with pytest.raises(UserError, match="line 1"):
        load_look(CustomerSettings(), tmp_path)


def test_the_exported_template_is_the_built_in_one(tmp_path: Path) -> None:
    from migrator.cli.customer import export_template

    folder = tmp_path / "customer"
    export_template(folder)
    assert (folder / "customer.html").read_text("utf-8") == BUILT_IN.read_text("utf-8")
    assert (folder / "en.toml").read_text("utf-8") == ENGLISH.read_text("utf-8")
    look = load_look(CustomerSettings(), tmp_path)
    assert look.template
    assert to_customer_html(summary(*ALL), look) == to_customer_html(summary(*ALL), Look())
    with pytest.raises(UserError, match="is there already"):
        export_template(folder)


# --- the file


def test_a_reader_sees_the_old_page_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.html"
    write_whole(path, "one")
    replaced = os.replace
    tried: list[float] = []

    def busy(source: object, target: object) -> None:
        assert path.read_text("utf-8") == "one"
        if len(tried) < 3:
            raise PermissionError(13, "somebody reads it")  # what Windows says while a file is open
        replaced(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", busy)
    write_whole(path, "two", sleep=tried.append)
    assert path.read_text("utf-8") == "two"
    assert len(tried) == 3

    def never(source: object, target: object) -> None:
        raise PermissionError(13, "somebody reads it")

    monkeypatch.setattr(os, "replace", never)
    tried.clear()
    with pytest.raises(PermissionError):
        write_whole(path, "three", sleep=tried.append)
    assert len(tried) == TRIES - 1
    assert path.read_text("utf-8") == "two"
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"], "nothing is left lying about"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are a POSIX thing")
def test_a_web_server_may_read_it(tmp_path: Path) -> None:
    from migrator.cli.customer import put_page

    old = os.umask(0o022)
    try:
        assert put_page(tmp_path / "web", "x").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(old)


# --- in a browser


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_looks_right(chromium: Chromium, tmp_path: Path, width: int, dark: bool) -> None:  # noqa: F811
    path = tmp_path / "index.html"
    look = Look(CustomerSettings(contact="IT", switch="Monday", show="address"))
    path.write_text(to_customer_html(summary(*ALL), look), encoding="utf-8")
    with chromium.open(path, width=width, dark=dark, policy=True) as shown:
        assert shown.quiet, shown.misdeeds
        assert shown.overflow == 0
        assert shown.axe() == []


def test_it_prints_dark_on_white(chromium: Chromium, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "index.html"
    path.write_text(to_customer_html(summary(*ALL), Look()), encoding="utf-8")
    with chromium.open(path, width=720, dark=True, paper=True) as shown:
        colours = shown.page.evaluate(
            "['body', 'h1', '.card', 'dd'].map(s => getComputedStyle(document.querySelector(s)).color)"
        )
        assert set(colours) == {"rgb(27, 36, 48)"}
        assert shown.axe() == []
