"""check, plan and verify as text, CSV and JSON, from records made by hand: every branch, and nothing hostile gets out."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migrator.assembly import CanaryCheck, CheckResult, JobCheck, SideCheck
from migrator.cli import check, plan, verify
from migrator.cli.loading import Loaded
from migrator.cli.planning import plan_made
from migrator.engine.canary import Sung
from migrator.engine.survey import FolderSurvey, MailboxSurvey
from migrator.engine.verify import Difference, FolderVerdict, MailboxVerdict
from migrator.interfaces import Finding
from migrator.model import Job, Kind, Mailbox, Role, SkipReason
from migrator.plan.manifest import parse_manifest
from migrator.plan.planner import make_plan
from migrator.plan.project import parse_project
from migrator.settings import RunSettings

NASTY = "=1\x1b[2J\u202e,x"
DAY = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.fixture
def loaded() -> Loaded:
    project = parse_project(
        '[endpoints.old]\nkind="ews"\n[endpoints.new]\nkind="graph"\n[defaults]\nsource="old"\ntarget="new"\n',
        Path("migration.toml"),
    )
    manifest = parse_manifest(
        b"source,target,Note\na@o.example,a@n.example,x\nb@o.example,b@n.example,\n", name="m.csv"
    )
    made = make_plan(project, manifest)
    return Loaded(project, manifest, made, made.jobs)


def job(name: str, line: int = 2) -> Job:
    return Job(name, line, Mailbox("old", f"{name}@o.example"), Mailbox("new", f"{name}@n.example"))


def harmless(text: str) -> str:
    assert "\x1b" not in text
    assert "\u202e" not in text
    return text


def side(name: str, **fields: object) -> SideCheck:
    return SideCheck(Mailbox("old", name), "Exchange 2016", "guid", **fields)  # type: ignore[arg-type]


GOOD = JobCheck(job("a"), side("a@o.example"), side("a@n.example"))
BAD = JobCheck(
    job("b", 3),
    side(
        "b@o.example", findings=(Finding("warning", "nearly full " + NASTY, "tidy up"), Finding("ok", "fine"))
    ),
    side("b@n.example", error="b@n.example: refused " + NASTY, code="no_mailbox"),
)
SUNG = (
    Sung(Kind.MAIL, "synthetic", True, "not kept: draft"),
    Sung(Kind.TASK, "synthetic", False, "refused " + NASTY),
)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (CheckResult((GOOD,), (CanaryCheck("new", "a@n.example", SUNG),)), 0),
        (CheckResult((GOOD,), (), ("new: not asked what it accepts (--no-canary)",)), 0),
        (CheckResult((GOOD, BAD)), 2),
        (CheckResult((GOOD,), (CanaryCheck("new", "a@n.example", SUNG[1:]),)), 2),
        (
            CheckResult(
                (GOOD,),
                (CanaryCheck("new", "a@n.example", error="gone", code="source_refused", remedy="wait"),),
            ),
            4,
        ),
        (CheckResult((JobCheck(job("a"), side("a", error="down", code="source_dns"), side("b")),)), 4),
    ],
)
def test_check(loaded: Loaded, result: CheckResult, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    check.show(loaded, result)
    text = " ".join(harmless(capsys.readouterr().out).split())
    assert check.exit_code(result, False) == code
    assert check.exit_code(result, True) == 130
    assert ("Everything fits" in text) == (code == 0)
    found = json.loads(harmless(check.to_json(loaded, result)))
    assert found["ok"] == (code == 0)
    if BAD in result.jobs:
        assert "source: nearly full" in text
        assert "→ tidy up" in text
        assert "target: refused" in text
        assert "→ Check the address" in text
        assert found["rows"][1]["target"]["code"] == "no_mailbox"
    for canary in result.canaries:
        if canary.verdicts:
            assert "task a stream made here NO refused" in text
            assert "asked with small items in a@n.example, removed again" in text
        else:
            assert "could not be asked what it takes: gone" in text


SURVEYS = [
    MailboxSurvey(
        job("a"),
        (
            FolderSurvey(
                ("Posteingang",), Kind.MAIL, (), Role.INBOX, (), items=10, octets=5000, largest=900, kinds={Kind.MAIL: 10},
                oldest=DAY, newest=DAY, known=2, to_copy=5, octets_to_copy=2500, skipped={SkipReason.FILTERED_DATE: 3},
            ),
            FolderSurvey((NASTY,), Kind.MAIL, ("x",), None, ("renamed " + NASTY,), items=1, octets=1, to_copy=1),
            FolderSurvey(("Junk",), Kind.MAIL, (), Role.JUNK, (), SkipReason.FILTERED_FOLDER, items=7),
            FolderSurvey(("Unread",), Kind.MAIL, (), None, (), SkipReason.SEARCH_FOLDER, items=99),
        ),
        (Finding("warning", "quota is nearly used", "enlarge it"),),
    ),
    MailboxSurvey(job("b", 3), error="no right " + NASTY, code="permission", remedy="give one"),
]  # fmt: skip


def test_plan_text(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    plan.as_text(loaded, SURVEYS, plan_made(loaded, RunSettings(), SURVEYS), details=True)
    text = harmless(capsys.readouterr().out)
    joined = " ".join(text.split())
    for words in (
        "m.csv: 2 mailboxes (read as migrator, utf-8, comma)", "kept for reports: Note", "Posteingang → @inbox",
        "left out (in a folder that was left", "7 in a folder that was left out", "3 outside --since and --until",
        "quota is nearly used → enlarge it", "line 3: b@o.example: no right", "→ give one", "renamed",
    ):  # fmt: skip
        assert words in joined, words
    assert "99" not in text.replace("Unread", "").split("Would be skipped")[1]
    assert (plan.exit_code(SURVEYS, False), plan.exit_code(SURVEYS[:1], False), plan.exit_code([], True)) == (
        4,
        0,
        130,
    )


def test_plan_csv_and_json(loaded: Loaded) -> None:
    rows = list(csv.DictReader(io.StringIO(harmless(plan.as_csv(SURVEYS)), newline="")))
    assert [row["items"] for row in rows] == ["10", "1", "7", "99", ""]
    assert (rows[0]["target_role"], rows[0]["target_folder"]) == ("inbox", "")
    assert rows[0]["why_skipped"] == "filtered_date 3"
    assert rows[1]["folder"].startswith("'=1")
    assert rows[4]["what_to_do"] == "give one"
    found = json.loads(harmless(plan.as_json(loaded, SURVEYS, plan_made(loaded, RunSettings(), SURVEYS))))
    first = found["mailboxes"][0]
    assert (first["items"], first["to_copy"], first["skipped"]) == (
        11,
        6,
        {"filtered_date": 3, "filtered_folder": 7},
    )
    assert first["folders"][0]["kinds"] == {"mail": 10}
    assert found["mailboxes"][1]["code"] == "permission"


DIFFERENT = Difference(
    (NASTY,), "AAMk-1", "AAMk-2", "<1@x>", "IPM.Note", DAY, "changed", "read", "true", NASTY
)
VERDICTS = [
    MailboxVerdict(job("a"), (FolderVerdict(("Inbox",), ("Inbox",), Kind.MAIL, source_items=3, copied=3, target_items=3),), sampled=3),
    MailboxVerdict(
        job("b", 3),
        (
            FolderVerdict(("Inbox",), ("Inbox",), Kind.MAIL, source_items=5, copied=3, failed=1, new=1, missing=1, target_items=2),
            FolderVerdict(("Unread",), (), Kind.MAIL, SkipReason.SEARCH_FOLDER, source_items=50),
            FolderVerdict(("Junk",), (), Kind.MAIL, SkipReason.FILTERED_FOLDER, source_items=4),
        ),
        (DIFFERENT, DIFFERENT),
        different=2,
        content="no streams " + NASTY,
    ),
    MailboxVerdict(job("c", 4), error="no right " + NASTY, code="permission", remedy="give one"),
]  # fmt: skip


def test_verify_text(capsys: pytest.CaptureFixture[str]) -> None:
    verify.as_text(VERDICTS, 1)
    text = " ".join(harmless(capsys.readouterr().out).split())
    for words in (
        "a@o.example ok 3 3 0 0 0 0 0 3", "b@o.example look 9 2 4 1 1 1 2 0", "Inbox does not close: 5 at the source",
        "2024-01-31 <1@x>: read: true →", "and 1 difference more", "not compared by content: no streams", "no right", "→ give one",
        "1 of 3 mailboxes without a difference", "1 item came or changed at the source since",
    ):  # fmt: skip
        assert words in text, words
    codes = [verify.exit_code(VERDICTS[:count], False) for count in (1, 2, 3)]
    assert codes == [0, 3, 4]
    assert verify.exit_code([], True) == 130


def test_verify_csv_and_json() -> None:
    rows = list(csv.DictReader(io.StringIO(harmless(verify.as_csv(VERDICTS)), newline="")))
    assert [row["property"] for row in rows] == ["read", "read", "permission"]
    assert rows[0]["at_target"].startswith("'=1")
    found = json.loads(harmless(verify.as_json(VERDICTS)))["mailboxes"]
    assert [box["ok"] for box in found] == [True, False, False]
    assert found[1]["folders"][0]["closes"] is False
    assert found[1]["differences"][0]["received"] == DAY.isoformat()
