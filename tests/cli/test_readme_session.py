"""The README's first screen is a real session: its commands are run on a lab, and every line shown is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrator.cli.app import app
from tests.cli.rehearsal import Rehearsal

README = Path(__file__).parents[2] / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="installed without its sources")


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(
        tmp_path / "acme", mailboxes=3, items=40, domain="acme.example", target_domain="acme.example"
    )
    monkeypatch.chdir(rehearsal.folder)
    yield rehearsal
    rehearsal.close()


def session() -> list[tuple[list[str], list[str]]]:
    """(command, lines shown) in their order."""
    text = README.read_text("utf-8")
    block = text.split("<!-- session:", 1)[1].split("```", 2)[1]
    found: list[tuple[list[str], list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((shlex.split(line[2:]), []))
        elif line.strip() and line != "…":
            found[-1][1].append(line)
    return found


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, moments, keys, units, and how wide a table is."""
    line = re.sub(r"ed25519:[\w-]+", "KEY", line)
    line = re.sub(r"<[^>]+>", "<ID>", line)
    line = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "DAY", line)
    line = re.sub(r"[\d.,]+ ([KMG]i)?B\b", "SIZE", line)
    line = re.sub(r"\d[\d,.:TZ-]*", "N", line)
    return re.sub(r"[ ─]+", " ", line).strip()


def test_the_first_screen_is_a_real_session(play: Rehearsal) -> None:
    shown = session()
    assert [command[1] for command, _ in shown] == [
        "forecast", "run", "verify", "report", "check-report", "find"
    ]  # fmt: skip
    for before in (["plan"], ["keygen", "report.pem"]):
        assert CliRunner().invoke(app, before).exit_code == 0
    for command, lines in shown:
        assert command[0] == "migrator"
        if command[1] == "find":
            command[2] = play.do(
                lambda world: next(
                    item.facts.message_id
                    for item in world.exchange.mailbox("alma.whitcombe@acme.example")
                    .roles["inbox"]
                    .items.values()
                    if item.facts.message_id
                )
            )
        done = CliRunner().invoke(app, command[1:])
        assert done.exit_code == 0, done.output
        printed = {shape(line) for line in done.output.splitlines()}
        for line in lines:
            assert shape(line) in printed, f"{line!r} is not what {command[1]} prints:\n{done.output}"


def test_it_fits_the_first_screen() -> None:
    text = README.read_text("utf-8")
    end = text.index("## Try it")
    assert len(text[:end].splitlines()) <= 55
