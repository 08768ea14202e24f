"""Signing, checking and finding as a user does it: key, migration in the lab, signed report, questions."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from migrator.cli.app import app
from migrator.lab.world import World
from tests.cli.rehearsal import ALMA, Rehearsal


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path_factory.mktemp("proof") / "acme", mailboxes=2, items=8)
    assert rehearsal("run", "--quiet").exit_code == 0
    yield rehearsal
    rehearsal.close()


def migrator(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def signed(play: Rehearsal) -> tuple[Path, str]:
    """The signed report and the public key."""
    key = play.folder / "report.pem"
    made = migrator("keygen", key)
    assert made.exit_code == 0, made.output
    word = made.output.splitlines()[0]
    done = play("report", "--sign", "file:report.pem")
    assert done.exit_code == 0, done.output
    assert word in done.output and "proof.jsonl.gz" in done.output
    assert "PRIVATE" not in made.output + done.output
    return play.folder / "report" / "proof.jsonl.gz", word


def message_id(play: Rehearsal) -> str:
    def look(world: World) -> str:
        items = world.exchange.mailbox(ALMA).roles["inbox"].items.values()
        return next(item.facts.message_id for item in items if item.facts.message_id)

    return play.do(look)


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    made = migrator("keygen", tmp_path / "sub" / "a.pem")
    assert made.exit_code == 0
    private = tmp_path / "sub" / "a.pem"
    assert private.with_name("a.pem.pub").read_text().strip() == made.output.splitlines()[0]
    if os.name == "posix":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    again = migrator("keygen", private)
    assert again.exit_code == 2 and private.read_bytes() == before


def test_a_signed_report_is_checked_anywhere(signed: tuple[Path, str], tmp_path: Path) -> None:
    path, word = signed
    good = migrator("check-report", path, "--key", word)
    assert good.exit_code == 0, good.output
    assert "The balance closes." in good.output
    assert migrator("check-report", path, "--key", path.parent.parent / "report.pem.pub").exit_code == 0
    told = json.loads(migrator("check-report", path, "--key", word, "--json").output)
    assert told["ok"] and told["head"]["closes"] and told["problems"] == []
    other = migrator("keygen", tmp_path / "other.pem").output.splitlines()[0]
    bad = migrator("check-report", path, "--key", other)
    assert bad.exit_code == 3 and "nothing of it is proven" in bad.output
    assert migrator("check-report", path, "--key", "nonsense").exit_code == 2
    assert migrator("check-report", tmp_path / "none", "--key", word).exit_code == 2


def test_an_altered_row_is_named(signed: tuple[Path, str], tmp_path: Path) -> None:
    path, word = signed
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    at = next(n for n, line in enumerate(lines) if line.startswith(b'["item"') and b'"copied"' in line)
    lines[at] = lines[at].replace(b'"copied"', b'"failed"')
    altered = tmp_path / "altered.jsonl"
    altered.write_bytes(b"\n".join(lines))
    bad = migrator("check-report", altered, "--key", word)
    assert bad.exit_code == 3
    assert f"row {at} (line {at + 1}) was altered" in bad.output


def test_was_it_copied_when_and_to_where(play: Rehearsal, signed: tuple[Path, str], tmp_path: Path) -> None:
    path, word = signed
    wanted = message_id(play)
    for form in (wanted, wanted.strip("<>")):
        found = play("find", form)
        assert found.exit_code == 0, found.output
        assert "copied" in found.output and ALMA in found.output and "Inbox" in found.output
    told = json.loads(play("find", wanted, "--json").output)["found"]
    assert told[0]["target"] == ALMA.replace("old.example", "new.example") and told[0]["target_id"]
    proof = tmp_path / "one.json"
    asked = migrator("find", wanted, "--in", path, "--key", word, "--proof", proof)
    assert asked.exit_code == 0 and ALMA in asked.output
    checked = migrator("check-report", proof, "--key", word)
    assert checked.exit_code == 0 and "copied" in checked.output and ALMA in checked.output
    assert len(proof.read_bytes()) < 8_000
    proof.write_bytes(proof.read_bytes().replace(b"copied", b"failed", 1))
    assert migrator("check-report", proof, "--key", word).exit_code == 3


def test_what_was_not_copied_is_said(play: Rehearsal, signed: tuple[Path, str]) -> None:
    path, word = signed
    assert play("find", "<nobody@knows>").exit_code == 3
    assert migrator("find", "<nobody@knows>", "--in", path, "--key", word).exit_code == 3
    assert migrator("find", "<nobody@knows>", "--in", path).exit_code == 2
    assert play("find", "<nobody@knows>", "--key", word).exit_code == 2


def test_a_wrong_key_signs_nothing(play: Rehearsal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_KEY", "s3cret-that-is-no-key")
    done = play("report", "--sign", "env:NO_KEY", "--to", str(tmp_path / "out"))
    assert done.exit_code == 2 and "s3cret" not in done.output and not (tmp_path / "out").exists()
    assert play("report", "--sign", "s3cret-key-itself").exit_code == 2


def test_a_signed_path_cannot_command_a_terminal(tmp_path: Path) -> None:
    """Names come from mailboxes; whoever signs them does not vouch for their manners."""
    from migrator.report.proof import keys
    from tests.report.samples import fill
    from tests.report.test_proof import NOW, write_signed

    pem, word = keys.make()
    with fill(tmp_path / "ledger.sqlite") as ledger:
        write_signed(ledger, tmp_path / "p", keys.private_key(pem), made=int(NOW), title="\x1b[31macme\u202e")
    done = migrator("check-report", tmp_path / "p", "--key", word)
    assert done.exit_code == 0 and "\x1b[31m" not in done.output and "\u202e" not in done.output
