"""Settings as the engine and the adapters see them: frozen, complete, checked. `plan/project.py` reads them from a file.

Units stand in the names: _s seconds, _octets bytes. A secret is always a reference (env:, keyring:, file:), never a value.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from migrator.record import record


@record
class Limits:
    """What may be asked of one mailbox at this endpoint. Zero means: no limit of this sort."""

    concurrent: int = 4
    requests: int = 10_000
    requests_window_s: float = 600.0
    upload_octets: int = 150 << 20
    upload_window_s: float = 300.0
    endpoint_concurrent: int = 0  # over all mailboxes of the endpoint
    tries: int = 6  # of a transient call, the first included
    give_up_s: float = 900.0  # on one call, waiting included
    timeout_s: float = 120.0  # without any octet from the server


@record
class Endpoint:
    """A server with its tenant, as the project file names it. Which fields matter is the adapter's docstring."""

    name: str
    kind: str  # registry name: ews, graph, imap, memory
    url: str = ""  # ews: https://host/EWS/Exchange.asmx, or "" for autodiscover; graph: base URL
    auth: str = ""  # ews: basic, ntlm, oauth; graph: secret, certificate, device
    access: str = "impersonation"  # ews: impersonation, delegate, owner
    username: str = ""
    secret: str = field(default="", repr=False)  # reference
    tenant: str = ""
    client_id: str = ""
    certificate: str = field(default="", repr=False)  # reference to a PEM or PFX
    authority: str = ""  # sign-in base URL, default https://login.microsoftonline.com
    ca_file: str = ""  # extra certificate authority, for the lab or a private one
    version: str = "Exchange2010_SP2"  # ews: highest RequestServerVersion to ask for
    import_hosts: tuple[str, ...] = ()  # graph: hosts that an import URL may name beside Microsoft's own
    limits: Limits = field(default_factory=Limits)
    options: dict[str, str] = field(default_factory=dict)


@record
class RunSettings:
    """One run. A pass (pre-stage, delta, cutover) is these settings with other values, never another code path."""

    passname: str = "delta"  # prestage, delta, cutover
    mailboxes: int = 8  # at once
    uploaders: int = 4  # per mailbox
    inflight_octets: int = 192 << 20  # content held in memory, all mailboxes together
    batch_items: int | None = None  # per export; None: as many as suit the source
    batch_octets: int = 16 << 20
    since: datetime | None = None  # aware; items received at or after
    until: datetime | None = None  # aware; items received before
    include_folders: tuple[str, ...] = ()  # glob patterns on "A/B" with \\ before a literal / ; empty is all
    exclude_folders: tuple[str, ...] = ()
    retry_failed: bool = False
    dedupe: bool = False  # of items of one folder that are alike in all that listing tells, copy one
    propagate_deletes: bool = False  # what was deleted at the source is removed from the target
    dry_run: bool = False
    force: frozenset[str] = (
        frozenset()
    )  # named safety stops to override: empty_source, identity_changed, no_canary
    find_present: bool = (
        True  # look whether an item is in the target already (first pass over a non-empty folder)
    )
    max_item_octets: int | None = None
    newest_first: bool = False  # the last 90 days of all mailboxes before anything older of any
    first_slice: bool = False  # of newest_first those 90 days only: whoever asks lets the rest follow
    wait_for_source_s: float = 0.0  # how long an endpoint that does not answer is waited for
    max_rate_octets_s: float = 0.0  # of content, each direction, all mailboxes together; 0 is no cap
    not_before: str = ""  # these four as `plan.hours` reads them
    stop_at: str = ""
    quiet_hours: tuple[str, ...] = ()
    time_zone: str = ""
    deadline: str = ""  # by when it should be done, as `not_before`; told when the forecast slips past it
