"""The ledger is lost, with IMAP on either side: no item streams, no search keys, many messages without an id."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from migrator.lab.world import World
from tests.adapters.imap_kit import dovecot  # noqa: F401 - fixture
from tests.adapters.test_imap_pairs import _to, run
from tests.cli.rehearsal import ALMA, Rehearsal
from tests.servers import imap_servers as servers


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAP_PASSWORD", servers.PASSWORD)


def lose(folder: Path) -> None:
    for leftover in folder.glob("ledger.sqlite*"):
        leftover.unlink()


def rebuilt(folder: Path) -> dict[str, Any]:
    done = run(folder, "rebuild", "--json")
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.output)["mailboxes"]
    found: dict[str, Any] = told
    return found


def test_imap_to_imap(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    old, new = dovecot.new_user(), dovecot.new_user()
    servers.hard_mailbox(dovecot, old, items=12)
    table = servers.table(dovecot)
    folder = servers.project(tmp_path / "project", table, table, [(old, new)])
    assert run(folder, "run").exit_code == 0
    before = servers.picture(dovecot, old)
    items = sum(before.values())
    lose(folder)
    told = rebuilt(folder)
    assert (told["items"], told["found"], told["missing"], told["others"]) == (items, items, 0, 0), told
    assert run(folder, "run").exit_code == 0
    assert servers.picture(dovecot, new) == before

    # Some of it is gone as well: messages of every sort, some of them with a twin that stays.
    raw = dovecot.raw(new)
    raw.select_folder("INBOX")
    numbers = sorted(raw.search())
    raw.delete_messages(numbers[::3])
    raw.expunge()  # and what was marked as deleted before
    raw.logout()
    gone = items - sum(servers.picture(dovecot, new).values())
    assert gone >= len(numbers) // 3
    lose(folder)
    told = rebuilt(folder)
    assert (told["missing"], told["others"], told["unclear"]) == (gone, 0, 0), told
    assert run(folder, "run").exit_code == 0
    assert servers.picture(dovecot, new) == before


def test_imap_to_microsoft_365(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    rehearsal = Rehearsal(tmp_path / "x")
    old = dovecot.new_user()
    servers.hard_mailbox(dovecot, old, items=8)
    target = ALMA.replace("old.example", "new.example")
    try:
        _to(
            rehearsal,
            "mail",
            servers.table(dovecot),
            f"source,target,source_login\n{old}@mail.example,{target},{old}\n",
        )
        rehearsal.change('source = "old"', 'source = "mail"')
        assert rehearsal("run").exit_code == 0

        def held() -> Counter[Any]:
            def look(world: World) -> Counter[Any]:
                return Counter(
                    (tuple(folder.path), item.facts.subject, item.facts.message_id, len(item.stream()))
                    for folder in world.m365.mailbox(target).visible()
                    for item in folder.items.values()
                )

            return rehearsal.do(look)

        before = held()

        def remove(world: World) -> int:
            items = list(world.m365.mailbox(target).roles["inbox"].items.values())[::3]
            for item in items:
                world.m365.delete_item(item)
            return len(items)

        removed = rehearsal.do(remove)
        lose(rehearsal.folder)
        rehearsal.asked()
        told = rebuilt(rehearsal.folder)
        assert (told["missing"], told["others"], told["unclear"]) == (removed, 0, 0), told
        assert rehearsal("run").exit_code == 0
        assert held() == before
    finally:
        rehearsal.close()
