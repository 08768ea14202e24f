"""migration.toml: every fault with its key path, no value of a secret in a message."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from migrator.errors import UserError
from migrator.plan.project import load_project, parse_project

NOW = datetime(2026, 10, 1, tzinfo=UTC)
ENDPOINTS = '[endpoints.old]\nkind = "ews"\n[endpoints.new]\nkind = "graph"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse_project(text, Path("migration.toml"), now=NOW)
    return list(caught.value.problems) or [str(caught.value)]


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "migration.toml").write_text(
        """
manifest = "people.csv"
ledger = "state/ledger.sqlite"
dialect = "migrationwiz"
allow = ["duplicate-target"]

[endpoints.old]
kind = "ews"
url = "https://mail.old.example/EWS/Exchange.asmx"
auth = "basic"
access = "delegate"
username = "svc@old.example"
secret = "env:OLD_PASSWORD"
ca_file = "ca.pem"
limits = { concurrent = 2, upload_octets = "10 MiB", timeout_s = 30 }
options = { anything = "goes" }

[endpoints.new]
kind = "graph"
secret = "file:secret.txt"

[defaults]
source = "old"
target = "new"
source_secret = "file:all.txt"

[run]
pass = "cutover"
mailboxes = 3
since = 2024-01-31
folders = ["@inbox", "Projects/*"]
max_item_octets = "150MB"
force = ["empty_source"]

[passes.prestage]
until = "90d"
mailboxes = 16

[folders]
under = "Old mail"
rename = { "A/B" = 'C\\/D' }
""",
        encoding="utf-8-sig",
    )
    found = load_project(tmp_path, now=NOW)
    old = found.endpoints["old"]
    assert (old.name, old.limits.concurrent, old.limits.upload_octets, old.limits.tries) == (
        "old",
        2,
        10 << 20,
        6,
    )
    assert Path(old.ca_file) == tmp_path / "ca.pem"
    assert found.endpoints["new"].secret == f"file:{tmp_path / 'secret.txt'}"
    assert found.defaults.source_secret == f"file:{tmp_path / 'all.txt'}"
    assert (found.manifest, found.ledger) == (tmp_path / "people.csv", tmp_path / "state" / "ledger.sqlite")
    assert (found.folders.under, found.folders.rename) == (("Old mail",), {("A", "B"): ("C/D",)})
    assert found.allow == {"duplicate-target"}
    assert "secret.txt" not in repr(found)

    usual = found.settings()
    assert (usual.passname, usual.mailboxes, usual.max_item_octets) == ("cutover", 3, 150_000_000)
    assert usual.since == datetime(2024, 1, 31, tzinfo=UTC)
    assert usual.include_folders == ("@inbox", "Projects/*")
    assert usual.force == {"empty_source"}
    early = found.settings("prestage", mailboxes=None, dry_run=True)
    assert (early.passname, early.mailboxes, early.dry_run) == ("prestage", 16, True)
    assert early.until == datetime(2026, 7, 3, tzinfo=UTC)
    assert found.settings("prestage", mailboxes=2).mailboxes == 2
    assert load_project(tmp_path / "migration.toml", now=NOW).ledger == found.ledger


def test_all_faults_at_once_with_key_paths() -> None:
    found = faults(
        """
manifst = "x"
[endpoints.old]
kind = "ews"
secret = "hunter2"
acces = "delegate"
access = "delgate"
limits = { concurrent = "four", conc = 1 }
[run]
pass = "cutvoer"
since = 3
folders = ["@inbx"]
batch_octets = "many"
[passes.final]
mailboxes = 1
"""
    )
    text = "\n".join(found)
    for expected in (
        "manifst: there is no such key, did you mean 'manifest'?",
        "endpoints.old.secret: a secret is never written here",
        "endpoints.old.acces: there is no such key, did you mean 'access'?",
        "endpoints.old.access: one of impersonation, delegate, owner is wanted, did you mean 'delegate'?",
        "endpoints.old.limits.concurrent: a whole number is wanted",
        "endpoints.old.limits.conc: there is no such key",
        "run.pass: one of prestage, delta, cutover is wanted, did you mean 'cutover'?",
        "run.since: write a date",
        "run.folders.0: '@inbx': no folder role",
        'run.batch_octets: write a number of bytes, or "16 MiB"',
        "passes.final: one of prestage, delta, cutover is wanted",
    ):
        assert expected in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "endpoints: at least one"),
        ("a = ", "is not valid TOML"),
        ("endpoints = 3", "endpoints: a table is wanted"),
        ('[endpoints."x y"]\nkind = "ews"', "a name of letters"),
        ('[endpoints.x]\nkind = "EWS!"', "endpoints.x.kind: a word of small letters"),
        ("[endpoints.x]\nurl = 'u'", "endpoints.x.kind: is missing"),
        ('[endpoints.x]\nkind = "ews"\nurl = "https://me:pw@h/"', "holds a user name or password"),
        ('[endpoints.x]\nkind = "ews"\nusername = "a\\u001bb"', "username: holds a control character"),
        (ENDPOINTS + '[defaults]\nsource = "odl"', "no endpoint is called 'odl', did you mean 'old'?"),
        (ENDPOINTS + "[run]\nsince = 2024-02-01\nuntil = 2024-01-01", "since is not before until"),
        (ENDPOINTS + "[run]\nmailboxes = 0", "run.mailboxes: input should be greater than or equal to 1"),
        (ENDPOINTS + "[run]\nmailboxes = true", "run.mailboxes: a whole number is wanted"),
        (ENDPOINTS + "[run]\nmax_rate = 0", "run.max_rate: input should be greater than 0"),
        (
            ENDPOINTS + "[run]\nwait_for_source = nan",
            "run.wait_for_source: input should be greater than or equal",
        ),
        (ENDPOINTS + "[run]\nfolders = 'Inbox'", "run.folders: a list such as"),
        (
            ENDPOINTS + "[run]\nforce = ['empty_source', 'x']",
            "run.force.1: one of empty_source, identity_changed",
        ),
        (ENDPOINTS + "[run]\ndedupe = 1", "run.dedupe: true or false is wanted"),
        (ENDPOINTS + "[passes.final]\nmailboxes = 0", "passes.final.mailboxes: input should be greater"),
        (ENDPOINTS + "[folders]\nrename = { a = 1 }", "folders.rename.a: text in quotes is wanted"),
        ('manifest = ""\n' + ENDPOINTS, "manifest: is empty"),
        ("[endpoints]", "endpoints: at least one"),
        ("[endpoints.x]\nkind = 'ews'\nlimits = { tries = 0 }", "endpoints.x.limits.tries: input should be"),
        (ENDPOINTS + '[folders]\nrename = { "A//B" = "C" }', "both sides are folder paths"),
    ],
)
def test_faults(text: str, words: str) -> None:
    assert any(words in fault for fault in faults(text))


def test_no_project_here(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_project(tmp_path)
    assert caught.value.code == "no_project"
    assert "migrator init" in caught.value.remedy
    (tmp_path / "migration.toml").write_bytes(b"a = '\xe4'")
    with pytest.raises(UserError, match="not UTF-8"):
        load_project(tmp_path)
