"""The stores in one SQLite file: what a lab held when it ended, for the next one to go on with. Not the journal."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from migrator.lab.folders import ROOT
from migrator.lab.store import Discarded, Facts, LabFolder, LabMailbox, Store
from migrator.lab.world import World

VERSION = 1

_SCHEMA = """
CREATE TABLE lab (version INTEGER NOT NULL);
CREATE TABLE store (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE mailbox (store TEXT, guid TEXT, record TEXT, hierarchy BLOB, PRIMARY KEY (store, guid));
CREATE TABLE folder (store TEXT, id INTEGER, mailbox TEXT, parent INTEGER, record TEXT, log BLOB, PRIMARY KEY (store, id));
CREATE TABLE item (store TEXT, id INTEGER, folder INTEGER, record TEXT, stream BLOB, PRIMARY KEY (store, id));
"""

_MAILBOX_FIELDS = (
    "tenant", "address", "display_name", "upn", "legacy_dn", "locale", "quota_octets", "max_receive_octets",
    "licensed", "enabled", "provisioned", "on_hold", "kind", "user_id",
)  # fmt: skip
_FOLDER_FIELDS = ("name", "folder_class", "role", "hidden", "search", "changed")
_TIMES = ("received", "sent", "created", "modified")


def save(world: World, path: Path) -> None:
    """Write both stores, replacing the file. Items whose streams were not kept are left out."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(fresh)) as db:
        db.executescript(_SCHEMA)
        db.execute("INSERT INTO lab VALUES (?)", (VERSION,))
        for store in (world.exchange, world.m365):
            db.execute("INSERT INTO store VALUES (?, ?)", (store.name, store.sequence))
            for box in store.mailboxes.values():
                _save_mailbox(db, store.name, box)
        db.commit()
    fresh.replace(path)


def _save_mailbox(db: sqlite3.Connection, store: str, box: LabMailbox) -> None:
    record: dict[str, Any] = {name: getattr(box, name) for name in _MAILBOX_FIELDS}
    record["aliases"] = list(box.aliases)
    db.execute(
        "INSERT INTO mailbox VALUES (?, ?, ?, ?)", (store, box.guid, json.dumps(record), box.hierarchy.dump())
    )
    for folder in box.folders.values():
        db.execute(
            "INSERT INTO folder VALUES (?, ?, ?, ?, ?, ?)",
            (
                store,
                folder.id,
                box.guid,
                folder.parent.id if folder.parent is not None else None,
                json.dumps(
                    {name: getattr(folder, name) for name in _FOLDER_FIELDS} | {"fai": sorted(folder.fai)}
                ),
                folder.log.dump(),
            ),
        )
    for item in box.items.values():
        if isinstance(item.content, Discarded):
            continue
        facts = asdict(item.facts)
        facts["search_key"] = item.facts.search_key.hex()
        for name in _TIMES:
            facts[name] = facts[name].isoformat() if facts[name] else None
        record = {
            "facts": facts,
            "change": item.change,
            "created": item.created.isoformat(),
            "modified": item.modified.isoformat(),
            "associated": item.associated,
        }
        db.execute(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?)",
            (store, item.id, item.folder.id, json.dumps(record), item.stream()),
        )


def load(world: World, path: Path) -> None:
    """Replace what both stores hold. Raises ValueError for a file that is not ours or of another version."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            row = db.execute("SELECT version FROM lab").fetchone()
            if row is None or row[0] != VERSION:
                raise ValueError(f"{path}: written by another version of the lab")
            for store in (world.exchange, world.m365):
                _load_store(db, store)
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path}: not a lab's state ({error})") from error


def _load_store(db: sqlite3.Connection, store: Store) -> None:
    for box in list(store.mailboxes.values()):
        store.drop_mailbox(box)
    folders: dict[int, LabFolder] = {}
    for guid, record, hierarchy in db.execute(
        "SELECT guid, record, hierarchy FROM mailbox WHERE store = ?", (store.name,)
    ).fetchall():
        fields = json.loads(record)
        fields["aliases"] = tuple(fields["aliases"])
        box = LabMailbox(store=store, guid=guid, **fields)
        box.hierarchy.restore(hierarchy)
        store.adopt(box)
        # A parent may be younger than its child, after a move: first all of them, then who is whose.
        rows = db.execute(
            "SELECT id, parent, record, log FROM folder WHERE store = ? AND mailbox = ? ORDER BY id",
            (store.name, guid),
        ).fetchall()
        for number, _, folder_record, log in rows:
            kept = json.loads(folder_record)
            fai = kept.pop("fai")
            folder = LabFolder(number, box, None, kept.pop("name"), kept.pop("folder_class"), **kept)
            folder.fai.update(fai)
            folder.log.restore(log)
            folders[number] = box.folders[number] = folder
            if folder.role:
                box.roles[folder.role] = folder
            if folder.role == ROOT:
                box.root = folder
        for number, parent, _, _ in rows:
            if parent is not None:
                folders[number].parent = folders[parent]
                folders[parent].children[folders[number].name.casefold()] = folders[number]
    for number, folder_id, record, stream in db.execute(
        "SELECT id, folder, record, stream FROM item WHERE store = ? ORDER BY id", (store.name,)
    ):
        kept = json.loads(record)
        facts = kept["facts"]
        facts["search_key"] = bytes.fromhex(facts["search_key"])
        facts["categories"] = tuple(facts["categories"])
        for name in _TIMES:
            facts[name] = datetime.fromisoformat(facts[name]) if facts[name] else None
        store.restore_item(
            folders[folder_id],
            number,
            stream,
            Facts(**facts),
            change=kept["change"],
            created=datetime.fromisoformat(kept["created"]),
            modified=datetime.fromisoformat(kept["modified"]),
            associated=kept["associated"],
        )
    store.sequence = db.execute("SELECT sequence FROM store WHERE name = ?", (store.name,)).fetchone()[0]
