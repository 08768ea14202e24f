"""The tables [customer] and [notify] of a project file, and masks of addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UserError
from migrator.plan.project import Project, parse_project
from migrator.plan.telling import TOPICS, masked

ENDPOINTS = '[endpoints.old]\nkind = "ews"\n[endpoints.new]\nkind = "graph"\n'


def parsed(text: str) -> Project:
    return parse_project(ENDPOINTS + text, Path("migration.toml"))


def faults(text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        parsed(text)
    return list(caught.value.problems)


def test_nothing_said_is_masked_and_silent() -> None:
    project = parsed("")
    assert (project.customer.show, project.customer.language, project.customer.every_s) == (
        "masked",
        "en",
        60.0,
    )
    assert project.notify.receivers == ()


def test_all_said() -> None:
    project = parsed(
        """
[run]
time_zone = "Europe/Berlin"
[customer]
show = "name"
every = "2m"
[notify]
on = ["started", "finished"]
bundle = "90s"
[notify.to.team]
kind = "teams"
url = "env:TEAMS"
[notify.to.desk]
kind = "email"
on = ["down"]
server = "smtp.example.com"
security = "tls"
username = "robot"
secret = "file:pw.txt"
sender = "robot@example.com"
to = ["desk@example.com"]
"""
    )
    assert (project.customer.time_zone, project.customer.every_s) == ("Europe/Berlin", 120.0)
    team, desk = project.notify.receivers
    assert (team.kind, team.url, team.on) == ("teams", "env:TEAMS", {"started", "finished"})
    assert (desk.port, desk.on, desk.to) == (465, {"down"}, ("desk@example.com",))
    assert desk.secret == f"file:{project.folder / 'pw.txt'}"
    assert project.notify.bundle_s == 90.0
    assert not {"TEAMS", "pw.txt"} & set(repr(project).replace("'", " ").split())
    assert "pw.txt" not in repr(project)
    assert set(TOPICS) == {"started", "mailboxes", "slipping", "down", "back", "finished"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[notify.to.t]\nkind = "teams"\nurl = "https://hook.example/secret"', "notify.to.t.url: a secret is never"),
        ('[notify.to.t]\nkind = "teams"', "notify.to.t.url: is missing"),
        ('[notify.to.t]\nkind = "slack"\nurl = "env:A"\nserver = "x"', "notify.to.t.server: belongs to kind"),
        ('[notify.to.t]\nkind = "telegram"\nurl = "env:A"', "notify.to.t.kind: one of teams, slack"),
        ('[notify.to.t]\nkind = "email"', "notify.to.t.server: is missing"),
        ('[notify.to.t]\nkind = "email"\nserver = "s"\nsender = "a b@c"\nto = ["d@e"]', "'a b@c' is no address"),
        (
            '[notify.to.t]\nkind = "email"\nserver = "s"\nsender = "a@b"\nto = ["d@e"]\n'
            'security = "none"\nusername = "a"\nsecret = "env:P"',
            "no password is sent without TLS",
        ),
        (
            '[notify.to.t]\nkind = "email"\nserver = "s"\nsender = "a@b"\nto = ["d@e"]\nusername = "a"',
            "username and secret go together",
        ),
        ('[notify]\non = ["finshed"]', "did you mean 'finished'?"),
        ('[notify.to."x y"]\nkind = "slack"\nurl = "env:A"', "a name of letters"),
        ('[customer]\nshow = "all"', "customer.show: one of masked, address, name, number"),
        ('[customer]\nlanguage = "../x"', "customer.language"),
        ('[customer]\nevery = "1s"', "customer.every"),
        ('[customer]\ntime_zone = "Mars"', "is no time zone"),
    ],
)  # fmt: skip
def test_faults(text: str, words: str) -> None:
    found = faults(text)
    assert any(words in fault for fault in found), found
    assert "hook.example" not in "\n".join(found)


def test_masks() -> None:
    assert masked({"1": "ann@old.example", "2": "bob@old.example"}) == {
        "1": "a…n@old.example",
        "2": "b…b@old.example",
    }
    assert masked({"1": "anna.m@x.example", "2": "anne.m@x.example"}) == {
        "1": "anna.m@x.example"[:3] + "…m@x.example (1)",
        "2": "ann…m@x.example (2)",
    }
    assert masked({"1": "a@x.example"}) == {"1": "a…@x.example"}


@given(st.dictionaries(st.text(max_size=3), st.emails(), max_size=8))
def test_masks_hide_and_differ(addresses: dict[str, str]) -> None:
    found = masked(addresses)
    assert set(found) == set(addresses)
    assert len(set(found.values())) == len(found)
    for key, shape in found.items():
        name = addresses[key].rpartition("@")[0]
        if len(name) > 3:
            shown = shape.partition("…")[0]
            assert name.startswith(shown)
            assert len(shown) <= len(name) // 2
