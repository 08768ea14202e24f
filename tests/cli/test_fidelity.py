"""Paths into the target and what they keep, end to end against the lab: check, plan, run, verify --deep, report, inspect, diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrator.engine.stop import SystemClock
from migrator.lab.store import LabItem
from migrator.lab.world import World
from migrator.ledger import Ledger
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import STRING, TIME
from tests.cli.rehearsal import ALMA, Rehearsal

HOSTILE = "=1+1 \x1b]0;owned\x07\x1b[2J \u202egnp.exe <script>"


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Rehearsal]:
    made = Rehearsal(tmp_path / "project", mailboxes=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """For what changes nothing."""
    made = Rehearsal(tmp_path_factory.mktemp("still") / "project", mailboxes=1, items=4)
    yield made
    made.close()


def turn(play: Rehearsal, **knobs: Any) -> None:
    play.do(lambda world: setattr(world, "knobs", world.knobs.swap(knobs)))


def told(play: Rehearsal, *args: str) -> Any:
    return json.loads(play(*args).stdout)


def asked(play: Rehearsal) -> dict[tuple[str, str], bool]:
    (canary,) = told(play, "check", "--json")["canaries"]
    return {(one["origin"], one["kind"]): one["accepted"] for one in canary["kinds"]}


def paths(play: Rehearsal) -> dict[str, str | None]:
    (mailbox,) = told(play, "plan", "--as", "json")["mailboxes"]
    return {one["kind"]: one["path"] for one in mailbox["paths"]}


def table(play: Rehearsal, *more: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = told(play, "verify", "--deep", "--as", "json", *more)
    return {(line["kind"], line["path"]): line for line in found["fidelity"]}


def source_items(world: World) -> list[LabItem]:
    (box,) = (box for box in world.exchange.mailboxes.values() if box.address == ALMA)
    return list(box.items.values())


def target_items(world: World) -> list[LabItem]:
    return [item for box in world.m365.mailboxes.values() for item in box.items.values()]


def harmless(text: str) -> str:
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text
    return text


# --- as the source's own streams


def test_streams_that_are_taken_arrive_octet_for_octet(play: Rehearsal) -> None:
    verdicts = asked(play)
    assert all(verdicts.values())
    assert {origin for origin, _ in verdicts} == {"ews 15.1", "synthetic"}
    assert not play.do(target_items), "the canary left something behind"
    assert set(paths(play).values()) == {"stream"}
    assert play("run").exit_code == 0
    found = table(play)
    assert {path for _, path in found} == {"stream"}
    assert all(line["identical"] == line["compared"] == line["population"] > 0 for line in found.values())
    sample = table(play, "--confidence", "90", "--margin", "20")
    assert all(0 < line["compared"] <= line["population"] for line in sample.values())
    report = play("report", "--as", "text").output
    assert "by stream: the source's own item stream" in report
    assert "with 90 % confidence, fewer than 20 % of the items" in " ".join(report.split())
    assert "compared property by property" in play("report", "--as", "html").output
    assert told(play, "report", "--as", "json")["fidelity"]


def test_what_changed_in_the_target_is_in_the_table_by_name(play: Rehearsal) -> None:
    assert play("run").exit_code == 0

    def tamper(world: World) -> None:
        item = next(item for item in target_items(world) if item.item_class == "IPM.Contact")
        message = item.message()
        message.properties.set(0x3A11, STRING, "Someone Else")
        world.m365.update_item(item, fasttransfer.write(message))

    play.do(tamper)
    done = play("verify", "--deep")
    assert done.exit_code == 3
    assert "contact by stream: changed PidTagSurname (1)" in done.output
    line = table(play)["contact", "stream"]
    assert (line["differing"], line["properties"]["changed"]) == (1, {"PidTagSurname": 1})


@pytest.mark.parametrize(
    "args",
    [
        ["--confidence", "100"],
        ["--margin", "0"],
        ["--confidence", "49"],
        ["--margin", "51"],
        ["--sample", "-1"],
    ],
)
def test_samples_that_make_no_sense(still: Rehearsal, args: list[str]) -> None:
    assert still("verify", *args).exit_code == 2


# --- when streams are refused


def test_streams_of_a_refused_version_are_written_anew(play: Rehearsal) -> None:
    turn(play, ews_version="15.2.1544.4", import_accepts_ews=["15.1"])

    def newer(world: World) -> None:
        for item in source_items(world):
            world.exchange.update_item(item, fasttransfer.write(item.message(), version=(15, 2, 1544, 4)))

    play.do(newer)
    verdicts = asked(play)
    assert {ok for (origin, _), ok in verdicts.items() if origin == "ews 15.2"} == {False}
    assert {ok for (origin, _), ok in verdicts.items() if origin == "synthetic"} == {True}
    assert set(paths(play).values()) == {"synthetic"}
    assert play("run").exit_code == 0
    assert play("verify", "--deep").exit_code == 0
    found = table(play)
    assert {path for _, path in found} == {"synthetic"}
    assert all(line["differing"] == line["unreadable"] == 0 for line in found.values())


def test_a_tenant_that_wants_only_exchanges_own_streams_gets_them(play: Rehearsal) -> None:
    turn(play, import_accepts_synthetic=False)
    verdicts = asked(play)
    assert {ok for (origin, _), ok in verdicts.items() if origin == "ews 15.1"} == {True}
    assert {ok for (origin, _), ok in verdicts.items() if origin == "synthetic"} == {False}
    assert set(paths(play).values()) == {"stream"}
    assert play("run").exit_code == 0
    assert {path for _, path in table(play)} == {"stream"}


def test_a_tenant_without_streams_gets_items_by_json(play: Rehearsal) -> None:
    turn(play, import_accepts_synthetic=False, import_accepts_ews=["8"])
    verdicts = asked(play)
    assert {kind for (origin, kind), ok in verdicts.items() if ok} == {"mail", "event", "contact"}
    assert {origin for (origin, _), ok in verdicts.items() if ok} == {"json"}
    chosen = paths(play)
    assert chosen["mail"] == chosen["event"] == chosen["contact"] == "json"
    assert chosen["task"] is chosen["group"] is None
    plan = " ".join(play("plan").output.split())
    assert "event: created anew by classic Graph; not carried: attendees" in plan
    assert "task: left out, no path is open" in plan

    play.do(lambda world: world.journal.clear())
    done = play("run")
    assert done.exit_code == 0
    words = " ".join(done.output.split())
    assert "mail: created anew by classic Graph" in words
    assert "event by json (created anew by classic Graph): not carried attendees" in words
    totals = play.totals()
    assert totals["copied"] + totals["skipped"] == totals["source"]
    assert totals["skipped"] > 0

    def referee(world: World) -> tuple[int, list[Any], list[Any]]:
        invited = sum(entry.invitations for entry in world.journal.select())
        outboxes = [box.settings.get("outbox") for box in world.m365.mailboxes.values()]
        return invited, [one for one in outboxes if one], list(world.journal.doubles())

    assert play.do(referee) == (0, [], [])
    found = table(play)
    assert {path for _, path in found} == {"json"}
    mails = found["mail", "json"]
    # What a mail is to its owner: none of that is lost by this path.
    gone = set(mails["properties"].get("lost", {})) | set(mails["properties"].get("changed", {}))
    assert not gone & {
        "PidTagSubject", "PidTagMessageDeliveryTime", "PidTagClientSubmitTime", "PidTagMessageFlags",
        "PidTagInternetMessageId", "PidTagSenderSmtpAddress", "PidTagSentRepresentingSmtpAddress",
        "PidTagHtml", "PidTagImportance", "PidTagConversationIndex", "PidNameKeywords", "PidTagFlagStatus",
        "recipient: recipient", "recipient: PidTagSmtpAddress", "attachment: PidTagAttachDataBinary",
    }  # fmt: skip
    report = " ".join(play("report", "--as", "text").output.split())
    assert "event by json: created anew by classic Graph; does not carry attendees" in report
    assert "json: meeting" in report

    play.do(lambda world: world.journal.clear())
    assert play("run").exit_code == 0
    assert not play.do(lambda world: [entry for entry in world.journal.select(write=True) if entry.stored])


def test_json_needs_rights_of_its_own_and_says_so(play: Rehearsal) -> None:
    turn(play, import_accepts_synthetic=False, import_accepts_ews=["8"])

    def take_back(world: World) -> None:
        for tenant in world.tenants.values():
            for app in tenant.apps.values():
                app.roles.discard("Mail.ReadWrite")

    play.do(take_back)
    done = play("check")
    assert done.exit_code != 0
    assert "Mail.ReadWrite" in done.output
    assert play("run").exit_code == 4


def test_a_run_does_not_pretend(play: Rehearsal) -> None:
    with Ledger.open(play.folder / "ledger.sqlite", clock=SystemClock()) as ledger:
        ledger.drop_verdicts("new")
    assert "was not asked yet what it takes: run `migrator check`" in " ".join(play("plan").output.split())
    done = play("run")
    assert done.exit_code == 4
    assert "migrator check" in done.output
    assert not play.do(target_items)
    assert play("run", "--force", "no-canary").exit_code == 0


# --- one item


def spoiled(play: Rehearsal) -> str:
    """The Message-ID of a mail of the source, whose subject is now hostile."""

    def spoil(world: World) -> str:
        item = next(i for i in source_items(world) if i.item_class == "IPM.Note" and i.facts.message_id)
        message = item.message()
        message.properties.set(p.PidTagSubject, STRING, HOSTILE)
        world.exchange.update_item(item, fasttransfer.write(message))
        return message.properties.text(p.PidTagInternetMessageId)

    return play.do(spoil)


def test_an_item_is_looked_at_on_both_sides(play: Rehearsal, tmp_path: Path) -> None:
    message_id = spoiled(play)
    before = harmless(play("inspect", "--row", "2", "--message-id", message_id).output)
    assert f"# {ALMA} (source)" in before
    assert "PidTagSubject = " in before
    assert "<script>" in before
    missing = play("inspect", "--row", "2", "--message-id", message_id, "--side", "target")
    assert missing.exit_code == 2
    assert "--side source" in missing.output
    assert play("run").exit_code == 0
    found = told(
        play, "inspect", "--row", ALMA, "--message-id", message_id.strip("<>"), "--side", "target", "--json"
    )
    names = {one["name"]: one["value"] for one in found["items"][0]["properties"]}
    assert names["PidTagInternetMessageId"] == message_id
    same = play("diff", "--row", "2", "--message-id", message_id)
    assert same.exit_code == 0
    assert "no difference" in same.output

    def tamper(world: World) -> None:
        item = next(i for i in target_items(world) if i.facts.message_id == message_id)
        message = item.message()
        message.properties.set(p.PidTagSubject, STRING, HOSTILE + " changed")
        del message.properties[p.PidTagMessageDeliveryTime]
        message.properties.set(p.PidTagLastModificationTime, TIME, 0)
        world.m365.update_item(item, fasttransfer.write(message))

    play.do(tamper)
    other = play("diff", "--row", "2", "--message-id", message_id)
    assert other.exit_code == 3
    words = harmless(other.output)
    assert "lost        PidTagMessageDeliveryTime" in words
    assert "changed     PidTagSubject" in words
    assert "PidTagLastModificationTime" not in words
    assert (
        "PidTagLastModificationTime" in play("diff", "--row", "2", "--message-id", message_id, "--all").output
    )
    classes = {
        d["class"] for d in told(play, "diff", "--row", "2", "--message-id", message_id, "--json")["items"][0]
    }
    assert classes >= {"lost", "changed", "volatile"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["inspect"], "name a file, or an item"),
        (["inspect", "--row", "2"], "--id or --message-id"),
        (["inspect", "--row", "2", "--message-id", "<nobody@x>"], "no such item"),
        (["inspect", "--row", "2", "--id", "AAAA"], "no such item"),
        (["inspect", "--message-id", "<a@x>", "--side", "left"], "source or target"),
        (["diff", "--row", "99", "--message-id", "<a@x>"], "99"),
    ],
)
def test_what_cannot_be_looked_at(still: Rehearsal, args: list[str], words: str) -> None:
    done = still(*args)
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output
