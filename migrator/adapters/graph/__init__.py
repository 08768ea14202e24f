"""Microsoft 365 by Microsoft Graph's mailbox import and export: a target, and a source for tenant to tenant.

Settings of an endpoint: `tenant`, `client_id`, `auth` (secret, certificate, device) with `secret` or `certificate` as
references; `url` (default https://graph.microsoft.com/v1.0), `authority`, `ca_file`, `import_hosts` for anything but the
global cloud; options `page_items`, `export_octets`, `max_item_octets`, `scope`.

Facts this package rests on (source; each module has those of its own):
- mailboxes are addressed by an id that GET /users/{address}/settings/exchange tells; it is opaque and never derived
  (learn.microsoft.com/graph/api/usersettings-list-exchange)
- /admin/exchange/mailboxes/{id} lists folders with their class, items, item changes, exports 20 items a call and opens import
  sessions; global cloud only; primary and shared mailboxes (learn.microsoft.com/graph/mailbox-import-export-concept-overview)
- one item a POST to the session's URL at outlook.office365.com, the token inside the URL
  (learn.microsoft.com/graph/import-exchange-mailbox-item)
- per application and mailbox: 4 requests at once, 10 000 in 10 minutes, 150 MB of request bodies in 5 minutes; 429 with
  Retry-After, whose value may have a fraction; each such pair has a bucket of its own
  (learn.microsoft.com/graph/throttling-limits; …/throttling)
- importing creates a new item every time; nothing on the server prevents doubles, so a lost answer is in doubt
- whether a tenant takes streams of other servers is written nowhere: it is asked by a canary, not assumed

A tenant that takes no such streams gets messages, events and contacts created by classic Graph (`json_writer.py`, `documents.py`):
an item whose `path` says JSON. That needs Mail.ReadWrite, Calendars.ReadWrite and Contacts.ReadWrite as well.
"""

from __future__ import annotations

import threading

from migrator.adapters.graph.client import Tokens, Wire
from migrator.adapters.graph.listing import PAGE_ITEMS
from migrator.adapters.graph.standing import Usages
from migrator.adapters.graph.target import GraphMailbox, Shared
from migrator.adapters.spool import BufferContent
from migrator.adapters.transport import Transport
from migrator.auth.microsoft import MicrosoftTokens
from migrator.errors import UserError
from migrator.events import Notice
from migrator.interfaces import Context
from migrator.model import Mailbox
from migrator.settings import Endpoint

USER_AGENT = "migrator"
EXPORT_OCTETS = 32 << 20


class GraphClient:
    """`interfaces.Client` for one tenant. Thread-safe."""

    def __init__(self, wire: Wire, *, page_items: int, export_octets: int, most_octets: int | None) -> None:
        self._wire = wire
        self._page_items = page_items
        self._export_octets = export_octets
        self._most_octets = most_octets
        self._mailboxes: dict[str, Shared] = {}
        self._lock = threading.Lock()
        self._usages = Usages(wire)

    def source(self, mailbox: Mailbox) -> GraphMailbox:
        return self._open(mailbox, writes=False)

    def target(self, mailbox: Mailbox) -> GraphMailbox:
        return self._open(mailbox, writes=True)

    def _open(self, mailbox: Mailbox, *, writes: bool) -> GraphMailbox:
        key = mailbox.address.casefold()
        with self._lock:
            shared = self._mailboxes.get(key)
            if shared is None:
                shared = self._mailboxes[key] = Shared(self._wire, mailbox.address, self._usages)
        return GraphMailbox(
            shared,
            lambda data: BufferContent([data]),
            writes=writes,
            page_items=self._page_items,
            export_octets=self._export_octets,
            most_octets=self._most_octets,
        )

    def close(self) -> None:
        self._wire.transport.close()
        self._wire.tokens.close()


def connect(endpoint: Endpoint, context: Context) -> GraphClient:
    """A client for one endpoint. Opens nothing; raises UserError for settings that cannot work."""

    def say(text: str) -> None:
        context.emit(Notice("info", text))

    tokens = MicrosoftTokens(
        endpoint, context.secrets, context.clock, say=say, interactive=context.interactive
    )
    return connect_with(endpoint, context, tokens)


def connect_with(endpoint: Endpoint, context: Context, tokens: Tokens) -> GraphClient:
    """The same with tokens from elsewhere."""
    try:
        transport = Transport(
            user_agent=USER_AGENT,
            ca_file=endpoint.ca_file,
            timeout_s=endpoint.limits.timeout_s,
            pace=context.pace,
        )
    except ValueError as e:
        raise UserError(f"endpoint {endpoint.name}: {e}", code="ca_file") from e
    wire = Wire(endpoint, transport, tokens, context.clock)
    return GraphClient(
        wire,
        page_items=_option(endpoint, "page_items", PAGE_ITEMS, most=990),
        export_octets=_option(endpoint, "export_octets", EXPORT_OCTETS),
        most_octets=_option(endpoint, "max_item_octets", 0) or None,
    )


def _option(endpoint: Endpoint, name: str, default: int, *, most: int | None = None) -> int:
    text = endpoint.options.get(name, "")
    if not text:
        return default
    if not text.isdigit() or not int(text) or (most is not None and int(text) > most):
        limit = f" from 1 to {most}" if most is not None else " above 0"
        raise UserError(f"endpoint {endpoint.name}: option {name} is not a number{limit}", code="option")
    return int(text)
