"""The corpus of `tests.hostile` through what the commands print: plan, run PLAN, check, verify, forecast, check-report, find,
status --watch, inspect, diff, undo, rebuild, the table of demo and of a dry run, and every error message."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console
from typer.testing import CliRunner

from migrator.assembly import CanaryCheck, CheckResult, JobCheck, SideCheck
from migrator.cli import check, forecast, guard, plan, rebuild, run_command, status, undo, verify
from migrator.cli.app import app
from migrator.cli.check_report import as_text as proof_text
from migrator.cli.check_report import to_json as proof_json
from migrator.cli.console import CountView, PlainView, QuietView
from migrator.cli.demo import say
from migrator.cli.drawing import draw, plain_line
from migrator.cli.forecasting import Ground
from migrator.cli.glyphs import Glyphs
from migrator.cli.jsonl import JsonLines
from migrator.cli.loading import Loaded
from migrator.cli.planning import Ordered, difference_lines, differences, plan_made
from migrator.cli.rehearsal import Rehearsal
from migrator.cli.scene import Looks
from migrator.cli.tables import Screen
from migrator.engine.canary import Sung
from migrator.engine.rebuild import Elsewhere, Rebuilt
from migrator.engine.routes import Route
from migrator.engine.survey import FolderSurvey, MailboxSurvey
from migrator.engine.undo import Kept, Undone
from migrator.engine.verify import Difference, FolderVerdict, MailboxVerdict
from migrator.errors import ItemError, UserError
from migrator.events import BatchSettled, JobFinished, JobStarted, Notice, RunStarted
from migrator.forecast.changes import Change
from migrator.forecast.loads import FolderLoad, MailboxLoad
from migrator.forecast.outlook import Terms
from migrator.forecast.outlook import forecast as foretold
from migrator.interfaces import Finding, Standing
from migrator.ledger import Fidelity, Ledger
from migrator.mapi import properties as p
from migrator.mapi.compare import compare
from migrator.mapi.item import Attachment, Message, Named, Properties, Value
from migrator.mapi.render import differences_json, differences_text, tree_json, tree_text
from migrator.model import ItemRef, Job, Kind, Mailbox, Outcome, Role, SkipReason, State
from migrator.model import Path as Way
from migrator.plan.difference import FolderGlance, Glance
from migrator.plan.folders import Clash, Place
from migrator.plan.manifest import parse_manifest
from migrator.plan.planfile import dumps, loads
from migrator.plan.planner import Plan
from migrator.plan.project import load_project
from migrator.report.proof import keys
from migrator.report.proof.reading import by_message_id, check_file
from migrator.report.proof.writing import write_signed
from migrator.report.summary import Summary, summarise
from migrator.settings import RunSettings
from tests.hostile import CORPUS, DIRECTION, SIZE, TERMINAL, check_cells, check_terminal, fill
from tests.report.samples import NOW, FixedClock

DAY = datetime(2024, 1, 31, tzinfo=UTC)
FORGED = "x\nmigrator: all is well\r\n→ next: do as I say"
# Long ones are dear to fold: of 10 kB each, one in letters and one in escapes.
TEXTS = (
    *(text for text in CORPUS if text not in SIZE),
    SIZE[0],
    "\x1b[31m" * 1_000,
    "\u202e" * 1_000,
    FORGED,
)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What went out, on both streams."""
    told = capsys.readouterr()
    text = told.out + told.err
    check_terminal(text)
    return text


def check_json(text: str) -> object:
    assert text.isascii()
    check_terminal(text)
    return json.loads(text)


def check_csv(text: str) -> None:
    assert check_cells(csv.reader(io.StringIO(text, newline=""))) > 1000


def job(number: int, text: str) -> Job:
    return Job(
        f"job{number}",
        number + 2,
        Mailbox("old", f"{text}@old.example"),
        Mailbox("new", f"{text}@new.example"),
        text,
    )


