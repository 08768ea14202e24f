"""The examples run: their project files and manifests, pointed at a lab."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.lab.world import Account
from tests.cli.rehearsal import Rehearsal

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.chdir(tmp_path)
    rehearsal = Rehearsal(
        tmp_path / "acme", mailboxes=4, items=4, domain="acme-old.example", target_domain="acme.example"
    )
    yield rehearsal
    rehearsal.close()


def adopt(play: Rehearsal, monkeypatch: pytest.MonkeyPatch, manifest: Path) -> None:
    """The example as it is, but for servers, ids and the names of four people who have mailboxes in the lab."""
    info = play.lab.info()
    ours = (play.folder / "migration.toml").read_text("utf-8")
    text = (EXAMPLES / "hosted-exchange" / "migration.toml").read_text("utf-8")
    urls, cloud, account = info["urls"], info["m365"], info["exchange"]["service_account"]
    ca_file = re.search(r'ca_file = "(.*)"', ours)
    assert ca_file
    for server in ("https://ex.hoster.example", "https://mail.branch.example"):
        assert server in text
        text = text.replace(server, urls["ews"].removesuffix("/EWS/Exchange.asmx"))
    text = text.replace("'HOSTED\\svc-migration'", f'"{account["login"]}"\nca_file = "{ca_file[1]}"')
    text = text.replace("branch-ca.pem", ca_file[1])
    text = text.replace("11111111-2222-3333-4444-555555555555", cloud["tenant_id"])
    text = text.replace("66666666-7777-8888-9999-000000000000", cloud["client_id"])
    text = text.replace(
        "keyring:migrator/m365",
        f'env:M365_SECRET"\nurl = "{urls["graph"]}/v1.0"\nauthority = "{urls["login"]}"\n'
        f'import_hosts = ["{urls["import"].partition("://")[2]}"]\nca_file = "{ca_file[1]}',
    )
    (play.folder / "migration.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("HOSTER_PASSWORD", account["password"])
    monkeypatch.setenv("M365_SECRET", cloud["client_secret"])
    rows = manifest.read_text("utf-8")
    sources = iter(info["exchange"]["mailboxes"])
    targets = iter(cloud["mailboxes"])
    used: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        if found[0] not in used:
            used[found[0]] = (targets if found[0].endswith("@acme.example") else sources).__next__()[
                "address"
            ]
        return used[found[0]]

    lines = []
    for line in rows.splitlines():
        lines.append(line if line.startswith("#") else re.sub(r"[a-z.]+@[a-z.-]+example", name, line))
        # A blank target takes the source's name: that mailbox is then spoken for.
        if lines[-1] != line and "@acme.example" not in line:
            next(targets)
    (play.folder / "mailboxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_hosted_exchange(play: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    adopt(play, monkeypatch, EXAMPLES / "hosted-exchange" / "mailboxes.csv")
    assert play("check", "--batch", "pilot").exit_code == 0
    assert play("run", "--batch", "pilot", "--pass", "prestage").exit_code == 0
    done = play("run", "--pass", "cutover")
    assert done.exit_code == 0, done.output
    totals = play.totals()
    assert totals["closes"]
    mailboxes = json.loads(play("status", "--json").output)["mailboxes"]
    assert [sum(bool(folder["left_out"]) for folder in box["folders"]) for box in mailboxes] == [4, 4, 4, 4]
    assert play("verify").exit_code == 0
    assert "Sales" in play("report", "--as", "csv").output


def test_mixed(play: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that sign in each in their own way."""
    adopt(play, monkeypatch, EXAMPLES / "mixed.csv")
    boxes = play.lab.info()["exchange"]["mailboxes"]
    play.change("keyring:migrator/gil", "env:GIL_PASSWORD", "mailboxes.csv")
    (play.folder / "secrets").mkdir()
    (play.folder / "secrets" / "eve.txt").write_text(boxes[1]["password"] + "\n")
    monkeypatch.setenv("FAY_PASSWORD", boxes[2]["password"])
    monkeypatch.setenv("GIL_PASSWORD", boxes[3]["password"])
    eve = boxes[1]
    play.do(
        lambda world: world.add_account(
            Account(eve["address"], eve["password"], netbios="BRANCH\\eve", mailbox=eve["address"])
        )
    )
    checked = play("check")
    assert checked.exit_code == 0, checked.output
    done = play("run")
    assert done.exit_code == 0, done.output
    assert play.totals()["closes"]
    used = play.do(lambda world: {entry.app_id for entry in world.journal.entries if entry.service == "ews"})
    assert len(used) == 4
