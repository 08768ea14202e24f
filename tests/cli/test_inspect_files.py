"""inspect and diff on files: every form by its content, nothing hostile gets out, errors are words."""

from __future__ import annotations

import json
from pathlib import Path

import pybase64
import pytest
from typer.testing import CliRunner, Result

from migrator.cli.app import app
from migrator.errors import ItemError
from migrator.formats.opening import open_octets
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import INT32, STRING, Message
from tests.shared_data import shared

NASTY = "Angebot \x1b[2J\u202e =cmd|' /C calc'!A0"
MAIL = (
    "From: Ada <ada@old.example>\r\nTo: bob@old.example\r\nSubject: Gr\u00fc\u00dfe\r\n"
    "Date: Fri, 1 Mar 2019 10:00:00 +0100\r\nMessage-ID: <a@old.example>\r\n\r\nHallo\r\n"
).encode()
CALENDAR = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1@x\r\nDTSTAMP:20240101T000000Z\r\n"
    b"DTSTART:20240102T090000Z\r\nDTEND:20240102T100000Z\r\nSUMMARY:Treffen\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nN:Berg;Bob\r\nFN:Bob Berg\r\nEND:VCARD\r\n"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def stream(subject: str = "Angebot", importance: int = 1) -> bytes:
    message = Message()
    message.properties.set(p.PidTagMessageClass, STRING, "IPM.Note")
    message.properties.set(p.PidTagSubject, STRING, subject)
    message.properties.set(p.PidTagImportance, INT32, importance)
    return fasttransfer.write(message)


@pytest.mark.parametrize(
    ("octets", "form", "words"),
    [
        (stream(), "an item stream", "Angebot"),
        (pybase64.b64encode(stream()), "an item stream in base64", "Angebot"),
        (b"\r\n".join(pybase64.b64encode(stream())[at : at + 76] for at in (0, 76, 152, 228, 304, 380, 456)),
         "an item stream in base64", "Angebot"),
        (MAIL, "a mail (MIME)", "Gr\u00fc\u00dfe"),
        (b"From ada Fri Mar  1 2019\n" + MAIL, "a mail (MIME)", "Gr\u00fc\u00dfe"),
        (CALENDAR, "iCalendar", "Treffen"),
        (b"\xef\xbb\xbf" + CARD, "vCard", "Bob Berg"),
    ],
)  # fmt: skip
def test_a_file_is_told_by_its_content(octets: bytes, form: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "thing.bin"
    file.write_bytes(octets)
    done = run("inspect", file)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"# thing.bin: {form}\n")
    assert words in done.output
    (item,) = json.loads(run("inspect", file, "--json", "--full").output)["items"]
    assert words in {one["value"] for one in item["properties"] if isinstance(one["value"], str)}


@pytest.mark.parametrize("name", ["msg/hughbe/Contact_Group.msg", "tnef/body.tnef"])
def test_files_of_outlook(name: str) -> None:
    done = run("inspect", shared(name))
    assert done.exit_code == 0
    assert "PidTag" in done.output


def test_the_manual_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inspect.md").read_text("utf-8")
    mail = page.partition("```eml\n")[2].partition("```")[0].replace("\n", "\r\n")
    monkeypatch.chdir(tmp_path)
    Path("offer.eml").write_bytes(mail.encode())
    Path("offer-2.eml").write_bytes(
        mail.replace("Offer 17", "Offer 18").replace("10:00:00", "10:00:07").encode()
    )
    for block in page.split("```text\n$ migrator ")[1:]:
        line, _, shown = block.partition("```")[0].partition("\n")
        if "-p acme" in line:
            continue
        printed = run(*line.split()).output.splitlines()
        missing = [one for one in shown.splitlines() if one.strip() != "…" and one not in printed]
        assert not missing, missing


def test_nothing_hostile_gets_out(tmp_path: Path) -> None:
    one, two = tmp_path / "one\x1b[2J.fts", tmp_path / "two.fts"
    try:
        one.write_bytes(stream(NASTY))
    except OSError:
        pytest.skip("this system has no such file names")
    two.write_bytes(stream("other"))
    for done in (
        run("inspect", one),
        run("inspect", one, "--json", "--full"),
        run("diff", one, two, "--json"),
        run("diff", one, two),
    ):
        assert "\x1b" not in done.output
        assert "\u202e" not in done.output


def test_two_files(tmp_path: Path) -> None:
    one, same, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    one.write_bytes(stream())
    same.write_bytes(pybase64.b64encode(stream()))
    other.write_bytes(stream("Angebot 2"))
    assert (run("diff", one, same).exit_code, run("diff", one, other).exit_code) == (0, 3)
    assert 'changed     PidTagSubject: "Angebot" → "Angebot 2"' in run("diff", one, other).output
    found = json.loads(run("diff", one, other, "--json").output)
    assert found["counts"]
    assert [(d["class"], d["name"]) for d in found["items"][0]] == [("changed", "PidTagSubject")]


@pytest.mark.parametrize(
    "octets",
    [b"", b"  \r\n", b"\x89PNG\r\n\x1a\n" + bytes(200), stream()[:40], pybase64.b64encode(stream())[:41],
     b"BEGIN:VCALENDAR\r\n", b"no header here\r\n\r\ntext", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
     b"\x78\x9f\x3e\x22" + bytes(8)],
)  # fmt: skip
def test_what_is_no_item_is_an_error_in_words(octets: bytes, tmp_path: Path) -> None:
    with pytest.raises(ItemError):
        open_octets(octets)
    file = tmp_path / "thing"
    file.write_bytes(octets)
    done = run("inspect", file)
    assert done.exit_code == 2
    assert "thing" in done.output
    assert "Traceback" not in done.output


def test_files_that_are_not_there_and_too_many_wishes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(stream())
    wrong: list[list[str | Path]] = [
        ["inspect", tmp_path / "none"],
        ["inspect", file, "--row", "2"],
        ["diff", file],
        ["diff", file, file, "--id", "x"],
    ]
    assert [run(*args).exit_code for args in wrong] == [2, 2, 2, 2]