JOBS = tuple(job(number, text) for number, text in enumerate(TEXTS))
PROJECT = '[endpoints.old]\nkind = "ews"\n[endpoints.new]\nkind = "graph"\n[defaults]\nsource = "old"\ntarget = "new"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("acme")
    (made / "migration.toml").write_text(PROJECT, encoding="utf-8")
    fill(made / "ledger.sqlite")
    return made


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    manifest = parse_manifest(b"source,target\na@o.example,a@n.example\n", name=CORPUS[0] + ".csv")
    return Loaded(load_project(folder), replace(manifest, name=FORGED), Plan(JOBS, notes=TEXTS), JOBS)


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Iterator[Ledger]:
    with Ledger.open(folder / "ledger.sqlite", clock=FixedClock(), read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def summary(ledger: Ledger) -> Summary:
    return summarise(ledger, now=NOW, title=FORGED, paths=True)


# --- plan, and run of a plan


def survey(one: Job, text: str) -> MailboxSurvey:
    return MailboxSurvey(
        one,
        (
            FolderSurvey(
                ("Inbox", text), Kind.MAIL, (text, text), Role.INBOX, (text,), items=9, octets=5000, largest=900,
                kinds={Kind.MAIL: 9}, classes={f"IPM.{text}": 9}, oldest=DAY, newest=DAY, to_copy=5, octets_to_copy=2500,
                skipped={SkipReason.FILTERED_DATE: 4}, listed_items=9, listed_octets=5000, state=text,
                place=Place((text, text), Role.INBOX, (text,), Clash(("Inbox", text), text)),
            ),
            FolderSurvey((text,), Kind.MAIL, (), None, (text,), SkipReason.FILTERED_FOLDER, items=7),
        ),
        (Finding("warning", text, text, "a" + text), Finding("blocker", text, text), Finding("note", text, text, "no_canary")),
        error=text, code=text, remedy=text,
        routes=(Route(Kind.MAIL, Way.JSON, text), Route(Kind.TASK, None, text), Route(Kind.NOTE, Way.STREAM, text)),
        standing=Standing(quota_why=text, quota_remedy=text, licence_why=text, licence_remedy=text),
        source_product=text, target_product=text, source_identity=text, target_identity=text,
    )  # fmt: skip


SURVEYS = [
    one
    for number, text in enumerate(TEXTS)
    for one in (
        replace(survey(JOBS[number], text), error="", code="", remedy=""),
        survey(job(1000 + number, text), text),
    )[: 1 + number % 2]
]


def test_plan(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan_made(loaded, RunSettings(), SURVEYS)
    plan.as_text(loaded, SURVEYS, made, details=True)
    plan.tell_file(loaded.project.folder / "plan.json", made, loaded.project.folder)
    shown = printed(capsys)
    assert "alert(1)" in shown and "left out" in shown and "\\u202e" in shown
    check_csv(plan.as_csv(SURVEYS))
    told = check_json(plan.as_json(loaded, SURVEYS, made))
    assert isinstance(told, dict) and len(told["mailboxes"]) == len(SURVEYS)
    text = dumps(made)
    check_json(text)
    assert len(loads(text).mailboxes) == len(SURVEYS)


def test_what_has_changed_since_a_plan(loaded: Loaded) -> None:
    made = plan_made(loaded, RunSettings(), SURVEYS)
    moved = tuple(replace(one, batch=one.batch + "x", source=replace(one.source, login="y")) for one in JOBS)
    for at, text in enumerate(TEXTS):
        looked = [
            Glance(JOBS[at].id, (FolderGlance((text, "new"), 1, 1), FolderGlance(("Inbox", text), 10, 9)), "other" + text),
            Glance(f"job{1000 + at}", error=text),
        ]  # fmt: skip
        few = replace(made, mailboxes=tuple(one for one in made.mailboxes if one.line in (at + 2, at + 1002)))
        order = Ordered(few, replace(loaded, jobs=(JOBS[at], job(1000 + at, text))), loaded, (moved[at],))
        found = differences(order, RunSettings(mailboxes=9), looked)
        # settings, a row changed, one gone, another mailbox, a folder new and one gone, items
        assert len(found) >= 6, found
        for make in (PlainView, QuietView, JsonLines, lambda out: CountView("", 1, out)):
            out = io.StringIO()
            with make(out) as view:
                for line in difference_lines(found, few):
                    view.emit(Notice("warning", line))
            check_terminal(out.getvalue())
            assert not [line for line in out.getvalue().splitlines() if line.startswith(("migrator:", "→"))]


# --- check, verify, forecast


def test_check(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    result = CheckResult(
        tuple(
            JobCheck(
                one,
                SideCheck(
                    one.source, text, text, (Finding("warning", text, text, text), Finding("ok", text))
                ),
                SideCheck(one.target, text, text, error=text if number % 2 else "", code=text, remedy=text),
            )
            for number, (one, text) in enumerate(zip(JOBS, TEXTS, strict=True))
        ),
        tuple(
            canary
            for text in TEXTS
            for canary in (
                CanaryCheck(
                    text, text, (Sung(Kind.MAIL, text, False, text), Sung(Kind.TASK, "", True, text))
                ),
                CanaryCheck(text, text, error=text, code=text, remedy=text),
            )
        ),
        TEXTS,
    )
    check.show(loaded, result)
    assert "cannot be migrated yet" in printed(capsys)
    check_json(check.to_json(loaded, result))


def test_verify(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = [
        MailboxVerdict(
            one,
            (
                FolderVerdict((text, text), (text,), Kind.MAIL, source_items=3, copied=1, missing=1, reasons={text: 1}, codes={text: 1}),
                FolderVerdict((text,), (), Kind.MAIL, SkipReason.FILTERED_FOLDER, source_items=2),
            ),
            (
                Difference((text,), text, text, text, text, DAY, "changed", text, text, text),
                Difference((text,), text, "", "", text, None, "missing", "item", text, ""),
            ),
            different=2, sampled=1, volatile={text: 1}, content=text, error=text if number % 2 else "", code=text, remedy=text,
            fidelity=(Fidelity(Kind.MAIL, text, 4, 4, 3, 0, 0, 1, 0, {"lost": {text: 1}}, 0.95, 0.01, one.id),),
        )
        for number, (one, text) in enumerate(zip(JOBS, TEXTS, strict=True))
    ]  # fmt: skip
    verify.as_text(verdicts, 0)
    assert "does not close" in printed(capsys)
    check_csv(verify.as_csv(verdicts))
    told = check_json(verify.as_json(verdicts))
    assert isinstance(told, dict) and len(told["mailboxes"]) == len(TEXTS)


def test_forecast(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = [
        MailboxLoad(
            one.id,
            one.source.address,
            one.line,
            "old",
            "new",
            (FolderLoad((text,), 10, 10_000),),
            unknown=text if number % 3 == 0 else "",
        )
        for number, (one, text) in enumerate(zip(JOBS, TEXTS, strict=True))
    ]
    terms = Terms(NOW, RunSettings(), {}, deadline=NOW + 1, rounds=5)
    found = foretold(boxes, terms)
    helping = [Change(text, text, text, NOW, NOW, 1, True, 5.0, NOW) for text in TEXTS]
    ground = Ground(loaded.project, boxes, TEXTS)
    forecast.as_text(found, helping, terms, ground, every=True)
    assert "What would help" in printed(capsys)
    assert check_cells(csv.reader(io.StringIO(forecast.as_csv(found), newline=""))) == 10 * (len(TEXTS) + 1)
    check_json(forecast.as_json(found, helping, terms, ground))


# --- undo, rebuild


def test_undo(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Undone(one, 1, kept_items=30, kept=[Kept((text, text), text, text, text), Kept((text,), "", text, "changed")],
               error=text, code=text, remedy=text)
        for one, text in zip(JOBS, TEXTS, strict=True)
    ]  # fmt: skip
    for really in (False, True):
        undo.as_text(found, really, 20)
        assert "kept:" in printed(capsys)
        check_json(undo.to_json(found, really))


def test_rebuild(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Rebuilt(one, 5, 1, 1, 1, 1, 1, {"message_id": 1}, [Elsewhere((text,), (text, text), text)], 1, text, text, text)
        for one, text in zip(JOBS, TEXTS, strict=True)
    ]  # fmt: skip
    rebuild.as_text(found, 0)
    assert "in another folder than expected" in printed(capsys)
    check_json(rebuild.to_json(found))


# --- the signed report


@pytest.fixture(scope="module")
def signed(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report of the hostile ledger, and the public key."""
    path = tmp_path_factory.mktemp("proof") / "proof.jsonl.gz"
    private, word = keys.make()
    write_signed(ledger, path, keys.private_key(private), made=int(NOW), title=FORGED)
    return path, word


def test_check_report(signed: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, word = signed
    proof_text(check_file(path, keys.public_key(word)), 0)
    assert "x\\x0amigrator: all is well" in printed(capsys)
    rows = gzip.decompress(path.read_bytes()).split(b"\n")
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(row.replace(b"alert(1)", b"alert(2)") for row in rows))
    broken = check_file(tmp_path / "rows.jsonl", keys.public_key(word))
    assert broken.problems and not broken.ok
    proof_text(broken, 0)
    printed(capsys)
    check_json(json.dumps(proof_json(broken)))
    # Written by somebody who means harm: every text that a row can hold, raw and escaped, and no row at all.
    for text in TEXTS:
        raw = text.encode("utf-8", "surrogatepass")
        (tmp_path / "theirs.jsonl").write_bytes(
            b"\n".join([rows[0], b'{"row":"' + raw + b'"}', json.dumps({"row": text, text: text}).encode(), raw, *rows[1:]])
        )  # fmt: skip
        verdict = check_file(tmp_path / "theirs.jsonl", keys.public_key(word))
        assert not verdict.ok
        proof_text(verdict, 0)
        printed(capsys)
        check_json(json.dumps(proof_json(verdict)))


def test_find_in_a_signed_report(signed: tuple[Path, str], tmp_path: Path) -> None:
    path, word = signed
    verdict = check_file(path, keys.public_key(word), lambda row: True)
    assert verdict.ok and len(verdict.hits) > 50
    for hit in verdict.hits[::4]:
        asked = hit.item.message_id
        if "\x00" in asked or not asked.isprintable() or len(asked) > 200:
            continue  # cannot be typed
        args = ["find", "--in", str(path), "--key", word, "--proof", str(tmp_path / "one.json"), "--", asked]
        done = CliRunner().invoke(app, args)
        assert done.exit_code in (0, 3) and "from" in done.output, done.output[-500:]
        check_terminal(done.output)
        done = CliRunner().invoke(app, [*args[:5], "--json", "--", asked])
        check_json(done.stdout)
        done = CliRunner().invoke(app, ["check-report", str(tmp_path / "one.json"), "--key", word])
        check_terminal(done.output)
        if len(hit.item.message_id) > 40:
            break


def test_every_fate_of_a_signed_report(signed: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, word = signed
    verdict = check_file(path, keys.public_key(word), lambda row: True)
    verdict.part = True  # told as the proof of single items is
    proof_text(verdict, 0)
    check_json(json.dumps(proof_json(verdict)))
    shown = printed(capsys)
    assert "because:" in shown and "alert(1)" in shown and "\\u202e" in shown
    assert check_file(path, keys.public_key(word), by_message_id(f"<{CORPUS[0]}>")).hits


# --- status --watch, demo, dry run


def at_work(summary: Summary) -> Summary:
    """Every mailbox runs and waits, so that all that can be told of it is."""
    rows = tuple(
        replace(row, state="running", waiting=text, waiting_until=NOW + 60, code=text, error=text)
        for row, text in zip(summary.mailboxes, CORPUS, strict=True)
    )
    return replace(summary, mailboxes=rows, states={"running": len(rows)})


def test_status_watch(folder: Path, summary: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "EVERY_S", 0.0)
    done = CliRunner().invoke(app, ["status", "--watch", "-p", str(folder)])
    assert done.exit_code == 0
    check_terminal(done.output)
    busy = at_work(summary)
    looks = Looks()
    looks.scene(replace(busy, made=NOW - 10))
    scene = looks.scene(busy, (NOW + 50, NOW + 90))
    check_terminal(plain_line(scene))
    for width, height, encoding in ((80, 24, "utf-8"), (200, 400, "utf-8"), (80, 200, "cp437")):
        out = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=True)
        for line in draw(scene, width - 1, height - 1, Glyphs(encoding)):
            out.print(line)
        status.show(Screen(console=out), status.picture(busy, True, 0))
        text = out.file.getvalue()  # type: ignore[attr-defined]
        check_terminal(text)
        assert "waiting" in text


def test_status_watch_on_a_terminal(summary: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    monkeypatch.setattr(status, "EVERY_S", 0.0)
    out = io.StringIO()
    screen = Console(
        file=out, width=120, height=50, color_system=None, force_terminal=True, _environ={"TERM": "xterm"}
    )
    looks = iter([at_work(summary), summary, summary])
    status._watch(lambda: next(looks), Screen(console=screen), True, lambda _: None)
    # Our own moves: up, to the line's begin, clear a line, hide and show the cursor.
    check_terminal(re.sub(r"\x1b\[(1A|2K|\?25[lh])|\r", "", out.getvalue()))


def test_demo_and_a_run_s_table(summary: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    paths = tuple(
        replace(one, path=text, kind=text, loses=text) for one in summary.paths[:1] for text in TEXTS
    )
    assert paths
    run_command.print_balance(summary)
    run_command.print_balance(at_work(summary))
    run_command.print_paths(replace(summary, paths=paths))
    for text in TEXTS:
        say(text, dim=True)
    assert "balance:" in printed(capsys)


def test_a_dry_run_s_table(capsys: pytest.CaptureFixture[str]) -> None:
    made = Rehearsal(lambda event: None)
    made.emit(RunStarted(1, tuple(one.id for one in JOBS), "delta", True, NOW))
    for one, text in zip(JOBS, TEXTS, strict=True):
        ref = ItemRef("i", (text,), Kind.MAIL, "1", message_id=text, subject=text)
        made.emit(JobStarted(one.id, one.source.address, one.target.address, NOW))
        made.emit(
            BatchSettled(
                one.id,
                (text,),
                (
                    Outcome(ref, State.FAILED, error=ItemError(text, code=text)),
                    Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE),
                ),
                NOW,
            )
        )
        made.emit(JobFinished(one.id, "error", NOW, error=text, code=text, remedy=text))
    made.tell(0)
    assert "would fail" in printed(capsys)


# --- inspect, diff


def message(text: str, other: str = "") -> Message:
    held = Properties()
    for tag in (p.PidTagMessageClass, p.PidTagSubject, p.PidTagBody):
        held[tag] = Value(0x001F, text + other)
    held[p.PidTagEntryId] = Value(0x0102, (text + other).encode("utf-8", "surrogatepass"))
    held[p.PidNameKeywords] = Value(0x101F, [text, other])
    named = text[:200] + "x"
    held[Named(p.PS_INTERNET_HEADERS, name=named)] = Value(0x001F, text + other)
    held[Named(UUID(int=1), name=named + other)] = Value(0x001F, text)
    recipient = Properties({p.PidTagDisplayName: Value(0x001F, text + other)})
    part = Properties(
        {tag: Value(0x001F, text + other) for tag in (p.PidTagAttachLongFilename, p.PidTagDisplayName)}
    )
    return Message(held, [recipient], [Attachment(part, None if other else Message(Properties(held)))])


def test_inspect_and_diff() -> None:
    for text in TEXTS:
        one, two = message(text), message(text, "other")
        for width in (8, 80, 100_000):
            check_terminal(tree_text(one, width=width))
        check_json(json.dumps([tree_json(one), tree_json(one, width=None)]))
        for pair in ((one, two), (two, one), (one, Message()), (Message(), one)):
            found = compare(*pair)
            assert found
            shown = differences_text(found, all_classes=True)
            check_terminal(shown)
            assert len(shown.splitlines()) == len(found) + 1, "a text made a line of its own"
            check_json(json.dumps(differences_json(found)))


def test_inspect_and_diff_of_files(tmp_path: Path) -> None:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = "a@old.example", "b@new.example"
    mail.set_content("".join(text.encode("utf-8", "replace").decode() + "\r\n" for text in CORPUS))
    for text in CORPUS:
        mail.add_attachment(b"x", "application", "octet-stream", filename=f"x{ascii(text)[:60]}")
    octets = mail.as_bytes()
    for number, text in enumerate([*TERMINAL, *DIRECTION, FORGED]):
        folded = text.encode("utf-8").replace(b"\0", b"").replace(b"\r", b"").replace(b"\n", b"\r\n ")
        path, other = tmp_path / f"{number}.eml", tmp_path / f"{number}-\u202e{text[:1]}[2J.eml"
        path.write_bytes(b"Subject: s" + folded + b"\r\nX-Header: x" + folded + b"\r\n" + octets)
        if os.name != "posix" or other.name.startswith("."):
            other = tmp_path / f"{number}-other.eml"
        other.write_bytes(b"Subject: other\r\n" + octets)
        for args in (
            ["inspect", str(path)],
            ["inspect", str(other)],
            ["diff", str(path), str(other), "--all"],
        ):
            done = CliRunner().invoke(app, args)
            assert done.exit_code in (0, 3), done.output[-500:]
            check_terminal(done.output)
        if number < 2:
            for args in (
                ["inspect", str(path), "--json", "--full"],
                ["diff", str(path), str(other), "--json"],
            ):
                check_json(CliRunner().invoke(app, args).stdout)


# --- words of an error


def test_error_messages(capsys: pytest.CaptureFixture[str]) -> None:
    for text in TEXTS:
        guard.tell(UserError(text, problems=(text, f"line 2: {text}"), remedy=text))
        guard.tell(ItemError(f"the server said: {text}", code=text))
    shown = printed(capsys)
    assert "all is well" in shown
    own = [line for line in shown.splitlines() if line.startswith(("migrator: all is well", "→ next:"))]
    assert not own, "a server's words pass for ours"


def test_a_manifest_of_strangers(tmp_path: Path) -> None:
    (tmp_path / "migration.toml").write_text(PROJECT, encoding="utf-8")
    with (tmp_path / "mailboxes.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("source", "target", "source_endpoint", "Note"))
        for text in TEXTS:
            rows.writerow((text, text, text, text))
    for command in (("check",), ("plan",), ("forecast",), ("run", "--dry-run")):
        done = CliRunner().invoke(app, [*command, "-p", str(tmp_path)])
        assert done.exit_code == 2, done.output[-500:]
        check_terminal(done.output)
        assert not [
            line for line in done.output.splitlines() if line.startswith(("migrator: all", "→ next:"))
        ]
