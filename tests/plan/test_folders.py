"""Folder mapping and filters, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.model import Folder, ItemRef, Kind, Role, SkipReason
from migrator.plan.filters import decide_date, decide_folder, parse_date, pattern_problem, roles_of
from migrator.plan.folders import FolderRules, map_folders, parse_path, path_text, reserved_names
from migrator.settings import RunSettings


def folder(*path: str, role: Role | None = None, hidden: bool = False, search: bool = False) -> Folder:
    return Folder(id="\x1f".join(path), path=path, role=role, hidden=hidden, search=search)


GERMAN = [
    folder("Posteingang", role=Role.INBOX),
    folder("Posteingang", "Kunden"),
    folder("Gesendete Elemente", role=Role.SENT),
    folder("Inbox"),
    folder("Projekte/2024"),
    folder("Projekte/2024", " leading"),
    folder("Kalender", role=Role.CALENDAR),
]


def mapped(
    folders: list[Folder], rules: FolderRules | None = None, reserved: tuple[str, ...] = ()
) -> list[str]:
    places = map_folders(folders, rules, reserved=reserved)
    return [
        f"{path_text(one.path)} → {('@' + place.role + ' ') if place.role else ''}{path_text(place.path)}"
        for one in folders
        for place in [places[one.id]]
    ]


def test_by_role_then_by_name() -> None:
    assert mapped(GERMAN, reserved=("Inbox", "Sent Items")) == [
        "Posteingang → @inbox ",
        "Posteingang/Kunden → @inbox Kunden",
        "Gesendete Elemente → @sent ",
        "Inbox → Inbox (2)",
        "Projekte\\/2024 → Projekte\\/2024",
        "Projekte\\/2024/ leading → Projekte\\/2024/ leading",
        "Kalender → @calendar ",
    ]


def test_names_that_differ_in_case_alone() -> None:
    folders = [
        folder("inbox stuff"),
        folder("Inbox Stuff"),
        folder("Inbox Stuff", "a"),
        folder("inbox stuff", "a"),
    ]
    assert mapped(folders) == [
        "inbox stuff → inbox stuff (2)",
        "Inbox Stuff → Inbox Stuff",
        "Inbox Stuff/a → Inbox Stuff/a",
        "inbox stuff/a → inbox stuff (2)/a",
    ]
    assert mapped(folders[::-1]) == mapped(folders)[::-1]


def test_odd_names() -> None:
    places = map_folders(
        [folder("a\x07b"), folder("  "), folder("x" * 300), folder("x" * 299), folder("e\u0301"), folder("é")]
    )
    paths = [place.path for place in places.values()]
    assert paths[:2] == [("a_b",), ("(no name)",)]
    assert {len(path[0]) for path in paths[2:4]} == {255}
    assert len(set(paths)) == 6
    assert all(place.notes for key, place in places.items() if key not in ("é", "e\u0301"))


def test_too_deep() -> None:
    deep = folder(*(f"n{at}" for at in range(320)))
    place = map_folders([deep])[deep.id]
    assert len(place.path) == 300
    assert place.path[:299] == deep.path[:299]
    assert any("deeper than 300" in note for note in place.notes)


def test_the_outbox_sends_nothing() -> None:
    folders = [
        folder("Outbox", role=Role.OUTBOX),
        folder("Drafts", role=Role.DRAFTS),
        folder("Drafts", "Outbox"),
    ]
    assert mapped(folders) == [
        "Outbox → @drafts Outbox",
        "Drafts → @drafts ",
        "Drafts/Outbox → @drafts Outbox (2)",
    ]


def test_a_second_folder_with_a_role_goes_by_name() -> None:
    folders = [folder("Inbox", role=Role.INBOX), folder("Old", "Inbox", role=Role.INBOX), folder("Old")]
    assert mapped(folders) == ["Inbox → @inbox ", "Old/Inbox → Old/Inbox", "Old → Old"]


def test_rules() -> None:
    rules = FolderRules(under=("From old",), rename={("Projekte/2024",): ("P", "24")})
    assert mapped(GERMAN, rules, reserved=("Inbox",)) == [
        "Posteingang → From old/Posteingang",
        "Posteingang/Kunden → From old/Posteingang/Kunden",
        "Gesendete Elemente → From old/Gesendete Elemente",
        "Inbox → From old/Inbox",
        "Projekte\\/2024 → From old/P/24",
        "Projekte\\/2024/ leading → From old/P/24/ leading",
        "Kalender → From old/Kalender",
    ]


def test_reserved_names() -> None:
    assert reserved_names([*GERMAN, folder("A", "B", role=Role.ARCHIVE)]) == [
        "Posteingang",
        "Gesendete Elemente",
        "Kalender",
    ]


NAMES = st.text(st.sampled_from("aAéÉ/ \\.x\x00"), max_size=4)


@given(st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=12))
def test_no_two_folders_get_the_same_place(paths: set[tuple[str, ...]]) -> None:
    folders = [folder(*path) for path in sorted(paths)]
    places = map_folders(folders)
    seen = {(place.role, tuple(name.casefold().strip() for name in place.path)) for place in places.values()}
    assert len(seen) == len({one.id for one in folders})
    assert all(name.strip() for place in places.values() for name in place.path)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_path_text_is_read_back(names: list[str]) -> None:
    assert parse_path(path_text(tuple(names))) == tuple(names)


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), "0123456"),
        (("@inbox",), (), "01"),
        (("posteingang",), (), "01"),
        (("@inbox/*",), (), "1"),
        (("Projekte\\/*",), (), "45"),
        (("Projekte/*",), (), ""),
        (("**/Kunden",), (), "1"),
        (("**",), ("@inbox",), "23456"),
        (("Inbox",), (), "3"),
        (("\\@inbox",), (), ""),
        (("*e*",), ("G*",), "01456"),
        (("/Inbox/",), (), "3"),
        ((), ("*",), ""),
    ],
)
def test_folder_patterns(include: tuple[str, ...], exclude: tuple[str, ...], taken: str) -> None:
    settings = RunSettings(include_folders=include, exclude_folders=exclude)
    roles = roles_of(GERMAN)
    found = [str(at) for at, one in enumerate(GERMAN) if decide_folder(one, settings, roles) is None]
    assert "".join(found) == taken


def test_search_and_hidden_folders() -> None:
    hidden = folder("Quick Step Settings", hidden=True)
    assert decide_folder(folder("Unread", search=True), RunSettings()) is SkipReason.SEARCH_FOLDER
    assert (
        decide_folder(folder("Unread", search=True), RunSettings(include_folders=("Unread",)))
        is SkipReason.SEARCH_FOLDER
    )
    assert decide_folder(hidden, RunSettings()) is SkipReason.FILTERED_FOLDER
    assert decide_folder(hidden, RunSettings(include_folders=("**",))) is SkipReason.FILTERED_FOLDER
    assert decide_folder(hidden, RunSettings(include_folders=("Quick*",))) is None


def test_pattern_problems() -> None:
    assert pattern_problem("@sent/2024*") == ""
    assert "no folder role is called 'outbx'" in pattern_problem("@outbx")
    assert pattern_problem(" ")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_date_limits() -> None:
    settings = RunSettings(since=day("2024-01-01"), until=day("2024-07-01"))
    mail = ItemRef(id="1", folder=(), kind=Kind.MAIL, version="")

    def fate(ref: ItemRef) -> bool:
        return decide_date(ref, settings) is None

    assert fate(mail)
    assert fate(replace(mail, received=day("2024-01-01")))
    assert not fate(replace(mail, received=day("2023-12-31")))
    assert not fate(replace(mail, received=day("2024-07-01")))
    assert not fate(replace(mail, sent=day("2020-01-01"), modified=day("2024-02-02")))
    assert fate(replace(mail, kind=Kind.CONTACT, received=day("1999-01-01")))
    assert fate(replace(mail, kind=Kind.EVENT, received=day("1999-01-01")))
    assert decide_date(replace(mail, received=day("1999-01-01")), RunSettings()) is None


def test_dates_as_typed() -> None:
    now = day("2026-10-01")
    assert parse_date("90d", now=now) == day("2026-07-03")
    assert parse_date("2w", now=now) == day("2026-09-17")
    assert parse_date("2024-01-31", now=now) == day("2024-01-31")
    assert parse_date("2024-01-31T01:00+01:00", now=now) == day("2024-01-31")
    for wrong in ("yesterday", "2024-13-01", "", "99999w"):
        with pytest.raises(ValueError, match="is not a date"):
            parse_date(wrong, now=now)


def test_folders_that_would_fall_together_are_told_with_the_other() -> None:
    folders = [
        folder("Posteingang", role=Role.INBOX),
        folder("Zweiter Eingang", role=Role.INBOX),
        folder("Sales"),
        folder("SALES"),
        folder("sales "),
        folder("a\x01b"),
        folder("a\x02b"),
        folder("Inbox"),
        folder("Inbox", "Below"),
    ]
    places = map_folders(folders, reserved=("Inbox",))
    clashes = {one.path: clash for one in folders if (clash := places[one.id].clash) is not None}
    assert {path: (clash.other, clash.why) for path, clash in clashes.items()} == {
        ("Zweiter Eingang",): (
            ("Posteingang",),
            "both claim to be the folder inbox: this one goes by its name",
        ),
        ("Sales",): (("SALES",), "the names differ in letter case alone"),
        ("sales ",): (
            ("SALES",),
            "the names differ in blanks or in how an accent is written alone",
        ),
        ("a\x02b",): (
            ("a\x01b",),
            "the names are the same after what the target does not take was replaced",
        ),
        ("Inbox",): (None, "the target's own folder has this name"),
    }
    assert (
        len(
            {(place.role, tuple(name.casefold().strip() for name in place.path)) for place in places.values()}
        )
        == 9
    )
