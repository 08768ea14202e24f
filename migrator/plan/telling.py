"""What people beside the terminal are told, as the project file has it: the customer page and the notifications.

[customer]
title = "Your mailboxes move"     # default: the words of the strings file
language = "en"                   # en, or the name of a strings file: customer/LANGUAGE.toml in the project folder
show = "masked"                   # how a mailbox is named: masked, address, name, number
name_column = "DisplayName"       # for show = "name": the manifest's column
contact = "IT, extension 4711"    # whom to ask
switch = "Monday, 23 November"    # when people begin to use the new mailbox, in your words
time_zone = "Europe/Berlin"       # default: that of [run], else UTC
every = "60s"                     # how often `run --page` renews it

[notify]
on = ["started", "mailboxes", "slipping", "down", "back", "finished"]     # default: all
bundle = "10m"                    # finished mailboxes are told together, this often at most
show = "address"                  # how a mailbox is named, as above

[notify.to.team]                  # one table a receiver
kind = "teams"                    # teams, slack, json, email, apprise
url = "env:TEAMS_URL"             # a webhook's address is a secret: a reference
# token = "env:HOOK_TOKEN"        # json: sent as `Authorization: Bearer`
# ca_file = "proxy-ca.pem"        # a private certificate authority
# on = ["finished"]               # instead of that of [notify]

[notify.to.desk]
kind = "email"
server = "smtp.example.com"
port = 587                        # default: by security
security = "starttls"             # starttls, tls, none (a relay without a password)
username = "robot@example.com"
secret = "env:SMTP_PASSWORD"
sender = "robot@example.com"
to = ["desk@example.com"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, get_args

from migrator.record import record

Show = Literal["masked", "address", "name", "number"]
Topic = Literal["started", "mailboxes", "slipping", "down", "back", "finished"]
ReceiverKind = Literal["teams", "slack", "json", "email", "apprise"]
Security = Literal["starttls", "tls", "none"]

TOPICS: tuple[Topic, ...] = get_args(Topic)
PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}


@record
class CustomerSettings:
    title: str = ""
    language: str = "en"
    show: Show = "masked"
    name_column: str = "DisplayName"
    contact: str = ""
    switch: str = ""
    time_zone: str = ""
    every_s: float = 60.0


@record
class Receiver:
    """Where messages go. url, token and secret are references still."""

    name: str
    kind: ReceiverKind
    on: frozenset[Topic] = frozenset(TOPICS)
    url: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_file: str = ""
    server: str = ""
    port: int = 0
    security: Security = "starttls"
    username: str = ""
    secret: str = field(default="", repr=False)
    sender: str = ""
    to: tuple[str, ...] = ()


@record
class NotifySettings:
    receivers: tuple[Receiver, ...] = ()
    bundle_s: float = 600.0
    show: Show = "address"
    name_column: str = "DisplayName"


def masked(addresses: Mapping[str, str]) -> dict[str, str]:
    """key → address becomes key → "a…n@old.example": enough for its owner, little for others.

    Where two would look alike more of the beginning is shown, up to half of it; after that a number tells them apart.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    left = dict(addresses)
    for width in range(1, 65):
        shapes: dict[str, list[str]] = {}
        for key, address in left.items():
            shapes.setdefault(_mask(address, width), []).append(key)
        for shape, keys in shapes.items():
            if len(keys) == 1 and shape not in taken:
                found[keys[0]] = shape
                taken.add(shape)
                del left[keys[0]]
        if not left or all(width * 2 >= len(one.partition("@")[0]) for one in left.values()):
            break
    for number, (key, address) in enumerate(left.items(), 1):
        found[key] = f"{_mask(address, 32)} ({number})"
    return found


def _mask(address: str, width: int) -> str:
    name, at, domain = address.rpartition("@") if "@" in address else (address, "", "")
    shown = name[: max(1, min(width, len(name) // 2))]
    last = name[-1:] if len(name) > 2 and len(shown) < len(name) - 1 else ""
    return f"{shown}…{last}{at}{domain}"
