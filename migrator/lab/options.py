"""What a lab is started with. Plain records that travel as JSON, so that a child process gets all of it in one line."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Seeding:
    """What the mailboxes of hosted Exchange hold; those of Microsoft 365 begin empty. The same seed gives the same octets."""

    seed: int = 1
    mailboxes: int = 8
    items: int = 120  # hand-made items of every kind per mailbox, on average; mailboxes differ as in life
    domain: str = "brightwater.example"
    target_domain: str = ""  # of Microsoft 365 addresses; "" is the same as `domain`
    locales: tuple[str, ...] = ("en-US", "de-DE", "fr-FR", "ja-JP")  # given out in turn
    hard_names: bool = (
        True  # folders with "/", emoji, leading blanks, 255 characters, hidden and search folders
    )
    size_median: int = 9_000  # octets of a mail with its attachments: log-normal
    size_sigma: float = 1.5
    size_most: int = 6 << 20
    big_items: int = 0  # per mailbox
    big_octets: int = 25 << 20
    bulk: int = 0  # plain mails per mailbox that differ only in number, date and ids: fast and lean
    bulk_octets: int = 20_000
    bulk_folders: int = 1  # they are spread over so many folders
    eml: tuple[
        str, ...
    ] = ()  # folders of .eml files, sub-folders become folders; all go to the first mailbox


@dataclass(frozen=True, slots=True)
class LabOptions:
    """The whole lab. knobs: as `Knobs.swap` takes them; faults: lines of a fault script."""

    halves: tuple[str, ...] = ("exchange", "m365")
    host: str = "127.0.0.1"
    ports: dict[str, int] = field(default_factory=dict)  # exchange, graph, login, imports, control
    tls: bool = False
    folder: str = ""  # for the CA file and the app's certificate; "" is a temporary one
    seeding: Seeding = field(default_factory=Seeding)
    knobs: dict[str, Any] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    keep_streams: bool = True  # of what Microsoft 365 stores; False keeps digests only (benchmarks)
    state: str = ""  # SQLite file: read at the start when it exists, written at the end

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> LabOptions:
        """Raises ValueError, TypeError."""
        data = json.loads(text)
        seeding = data.pop("seeding", {})
        for name in ("locales", "eml"):
            if name in seeding:
                seeding[name] = tuple(seeding[name])
        if "halves" in data:
            data["halves"] = tuple(data["halves"])
        return cls(seeding=Seeding(**seeding), **data)
