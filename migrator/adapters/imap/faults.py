"""What a server's NO, BAD and BYE mean: the only reader of response codes and of servers' own words.

| Said                                                      | Becomes                                              |
| --------------------------------------------------------- | ---------------------------------------------------- |
| [UNAVAILABLE] [INUSE] [SERVERBUG] on connecting            | Transient                                            |
| [LIMIT] on signing in, "too many connections"              | Throttled, this mailbox                              |
| "throttled … Suggested Backoff Time: n milliseconds"       | Throttled for n                                      |
| [OVERQUOTA]                                                | JobError quota_full                                  |
| [TRYCREATE] [NONEXISTENT] on a folder                      | JobError folder_gone                                 |
| [NOPERM] [ACL]                                             | ItemError or JobError no_right                       |
| [TOOBIG] [LIMIT] "maximum size"                            | too_large                                            |
| [AUTHENTICATIONFAILED] [AUTHORIZATIONFAILED] [EXPIRED]     | UserError, JobError: see `sign_in_refused`           |
| anything else about one message                            | ItemError refused                                    |

Response codes: RFC 5530, RFC 7889 (TOOBIG), RFC 9208 (OVERQUOTA). Words of Exchange Online: imapsync's FAQ.Exchange and
FAQ.Office365. A server's words can quote mail or names, so only their safe, short form goes on.
"""

from __future__ import annotations

import re

from migrator.adapters.imap.wire import Lost, Tagged
from migrator.errors import ItemError, JobError, MigratorError, Throttled, Transient

_BACKOFF = re.compile(rb"Backoff Time: (\d+) milliseconds", re.IGNORECASE)
_TOO_MANY = re.compile(
    rb"too many (simultaneous |concurrent |open )?connections|maximum number of connections"
    rb"|too many (login|failed) |User is authenticated but not connected",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(
    rb"maximum size|too (large|big)|exceeds? (the )?(maximum|limit)|message size", re.IGNORECASE
)
_QUOTA = re.compile(
    rb"quota|Server Unavailable\. 15|mailbox (is )?full|not enough disk|no space", re.IGNORECASE
)


def safe(text: bytes, most: int = 160) -> str:
    """A server's words for a person's terminal: printable, on one line, short."""
    line = "".join(char if char.isprintable() else " " for char in text.decode("utf-8", "replace"))
    line = " ".join(line.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def throttled(said: Tagged | Lost) -> Throttled | None:
    """When the server asks for time, for how long."""
    found = _BACKOFF.search(said.text)
    if found:
        return Throttled(
            "the server asks for a pause", retry_after_s=min(int(found[1]) / 1000, 3600.0), scope="mailbox"
        )
    if _TOO_MANY.search(said.text):
        return Throttled(
            "the server allows no more connections to this mailbox",
            code="too_many_connections",
            retry_after_s=15.0,
            scope="mailbox",
        )
    return None


def lost(error: Lost, who: str) -> Transient:
    """A connection that broke under a call which changes nothing."""
    slow = throttled(error)
    if slow is not None:
        return slow
    words = f": {safe(error.text)}" if error.text else ""
    return Transient(f"{who}: the connection was lost{words}", code=error.kind)


def about_folder(said: Tagged, who: str, name: str) -> MigratorError:
    """A folder could not be opened, listed, made."""
    slow = throttled(said)
    if slow is not None:
        return slow
    if said.code in (b"UNAVAILABLE", b"INUSE", b"SERVERBUG", b"EXPUNGEISSUED"):
        return Transient(f"{who}: {safe(said.text)}", code=said.code.decode().lower())
    if said.code in (b"NOPERM", b"ACL"):
        return JobError(
            f"{who}: no right to the folder {name!r}",
            code="no_right",
            remedy="Give the account the rights lr (to read) or lrswite (to write) on it, or exclude the folder.",
        )
    return JobError(
        f"{who}: the server does not open the folder {name!r}: {safe(said.text)}",
        code="folder_gone",
        remedy="Run the same command again; the folder is listed anew.",
    )


def about_item(said: Tagged, who: str) -> MigratorError:
    """A message was refused by APPEND: surely not stored. ItemError "too_large" is a skip to the caller."""
    slow = throttled(said)
    if slow is not None:
        return slow
    if said.code == b"OVERQUOTA" or (not said.code and _QUOTA.search(said.text)):
        return JobError(
            f"{who}: the target mailbox is full",
            code="quota_full",
            remedy="Raise its quota, then run the same command again.",
        )
    if said.code in (b"TOOBIG", b"LIMIT") or (not said.code and _TOO_LARGE.search(said.text)):
        return ItemError(safe(said.text), code="too_large")
    if said.code in (b"TRYCREATE", b"NONEXISTENT"):
        return JobError(
            f"{who}: the target folder is gone",
            code="folder_gone",
            remedy="Run the same command again: it is made anew.",
        )
    if said.code in (b"NOPERM", b"ACL"):
        return JobError(
            f"{who}: no right to write to a folder",
            code="no_right",
            remedy="Give the account the rights lrswitea on it.",
        )
    if said.code in (b"UNAVAILABLE", b"INUSE", b"CONTACTADMIN", b"SERVERBUG"):
        return Transient(f"{who}: {safe(said.text)}", code=said.code.decode().lower())
    return ItemError(f"the server refused the message: {safe(said.text)}", code="refused")
