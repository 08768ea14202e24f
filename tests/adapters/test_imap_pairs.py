"""Whole migrations by the command line: IMAP → IMAP, Exchange → IMAP, IMAP → Microsoft 365; interrupted, repeated, exact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from migrator.adapters.imap.target import ImapTarget
from migrator.cli.app import app
from tests.adapters.imap_kit import dovecot  # noqa: F401 - fixture
from tests.cli.rehearsal import ALMA, Rehearsal
from tests.contracts.samples import mails
from tests.servers import imap_servers as servers

ROOT = Path(__file__).parents[2]
SLOW = bool(os.environ.get("MIGRATOR_SLOW"))


def run(folder: Path, command: str, *more: str) -> Any:
    return CliRunner().invoke(app, [command, "-p", str(folder), *more])


def totals(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(run(folder, "status", "--json").output)["totals"]
    return found


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAP_PASSWORD", servers.PASSWORD)


@pytest.fixture
def pair(dovecot: servers.Server, tmp_path: Path) -> tuple[Path, str, str]:  # noqa: F811
    """A project from a hard mailbox to an empty one."""
    old, new = dovecot.new_user(), dovecot.new_user()
    servers.hard_mailbox(dovecot, old)
    table = servers.table(dovecot)
    return servers.project(tmp_path / "project", table, table, [(old, new)]), old, new


def test_imap_to_imap_is_exact_and_leaves_the_source_alone(
    pair: tuple[Path, str, str],
    dovecot: servers.Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, old, new = pair
    before = servers.picture(dovecot, old)
    result = run(folder, "run")
    assert result.exit_code == 0, result.output
    assert servers.picture(dovecot, old) == before
    assert servers.picture(dovecot, new) == before
    assert max(before.values()) == 2  # duplicates are twice there
    names = {name for _, _, name in dovecot.raw(old).list_folders()}
    assert {name for _, _, name in dovecot.raw(new).list_folders()} == names
    assert totals(folder)["copied"] == sum(before.values())

    def refuse(*given: object) -> None:
        raise AssertionError("a second run stores something")

    monkeypatch.setattr(ImapTarget, "store", refuse)
    assert run(folder, "run").exit_code == 0
    monkeypatch.undo()
    monkeypatch.setenv("IMAP_PASSWORD", servers.PASSWORD)
    assert run(folder, "verify").exit_code == 0


def subscribed(server: servers.Server, user: str) -> set[str]:
    raw = server.raw(user)
    try:
        return {name for _, _, name in raw.list_sub_folders()}
    finally:
        raw.logout()


def test_subscriptions_follow_the_source_until_the_owner_chooses_otherwise(
    pair: tuple[Path, str, str],
    dovecot: servers.Server,  # noqa: F811
) -> None:
    folder, old, new = pair
    raw = dovecot.raw(old)
    for name in ("Projekte|2024", "INBOX"):
        raw.subscribe_folder(name)
    raw.unsubscribe_folder("日本語")
    raw.logout()
    before = subscribed(dovecot, old)
    assert {"Projekte|2024", "INBOX"} < before
    assert "日本語" not in before
    assert run(folder, "run").exit_code == 0
    assert subscribed(dovecot, new) == before
    # His own choice in the new mailbox stays, as long as nothing else is chosen in the old one.
    raw = dovecot.raw(new)
    raw.unsubscribe_folder("Projekte|2024")
    raw.logout()
    assert run(folder, "run").exit_code == 0
    assert subscribed(dovecot, new) == before - {"Projekte|2024"}
    raw = dovecot.raw(old)
    raw.subscribe_folder("日本語")
    raw.logout()
    assert run(folder, "run").exit_code == 0
    assert subscribed(dovecot, new) == before | {"日本語"}


def test_a_delta_pass_carries_what_came_and_flags_that_changed(
    pair: tuple[Path, str, str],
    dovecot: servers.Server,  # noqa: F811
) -> None:
    folder, old, new = pair
    assert run(folder, "run").exit_code == 0
    raw = dovecot.raw(old)
    raw.select_folder("INBOX")
    uids = raw.search()
    raw.add_flags(uids[:3], [b"\\Flagged", b"later"])
    raw.remove_flags(uids[5:8], [b"\\Seen"])
    fresh = mails(2, start=900)
    for sample in fresh:
        servers.put(raw, dovecot, sample)
    raw.logout()
    assert run(folder, "run").exit_code == 0
    assert servers.picture(dovecot, new) == servers.picture(dovecot, old)


def test_nothing_is_lost_or_doubled_however_often_it_is_killed(
    pair: tuple[Path, str, str],
    dovecot: servers.Server,  # noqa: F811
) -> None:
    folder, old, new = pair
    kills = 24 if SLOW else 6
    seed = int.from_bytes(os.urandom(3), "big")
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.kill_imap", str(folder), str(kills), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    said = done.stdout.split()
    assert said[1:] == ["0"], f"seed {seed}: {done.stdout} {done.stderr[-2000:]}"
    print(f"seed {seed}: {said[0]} kills hit a run at work")
    assert int(said[0]) >= (20 if SLOW else 4), f"seed {seed}: only {said[0]} of {kills} kills hit a run"
    assert servers.picture(dovecot, new) == servers.picture(dovecot, old), f"seed {seed}"


def test_exchange_to_imap(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    rehearsal = Rehearsal(tmp_path / "x")
    new = dovecot.new_user()
    try:
        _to(
            rehearsal,
            "mail",
            servers.table(dovecot),
            f"source,target,target_login\n{ALMA},{new}@mail.example,{new}\n",
        )
        rehearsal.change('target = "new"', 'target = "mail"')
        result = rehearsal("run")
        counts = rehearsal.totals()
    finally:
        rehearsal.close()
    assert result.exit_code == 0, result.output
    assert counts["failed"] == 0, result.output
    assert counts["copied"] > 0
    assert counts["skipped"] > 0  # appointments, contacts and their like are listed, not carried
    assert sum(servers.picture(dovecot, new).values()) == counts["copied"]


def test_imap_to_microsoft_365(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    rehearsal = Rehearsal(tmp_path / "x")
    old = dovecot.new_user()
    servers.hard_mailbox(dovecot, old, items=8)
    there = servers.picture(dovecot, old)
    expected = sum(there.values())
    target = ALMA.replace("old.example", "new.example")
    try:
        _to(
            rehearsal,
            "mail",
            servers.table(dovecot),
            f"source,target,source_login\n{old}@mail.example,{target},{old}\n",
        )
        rehearsal.change('source = "old"', 'source = "mail"')
        assert rehearsal("check").exit_code == 0
        result = rehearsal("run")
        assert result.exit_code == 0, result.output
        counts = rehearsal.totals()
        assert (counts["copied"], counts["failed"]) == (expected, 0)
        assert rehearsal("run").exit_code == 0
        assert rehearsal.totals()["copied"] == expected
        assert rehearsal.doubles() == sum(
            often - 1 for often in there.values()
        )  # true duplicates, and no others
        assert rehearsal("verify").exit_code == 0
    finally:
        rehearsal.close()


def test_the_example_runs(tmp_path: Path) -> None:
    """From Dovecot to the lab, as docs/imap.md says: every command ends well, and the balance closes."""
    if shutil.which("dovecot") is None:
        servers.missing("Dovecot (dovecot-imapd)")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "imap-to-m365" / "try.py", tmp_path / "example"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "balance: 60 = 60 copied + 0 already there + 0 skipped + 0 failed" in done.stdout
    assert "2 of 2 mailboxes without a difference" in done.stdout


def _to(rehearsal: Rehearsal, name: str, table: str, manifest: str) -> None:
    rehearsal.change("[defaults]", f"[endpoints.{name}]\n{table}\n\n[defaults]")
    (rehearsal.folder / "mailboxes.csv").write_text(manifest, encoding="utf-8")
